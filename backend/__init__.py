"""Tempera's worker: everything that needs no Blender. Run it with ``python -m backend``."""
