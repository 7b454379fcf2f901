"""Makes, proves, repairs and removes the Python environment that the worker runs in.

It runs as a process of its own, ``python -m backend.bridge.install``, in any Python from 3.11 up (Blender's own will
do), and tells how far it is in JSON lines (see ``errands``). Everything it makes lies in one folder, and at whatever
instant it ends, the next run goes on from there: wheels are fetched byte by byte, the marker that makes an environment
count is written last.
"""
