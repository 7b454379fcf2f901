"""Runs mypy over the whole tree, named ``tempera`` as Blender names it, so that relative imports resolve."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ("__init__.py", "preferences.py", "properties", "operators", "panels", "backend")


def main() -> int:
    """Lay the package out under its own name in ``.check`` and check it there; return mypy's exit status."""
    package = ROOT / ".check" / "tempera"
    package.mkdir(parents=True, exist_ok=True)
    for name in SOURCES:
        link = package / name
        if not link.is_symlink():
            link.symlink_to(ROOT / name)
    command = [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml"), "-p", "tempera"]
    tools_command = [*command[:-2], "--explicit-package-bases", "tools"]
    tools = subprocess.run(tools_command, cwd=ROOT, check=False).returncode
    return subprocess.run(command, cwd=package.parent, check=False).returncode or tools


if __name__ == "__main__":
    sys.exit(main())
