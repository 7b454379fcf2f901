"""What every test inside Blender needs: Tempera enabled as the extension that it is, and an empty file."""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
REPOSITORY = "tempera_tests"
STATUS = pytest.StashKey[int]()

if find_spec("bpy") is None:
    collect_ignore_glob = ["*.py"]
else:
    # Blender reads this once, when bpy is imported: nothing of this user's settings, nothing written there.
    os.environ["BLENDER_USER_RESOURCES"] = tempfile.mkdtemp(prefix="tempera-tests-")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    session.config.stash[STATUS] = int(exitstatus)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave with the verdict: the 4.2 module crashes in its own end where any PropertyGroup has had a method."""
    if "bpy" in sys.modules and STATUS in config.stash:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(config.stash[STATUS])


@pytest.fixture(scope="session")
def extension(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The name of the package, enabled from a local repository in which the checkout appears as ``tempera``."""
    import addon_utils
    import bpy

    folder = tmp_path_factory.mktemp("repository")
    (folder / "tempera").symlink_to(ROOT, target_is_directory=True)
    repositories = bpy.context.preferences.extensions.repos
    repository = repositories.new(name=REPOSITORY, module=REPOSITORY, custom_directory=str(folder), remote_url="")
    repository.enabled = True
    name = f"bl_ext.{REPOSITORY}.tempera"
    errors: list[Exception] = []
    addon_utils.enable(name, default_set=True, handle_error=errors.append)
    if errors:
        raise errors[0]
    yield name
    addon_utils.disable(name, default_set=True)


@pytest.fixture
def module(extension: str) -> Callable[[str], ModuleType]:
    """Import a module of Tempera by its name in the checkout, such as ``operators.capture``."""
    return lambda name: importlib.import_module(f"{extension}.{name}")


@pytest.fixture
def capture(module: Callable[[str], ModuleType]) -> ModuleType:
    """What makes shots of scenes and strips."""
    return module("operators.capture")


@pytest.fixture
def refused(module: Callable[[str], ModuleType]) -> Callable[[str], Any]:
    """Expect a sentence for the artist, given as a regular expression."""
    error = module("backend.bridge.errors").UserError
    return lambda sentence: pytest.raises(error, match=sentence)


@pytest.fixture(autouse=True)
def empty_file(extension: str) -> None:
    """Each test starts in an empty file; factory settings would switch the extension off."""
    import bpy

    bpy.ops.wm.read_homefile(use_empty=True)
