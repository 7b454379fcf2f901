"""The zip holds what an artist needs and no more, installs by itself, and can be served as a repository."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import bpy
import pytest

ROOT = Path(__file__).resolve().parents[2]
CLI = Path(bpy.utils.resource_path("LOCAL")) / "scripts" / "addons_core" / "bl_pkg" / "cli" / "blender_ext.py"
ENABLE = """
import sys, bpy, addon_utils  # in this order: bpy makes the other one known
repository = bpy.context.preferences.extensions.repos.new(
    name="zip", module="zip", custom_directory=sys.argv[1], remote_url="")
assert addon_utils.enable("bl_ext.zip.tempera") is not None
assert bpy.ops.tempera.stylize_render.get_rna_type()
from bl_ext.zip.tempera.backend.bridge.install.lock import accelerators
assert "cuda" in accelerators("linux")
addon_utils.disable("bl_ext.zip.tempera")
assert not hasattr(bpy.types.Scene, "tempera")
assert not [name for name in sys.modules if name.startswith(("torch", "cv2"))]
"""


def cli(*arguments: object) -> str:
    done = subprocess.run(
        [sys.executable, str(CLI), *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("build")
    cli("build", "--source-dir", ROOT, "--output-dir", folder)
    return next(folder.glob("*.zip"))


def test_the_zip_holds_what_is_needed_and_no_more(built: Path) -> None:
    cli("validate", built)
    names = zipfile.ZipFile(built).namelist()
    assert {"__init__.py", "blender_manifest.toml", "backend/bridge/install/locks/uv.json"} <= set(names)
    model = [path.relative_to(ROOT).as_posix() for path in (ROOT / "backend/starter/model").rglob("*.*")]
    assert set(model) <= set(names), "the starter model ships"
    for name in names:
        assert not name.startswith(("tests/", "tools/", "build/", "demo/", ".")), name
        assert not name.endswith((".pyc", ".so", ".pyd", ".dll", ".dylib", ".whl")), name
    starter = {name for name in names if name.startswith("backend/starter/") and name.endswith(".py")}
    assert starter <= {"backend/starter/__init__.py", "backend/starter/vocabulary.py"}, "training stays at home"


def test_the_zip_works_by_itself(built: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(built).extractall(tmp_path / "tempera")
    done = subprocess.run(
        [sys.executable, "-c", ENABLE, str(tmp_path)], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_folder_with_the_zip_can_be_served_as_a_repository(built: Path) -> None:
    cli("server-generate", "--repo-dir", built.parent)
    listed = json.loads((built.parent / "index.json").read_text())["data"]
    assert [(entry["id"], entry["version"]) for entry in listed] == [("tempera", "0.1.0")]
    assert set(listed[0]["permissions"]) == {"files", "network", "clipboard"}
