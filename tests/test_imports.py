"""Every module can be imported on every Python that is promised."""

from __future__ import annotations

import importlib
import pkgutil
import sys

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
