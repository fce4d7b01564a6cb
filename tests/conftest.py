"""Fixtures for all tests: the open model from the user's cache, and a face model small enough to check by hand."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import bfm
from bfm.data import ModelData, SurfacePoints

if "PYTEST_XDIST_WORKER" in os.environ:
    torch.set_num_threads(1)  # threads of several workers on the same cores wait for each other

N_TINY = 11


def make_tiny_data(seed: int = 0, n_identity: int = 3, n_expression: int = 2, n_albedo: int = 4) -> ModelData:
    """A strip of nine triangles over eleven vertices, with random bases. No two sizes are equal."""
    rng = np.random.default_rng(seed)
    corner = np.arange(N_TINY - 2)
    even = corner % 2 == 0
    faces = np.stack([corner, np.where(even, corner + 1, corner + 2), np.where(even, corner + 2, corner + 1)], axis=1)
    uv_faces = faces.copy()
    uv_faces[6:] += 2  # a seam: the last three triangles have texture corners of their own
    weights = rng.dirichlet(np.ones(3), 68).astype(np.float32)
    return ModelData(
        name="tiny",
        licence="any use",
        source="made by a test",
        mean_shape=rng.normal(size=(N_TINY, 3)).astype(np.float32),
        identity_basis=rng.normal(size=(N_TINY, 3, n_identity)).astype(np.float32),
        expression_basis=rng.normal(size=(N_TINY, 3, n_expression)).astype(np.float32),
        faces=faces,
        mean_albedo=rng.uniform(0.4, 0.6, (N_TINY, 3)).astype(np.float32),
        albedo_basis=rng.normal(0.0, 0.02, (N_TINY, 3, n_albedo)).astype(np.float32),
        albedo_space="linear",
        uv=rng.uniform(size=(N_TINY + 2, 2)).astype(np.float32),
        uv_faces=uv_faces,
        expression_prior="unit",
        expression_names=tuple(f"expression{k}" for k in range(n_expression)),
        regions={
            "front": np.arange(N_TINY) < 7,
            "back": np.arange(N_TINY) >= 5,
            "ends": np.isin(np.arange(N_TINY), [0, N_TINY - 1]),
        },
        landmarks={
            "68": SurfacePoints(rng.integers(0, 9, 68), weights),
            "front": SurfacePoints(np.array([4, 0, 2]), weights[:3]),
        },
    )


@pytest.fixture
def tiny_data() -> ModelData:
    return make_tiny_data()


@pytest.fixture
def make_tiny() -> Callable[..., ModelData]:
    """:func:`make_tiny_data`, for tests that need other sizes or another seed."""
    return make_tiny_data


@pytest.fixture(scope="session")
def open_model() -> bfm.MorphableModel:
    """The default open model; the first call on a machine builds it."""
    return bfm.load("open")


@pytest.fixture(scope="session")
def open_data(open_model: bfm.MorphableModel) -> ModelData:
    """The open model as arrays, which tests must not write to."""
    data = open_model.data()
    for array in (data.mean_shape, data.identity_basis, data.expression_basis, data.albedo_basis, data.faces):
        array.setflags(write=False)
    return data


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A headless Chromium that draws with its software renderer, through playwright."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="the extra browser is not installed")
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        pytest.skip("there is no Chromium: apt-get install chromium")
    flags = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=flags)
        yield opened
        opened.close()


_VALIDATE = """
let validator;
try { validator = require("gltf-validator"); } catch { process.exit(3); }
const bytes = new Uint8Array(require("fs").readFileSync(process.argv[1]));
validator.validateBytes(bytes).then((report) => console.log(JSON.stringify(report)));
"""


@pytest.fixture(scope="session")
def gltf_report() -> Callable[[Path], dict[str, Any]]:
    """What Khronos' validator of glTF says of a GLB file: ``issues`` and ``info`` of its report."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("there is no node to run Khronos' validator")

    def report(path: Path) -> dict[str, Any]:
        done = subprocess.run([node, "-e", _VALIDATE, str(path)], capture_output=True, text=True, timeout=120.0)
        if done.returncode == 3:
            pytest.skip("node finds no gltf-validator: npm install gltf-validator, and its folder in NODE_PATH")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return report
