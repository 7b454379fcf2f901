"""What Blender and the worker share: settings, the job folder, the messages, the process. Standard library only."""

VERSION = "0.1.0"
