"""What a fit knows of a face and of the pictures it looks at."""

from __future__ import annotations

import dataclasses

import torch
from jaxtyping import Float
from torch import Tensor

from recon.camera import PerspectiveCamera


@dataclasses.dataclass(frozen=True, eq=False)
class PictureView:
    """A square crop of a photo and the landmarks in it.

    Attributes:
        picture: ``(1, 3, S, S)`` sRGB code values in [0, 1].
        trust: ``(1, 1, S, S)`` in [0, 1]: how likely each pixel shows bare face.
        points_pix: ``(1, N, 2)`` landmarks in pixels of the crop.
        point_weights: ``(1, N)``: one over the variance of each landmark, in 1/px^2.
        focal_px, principal_px: ``(1, 2)`` intrinsics of the crop.
        focal_sigma: how far the true focal length may be from ``focal_px``, as a standard deviation of its logarithm;
            0 if it is known.
        jaw_factor: on the width of the prior of an open jaw.
    """

    picture: Float[Tensor, "1 3 s s"]
    trust: Float[Tensor, "1 1 s s"]
    points_pix: Float[Tensor, "1 n 2"]
    point_weights: Float[Tensor, "1 n"]
    focal_px: Float[Tensor, "1 2"]
    principal_px: Float[Tensor, "1 2"]
    focal_sigma: float = 0.0
    jaw_factor: float = 1.0

    @property
    def size(self) -> tuple[int, int]:
        return int(self.picture.shape[2]), int(self.picture.shape[3])


@dataclasses.dataclass(frozen=True, eq=False)
class FaceState:
    """The unknowns. V views of one person.

    Attributes:
        identity: ``(1, Ki)``.
        albedo: ``(1, Ka)``.
        expression: ``(V, Ke)``.
        rotation: ``(V, 3, 3)``, object to camera.
        translation_mm: ``(V, 3)``.
        lighting: ``(V, 9, 3)``, camera frame.
        log_zoom: ``(V,)`` logarithm of the focal length over that of the view.
    """

    identity: Float[Tensor, "1 ki"]
    albedo: Float[Tensor, "1 ka"]
    expression: Float[Tensor, "v ke"]
    rotation: Float[Tensor, "v 3 3"]
    translation_mm: Float[Tensor, "v 3"]
    lighting: Float[Tensor, "v 9 3"]
    log_zoom: Float[Tensor, " v"]

    @property
    def n_views(self) -> int:
        return len(self.rotation)

    def like(self, tensor: Tensor) -> FaceState:
        """The same state, of a tensor's type and on its device."""
        return FaceState(**{field.name: getattr(self, field.name).to(tensor) for field in dataclasses.fields(self)})

    def camera(self, view: PictureView, index: int) -> PerspectiveCamera:
        """The camera of one view's crop."""
        return PerspectiveCamera(
            self.rotation[index : index + 1],
            self.translation_mm[index : index + 1],
            view.focal_px * torch.exp(self.log_zoom[index]),
            view.principal_px,
        )
