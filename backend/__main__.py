"""The command line: ``python -m backend worker | run | deflicker | measure | keys | sheet | bench | doctor``."""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import platform
import sys
from pathlib import Path

from .bridge import VERSION, allocator, messages
from .bridge.errors import UserError
from .bridge.messages import Message

PACKAGES = (
    "torch", "diffusers", "transformers", "safetensors", "opencv-python-headless", "OpenEXR", "numba", "numpy",
    "pillow", "peft",
)  # fmt: skip
MODULES = ("torch", "diffusers", "transformers", "safetensors", "cv2", "OpenEXR", "numba", "numpy", "PIL", "peft")


def main(arguments: list[str]) -> int:
    """Run one command and return its exit status: 0 all well, 1 the artist can mend it, 130 stopped by Ctrl-C."""
    chosen = _parser().parse_args(arguments)
    allocator.hold_freed()
    try:
        return chosen.command(chosen)
    except UserError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stdout.write("\nStopped. Run the same command to go on.\n")
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m backend", description=__doc__)
    commands = parser.add_subparsers(required=True)

    def command(name: str, action: object, help: str) -> argparse.ArgumentParser:
        found = commands.add_parser(name, help=help, description=help)
        found.set_defaults(command=action)
        return found

    command("worker", _serve, "answer requests on standard input (Blender starts this)")
    doctor = command("doctor", _doctor, "say what this Python has and what is missing")
    doctor.add_argument("--trial", action="store_true", help="also run two steps of a tiny random model")
    run = command("run", _run, "work on a job folder, or go on with one, until it is done")
    deflicker = command("deflicker", _deflicker, "take the flicker out of a finished job's frames, as a new job")
    measure = command("measure", _measure, "measure a finished job: consistency, detail, and heat maps of both")
    measure.add_argument("--against", type=Path, help="a job of the same shot, stylized frame by frame")
    measure.add_argument("--clip", type=Path, help="folder of a CLIP model (else one in the shared cache is used)")
    keys = command("keys", _keys, "say which frames to paint, and how much of the shot they show")
    keys.add_argument("--most", type=int, default=6, help="how many key frames at most")
    sheet = command("sheet", _sheet, "write a contact sheet, source above result")
    bench = command("bench", _bench, "measure Tempera itself on a captured shot")
    for one in (run, deflicker, measure, keys, sheet, bench):
        one.add_argument("job", type=Path, help="the job's folder")
    deflicker.add_argument("folder", type=Path, help="the new job's folder")
    sheet.add_argument("target", type=Path, help="the PNG to write")
    bench.add_argument("--quick", action="store_true", help="only what is measured on the job itself")
    bench.add_argument("--shots", type=Path, help="folder of captured shots to run the diffusion methods on")
    bench.add_argument("--only", nargs="+", default=(), help="run only these diffusion methods, or on these shots")
    bench.add_argument("--truth", type=Path, help="folder of a shot with its ray-cast truth to hold motion against")
    bench.add_argument("--ticks", type=Path, help="times of Blender's main thread at work (tools/bench_ticks.py)")
    bench.add_argument("--window", type=Path, help="the same, of the real window (make test-window)")
    bench.add_argument("--write", type=Path, help="write the rows as JSON")
    bench.add_argument("--report", type=Path, help="write the table as Markdown")
    return parser


# Every command imports what it needs, so that none pays for another's libraries.


def _serve(_chosen: argparse.Namespace) -> int:
    from .worker import serve

    serve()
    return 0


def _run(chosen: argparse.Namespace) -> int:
    from .worker import run_job

    return 0 if run_job(chosen.job, _show, lambda: False).state == "done" else 1


def _deflicker(chosen: argparse.Namespace) -> int:
    from .bridge.deflickering import deflicker_job, shared
    from .bridge.job import Job
    from .bridge.settings import from_keywords

    if not (chosen.folder / "job.json").exists():  # else it is gone on with
        deflicker_job(Job.open(chosen.job), chosen.folder, from_keywords("deflicker"))
    shot = chosen.folder / "shot"
    if not (shot / "shot.json").is_file():
        for _ in shared(Job.open(chosen.job).shot_folder, shot):
            pass
    chosen.job = chosen.folder
    return _run(chosen)


def _show(event: Message) -> None:
    """Draw one event on the terminal, progress on a line of its own that is redrawn."""
    if isinstance(event, messages.Progress):
        filled = round(30 * event.done / max(event.total, 1))
        bar = "█" * filled + "·" * (30 - filled)
        sys.stdout.write(f"\r{bar} {event.done}/{event.total} {event.note:<40.40}")
    elif isinstance(event, messages.Ended):
        sys.stdout.write(f"\n{event.state}. {event.message}\n")
    sys.stdout.flush()


def _measure(chosen: argparse.Namespace) -> int:
    from .measure.report import measure, table

    sys.stdout.write(table(measure(chosen.job, chosen.against, clip=chosen.clip)))
    return 0


def _keys(chosen: argparse.Namespace) -> int:
    from .measure.coverage import suggest_keys

    choice = suggest_keys(chosen.job, chosen.most)
    for key, share in zip(choice.keys, choice.coverage, strict=True):
        sys.stdout.write(f"  frame {key:<6} {100 * share:5.1f} % covered\n")
    sys.stdout.write(f"{choice}.\n")
    return 0


def _sheet(chosen: argparse.Namespace) -> int:
    from .measure.contact_sheet import contact_sheet

    contact_sheet(chosen.job, chosen.target)
    return 0


def _bench(chosen: argparse.Namespace) -> int:
    from .measure.bench import bench, markdown, table

    ticks = {place: times for place, times in (("blender", chosen.ticks), ("window", chosen.window)) if times}
    rows = bench(chosen.job, chosen.write, chosen.quick, chosen.shots, chosen.truth, ticks, chosen.only)
    sys.stdout.write(table(rows))
    if chosen.report:
        chosen.report.write_text(markdown(rows), encoding="utf-8")
    return 0


def _doctor(chosen: argparse.Namespace) -> int:
    """Say what this Python is and which of the worker's packages it has; 1 when one is missing or none work."""
    sys.stdout.write(f"Tempera worker {VERSION}, Python {platform.python_version()} on {platform.platform()}\n")
    missing = []
    for package in PACKAGES:
        try:
            version = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            version = "missing"
            missing.append(package)
        sys.stdout.write(f"  {package:<24} {version}\n")
    if missing:
        sys.stdout.write(
            f"Missing: {', '.join(missing)}. Install the backend in Tempera's preferences, or choose another Python "
            "there.\n"
        )
        return 1
    from .worker import device

    sys.stdout.write(f"  computes on {device()}\n")
    if chosen.trial:
        _import_all()
        from .diffusion.trial import run_trial

        trial = run_trial()
        sys.stdout.write(
            f"  two steps of a tiny model: {trial.seconds:.1f} s on {trial.device} in {trial.numbers}\n"
        )
    return 0


def _import_all() -> None:
    """Import every package once: one may be there and yet not load (a library, a driver)."""
    for module in MODULES:
        try:
            importlib.import_module(module)
        except (ImportError, OSError) as error:
            reason = " ".join(str(error).split())[:160]
            raise UserError(f"{module} does not load ({reason}). Repair the backend in the preferences.") from error


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
