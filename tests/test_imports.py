"""Every module can be imported on every Python that is promised."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import sys
from pathlib import Path

import pytest

import bfm
import losses
import recon

MOVED = {"recon.display": "recon.color", "recon.parsing": "recon.segmentation"}
"""Modules that are kept for one version where they were."""
OPTIONAL = {"bpy", "insightface", "mathutils", "nvdiffrast", "pytorch3d"}
MODULES = sorted(
    found.name
    for package in (recon, bfm, losses)
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}.", onerror=lambda name: None)
    if found.name not in MOVED
)


@pytest.mark.parametrize("name", MODULES)
def test_import(name: str) -> None:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in OPTIONAL:
            raise
        pytest.skip(f"needs {error.name}")


@pytest.mark.parametrize(("old", "new"), MOVED.items())
def test_a_moved_module_works_and_says_where_it_is(old: str, new: str) -> None:
    sys.modules.pop(old, None)
    with pytest.warns(FutureWarning, match=new):
        module = importlib.import_module(old)
    assert all(callable(getattr(module, name)) for name in module.__all__)


def imported_by(file: Path) -> set[str]:
    """Modules that a file imports when it is itself imported, not those that its functions import when they are called."""
    found = set()
    for statement in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(statement, ast.ImportFrom) and statement.module:
            found |= {statement.module, *(f"{statement.module}.{name.name}" for name in statement.names)}
        elif isinstance(statement, ast.Import):
            found |= {name.name for name in statement.names}
    return found


def test_packages_of_recon_do_not_import_each_other_in_circles() -> None:
    top = Path(recon.__file__).parent
    rooms = sorted(path.name for path in top.iterdir() if (path / "__init__.py").is_file())
    imports = {
        room: {
            name.split(".")[1]
            for file in (top / room).rglob("*.py")
            for name in imported_by(file)
            if name.startswith("recon.")
        }
        & set(rooms) - {room}
        for room in rooms
    }
    left = dict(imports)
    while free := [room for room, needs in left.items() if not needs & set(left)]:
        for room in free:
            del left[room]
    assert not left, f"these packages import each other in circles: {', '.join(left)}"


@pytest.mark.parametrize("package", [bfm, losses], ids=lambda package: package.__name__)
def test_models_and_losses_stand_without_recon(package: object) -> None:
    top = Path(package.__file__).parent  # type: ignore[attr-defined]
    guilty = [str(f.relative_to(top)) for f in top.rglob("*.py") if any(n.startswith("recon.") for n in imported_by(f))]
    assert not guilty
