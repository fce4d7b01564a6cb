"""Points of shut lips on their own lips."""

import numpy as np
import pytest
import torch

import bfm
from bfm.mediapipe_table import INNER_LIPS
from recon.landmark_transfer.lip_seam import SeamError, part_at_seam


@pytest.fixture(scope="module")
def model():
    return bfm.load("open", n_identity=2, n_albedo=2)


@pytest.fixture(scope="module")
def skin_faces(model):
    faces = model.faces.numpy()
    return faces[model.region("skin").numpy()[faces].all(axis=1)]


def test_points_on_the_wrong_lip_are_brought_back(model, skin_faces):
    true = model.landmarks(model.shape(), "478")[0].double().numpy()
    wrong = true.copy()
    wrong[[178, 402], 1] += 1.5
    wrong[[13, 14], 1] -= 1.0
    given = wrong.copy()
    found = part_at_seam(model, wrong, INNER_LIPS, skin_faces)
    assert np.array_equal(wrong, given)
    used = sorted({i for pair in INNER_LIPS for i in pair})
    assert np.abs(found - true)[used, :2].max() < 0.4
    untouched = np.delete(np.arange(478), used)
    assert np.array_equal(found[untouched], given[untouched])


def test_lips_part_when_the_jaw_opens(model):
    opened = torch.zeros(1, model.n_expression)
    opened[0, model.expression_names.index("jawOpen")] = 0.4
    shut, wide = (model.landmarks(model.shape(None, e), "478")[0] for e in (None, opened))
    for upper, lower in INNER_LIPS:
        if upper != lower:
            assert float(wide[upper, 1] - wide[lower, 1]) > float(shut[upper, 1] - shut[lower, 1]) + 2.0


def test_a_place_without_a_fold_is_refused(model, skin_faces):
    points = model.landmarks(model.shape(), "478")[0].double().numpy()
    with pytest.raises(SeamError, match="points 151 and 9"):
        part_at_seam(model, points, ((151, 9),), skin_faces)
