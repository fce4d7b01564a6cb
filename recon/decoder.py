"""From coefficients to what the losses compare: landmarks, vertices, pictures. Computed on first use."""

from __future__ import annotations

import functools

import torch
from jaxtyping import Float
from torch import Tensor, nn

from bfm.dense_landmarks import dense_landmarks
from bfm.model import MorphableModel
from recon.camera import PosedCamera
from recon.color import encode_srgb_unclamped
from recon.parameters import FaceParameters
from recon.render import Mesh, Render, Topology, render


class PointBasis(nn.Module):
    """Landmarks as a linear function of identity and expression: a hundred times cheaper than all vertices.

    Args:
        model: the face model.
        landmark_set: one of its sets.
    """

    mean: Float[Tensor, "n 3"]
    identity: Float[Tensor, "ki n3"]
    expression: Float[Tensor, "ke n3"]

    def __init__(self, model: MorphableModel, landmark_set: str) -> None:
        super().__init__()
        data, points = model.data(), model.landmark_points(landmark_set)
        corners, weights = data.faces[points.triangles], points.barycentrics

        def at(basis):  # type: ignore[no-untyped-def]
            picked = torch.from_numpy(basis[corners]).float()  # (N, 3 corners, 3, K)
            return torch.einsum("nk,nkcj->jnc", torch.from_numpy(weights).float(), picked).flatten(1)

        like = model.mean_shape
        self.register_buffer("mean", model.landmarks(model.mean_shape[None], landmark_set)[0].clone())
        self.register_buffer("identity", at(data.identity_basis).to(like))
        self.register_buffer("expression", at(data.expression_basis).to(like))

    def forward(self, identity: Float[Tensor, "b ki"], expression: Float[Tensor, "b ke"]) -> Float[Tensor, "b n 3"]:
        """Points ``(B, N, 3)`` in mm, object frame."""
        flat = identity @ self.identity + expression @ self.expression
        return self.mean + flat.unflatten(-1, self.mean.shape)


class FaceDecoder(nn.Module):
    """What a face model makes of coefficients. Nothing in it is trained or saved.

    Args:
        model: the face model; the landmark set ``"520"`` is added if it lacks it.
        render_region: the part of the model that pictures show, or ``None`` for all of it. A face without the back of the
            head is rendered in a third of the time.
    """

    def __init__(self, model: MorphableModel, render_region: str | None = None) -> None:
        super().__init__()
        if "520" not in model.landmark_sets:
            model = model.with_landmarks("520", dense_landmarks(model))
        self.model = model
        crop = render_region is not None and render_region in model.region_names
        self.rendered_model = model.crop(render_region) if crop and render_region is not None else model
        self.points68, self.points520 = PointBasis(model, "68"), PointBasis(model, "520")
        self._topology: Topology | None = None

    def decode(self, coefficients: FaceParameters, intrinsics: Float[Tensor, "b 3 3"]) -> DecodedFaces:
        """The faces of these coefficients in pictures with these intrinsics."""
        return DecodedFaces(self, coefficients, coefficients.camera(intrinsics))

    @property
    def topology(self) -> Topology:
        """Of the rendered model, on its device."""
        faces = self.rendered_model.faces
        if self._topology is None or self._topology.faces.device != faces.device:
            self._topology = Topology.of(faces, self.rendered_model.n_vertices)
        return self._topology


class DecodedFaces:
    """Faces of a batch; every attribute is computed once, when it is asked for, with gradient."""

    def __init__(self, decoder: FaceDecoder, coefficients: FaceParameters, camera: PosedCamera) -> None:
        self.decoder, self.coefficients, self.camera = decoder, coefficients, camera

    @functools.cached_property
    def landmarks68_px(self) -> Float[Tensor, "b 68 2"]:
        """Pixels of the picture."""
        points = self.decoder.points68(self.coefficients.identity, self.coefficients.expression)
        return self.camera.to_pixels(self._in_front(self.camera.to_camera(points)))

    @functools.cached_property
    def dense_obj(self) -> Float[Tensor, "b 520 3"]:
        """Dense landmarks in the head's frame, mm."""
        found: Tensor = self.decoder.points520(self.coefficients.identity, self.coefficients.expression)
        return found

    @functools.cached_property
    def dense_px(self) -> Float[Tensor, "b 520 2"]:
        """Pixels of the picture."""
        return self.camera.to_pixels(self._in_front(self.camera.to_camera(self.dense_obj)))

    @functools.cached_property
    def vertices(self) -> Float[Tensor, "b v 3"]:
        """All vertices in the head's frame, mm."""
        return self.decoder.model.shape(self.coefficients.identity, self.coefficients.expression)

    def render(self, size: tuple[int, int]) -> Render:
        """The head in its light, in the space the model shades in, on black."""
        model = self.decoder.rendered_model
        vertices = model.shape(self.coefficients.identity, self.coefficients.expression)
        albedo = model.albedo_unclamped(self.coefficients.albedo).clamp_min(0.0)
        mesh = Mesh.of(vertices, self.decoder.topology, albedo)
        return render(mesh, self.camera, self.coefficients.known_lighting, size)

    def srgb_image(self, rendered: Render) -> Float[Tensor, "b 3 h w"]:
        """sRGB code values of a rendered face, comparable with a photo; black off the face."""
        return encode_srgb_unclamped(rendered.image, self.decoder.rendered_model.albedo_space)

    @staticmethod
    def _in_front(v_cam: Tensor) -> Tensor:
        # A wild first step may put points behind the camera, where projection has no gradient worth following.
        return torch.cat((v_cam[..., :2], v_cam[..., 2:].clamp_max(-20.0)), dim=-1)
