"""Landmarks of a detector from many synthetic people."""

import numpy as np
import pytest

import bfm
from bfm.mediapipe_table import INNER_LIPS, MIRROR_478
from bfm.surface import SurfaceTree
from recon.landmark_transfer.people import PEOPLE, move_to_front_marks
from recon.landmark_transfer.transfer import TransferError, consensus
from recon.render.mesh import vertex_normals_of_arrays
from recon.synthesis import FaceSampler

COUNT, SEED = 24, 77


@pytest.fixture(scope="module")
def model():
    return bfm.load("open")


def places(model, points):
    return points.at(model.mean_shape.double().numpy(), model.faces.numpy())


@pytest.mark.slow
def test_front_points_go_where_the_detector_marks_and_side_points_stay(model):
    """The detector marks points 2 mm above those of the table."""
    mean, faces = model.mean_shape.double().numpy(), model.faces.numpy()
    table = model.landmark_points("478")
    skin = np.nonzero(model.region("skin").numpy()[faces].all(axis=1))[0]
    hit = SurfaceTree(mean, faces[skin]).query(places(model, table) + [0.0, 2.0, 0.0])
    marked = model.with_landmarks("478", type(table)(skin[hit.triangles], hit.barycentrics))
    sampler = FaceSampler(marked, PEOPLE, SEED, (400, 400))
    calls = iter(range(COUNT))

    def detector(image):
        sample = sampler[next(calls)]
        return sample.landmarks478_px[0].double().numpy()

    found = move_to_front_marks(model, detector, np.asarray(MIRROR_478), count=COUNT, seed=SEED)
    assert found.n_views == (COUNT, COUNT)
    facing = table.at(vertex_normals_of_arrays(mean, faces), faces)[:, 2]
    both = np.stack((facing, facing[list(MIRROR_478)]))  # folds of the lids may differ
    front, side = both.min(axis=0) > 0.75, both.max(axis=0) < 0.3
    irises = np.arange(478) >= 468
    moved = places(model, found.points) - places(model, table)
    wanted = places(marked, marked.landmark_points("478")) - places(model, table)
    wanted = 0.5 * (wanted + wanted[list(MIRROR_478)] * [-1.0, 1.0, 1.0])
    error = np.linalg.norm(moved - wanted, axis=1)
    assert np.percentile(error[front & ~irises], 90) < 0.6
    assert np.linalg.norm(moved[side], axis=1).max() < 0.3


def test_a_detector_that_finds_nobody_is_an_error(model):
    with pytest.raises(TransferError, match="0 of 3 pictures"):
        move_to_front_marks(model, lambda image: None, count=3, seed=SEED, touching=INNER_LIPS)


def test_the_consensus_ignores_a_stray_mark_and_what_has_no_weight():
    marks = np.zeros((9, 2, 3))
    marks[0, 0] = [100.0, 0.0, 0.0]
    marks[1:5, 1] = [0.0, 50.0, 0.0]
    weights = np.ones((9, 2))
    weights[1:5, 1] = 0.0
    assert np.abs(consensus(marks, weights)).max() < 0.2
