"""What the methods are run with on the bench: a file for each, its `VARIANTS` are `{label: settings}`."""
