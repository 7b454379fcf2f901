"""The rules of the house, proven from the source alone: who may import whom."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted(
    path
    for pattern in ("*.py", "properties/**/*.py", "operators/**/*.py", "panels/**/*.py", "backend/**/*.py")
    for path in ROOT.glob(pattern)
)
BLENDER_SIDE = ("__init__", "preferences", "properties", "operators", "panels")
# What each floor may import of ours; a floor may always import itself.
FLOORS = {
    "__init__": {"preferences", "properties", "operators", "panels", "backend.bridge"},
    "panels": {
        "preferences", "properties", "operators.costs", "operators.leftovers", "operators.models",
        "operators.preview", "operators.preview_job", "operators.retouch", "operators.sentences", "operators.session",
        "operators.setup", "operators.versions", "operators.words", "backend.bridge",
    },
    "operators": {"preferences", "properties", "backend.bridge"},
    "properties": {"preferences", "backend.bridge"},
    "preferences": {"backend.bridge"},
    "backend.bridge": set(),
    "backend.motion": {"backend.bridge"},
    "backend.patches": {"backend.bridge", "backend.motion"},
    "backend.diffusion": {"backend.bridge", "backend.motion"},
    "backend.shot": {"backend.bridge", "backend.motion"},
    "backend.methods": {"backend.bridge", "backend.shot", "backend.motion", "backend.diffusion", "backend.patches"},
    "backend.starter": {"backend.bridge", "backend.shot", "backend.diffusion", "backend.patches"},
    "backend.measure": {
        "backend.bridge", "backend.shot", "backend.motion", "backend.patches", "backend.diffusion", "backend.methods",
        "backend.starter",
    },
}
TOP = {"backend", "backend.worker", "backend.__main__"}  # stand above all of backend


def module_name(path: Path) -> str:
    """Return the dotted name of ``path`` seen from the root: "backend.shot.exr", "operators", "__init__"."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


def imports(path: Path, lazy: bool = True) -> Iterator[str]:
    """Yield what ``path`` imports, ours as dotted names from the root; without ``lazy`` only what loads at once."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = ast.walk(tree) if lazy else at_import_time(tree)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from import_from(path, node)


def at_import_time(node: ast.AST) -> Iterator[ast.AST]:
    """Walk the tree without the bodies of functions and of ``if TYPE_CHECKING``."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
            continue
        yield child
        yield from at_import_time(child)


def import_from(path: Path, node: ast.ImportFrom) -> Iterator[str]:
    if node.level == 0:
        yield node.module or ""
        return
    package = list(path.relative_to(ROOT).parent.parts)
    base = package[: len(package) - (node.level - 1)]
    target = [*base, *(node.module or "").split(".")] if node.module else base
    for alias in node.names:
        full = [*target, alias.name]
        is_module = (ROOT.joinpath(*full)).with_suffix(".py").exists() or ROOT.joinpath(*full).is_dir()
        yield "/".join(full if is_module else target) or "__init__"


def ours(name: str) -> str | None:
    """Return the dotted name if ``name`` came from a relative import, else None."""
    return name.replace("/", ".") if "/" in name or (ROOT / f"{name}.py").exists() or (ROOT / name).is_dir() else None


def floor(name: str) -> str:
    parts = name.split(".")
    return ".".join(parts[:2]) if parts[0] == "backend" else parts[0]


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_only_blenders_side_imports_bpy(path: Path) -> None:
    if module_name(path).split(".")[0] not in BLENDER_SIDE:
        assert not {name.split(".")[0] for name in imports(path)} & {"bpy", "mathutils", "gpu", "bl_ui", "blf"}


@pytest.mark.parametrize("path", [p for p in SOURCES if module_name(p).startswith("backend.bridge")], ids=module_name)
def test_bridge_is_standard_library_only(path: Path) -> None:
    foreign = {name.split(".")[0] for name in imports(path) if ours(name) is None}
    assert foreign <= set(sys.stdlib_module_names)


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_imports_run_downward_only(path: Path) -> None:
    name = module_name(path)
    if name in TOP:
        return
    allowed = FLOORS[floor(name)] | {floor(name)}
    for imported in filter(None, map(ours, imports(path))):
        assert any(imported == ok or imported.startswith(ok + ".") for ok in allowed), f"{name} imports {imported}"


def test_no_circle() -> None:
    known = {module_name(path): path for path in SOURCES}
    arrows = {
        name: {found for found in filter(None, map(ours, imports(path))) if found in known and found != name}
        for name, path in known.items()
    }

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join([*trail, name])
        if name not in done:
            for imported in arrows[name]:
                visit(imported, (*trail, name))
            done.add(name)

    done: set[str] = set()
    for name in arrows:
        visit(name, ())


def test_blender_reaches_neither_torch_nor_the_rest_of_backend() -> None:
    known = {module_name(path): path for path in SOURCES}
    reached, waiting = set(), [name for name in known if name.split(".")[0] in BLENDER_SIDE]
    while waiting:
        name = waiting.pop()
        if name in reached:
            continue
        reached.add(name)
        for imported in imports(known[name]):
            assert imported.split(".")[0] not in {"torch", "diffusers", "transformers", "cv2", "PIL", "OpenEXR"}, name
            mine = ours(imported)
            if mine in known:
                waiting.append(mine)
    assert {name for name in reached if name.startswith("backend")} <= {
        name for name in known if name.startswith("backend.bridge")
    }


@pytest.mark.parametrize(
    "path",
    [p for p in SOURCES if floor(module_name(p)) in ("backend.motion", "backend.patches", "backend.shot")],
    ids=module_name,
)
def test_no_torch_where_arrays_are_enough(path: Path) -> None:
    assert "torch" not in {name.split(".")[0] for name in imports(path, lazy=False)}


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_nothing_is_unpickled_or_evaluated(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    called = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    assert not called & {"eval", "exec", "print", "__import__"}
    assert not {name.split(".")[0] for name in imports(path)} & {"pickle", "marshal", "shelve", "dill"}
