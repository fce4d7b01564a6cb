"""Measured depth as a term: its derivatives, what it leaves out, and heads that come out in true millimetres."""

import dataclasses

import numpy as np
import pytest
import torch

from recon.camera import PerspectiveCamera
from recon.color import encode_srgb_unclamped
from recon.detection.observation import LandmarkObservation
from recon.fitting import FaceFitter, FitSettings, View
from recon.fitting.layout import ParameterLayout
from recon.fitting.projection import rotation_gradient
from recon.fitting.settings import Level
from recon.fitting.state import DepthTensors
from recon.fitting.terms.measured_depth import distance_jacobian
from recon.io.measured_depth import MeasuredDepth, MeasuredDepthError
from recon.lighting import ambient
from recon.render import Mesh, Topology, render
from recon.rotation import euler_to_matrix

_SIZE, _FOCAL_PX = (150, 130), 300.0
_SHORT = FitSettings(levels=(Level(96, 2.0, 6),), landmark_steps=15)


def test_the_jacobian_equals_autograd():
    generator = torch.Generator().manual_seed(0)
    n, layout = 7, ParameterLayout(3, 2, 4, 1, 9, 1)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    basis, shape = normal(n, 3, 7), normal(n, 3)
    rotation = euler_to_matrix(torch.tensor([[0.2, -0.4, 0.1]], dtype=torch.float64))[0]
    shift = torch.tensor([4.0, -7.0, -600.0], dtype=torch.float64)
    normals = torch.nn.functional.normalize(normal(n, 3), dim=1)
    offset_px, depth_mm = 40.0 * normal(n, 2), 600.0 + 20.0 * normal(n)

    def distances(x):
        """With pixels, depth and normals held: what the term linearises."""
        coefficients = torch.cat((x[layout.identity], x[layout.expression(0)]))
        turn = torch.linalg.matrix_exp(rotation_gradient(x[layout.rotation(0)][None])[0].T)
        v_cam = (shape + basis @ coefficients) @ rotation.T @ turn.T + shift + x[layout.translation(0)]
        focal_px = _FOCAL_PX * torch.exp(x[layout.focal(0)])
        across = offset_px * depth_mm[:, None] / focal_px
        points = torch.stack((across[:, 0], -across[:, 1], -depth_mm), dim=1)
        return (normals * (v_cam - points)).sum(dim=1), points

    zero = torch.zeros(layout.n_total, dtype=torch.float64)
    slow = torch.autograd.functional.jacobian(lambda x: distances(x)[0], zero)
    fast = distance_jacobian(normals, shape @ rotation.T, distances(zero)[1], rotation, basis, layout)
    torch.testing.assert_close(fast, slow)


def test_depth_under_a_crop_is_that_under_the_photo():
    y, x = np.mgrid[:30, :20] + 0.5
    holes = 500.0 + 2.0 * x + 3.0 * y
    holes[10, 5] = np.nan
    whole = DepthTensors.of(MeasuredDepth(holes), (90, 60))
    pixels = torch.tensor([[12.0, 80.0], [44.4, 20.1], [16.5, 31.5], [-5.0, 40.0]], dtype=torch.float64)
    depth_mm, known = whole.at(pixels)
    assert known.tolist() == [True, True, False, False]
    torch.testing.assert_close(depth_mm[:2], 500.0 + (2.0 * pixels[:2, 0] + 3.0 * pixels[:2, 1]) / 3.0)
    corner = torch.tensor([7.0, -3.0], dtype=torch.float64)
    cropped = whole.cropped(corner, 2.5, pixels)
    again, known_again = cropped.at((pixels - corner) * 2.5)
    torch.testing.assert_close(again, depth_mm)
    assert torch.equal(known_again, known)
    with pytest.raises(MeasuredDepthError, match="is 20 x 30 px and its photo 60 x 70"):
        DepthTensors.of(MeasuredDepth(holes), (70, 60))


@pytest.fixture(scope="module")
def fitter(open_model):
    return FaceFitter(open_model)


@pytest.fixture(scope="module")
def seen(open_model):
    """A head 6 % larger than the mean one, which a photo with a known focal length cannot tell from a nearer one."""
    generator = torch.Generator().manual_seed(1)
    v_obj = 1.06 * open_model.shape(0.3 * torch.randn(1, open_model.n_identity, generator=generator))
    camera = PerspectiveCamera.at(
        euler_to_matrix(torch.tensor([[0.05, 0.3, 0.0]])),
        torch.tensor([[4.0, 10.0, -650.0]]),
        size=_SIZE,
        focal_px=torch.full((1, 2), _FOCAL_PX),
    )
    with torch.no_grad():
        mesh = Mesh.of(v_obj, Topology.of(open_model.faces, open_model.n_vertices), open_model.albedo())
        rendered = render(mesh, camera, ambient(torch.full((1, 3), 1.0)), _SIZE)
    image = encode_srgb_unclamped(rendered.image, "linear") + 0.2 * (1.0 - rendered.mask)
    pixels = (255.0 * image.clamp(0.0, 1.0)[0].permute(1, 2, 0)).round().byte().numpy()
    landmarks = open_model.landmarks(v_obj, "478")
    points = camera.to_pixels(camera.to_camera(landmarks))[0].double().numpy()
    depth_mm = np.where(rendered.covered[0, 0].numpy(), rendered.depth_mm[0, 0].numpy(), np.nan).astype(np.float64)
    return View(pixels, LandmarkObservation.independent(points, 1.0), _FOCAL_PX), depth_mm


def _distance_and_width(found, model):
    parameters = found.parameters
    v_obj = model.shape(parameters.identity, parameters.expression)
    points = model.landmarks(v_obj, "68")[0]
    return -float(parameters.translation_mm[0, 2]), float((points[36] - points[45]).norm())


@pytest.mark.parametrize("focal", ["known", pytest.param("unknown", marks=pytest.mark.slow)])
def test_a_head_that_was_measured_is_where_and_as_large_as_it_is(focal, seen, fitter, open_model):
    view, depth_mm = seen
    view = dataclasses.replace(view, focal_px=view.focal_px if focal == "known" else None)
    alone = fitter([view], _SHORT)
    measured = fitter([dataclasses.replace(view, depth=MeasuredDepth(depth_mm))], _SHORT)
    off_mm, off_measured_mm = (abs(_distance_and_width(f, open_model)[0] - 650.0) for f in (alone, measured))
    assert off_measured_mm < 8.0 and off_measured_mm < 0.4 * off_mm, (off_mm, off_measured_mm)
    assert measured.depth_error_mm[0] < 1.5 and np.isnan(alone.depth_error_mm[0])


@pytest.mark.slow
def test_outliers_and_holes_change_little(seen, fitter, open_model):
    view, depth_mm = seen
    clean = fitter([dataclasses.replace(view, depth=MeasuredDepth(depth_mm))], _SHORT)
    spoiled = depth_mm.copy()
    rows, columns = np.nonzero(np.isfinite(depth_mm))
    rng = np.random.default_rng(0)
    chosen = rng.permutation(len(rows))
    fifth = len(rows) // 5
    spoiled[rows[chosen[:fifth]], columns[chosen[:fifth]]] = np.nan
    spoiled[rows[: len(rows) // 8], columns[: len(rows) // 8]] -= 60.0  # a fringe hangs before the forehead
    found = fitter([dataclasses.replace(view, depth=MeasuredDepth(spoiled))], _SHORT)
    difference = found.parameters.translation_mm - clean.parameters.translation_mm
    assert float(difference.norm()) < 6.0


@pytest.mark.slow
def test_depth_of_nothing_that_is_seen_gives_no_rows(seen, fitter):
    view, depth_mm = seen
    elsewhere = np.full_like(depth_mm, np.nan)
    elsewhere[0, 0] = 500.0
    found = fitter([dataclasses.replace(view, depth=MeasuredDepth(elsewhere))], _SHORT)
    alone = fitter([view], _SHORT)
    torch.testing.assert_close(found.parameters.translation_mm, alone.parameters.translation_mm)
    assert np.isnan(found.depth_error_mm[0])
