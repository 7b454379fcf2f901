"""What Tempera brings along so that it can be tried at once: a painter that stands in for the artist's brush."""
