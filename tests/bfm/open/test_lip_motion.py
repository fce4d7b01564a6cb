"""Lips that touch at rest, and slide over the teeth in a smile."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bfm.data import FloatArray
from bfm.mediapipe_table import INNER_LIPS
from bfm.model import MorphableModel
from bfm.open.build import _TO_FIELD_FRAME, _eye_midpoint
from bfm.open.expression import ARKIT_NAMES, expression_offsets
from bfm.open.head_mesh import HeadMesh, cut_head
from bfm.open.lip_motion import _MOTION_MM, _POINTS, _SEAM, _pair_rows, shut_lips, slide_lips
from bfm.open.makehuman import data_folder, read_base_mesh
from recon.render import rasterize
from recon.visualize.model_sheet import portrait_camera

UPPER, LOWER = (list(side) for side in zip(*INNER_LIPS[1:-1], strict=True))


@pytest.fixture(scope="module")
def coarse() -> tuple[HeadMesh, FloatArray, FloatArray]:
    """The unsubdivided head of the base mesh, and MakeHuman's own expressions on it."""
    base = read_base_mesh(data_folder())
    head = cut_head(base)
    rest = head.binding @ base.vertices
    offsets = expression_offsets(data_folder(), head, len(base.vertices))
    return (
        head,
        (rest - _eye_midpoint(head, rest)) @ _TO_FIELD_FRAME.T,
        np.einsum("ij,njk->nik", _TO_FIELD_FRAME, offsets),
    )


def both_sides(model: MorphableModel, pair: str, amount: float = 1.0) -> torch.Tensor:
    weights = torch.zeros(1, model.n_expression)
    for side in ("Left", "Right"):
        weights[0, model.expression_names.index(pair + side)] = amount
    return model.shape(expression=weights)


def bared_mm2(model: MorphableModel, vertices: torch.Tensor, region: str = "mouth_interior") -> float:
    """Area of the mouth's inside (teeth, tongue and what is behind them), or of a part, that is seen from the front."""
    size, height_mm = 400, 70.0
    middle = model.landmarks68(vertices)[0, 62]
    camera = portrait_camera(height_mm, (0.0, 0.0), size)
    ids = rasterize(camera.to_clip(camera.to_camera(vertices - middle), (size, size)), model.faces, (size, size))
    seen = model.faces[ids.triangle_ids[ids.triangle_ids >= 0].long()]
    return float(model.region(region)[seen].all(dim=1).sum()) * (height_mm / size) ** 2


def test_lips_of_the_mean_touch(open_model: MorphableModel) -> None:
    assert bared_mm2(open_model, open_model.shape()) < 1.0


def test_makehumans_own_lips_do_not_touch(coarse: tuple[HeadMesh, FloatArray, FloatArray]) -> None:
    """What the correction is for; and it leaves everything away from the lips as it is."""
    head, rest, _ = coarse
    rows = _pair_rows(head, _SEAM)

    def gaps(mean: FloatArray) -> FloatArray:
        upper, lower = np.split(rows @ mean, 2)
        return np.asarray(upper[:, 1] - lower[:, 1])

    shut = shut_lips(rest, head)
    assert gaps(rest).mean() > 0.3 and gaps(shut).max() < 0.0
    moved = np.linalg.norm(shut - rest, axis=1)
    away = np.linalg.norm(rest - (rows @ rest).mean(axis=0), axis=1) > 50.0
    assert moved[away].max() < 1e-2 and moved.max() < 5.0


@pytest.mark.parametrize("pair", _MOTION_MM)
def test_lips_go_where_they_were_measured(coarse: tuple[HeadMesh, FloatArray, FloatArray], pair: str) -> None:
    head, rest, offsets = coarse
    slid = slide_lips(offsets, ARKIT_NAMES, head, rest)
    moved = slid[..., ARKIT_NAMES.index(f"{pair}Left")] + slid[..., ARKIT_NAMES.index(f"{pair}Right")]
    left, right = np.split(_pair_rows(head, _POINTS) @ moved, 2)
    assert np.abs(left - np.array(_MOTION_MM[pair])).max() < 0.05
    assert np.abs(right * [-1.0, 1.0, 1.0] - np.array(_MOTION_MM[pair])).max() < 0.05


@pytest.mark.parametrize("pair", _MOTION_MM)
def test_lip_landmarks_of_the_model_follow(open_model: MorphableModel, pair: str) -> None:
    """Detectors mark lips a millimetre beside the measured points, and subdivision rounds what the coarse head does."""
    moved = (both_sides(open_model, pair) - open_model.shape())[0]
    marks = open_model.landmarks68(moved[None])[0].numpy()[[33, 34, 35, *range(51, 58), *range(62, 67)]]
    assert np.abs(marks - np.array(_MOTION_MM[pair])).max() < 1.5


@pytest.mark.parametrize("amount", [0.3, 0.6, 1.0])
def test_a_smile_keeps_shut_lips_shut(open_model: MorphableModel, amount: float) -> None:
    assert bared_mm2(open_model, both_sides(open_model, "mouthSmile", amount)) < 4.0


def test_a_grin_bares_the_teeth_without_opening_the_jaw(open_model: MorphableModel) -> None:
    grin = both_sides(open_model, "mouthUpperUp") + both_sides(open_model, "mouthLowerDown") - open_model.shape()
    assert bared_mm2(open_model, grin) > 300.0
    chin = (grin - open_model.shape())[0, open_model.region("neck")]
    assert chin.norm(dim=1).max() < 1.2


def test_lips_pulled_off_shut_teeth_bare_no_gap(open_model: MorphableModel) -> None:
    grin = both_sides(open_model, "mouthUpperUp") + both_sides(open_model, "mouthLowerDown") - open_model.shape()
    assert bared_mm2(open_model, grin, "teeth") > 0.97 * bared_mm2(open_model, grin)


def test_other_shapes_and_far_skin_keep_makehumans_motion(coarse: tuple[HeadMesh, FloatArray, FloatArray]) -> None:
    head, rest, offsets = coarse
    before = offsets.copy()
    slid = slide_lips(offsets, ARKIT_NAMES, head, rest)
    assert np.array_equal(offsets, before)
    mouth = (_pair_rows(head, _POINTS) @ rest).mean(axis=0)
    far = np.linalg.norm(rest - mouth, axis=1) > 55.0
    for index, name in enumerate(ARKIT_NAMES):
        change = np.linalg.norm(slid[..., index] - offsets[..., index], axis=1)
        if name.removesuffix("Left").removesuffix("Right") in _MOTION_MM:
            assert change.max() > 1.0 and change[far].max() < 1e-2, name
        else:
            assert not change.any(), name


def test_one_side_of_a_smile_leaves_the_other_alone(coarse: tuple[HeadMesh, FloatArray, FloatArray]) -> None:
    head, rest, offsets = coarse
    slid = slide_lips(offsets, ARKIT_NAMES, head, rest)
    left = ARKIT_NAMES.index("mouthSmileLeft")
    change = np.linalg.norm(slid[..., left] - offsets[..., left], axis=1)
    assert change[rest[:, 0] < -11.0].max() == 0.0 < change[rest[:, 0] > 11.0].max()
