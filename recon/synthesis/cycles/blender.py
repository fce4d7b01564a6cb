"""Finds Blender's Python module, or says what to do about it."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence
from typing import Any

PYTHON = (3, 11)
"""The only Python that the wheel of bpy 5.0 is made for."""
OLDEST = (5, 0)
"""Oldest Blender whose interface this package uses."""


class BlenderError(RuntimeError):
    """Blender's module is missing, unusable, or could not render."""


def load_bpy(find: Callable[[str], Any] = importlib.import_module, python: Sequence[int] = sys.version_info[:2]) -> Any:
    """The module ``bpy`` with Cycles in it.

    Args:
        find: imports a module by name.
        python: version of this Python.

    Raises:
        BlenderError: wrong Python, no bpy, a bpy that does not load, is too old or has no Cycles.
    """
    here = ".".join(map(str, python[:2]))
    try:
        bpy = find("bpy")
    except ImportError as error:
        if not (isinstance(error, ModuleNotFoundError) and error.name == "bpy"):
            raise BlenderError(f"Blender's module bpy is installed but does not load: {error}") from error
        if tuple(python[:2]) != PYTHON:
            raise BlenderError(
                f"the Cycles engine needs Blender's module bpy, which there is for Python 3.11 only, and this is Python "
                f"{here}: make an environment with Python 3.11 and run pip install 'facerecon[blender]' in it"
            ) from error
        raise BlenderError(
            "the Cycles engine needs Blender's module bpy, which is not installed: run pip install 'facerecon[blender]'"
        ) from error
    app = getattr(bpy, "app", None)
    version = getattr(app, "version", None)
    if not isinstance(version, tuple):
        raise BlenderError(f"the module bpy found at {getattr(bpy, '__file__', None)} is not Blender's: uninstall it")
    if version[:2] < OLDEST:
        raise BlenderError(f"Blender {'.'.join(map(str, version))} is too old, 5.0 or newer is needed")
    if not getattr(getattr(app, "build_options", None), "cycles", False):
        raise BlenderError("this Blender was built without Cycles: run pip install 'facerecon[blender]'")
    return bpy
