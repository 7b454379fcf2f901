"""How much memory a process took."""

from __future__ import annotations

import os
import sys
from pathlib import Path

STATUS = Path("/proc/self/status")


def most_resident() -> int:
    """Return the most bytes of main memory that this process ever held; 0 where the system does not tell.

    On Linux from the kernel's own page on it, since ``getrusage`` there counts what the process was forked from too:
    a worker that Blender starts would tell Blender's memory.
    """
    if STATUS.is_file():
        peak = next(line for line in STATUS.read_text(encoding="ascii").splitlines() if line.startswith("VmHWM"))
        return int(peak.split()[1]) * 1024
    if os.name == "nt":
        return 0
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
