"""The occluding contour of a shape and the edges of a photo."""

import dataclasses
import sys
from pathlib import Path

import pytest
import torch
import trimesh

import bfm
from recon.camera import CAMERAS
from recon.color import encode_srgb_unclamped
from recon.fitting.fit_model import FitModel
from recon.fitting.settings import FitSettings, Level
from recon.fitting.stages import faces_in_views, photometric_stage
from recon.fitting.state import FitState, ViewTensors
from recon.fitting.terms.contour import Contour, contour_rows, contour_vertices, find_contour
from recon.lighting import ambient
from recon.parameters import FaceParameters
from recon.render import Topology
from recon.rotation import euler_to_matrix

sys.path.append(str(Path(__file__).parents[1]))
from point_parts import independent

_SIZE = 96
_RADIUS_PX = 30.0


def _disc(radius_px, inside=0.8, outside=0.2):
    """A soft-edged disc in the middle of the picture."""
    centres = torch.arange(_SIZE) + 0.5 - _SIZE / 2
    distance = (centres[:, None] ** 2 + centres[None, :] ** 2).sqrt()
    share = ((radius_px - distance) / 2.0 + 0.5).clamp(0.0, 1.0)
    return (outside + (inside - outside) * share).expand(1, 3, _SIZE, _SIZE)


@pytest.fixture(scope="module")
def ring():
    """Points of a circle, their normals and depth, and a rendered disc of that size before the void."""
    angle = torch.arange(0.0, 6.28, 0.3)
    normals = torch.stack([angle.cos(), angle.sin()], dim=1)
    rendered = torch.where(_disc(_RADIUS_PX)[:, :1] > 0.5, 800.0, 1e5)
    return torch.arange(len(angle)), _SIZE / 2 + _RADIUS_PX * normals, normals, torch.full_like(angle, 800.0), rendered


@pytest.mark.parametrize("off_px", [-2.5, 0.0, 3.0])
def test_edges_are_found_where_they_are(ring, off_px):
    contour = find_contour(*ring, _disc(_RADIUS_PX + off_px), torch.ones(1, 1, _SIZE, _SIZE))
    assert len(contour.vertices) == len(ring[0])
    assert float((contour.shift_px - off_px).abs().max()) <= 1.0


def test_a_flat_picture_has_no_edges(ring):
    contour = find_contour(*ring, torch.full((1, 3, _SIZE, _SIZE), 0.4), torch.ones(1, 1, _SIZE, _SIZE))
    assert len(contour.vertices) == 0


def test_an_edge_of_what_is_not_face_does_not_count(ring):
    mask = torch.ones(1, 1, _SIZE, _SIZE)
    mask[..., : _SIZE // 2] = 0.0
    contour = find_contour(*ring, _disc(_RADIUS_PX), mask)
    assert 0 < len(contour.vertices) < len(ring[0])
    assert float(contour.normals_px[:, 0].min()) > -0.1


def test_contour_before_something_near_does_not_count(ring):
    vertices, pixels, normals, depth, _ = ring
    flat = torch.full((1, 1, _SIZE, _SIZE), 803.0)
    contour = find_contour(vertices, pixels, normals, depth, flat, _disc(_RADIUS_PX), torch.ones_like(flat))
    assert len(contour.vertices) == 0


def test_hidden_contour_does_not_count(ring):
    vertices, pixels, normals, depth, rendered = ring
    hidden = find_contour(
        vertices, pixels, normals, depth + 60.0, rendered, _disc(_RADIUS_PX), torch.ones_like(rendered)
    )
    assert len(hidden.vertices) == 0


@pytest.mark.parametrize("kind", CAMERAS.values())
def test_the_contour_of_a_ball_is_where_it_turns_away(kind):
    ball = trimesh.creation.icosphere(subdivisions=4, radius=50.0)
    centre = torch.tensor([30.0, -20.0, -400.0])
    normals = torch.tensor(ball.vertices, dtype=torch.float32) / 50.0
    v_cam = 50.0 * normals + centre
    rays = kind.at().view_rays(v_cam[None])[0]
    found = contour_vertices(v_cam, rays, Topology.of(torch.tensor(ball.faces), len(v_cam)))
    facing = -(normals * rays).sum(dim=1)
    assert len(found) > 100
    assert float(facing[found].abs().max()) < 0.1


def test_rows_pull_along_the_normal_and_count_for_so_many():
    normals = torch.tensor([[0.6, 0.8]]).double().repeat(50, 1)
    jacobian = torch.eye(2).double().expand(50, 2, 2)
    contour = Contour(torch.arange(50), normals, torch.full((50,), 1.5).double())
    rows, gaps = contour_rows(contour, jacobian, 100.0, 10.0)
    step = torch.linalg.lstsq(rows, -gaps[:, None]).solution[:, 0]
    assert torch.allclose(step, 1.5 * normals[0], atol=1e-9)
    assert float(rows.square().sum()) == pytest.approx(10.0 / 100.0**2, rel=1e-3)
    assert float(contour_rows(contour, jacobian, 100.0, 0.0)[0].abs().max()) == 0.0


def test_the_contour_corrects_points_that_are_off():
    model = FitModel.of(bfm.load("open", n_identity=4, n_albedo=4), "478")
    truth = FitState.of(
        FaceParameters(
            torch.zeros(1, 4),
            torch.zeros(1, model.whole.n_expression),
            torch.zeros(1, 4),
            euler_to_matrix(torch.tensor([[0.0, 0.6, 0.0]])),
            torch.tensor([[-15.0, 25.0, -1100.0]]),
            ambient(torch.full((1, 3), 1.0)),
        )
    )
    blank = ViewTensors(
        independent(torch.zeros(478, 2), 10.0),
        torch.full((1, 2), 420.0),
        torch.full((1, 2), _SIZE / 2),
        visibility=torch.ones(478),
        photo=torch.zeros(1, 3, _SIZE, _SIZE),
    )
    with torch.no_grad():
        face = faces_in_views(model, truth, [blank])[0]
        photo = encode_srgb_unclamped(face.rendered.image, "linear").clamp(0.0, 1.0)
        points = face.to_pixels(model.front.landmarks(face.v_cam[None], "478")[0])
    # All points are off by the same, as those of a detector may be.
    view = dataclasses.replace(blank, photo=photo, landmarks=independent(points + torch.tensor([2.5, 0.0]), 10.0))
    settings = FitSettings(effective_pixels=1e-6, identity_precision=1e6)
    widths = torch.full((1, model.whole.n_expression), 1e-3).double()
    off = []
    for weight in (80.0, 0.0):
        weighted = dataclasses.replace(settings, effective_edges=weight)
        found = photometric_stage(model, truth, [view], weighted, Level(_SIZE, 1.0, 6), widths)
        with torch.no_grad():
            masks = [faces_in_views(model, state, [view])[0].rendered.mask for state in (found, truth)]
        # The contour that faces the camera's right is the only one in the picture that is not an ear's.
        off.append(float((masks[0] - masks[1]).abs()[..., _SIZE // 2 :].sum()))
    assert off[0] < 0.5 * off[1], off
