"""The face as one view sees it at the state so far: what every term of that view is linearised from."""

from __future__ import annotations

import dataclasses
import functools

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from bfm.model import MorphableModel
from recon.camera import PosedCamera
from recon.fitting.state import ViewAtState
from recon.render import Mesh, Render, Topology, render, vertex_normals
from recon.render.sampling import sample_pixels

_FAR_MM = 1e5


@dataclasses.dataclass(frozen=True, eq=False)
class FaceInView(ViewAtState):
    """A face in a view, computed on demand and once; of the type of the model.

    Attributes:
        state, view, index: see :class:`recon.fitting.state.ViewAtState`.
        model, topology: the front of the head, see :attr:`recon.fitting.fit_model.FitModel.front`.
    """

    model: MorphableModel
    topology: Topology

    @functools.cached_property
    def vertices(self) -> Float[Tensor, "v 3"]:
        """Object frame, mm."""
        parameters, like = self.state.parameters, self.model.mean_shape
        return self.model.shape(
            parameters.identity.to(like), parameters.expression[self.index : self.index + 1].to(like)
        )[0]

    @functools.cached_property
    def v_rot(self) -> Float[Tensor, "v 3"]:
        """Vertices rotated into the camera's axes, before the translation, mm."""
        return self.vertices @ self.rotation.T

    @functools.cached_property
    def v_cam(self) -> Float[Tensor, "v 3"]:
        """Vertices in the camera frame, mm."""
        return self.v_rot + self.camera.translation_mm[0]

    @functools.cached_property
    def rays(self) -> Float[Tensor, "v 3"]:
        """Unit directions in which vertices are seen, camera frame."""
        return self.camera.view_rays(self.v_cam[None])[0]

    @functools.cached_property
    def normals(self) -> Float[Tensor, "v 3"]:
        """Unit normals, camera frame."""
        return vertex_normals(self.v_cam[None], self.topology.faces)[0]

    @functools.cached_property
    def albedo(self) -> Float[Tensor, "v 3"]:
        """Albedo a vertex, not negative, in the model's space."""
        coefficients = self.state.parameters.albedo.to(self.model.mean_shape)
        return self.model.albedo_unclamped(coefficients)[0].clamp_min(0.0)

    @functools.cached_property
    def camera(self) -> PosedCamera:
        """Of the view, with the head's pose."""
        return self.state.camera(self.view, self.index).to(self.model.mean_shape)

    @property
    def rotation(self) -> Float[Tensor, "3 3"]:
        """Object to camera."""
        return self.camera.rotation[0]

    @functools.cached_property
    def lighting(self) -> Float[Tensor, "9 3"]:
        """Camera frame; zeros while no light is known, for renders of the geometry alone."""
        lighting = self.state.parameters.lighting
        like = self.model.mean_shape
        return torch.zeros(9, 3).to(like) if lighting is None else lighting[self.index].to(like)

    @functools.cached_property
    def rendered(self) -> Render:
        """The face in its light over black."""
        mesh = Mesh.of(self.vertices[None], self.topology, self.albedo[None])
        return render(mesh, self.camera, self.lighting[None], self.view.size)

    @functools.cached_property
    def depth_mm(self) -> Float[Tensor, "1 1 s s"]:
        """Depth of the rendered face; what is not covered is far."""
        return torch.where(self.rendered.covered, self.rendered.depth_mm, _FAR_MM)

    def to_pixels(self, points_cam: Float[Tensor, "n 3"]) -> Float[Tensor, "n 2"]:
        """Where points of the camera frame lie in the view."""
        return self.camera.to_pixels(points_cam[None])[0]

    def nearest_mm(self, pixels: Float[Tensor, "n 2"]) -> Float[Tensor, " n"]:
        """The nearest rendered depth within a pixel of each position."""
        return sample_pixels(-F.max_pool2d(-self.depth_mm, 3, 1, 1)[0], pixels)[:, 0]
