"""Faces rendered with known expressions."""

import pytest
import torch

from recon.camera import PerspectiveCamera
from recon.color import encode_srgb_unclamped
from recon.detection.observation import LandmarkObservation
from recon.fitting import View
from recon.lighting import ambient
from recon.render import Mesh, Topology, render
from recon.rotation import euler_to_matrix

_HEIGHT, _WIDTH, _FOCAL_PX = 300, 260, 1300.0
_SIGMA = 0.04


@pytest.fixture(scope="session")
def render_expression():
    """``(model, weights by name, yaw in radians) -> View``: the average face acting, evenly lit, with its landmarks."""

    def rendered_view(model, weights, yaw_rad):
        expression = torch.zeros(1, model.n_expression)
        for name, weight in weights.items():
            expression[0, model.expression_names.index(name)] = weight
        camera = PerspectiveCamera.at(
            euler_to_matrix(torch.tensor([[0.0, yaw_rad, 0.0]])),
            torch.tensor([[0.0, 40.0, -1000.0]]),
            size=(_HEIGHT, _WIDTH),
            focal_px=torch.full((1, 2), _FOCAL_PX),
        )
        vertices = model.shape(expression=expression)
        with torch.no_grad():
            mesh = Mesh.of(vertices, Topology.of(model.faces, model.n_vertices), model.albedo())
            rendered = render(mesh, camera, ambient(torch.full((1, 3), 1.0)), (_HEIGHT, _WIDTH))
        picture = (
            (encode_srgb_unclamped(rendered.image, "linear") + 0.2 * (1.0 - rendered.mask))
            .clamp(0.0, 1.0)[0]
            .permute(1, 2, 0)
        )
        points = camera.to_pixels(camera.to_camera(model.landmarks(vertices, "478")))[0].double().numpy()
        pixels = (255.0 * picture).round().byte().numpy()
        return View(pixels, LandmarkObservation.independent(points, _SIGMA * _WIDTH), _FOCAL_PX)

    return rendered_view
