"""The face as one view sees it: computed once a step, and what every kind of row is made from."""

from __future__ import annotations

import dataclasses

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from bfm.model import MorphableModel
from recon.camera import PerspectiveCamera
from recon.fitting.state import FaceState, PictureView
from recon.fitting.surface import sample_at
from recon.render import Mesh, Render, Topology, render, vertex_normals

_FAR_MM = 1e5


@dataclasses.dataclass(frozen=True, eq=False)
class Sight:
    """A face and where it lies in a view.

    Attributes:
        vertices: ``(1, V, 3)`` mm, object frame.
        turned: ``(V, 3)`` the same turned into the camera's axes, before the shift.
        v_cam, normals: ``(V, 3)`` camera frame.
        paint: ``(V, 3)`` albedo, not negative.
        rotation: ``(3, 3)`` object to camera.
        lighting: ``(9, 3)`` camera frame.
        camera: of the crop.
        drawn: the picture of it, over black.
    """

    vertices: Float[Tensor, "1 v 3"]
    turned: Float[Tensor, "v 3"]
    v_cam: Float[Tensor, "v 3"]
    normals: Float[Tensor, "v 3"]
    paint: Float[Tensor, "v 3"]
    rotation: Float[Tensor, "3 3"]
    lighting: Float[Tensor, "9 3"]
    camera: PerspectiveCamera
    drawn: Render

    @classmethod
    def of(cls, model: MorphableModel, topology: Topology, state: FaceState, view: PictureView, index: int) -> Sight:
        """View ``index`` of a state."""
        vertices = model.shape(state.identity, state.expression[index : index + 1])
        paint = model.albedo_unclamped(state.albedo).clamp_min(0.0)
        camera = state.camera(view, index)
        drawn = render(Mesh.of(vertices, topology, paint), camera, state.lighting[index : index + 1], view.size)
        rotation = state.rotation[index]
        turned = vertices[0] @ rotation.T
        v_cam = turned + state.translation_mm[index]
        normals = vertex_normals(v_cam[None], topology.faces)[0]
        return cls(vertices, turned, v_cam, normals, paint[0], rotation, state.lighting[index], camera, drawn)

    @property
    def focal_px(self) -> Float[Tensor, ""]:
        return self.camera.focal_px[0, 0]

    @property
    def depth_mm(self) -> Float[Tensor, "1 1 s s"]:
        """Depth of what is drawn; what is not covered is far."""
        return torch.where(self.drawn.covered, self.drawn.depth_mm, _FAR_MM)

    def pixels(self, points: Float[Tensor, "n 3"]) -> Float[Tensor, "n 2"]:
        """Where points of the camera frame lie in the crop."""
        return self.camera.to_pixels(points[None])[0]

    def nearest_mm(self, pixels: Float[Tensor, "n 2"]) -> Float[Tensor, " n"]:
        """The nearest drawn depth within a pixel of each position."""
        return sample_at(-F.max_pool2d(-self.depth_mm, 3, 1, 1), pixels)[:, 0]
