"""A grin and a dropped jaw part the lips alike; what shows between them decides."""

import pytest
import torch

import bfm
from recon.camera import PerspectiveCamera
from recon.display import to_photo
from recon.fitting import FitSettings, View, fit
from recon.fitting.landmark_rows import LIPS
from recon.fitting.settings import Level
from recon.lighting import ambient
from recon.render import Mesh, Topology, render
from recon.rotation import euler_to_matrix

_HEIGHT, _WIDTH, _FOCAL_PX = 300, 260, 1300.0
_SETTINGS = FitSettings(levels=(Level(96, 2.0, 5),))


@pytest.fixture(scope="module")
def model():
    return bfm.load("open", n_identity=20, n_albedo=20)


@pytest.fixture(scope="module")
def grin(model):
    """A drawn grin and its landmarks; the jaw is shut."""
    weights = torch.zeros(1, model.n_expression)
    for name in ("mouthSmile", "mouthUpperUp", "mouthLowerDown"):
        for side in ("Left", "Right"):
            weights[0, model.expression_names.index(name + side)] = 0.7
    camera = PerspectiveCamera.at(
        euler_to_matrix(torch.tensor([[0.0, 0.1, 0.0]])),
        torch.tensor([[0.0, 40.0, -1000.0]]),
        size=(_HEIGHT, _WIDTH),
        focal_px=torch.full((1, 2), _FOCAL_PX),
    )
    vertices = model.shape(expression=weights)
    with torch.no_grad():
        mesh = Mesh.of(vertices, Topology.of(model.faces, model.n_vertices), model.albedo())
        drawn = render(mesh, camera, ambient(torch.full((1, 3), 1.0)), (_HEIGHT, _WIDTH))
    picture = (to_photo(drawn.image, "linear") + 0.2 * (1.0 - drawn.mask)).clamp(0.0, 1.0)[0].permute(1, 2, 0)
    points = camera.to_pixels(camera.to_camera(model.landmarks(vertices, "478")))[0].double().numpy()
    return (255.0 * picture).round().byte().numpy(), points


def jaw(model, picture, points):
    found = fit(model, [View(picture, points, _FOCAL_PX)], _SETTINGS).state.expression[0]
    return float(found[model.expression_names.index("jawOpen")])


@pytest.fixture(scope="module")
def emptied(grin):
    """The same face with dark between the lips."""
    picture, points = grin
    dark = picture.copy()
    upper, lower = (points[list(side)] for side in zip(*LIPS["478"], strict=True))
    for (column, top), (_, bottom) in zip(upper, lower, strict=True):
        dark[int(top) : int(bottom) + 1, int(column) - 8 : int(column) + 9] = (25, 12, 10)
    return dark


def test_teeth_keep_the_jaw_shut_and_a_dark_mouth_lets_it_fall(model, grin, emptied):
    picture, points = grin
    shut, fallen = jaw(model, picture, points), jaw(model, emptied, points)
    assert shut < 0.1 and fallen > shut + 0.05


def test_two_views_have_a_jaw_each(model, grin, emptied):
    """Widths of the prior belong to views, not to the person."""
    picture, points = grin
    views = [View(picture, points, _FOCAL_PX), View(emptied, points, _FOCAL_PX)]
    found = fit(model, views, FitSettings(levels=())).state.expression[:, model.expression_names.index("jawOpen")]
    assert float(found[1]) > float(found[0]) + 0.05
