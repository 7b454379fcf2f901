"""The real Blender in a window of its own, on a screen that nobody sees: clicked, typed into and photographed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

SIZE = (1600, 1400)
LEFT, MIDDLE = 1, 2  # buttons of the mouse
PATIENCE = 300.0
HERE = Path(__file__).resolve().parent
PLACE = HERE.parents[1] / "build" / "window"  # of the profile, the logs and the pictures
PROGRAM = os.environ.get("BLENDER") or shutil.which("blender") or ""
NAME = "bl_ext.user_default.tempera"


class Screen:
    """A virtual X screen."""

    def __init__(self, log: Path) -> None:
        read, write = os.pipe()
        geometry = f"{SIZE[0]}x{SIZE[1]}x24"
        command = ["Xvfb", "-displayfd", str(write), "-screen", "0", geometry, "+extension", "GLX"]
        with log.open("wb") as words:
            self._process = subprocess.Popen(command, pass_fds=[write], stdout=words, stderr=words)
        os.close(write)
        with os.fdopen(read) as told:
            self.name = f":{told.readline().strip()}"

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()


class Blender:
    """A Blender with a window on ``screen``; ``name`` is that of its log and of the folder for its commands.

    ``profile`` is the folder of its preferences, by default the one in which Tempera is installed.
    """

    def __init__(self, screen: Screen, name: str, profile: str = "settings") -> None:
        self._screen, self._count = screen, 0
        self._commands, self.log = PLACE / name, PLACE / f"{name}.log"
        self._commands.mkdir()
        environment = os.environ | {
            "DISPLAY": screen.name, "LIBGL_ALWAYS_SOFTWARE": "1", "TEMPERA_WINDOW": str(self._commands),
            "BLENDER_USER_RESOURCES": str(PLACE / profile),
        }  # fmt: skip
        window = ["--gpu-backend", "opengl", "--window-geometry", "0", "0", *map(str, SIZE)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [PROGRAM, *window, "--python", str(HERE / "driver.py")], env=environment, stdout=log, stderr=log
            )

    def run(self, command: str, patience: float = PATIENCE) -> str:
        """Run Python in Blender's main loop and return what it prints."""
        self._count += 1
        path = self._commands / f"{self._count:05d}.tmp0"
        path.write_text(command, encoding="utf-8")
        path.rename(path.with_suffix(".cmd"))
        done, error = path.with_suffix(".out"), path.with_suffix(".error")
        end = time.monotonic() + patience
        while not done.exists():
            assert not error.exists(), error.read_text()
            assert self.process.poll() is None, "Blender has ended"
            assert time.monotonic() < end, f"no answer to {command}"
            time.sleep(0.02)
        return done.read_text(encoding="utf-8").strip()

    def ask(self, expression: str) -> str:
        """Return the value of an expression, as text."""
        return self.run(f"print(({expression}))")

    def until(self, expression: str, patience: float = PATIENCE) -> None:
        """Wait until an expression is true."""
        end = time.monotonic() + patience
        while self.ask(f"bool({expression})") != "True":
            assert time.monotonic() < end, f"never true: {expression}"
            time.sleep(0.1)

    def hold(self, condition: str) -> None:
        """Stop the process that works on the last ``job`` as soon as a condition is true: there is time until go_on."""
        self.run(HOLD.format(condition=condition))

    def go_on(self) -> None:
        """Let the process that is held work on."""
        self.run("held.send_signal(signal.SIGCONT)")

    def settle(self) -> None:
        """Wait until what was done is drawn."""
        for _ in range(3):
            self.run("[area.tag_redraw() for each in window_manager.windows for area in each.screen.areas]")
            time.sleep(0.2)

    def move(self, x: int, y: int) -> None:
        """Move the mouse; y counts from the top of the screen."""
        self._xdotool("mousemove", str(x), str(y))

    def click(self, x: int, y: int) -> None:
        """Click with the left button."""
        self.move(x, y)
        time.sleep(0.3)
        self._xdotool("click", str(LEFT))
        self.settle()

    def drop(self, file: Path, x: int, y: int) -> None:
        """Drop a file onto a place on the screen."""
        drag = [sys.executable, str(HERE / "drop.py"), str(file), str(x), str(y)]
        subprocess.run(drag, env=os.environ | {"DISPLAY": self._screen.name}, check=True)
        self.settle()

    def scroll(self, clicks: int) -> None:
        """Turn the mouse's wheel, down by ``clicks`` or up where they are negative."""
        self._xdotool("click", "--repeat", str(abs(clicks)), "5" if clicks > 0 else "4")
        self.settle()

    def drag(self, start: tuple[int, int], end: tuple[int, int], button: int = LEFT) -> None:
        """Move the mouse from one place to another with a button held down."""
        self.move(*start)
        time.sleep(0.3)
        self._xdotool("mousedown", str(button))
        for step in range(1, 11):
            self.move(*(round(a + (b - a) * step / 10) for a, b in zip(start, end, strict=True)))
            time.sleep(0.05)
        self._xdotool("mouseup", str(button))
        self.settle()

    def press(self, keys: str) -> None:
        """Press keys such as "Escape" or "ctrl+z" where the mouse is."""
        time.sleep(0.3)  # until Blender knows what is under the mouse
        self._xdotool("key", keys)
        self.settle()

    def type(self, words: str) -> None:
        """Type words into the field that is being edited."""
        self._xdotool("type", "--delay", "60", words)
        self.settle()

    def choose(self, menu: tuple[int, int], entry: str) -> None:
        """Open the menu whose title is at a place, and choose an entry: the space bar searches in it."""
        self.click(*menu)
        self.press("space")
        self.type(entry)
        self.press("Return")

    def press_button(self, name: str, area: str, region: str = "WINDOW") -> None:
        """Click the button of an operator or a property, wherever in an editor it is; see :meth:`find`."""
        self.click(*self.find(name, area, region))

    def find(self, name: str, area: str, region: str = "WINDOW") -> tuple[int, int]:
        """Return where a button is: hover over the region until Blender names it.

        ``name`` is how Python names what it does or sets, or a part of that, such as "tempera.preview".
        """
        place = {"area": area, "region": region}
        left, top, right, bottom = self.bounds(area, region)
        if region == "HEADER":
            points = [(x, (top + bottom) // 2) for x in range(right - 12, left, -16)]
        else:
            columns = [left + (right - left) * share // 12 for share in (6, 3, 9, 11)]
            columns.append(left + 44)  # what stands behind a row's arrow
            points = [(x, y) for x in columns for y in range(top + 6, bottom, 11)]
        for x, y in points:
            if self._hovers(name, place, x, y):
                for above in (0, 4, 8, 12):  # Blender may have named what was under the mouse a moment ago
                    self.move(x, y - above)
                    time.sleep(0.3)
                    if self._hovers(name, place, x, y - above):
                        return x, y - above
        raise AssertionError(f"{area} shows no button of {name}; see {self.picture('lost')}")

    def bounds(self, area: str, region: str) -> tuple[int, ...]:
        """Return where on the screen a region of an editor is: its left, upper, right and lower edge."""
        return tuple(map(int, self.run(BOUNDS.format(area=area, region=region)).split()))

    def place_of(self, frame: float, channel: float) -> tuple[int, int]:
        """Return where on the screen a frame of a channel is in the sequencer."""
        print_place = f"""
x, y = region.view2d.view_to_region({frame}, {channel}, clip=False)
print(region.x + x, window.height - region.y - y)
"""
        return tuple(map(int, self.run(AREA.format(area="SEQUENCE_EDITOR", region="WINDOW") + print_place).split()))

    def open_tab(self, category: str, area: str) -> None:
        """Open a tab of an editor's sidebar."""
        place = {"area": area, "region": "UI"}
        _, top, right, bottom = self.bounds(**place)
        is_open = AREA.format(**place) + f"print(region.active_panel_category == '{category}')"
        self._click_down(right - 8, (top, bottom), is_open)

    def open_preferences(self, section: str) -> None:
        """Open the preferences, which have a window of their own, by their keys, and a section by a click."""
        self.press("ctrl+comma")
        self.until("window_manager.windows[-1].screen.areas[0].type == 'PREFERENCES'")
        self._xdotool("search", "--name", "Preferences", "windowmove", "0", "100")  # a large one hangs over the edge
        self.settle()
        left, top, _, bottom = self.bounds("PREFERENCES", "WINDOW")
        self._click_down(left - 40, (top, bottom), f"print(bpy.context.preferences.active_section == '{section}')")

    def close_preferences(self) -> None:
        """Close their window, which has no frame here that could be clicked."""
        self.run(CLOSE)
        self.settle()

    def _click_down(self, x: int, rows: tuple[int, int], enough: str) -> None:
        """Click down a column from the first of ``rows`` to the last until a command prints "True"."""
        for y in range(rows[0] + 20, rows[1], 20):
            self.click(x, y)
            if self.run(enough) == "True":
                return
        raise AssertionError(f"not found by clicking down; see {self.picture('lost')}")

    def _hovers(self, name: str, place: dict[str, str], x: int, y: int) -> bool:
        """Move the mouse; return whether it is over the button of that name."""
        self.move(x, y)
        return name in self.run(NAME_BUTTON.format(**place))

    def picture(self, name: str, part: tuple[int, int, int, int] = (0, 0, *SIZE)) -> Path:
        """Take a picture of ``part`` of the screen: its left and upper edge from the corner, width and height."""
        path = PLACE / f"{name}.png"
        left, top, width, height = part
        corner, size = f"{self._screen.name}+{left},{top}", f"{width}x{height}"
        grab = ["-f", "x11grab", "-video_size", size, "-i", corner, "-frames:v", "1"]
        subprocess.run(["ffmpeg", "-loglevel", "error", "-y", *grab, str(path)], check=True)
        return path

    def close(self) -> None:
        self.process.terminate()
        self.process.wait()

    def _xdotool(self, *arguments: str) -> None:
        subprocess.run(["xdotool", *arguments], env=os.environ | {"DISPLAY": self._screen.name}, check=True)


HOLD = """
import signal
held = None
def hold():
    global held
    job = session.jobs[-1] if session.jobs else None
    if job is None or not ({condition}):
        return 0.01
    process = job._capture._process if job.state == "capturing" else session._worker._process
    if process is None or process.poll() is not None:  # has not begun, or is through
        return 0.01
    held = process
    held.send_signal(signal.SIGSTOP)
bpy.app.timers.register(hold)
"""
CLOSE = """
with bpy.context.temp_override(window=window_manager.windows[-1]):
    bpy.ops.wm.window_close()
"""
AREA = """
places = [(each, area) for each in window_manager.windows for area in each.screen.areas]
window, area = next(place for place in places if place[1].type == "{area}")
region = next(region for region in area.regions if region.type == "{region}")
"""
BOUNDS = AREA + f"""
left, bottom = window.x + region.x, {SIZE[1]} - window.y - region.y
print(left, bottom - region.height, left + region.width, bottom)
"""
NAME_BUTTON = AREA + """
window_manager.clipboard = ""
with bpy.context.temp_override(window=window, area=area, region=region):
    if bpy.ops.ui.copy_python_command_button.poll():
        bpy.ops.ui.copy_python_command_button()
    elif bpy.ops.ui.copy_data_path_button.poll():
        bpy.ops.ui.copy_data_path_button(full_path=True)
print(window_manager.clipboard)
"""
