"""Every module can be imported on every Python that is promised."""

from __future__ import annotations

import importlib
import pkgutil

import pytest

import bfm
import losses
import recon

OPTIONAL = {"bpy", "insightface", "mathutils", "nvdiffrast", "pytorch3d"}
MODULES = sorted(
    found.name
    for package in (recon, bfm, losses)
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}.", onerror=lambda name: None)
)


@pytest.mark.parametrize("name", MODULES)
def test_import(name: str) -> None:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in OPTIONAL:
            raise
        pytest.skip(f"needs {error.name}")
