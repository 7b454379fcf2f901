"""What this machine can compute on, and what keeps an environment from being made here, in words."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

GLIBC = (2, 28)  # the oldest that the wheels of PyTorch are built for (manylinux_2_28)
MACOS = (14, 0)
LONGEST_WINDOWS_FOLDER = 110  # characters; the deepest file inside is 145 further down, and Windows ends at 260


@dataclass(frozen=True)
class Gpu:
    """A graphics card of NVIDIA: its driver's version and its compute capability, both as (major, minor)."""

    name: str
    driver: tuple[int, int]
    capability: tuple[int, int]


@dataclass(frozen=True)
class Machine:
    """What counts of a machine. ``system`` is "Linux", "Windows" or "Darwin"; ``glibc`` is (0, 0) where there is none.

    ``python`` is the version of the Python that installs; ``rocm`` tells an AMD card that Linux can compute on.
    """

    system: str
    processor: str
    release: tuple[int, int] = (0, 0)
    glibc: tuple[int, int] = (0, 0)
    python: tuple[int, int] = (3, 11)
    gpus: tuple[Gpu, ...] = ()
    rocm: bool = False

    @classmethod
    def here(cls) -> Machine:
        """Look at this machine; takes a second where there is a card of NVIDIA."""
        system = platform.system()
        return cls(
            system=system,
            processor=platform.machine().lower().replace("amd64", "x86_64"),
            release=_pair(platform.mac_ver()[0] if system == "Darwin" else platform.release()),
            glibc=_pair(platform.libc_ver()[1]) if platform.libc_ver()[0] == "glibc" else (0, 0),
            python=sys.version_info[:2],
            gpus=nvidia_gpus(),
            rocm=system == "Linux" and Path("/dev/kfd").exists(),
        )

    @property
    def platform(self) -> str:
        """The name that lock files call this machine by; "" where there is no PyTorch for it."""
        named = {("Linux", "x86_64"): "linux", ("Windows", "x86_64"): "windows", ("Darwin", "arm64"): "macos"}
        return named.get((self.system, self.processor), "")

    def describe(self) -> str:
        """Return the machine in one line for a report."""
        cards = ", ".join(
            f"{gpu.name} (driver {_dotted(gpu.driver)}, compute capability {_dotted(gpu.capability)})"
            for gpu in self.gpus
        )
        libc = f", glibc {_dotted(self.glibc)}" if self.glibc > (0, 0) else ""
        found = cards or ("an AMD card" if self.rocm else "no card of NVIDIA or AMD")
        return f"{self.system} {_dotted(self.release)} on {self.processor}{libc}, {found}"


@dataclass(frozen=True)
class Need:
    """What an accelerator of NVIDIA needs: the oldest driver and the range of compute capabilities of its PyTorch."""

    driver: tuple[int, int]
    least: tuple[int, int]
    most: tuple[int, int] = (99, 0)


# CUDA 13 dropped all before Turing; CUDA 12.6 is older than Blackwell (NVIDIA, CUDA Toolkit release notes, table 3).
NEEDS = {"cuda": Need((580, 0), (7, 5)), "cuda126": Need((525, 60), (5, 0), (9, 0))}


def recommend(machine: Machine) -> str:
    """Return the accelerator to choose on ``machine``: "cuda", "cuda126", "rocm", "mps" or "cpu"."""
    if machine.system == "Darwin":
        return "mps"
    fitting = [name for name in NEEDS if not accelerator_problem(machine, name)]
    if fitting:
        return fitting[0]
    return "rocm" if machine.rocm else "cpu"


def reason(machine: Machine) -> str:
    """Return one sentence on why :func:`recommend` chose as it did."""
    chosen = recommend(machine)
    if chosen in NEEDS:
        return f"{machine.gpus[0].name} computes with driver {_dotted(machine.gpus[0].driver)}."
    if chosen == "rocm":
        return "An AMD card was found."
    if chosen == "mps":
        return "Macs of the M series compute on their own GPU."
    if machine.gpus:
        return accelerator_problem(machine, "cuda")
    return "No card of NVIDIA or AMD was found, so everything is computed on the processor: slow, but it works."


def accelerator_problem(machine: Machine, accelerator: str) -> str:
    """Return why ``accelerator`` cannot work on ``machine``, "" where nothing speaks against it."""
    if accelerator == "rocm" and not machine.rocm:
        return "No AMD card that Linux can compute on was found. Install AMD's driver (amdgpu), or choose CPU."
    if accelerator not in NEEDS:
        return ""
    if not machine.gpus:
        return "No card of NVIDIA was found. Install its driver, or choose CPU."
    gpu, need = machine.gpus[0], NEEDS[accelerator]
    if gpu.driver < need.driver:
        return (
            f"The driver of {gpu.name} is {_dotted(gpu.driver)}, and {need.driver[0]} or newer is needed. "
            "Update it from nvidia.com, or choose another accelerator."
        )
    if not need.least <= gpu.capability <= need.most:
        other = "an older" if gpu.capability < need.least else "the current"
        return f"{gpu.name} is not supported by this choice. Choose {other} CUDA, or CPU."
    return ""


def machine_problem(machine: Machine) -> str:
    """Return why no environment can be made on ``machine`` at all, "" where one can."""
    if not machine.platform:
        where = f"{machine.system} on {machine.processor}".replace("Darwin on x86_64", "Macs with an Intel processor")
        return f"There is no PyTorch for {where}. Run jobs on another machine: python -m backend run FOLDER."
    if machine.system == "Linux" and machine.glibc < GLIBC:
        found = f"version {_dotted(machine.glibc)}" if machine.glibc > (0, 0) else "another C library"
        return (
            f"This Linux has glibc in {found}, and PyTorch needs {_dotted(GLIBC)} or newer. "
            "Update the system (2018 or newer will do), or choose the Python of another environment."
        )
    if machine.system == "Darwin" and machine.release < MACOS:
        return f"This macOS is {_dotted(machine.release)}, and PyTorch needs {MACOS[0]} or newer. Update the system."
    return ""


def folder_problem(machine: Machine, folder: Path) -> str:
    """Return why nothing can be installed into ``folder``, going by its name alone; "" where nothing speaks against it.

    A path in any script is fine; a long one is not on Windows, whose paths end at 260 characters.
    """
    if machine.system == "Windows" and len(str(folder)) > LONGEST_WINDOWS_FOLDER:
        return (
            f"The folder {folder} has a name of {len(str(folder))} characters, and Windows allows "
            f"{LONGEST_WINDOWS_FOLDER} here. Choose a folder with a shorter name, such as C:\\Tempera."
        )
    return ""


def nvidia_gpus() -> tuple[Gpu, ...]:
    """Return the cards that NVIDIA's driver reports; none where it is not installed or does not answer."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return ()
    query = [command, "--query-gpu=name,driver_version,compute_cap", "--format=csv,noheader"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ()
    rows = [[cell.strip() for cell in line.split(",")] for line in answer.splitlines()]
    return tuple(Gpu(row[0], _pair(row[1]), _pair(row[2])) for row in rows if len(row) == 3)


def _pair(version: str) -> tuple[int, int]:
    """Return the first two numbers of a version, (0, 0) where it has none."""
    numbers = [int(part) for part in version.split(".")[:2] if part.isdigit()]
    major, minor = (*numbers, 0, 0)[:2]
    return major, minor


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
