"""Guides: the person's look moved to where the head is, with the mouth of a voice."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from bfm.model import MorphableModel
from recon.color import encode_srgb
from recon.dubbing.clip_head import ClipHead
from recon.dubbing.face_crops import mouth_crops
from recon.dubbing.mouth_guide import MouthGuide, spoken_weights
from recon.lighting import ambient
from recon.render import Mesh, render
from recon.rotation import euler_to_matrix
from recon.synthesis.config import SynthesisConfig
from recon.synthesis.sampler import FaceSampler
from recon.training.clip_heads import frames_at_rest, position_mm, tracked_head

FRAME, SIZE = (120, 160), 48
BACKDROP = np.array([0.2, 0.5, 0.9])


@pytest.fixture(scope="module")
def head(open_model: MorphableModel) -> ClipHead:
    """Three poses; the mouth is shut in the first two and open in the last."""
    turns = torch.tensor([[0.0, 0.0, 0.0], [0.05, 0.25, 0.1], [-0.1, -0.2, 0.0]])
    rotation = euler_to_matrix(turns).double().numpy()
    translation_mm = np.array([[0.0, 0.0, -700.0], [30.0, 10.0, -640.0], [-20.0, -5.0, -760.0]])
    expression = np.zeros((3, open_model.n_expression))
    expression[2, open_model.expression_names.index("jawOpen")] = 0.5
    identity = np.random.default_rng(0).standard_normal(open_model.n_identity)
    made = ClipHead(
        identity, 220.0, np.array([80.0, 60.0]), rotation, translation_mm, expression, np.tile(np.eye(3), (3, 1, 1))
    )
    points = np.concatenate([_points68(open_model, made, k) for k in range(3)])
    crops = [mouth_crops(points[k : k + 1])[0].crop_from_frame for k in range(3)]
    return dataclasses.replace(made, crop_from_frame=np.stack(crops))


def _shape(model: MorphableModel, head: ClipHead, frame: int) -> torch.Tensor:
    row = slice(frame, frame + 1)
    return model.shape(torch.from_numpy(head.identity)[None].float(), torch.from_numpy(head.expression[row]).float())


def _points68(model: MorphableModel, head: ClipHead, frame: int) -> np.ndarray:
    camera = head.camera(frame)
    return camera.to_pixels(camera.to_camera(model.landmarks68(_shape(model, head, frame)))).double().numpy()


@pytest.fixture(scope="module")
def crops(open_model: MorphableModel, head: ClipHead) -> list[np.ndarray]:
    """The frames as a renderer shows them, cropped."""
    mesh_of = [Mesh.of(_shape(open_model, head, k), open_model.faces, open_model.albedo()) for k in range(3)]
    pictures = []
    for k, mesh in enumerate(mesh_of):
        background = torch.from_numpy(BACKDROP).float()[None, :, None, None]
        shown = render(mesh, head.camera(k), ambient(torch.ones(1, 3)), FRAME, background).image
        pixels = encode_srgb(shown[0].permute(1, 2, 0), open_model.albedo_space)
        points = _points68(open_model, head, k)
        crop = mouth_crops(points)[0]
        pictures.append(crop.picture((255.0 * pixels).round().clamp(0.0, 255.0).byte().numpy(), SIZE))
    return pictures


def test_a_look_moves_with_the_head(open_model, head, crops) -> None:
    guide = MouthGuide(open_model, head, SIZE)
    look = guide.look(0, crops[0])
    for frame in (0, 1):
        drawn = guide(frame, look, head.expression[frame]).astype(float)
        skin = np.abs(drawn[..., 3] - 170.0) < 1.0
        assert skin.mean() > 0.3
        wrong = np.abs(drawn[..., :3] - crops[frame])[skin].mean()
        copied = np.abs(crops[0].astype(float) - crops[frame])[skin].mean()
        assert wrong < 6.0 and (frame == 0 or wrong < 0.5 * copied), (frame, wrong, copied)


def test_the_mouth_is_the_voices_and_not_the_frames(open_model, head, crops) -> None:
    """The frame's own mouth is open; the guide must not tell."""
    guide = MouthGuide(open_model, head, SIZE)
    look = guide.look(0, crops[0])
    shut, opened = (guide(2, look, head.expression[k])[..., 3] > 200 for k in (0, 2))
    assert opened.sum() > shut.sum() + 4
    np.testing.assert_array_equal(guide(2, look, head.expression[0])[..., 3] > 200, shut)
    place = guide.mouth_place(2)
    rows, columns = np.nonzero(opened & ~shut)
    middle = (np.array([columns.mean(), rows.mean()]) + 0.5) / SIZE
    assert np.abs(middle - place).max() < 0.05 and np.abs(place - 0.5).max() < 0.15


def test_beside_the_head_is_what_a_still_camera_shows(open_model, head, crops) -> None:
    guide = MouthGuide(open_model, head, SIZE)
    random = np.random.default_rng(1)
    noise = np.repeat(np.repeat(random.integers(0, 256, (6, 6, 3), dtype=np.uint8), 8, axis=0), 8, axis=1)
    look = guide.look(0, noise)
    drawn = guide(1, look, head.expression[0])
    beside = np.argwhere(drawn[..., 3] == 0)
    assert len(beside) > 100
    frame_from_px = np.linalg.inv(np.diag([SIZE, SIZE, 1.0]) @ head.crop_from_frame[1])
    look_from_frame = np.diag([SIZE, SIZE, 1.0]) @ head.crop_from_frame[0]
    at = (look_from_frame @ frame_from_px @ np.array([*(beside.T[::-1] + 0.5), np.ones(len(beside))]))[:2]
    # Where a patch of one colour lies about the place in the look's frame.
    inside = ((at % 8 > 2.0) & (at % 8 < 6.0) & (at > 0.0) & (at < SIZE)).all(axis=0)
    assert inside.sum() > 5
    cells = at[:, inside].astype(int)
    np.testing.assert_allclose(drawn[tuple(beside[inside].T)][:, :3], noise[cells[1], cells[0]], atol=3)


def test_a_voice_moves_the_mouth_and_silence_does_not(open_model) -> None:
    names = open_model.expression_names
    silent = spoken_weights(np.zeros(16_000, dtype=np.int16), np.arange(25) / 25.0, names)
    assert silent.shape == (25, len(names)) and silent[:, names.index("jawOpen")].max() < 0.1
    assert (silent[:, names.index("eyeBlinkLeft")] == 0.0).all()


def test_heads_of_other_models_are_refused(open_model, head) -> None:
    with pytest.raises(ValueError, match="the head has 3 and 52 coefficients"):
        MouthGuide(open_model, dataclasses.replace(head, identity=np.zeros(3)), SIZE)


def test_a_tracked_head_is_where_the_true_one_is_seen(open_model) -> None:
    sampler = FaceSampler(open_model, SynthesisConfig.clean(pose="uniform", framing="free"), 5, (96, 128))
    batch = sampler.batch([0, 1])
    frames = [batch.select(k) for k in range(2)]
    crops = mouth_crops(batch.landmarks68_px.double().numpy())
    found = tracked_head(open_model, frames, crops, np.random.default_rng(0))
    for k in range(2):
        seen = _points68(open_model, found, k)[0]
        true = batch.landmarks68_px[k].double().numpy()
        wide = np.ptp(true[:, 0])
        wrong = np.linalg.norm(seen - true, axis=1)
        if k == 0:  # the identity is the first frame's
            assert wrong[27:].mean() < 0.06 * wide, wrong
    assert np.abs(found.identity - batch.identity[0].numpy()).mean() > 0.1
    assert found.focal_px != float(batch.intrinsics[0, 0, 0])


def test_a_position_follows_from_where_points_are_seen() -> None:
    turned = np.random.default_rng(0).normal(0.0, 40.0, (13, 3))
    placed = turned + np.array([12.0, -30.0, -500.0])
    seen = placed[:, :2] * [1.0, -1.0] / -placed[:, 2:]
    np.testing.assert_allclose(position_mm(turned, seen), [12.0, -30.0, -500.0], rtol=1e-9)


def test_frames_at_rest_are_about_as_shut_as_any() -> None:
    np.testing.assert_array_equal(frames_at_rest(np.array([3.0, 1.0, 1.4, 9.0, 1.7]), 0.6), [1, 2])
