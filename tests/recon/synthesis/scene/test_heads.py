"""Heads without pictures are those of the pictures."""

import pytest
import torch

from recon.synthesis import FaceSampler, SynthesisConfig
from recon.synthesis.scene.heads import sample_heads


@pytest.mark.parametrize(
    "config",
    [
        SynthesisConfig.clean(yaw_deg=40.0, identities=2),
        SynthesisConfig.clean(framing="free", expressions="basic"),
    ],
)
def test_a_sample_has_the_head_of_its_picture(open_model, config):
    indices, size = [3, 8], (64, 48)
    scene = FaceSampler(open_model, config, 9, size).scene(indices)
    heads = sample_heads(open_model, config, 9, indices)
    assert torch.equal(heads.people.identity, scene.people.identity)
    assert torch.equal(heads.expression, scene.expression)
    assert heads.numbers == scene.numbers.tolist()
    marks = open_model.landmarks68(open_model.shape(heads.people.identity, heads.expression))
    camera = heads.camera(config, marks, size)
    for name in ("rotation", "translation_mm", "focal_px", "principal_px"):
        torch.testing.assert_close(getattr(camera, name), getattr(scene.camera, name), msg=name)
