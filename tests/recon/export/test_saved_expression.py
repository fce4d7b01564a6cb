"""What a saved head shows, whatever the face model's expressions are."""

import dataclasses

import numpy as np
import pytest
import torch
import trimesh
from glb_reader import Glb

from bfm.model import MorphableModel
from recon.camera import PerspectiveCamera
from recon.detection.face import Face
from recon.io.image import Photo
from recon.lighting import ambient
from recon.reconstruction import FitReport, Reconstruction


@pytest.mark.parametrize("changes", [{}, {"expression_prior": "normal"}, {"expression_names": ()}], ids=repr)
def test_every_format_shows_the_reconstructed_expression(make_tiny, tmp_path, changes):
    model = MorphableModel(dataclasses.replace(make_tiny(), **changes))
    size = (24, 20)
    head = Reconstruction(
        model,
        Photo(np.zeros((*size, 3), np.uint8), 30.0),
        Face(np.array([0.0, 0.0, 20.0, 24.0]), np.arange(10.0).reshape(5, 2), 1.0, "known"),
        torch.tensor([[0.5, -1.0, 0.2]]),
        torch.tensor([[0.7, 0.4]]),
        torch.zeros(1, model.n_albedo),
        ambient(torch.ones(1, 3)),
        PerspectiveCamera.at(torch.eye(3)[None], torch.tensor([[0.0, 0.0, -60.0]]), size=size),
        FitReport(0.0, 0.0, ()),
    )
    head.save(tmp_path, formats=("glb", "ply"), texture_size=0)
    neutral = model.shape(head.identity)[0].numpy()
    assert np.abs(head.vertices - neutral).max() > 0.1

    glb = Glb((tmp_path / "head.glb").read_bytes())
    shown_mm = 1000.0 * glb.attribute("POSITION").astype(np.float64)
    weights = glb.json["meshes"][0].get("weights", [])
    for target, weight in zip(glb.primitive.get("targets", []), weights, strict=True):
        shown_mm = shown_mm + 1000.0 * weight * glb.accessor(target["POSITION"])
    np.testing.assert_allclose(shown_mm, head.vertices, atol=2e-3)
    assert len(weights) == (2 if not changes else 0)
    read = trimesh.load(tmp_path / "head.ply", process=False)
    np.testing.assert_allclose(read.vertices, head.vertices, atol=1e-3)
