"""What keeps a run from starting, each as one sentence with what mends it."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import bpy

from ..backend.bridge import settings
from ..backend.bridge.presence import Presence
from ..preferences import PACKAGE, absolute, preferences, worker_problem
from .declared import PATHS

CHOSEN_AMONG_MODELS = {"model", "controlnet", "controlnet_2", "lora", "lora_2", "lora_3", "style_adapter"}


_disk = Presence(patience=5.0 if bpy.app.background else 0.01)  # seconds: a window is not to stand still


class Problem(NamedTuple):
    """What keeps a run from starting, in one sentence, and the operator that mends it, "" where the artist has to.

    ``section`` is where it is shown: "backend", "style", "method" or "run".
    """

    text: str
    section: str
    operator: str = ""
    options: tuple[tuple[str, Any], ...] = ()


class HasProblems:
    """Mixed into what is kept in a scene: what keeps it from being stylized as it is set."""

    def render_problems(self: Any) -> list[Problem]:
        """Return what keeps the scene's frame range from being stylized; opens no file."""
        scene = self.id_data
        found = self._problems([range(scene.frame_start, scene.frame_end + 1, scene.frame_step)])
        if scene.camera is None and not any(marker.camera for marker in scene.timeline_markers):
            found.append(Problem("The scene has no camera. Add one.", "run", "tempera.add_camera"))
        return found

    def strip_problems(self: Any, spans: Sequence[range]) -> list[Problem]:
        """Return what keeps strips with these ``spans`` of frames from being stylized; opens no file."""
        if not spans:
            return [Problem("No strip is selected. Select one that has pictures.", "run")]
        return self._problems(spans)

    def _problems(self: Any, spans: Sequence[range]) -> list[Problem]:
        missing = worker_problem(preferences().worker_python)
        found = [Problem(missing, "backend", "preferences.addon_show", (("module", PACKAGE),))] if missing else []
        if linked := linked_problem(self.id_data):
            found.append(Problem(linked, "run"))
        if self.method == "exemplar":
            keys = {key.frame for key in self.keys}
            unpainted = next(filter(None, (key_problem(span, keys) for span in spans)), "")
            if unpainted:
                found.append(Problem(unpainted, "style", "tempera.add_key"))
            found += self._lost_keys(spans)
        return found + self._lost_files()

    def _lost_keys(self: Any, spans: Sequence[range]) -> list[Problem]:
        """Return which key frames that count have no picture on the disk."""
        counting = [key for key in self.keys if any(key.frame in span for span in spans)]
        return [
            Problem(missing_key(key.frame, key.filepath), "style", "tempera.add_key", (("frame", key.frame),))
            for key in counting
            if not key.filepath or not _disk.there(absolute(key.filepath))
        ]

    def _lost_files(self: Any) -> list[Problem]:
        """Return which files and folders that count are not there."""
        found = []
        for name, home in self.counting().items():
            seen, path = home.bl_rna.properties[name], getattr(home, name)
            if seen.type != "STRING" or seen.subtype not in PATHS or not path:
                continue
            if not _disk.there(absolute(path)):
                section = settings.specs(self.group)[name][2].section
                button = "tempera.choose_model" if name in CHOSEN_AMONG_MODELS else ""
                place = "style" if section == "style" else "method"
                found.append(Problem(f"{seen.name}: {path} is not there. Choose another.", place, button))
        return found


def missing_key(frame: int, path: str | Path) -> str:
    """Return the sentence on the key of ``frame``, whose picture is not at ``path``."""
    if str(path) in ("", "."):
        return f"The key of frame {frame} has no picture yet. Choose one."
    return f"The key of frame {frame} is missing: {path}. Save it again, or choose another file."


def key_problem(frames: Iterable[int], keys: Iterable[int]) -> str:
    """Return what is wrong with the frames of the ``keys`` for a shot of these ``frames``, "" when nothing is."""
    if set(frames).isdisjoint(keys):
        return "There is no key frame in the shot. Paint over one of its frames and add it."
    return ""


def linked_problem(scene: bpy.types.Scene) -> str:
    """Return why a strip put into ``scene`` would be lost, "" when it would not."""
    if scene.library is None:
        return ""
    home = Path(scene.library.filepath.replace("\\", "/")).name
    return (
        f"{scene.name} is linked from {home}, and a strip in it could not be saved here. "
        "Open that file, or add the scene as a strip to a scene of this file."
    )
