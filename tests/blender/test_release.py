"""The zip holds what an artist needs and no more, installs by itself, and can be served as a repository."""

from __future__ import annotations

import http.server
import json
import os
import subprocess
import sys
import threading
import zipfile
from functools import partial
from pathlib import Path

import bpy
import pytest

ROOT = Path(__file__).resolve().parents[2]
CLI = Path(bpy.utils.resource_path("LOCAL")) / "scripts" / "addons_core" / "bl_pkg" / "cli" / "blender_ext.py"
# In this order: bpy makes addon_utils known, and that the operators of extensions.
START = """
import sys, bpy, addon_utils
addon_utils.enable("bl_pkg")
repositories = bpy.context.preferences.extensions.repos
"""
FROM_DISK = """
done = bpy.ops.extensions.package_install_files(repo="user_default", filepath=sys.argv[1], enable_on_install=True)
assert done == {"FINISHED"}
repository = "user_default"
"""
FROM_THE_INDEX = """
bpy.context.preferences.system.use_online_access = True
repository = "studio"
made = repositories.new(name="Studio", module=repository, remote_url=sys.argv[1])
made.use_sync_on_startup = False
here = list(repositories).index(made)
assert bpy.ops.extensions.repo_sync(repo_index=here) == {"FINISHED"}
done = bpy.ops.extensions.package_install(repo_index=here, pkg_id="tempera", enable_on_install=True)
assert done == {"FINISHED"}
"""
USE_AND_UNINSTALL = """
import importlib, pathlib
name = f"bl_ext.{repository}.tempera"
assert name in bpy.context.preferences.addons
assert bpy.ops.tempera.stylize_render.get_rna_type()
assert "cuda" in importlib.import_module(f"{name}.backend.bridge.install.lock").accelerators("linux")
assert not [each for each in sys.modules if each.startswith(("torch", "cv2"))]
here = [each.module for each in repositories].index(repository)
assert bpy.ops.extensions.package_uninstall(repo_index=here, pkg_id="tempera") == {"FINISHED"}
assert not hasattr(bpy.types.Scene, "tempera")
profile = pathlib.Path(bpy.utils.resource_path("USER"))
left = [path for path in profile.rglob("*") if "tempera" in path.relative_to(profile).as_posix() and path.is_file()]
assert not left, left
__import__("os")._exit(0)  # the wheel of 4.2 may crash on its own way out
"""


def in_a_fresh_profile(script: str, argument: object, profile: Path) -> None:
    """Run Python in a Blender that nobody has used, with one argument."""
    done = subprocess.run(
        [sys.executable, "-c", START + script + USE_AND_UNINSTALL, str(argument)],
        capture_output=True, text=True, check=False, cwd=profile,
        env=os.environ | {"BLENDER_USER_RESOURCES": str(profile)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


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


def test_the_zip_is_installed_from_disk_works_by_itself_and_leaves_nothing(built: Path, tmp_path: Path) -> None:
    """What Blender does for *Install from Disk*, and when a zip is dropped on its window."""
    in_a_fresh_profile(FROM_DISK, built, tmp_path)


def test_a_folder_with_the_zip_is_a_repository_that_blender_installs_from(built: Path, tmp_path: Path) -> None:
    cli("server-generate", "--repo-dir", built.parent)
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(built.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        in_a_fresh_profile(FROM_THE_INDEX, f"http://127.0.0.1:{server.server_port}/index.json", tmp_path)
        server.shutdown()


def test_a_folder_with_the_zip_can_be_served_as_a_repository(built: Path) -> None:
    cli("server-generate", "--repo-dir", built.parent)
    listed = json.loads((built.parent / "index.json").read_text())["data"]
    assert [(entry["id"], entry["version"]) for entry in listed] == [("tempera", "0.1.0")]
    assert set(listed[0]["permissions"]) == {"files", "network", "clipboard"}
