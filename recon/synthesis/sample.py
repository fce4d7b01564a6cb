"""A batch of synthetic faces: pictures and everything that is known about them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from recon.camera import PerspectiveCamera
from recon.rotation import matrix_to_euler

SEGMENT_NAMES: tuple[str, ...] = (
    *("background", "face", "nose", "lips", "brows", "eyelids", "eyes", "mouth", "ears", "scalp", "neck"),
    *("hair", "clothes", "body", "glasses", "occluder"),
)
"""Names of the ids in ``FaceBatch.segmentation``. From ``face`` to ``neck`` they are the head model's own surface;
``body`` is bare skin below it."""

FACE_SEGMENTS: tuple[str, ...] = ("face", "nose", "lips", "brows", "eyelids", "eyes")
"""What ``FaceBatch.face_mask`` holds: the front of the face without the inside of the mouth."""


@dataclasses.dataclass(frozen=True, eq=False)
class FaceBatch:
    """B pictures of H x W pixels with their labels; every tensor has the batch first.

    The head is the model's own surface, eyes, teeth and neck included. What lies in front of it (hair, glasses, hands,
    clothes) hides it. Frames and units are those of ``docs/conventions.md``.

    Attributes:
        image: ``(B, 3, H, W)`` sRGB code values in [0, 1].
        mask: ``(B, 1, H, W)`` where the head is seen.
        face_mask: ``(B, 1, H, W)`` where the front of the face is seen (:data:`FACE_SEGMENTS`).
        segmentation: ``(B, H, W)`` what is seen, indices into :data:`SEGMENT_NAMES`.
        depth_mm: ``(B, 1, H, W)`` planar depth of the head, behind whatever hides it too; 0 off the head.
        scene_depth_mm: ``(B, 1, H, W)`` planar depth of what is seen, hair and clothes included; 0 on the background.
        normals: ``(B, 3, H, W)`` unit normals of the head in the camera frame; 0 off the head.
        landmarks68_px, landmarks478_px, landmarks520_px: ``(B, N, 2)`` pixels of this picture, also outside of it.
        landmarks68_cam, landmarks478_cam, landmarks520_cam: ``(B, N, 3)`` mm, camera frame.
        landmarks68_visible, landmarks478_visible, landmarks520_visible: ``(B, N)`` inside the picture and not hidden.
        rotation: ``(B, 3, 3)``, object to camera: v_cam = R v_obj + t.
        translation_mm: ``(B, 3)``.
        intrinsics: ``(B, 3, 3)`` of this picture, after all crops; pixel (x, y, 1) ~ K (X, -Y, -Z).
        identity: ``(B, n_identity)`` coefficients.
        expression: ``(B, n_expression)`` coefficients; for ARKit models weights in [0, 1].
        albedo: ``(B, n_albedo)`` coefficients; make-up, stubble and skin detail come on top of it.
        lighting: ``(B, 9, 3)`` radiance coefficients as :mod:`recon.lighting` uses them, in the camera frame and at the
            exposure of the picture. Exact when shadows, specular and ambient_occlusion are 0, otherwise approximate.
        identity_number: ``(B,)`` int64: equal numbers are the same person.
        attributes: ``(B, A)`` see :data:`recon.synthesis.scene.people.ATTRIBUTE_NAMES`.
    """

    image: Float[Tensor, "b 3 h w"]
    mask: Bool[Tensor, "b 1 h w"]
    face_mask: Bool[Tensor, "b 1 h w"]
    segmentation: Int[Tensor, "b h w"]
    depth_mm: Float[Tensor, "b 1 h w"]
    scene_depth_mm: Float[Tensor, "b 1 h w"]
    normals: Float[Tensor, "b 3 h w"]
    landmarks68_px: Float[Tensor, "b 68 2"]
    landmarks68_cam: Float[Tensor, "b 68 3"]
    landmarks68_visible: Bool[Tensor, "b 68"]
    landmarks478_px: Float[Tensor, "b 478 2"]
    landmarks478_cam: Float[Tensor, "b 478 3"]
    landmarks478_visible: Bool[Tensor, "b 478"]
    landmarks520_px: Float[Tensor, "b 520 2"]
    landmarks520_cam: Float[Tensor, "b 520 3"]
    landmarks520_visible: Bool[Tensor, "b 520"]
    rotation: Float[Tensor, "b 3 3"]
    translation_mm: Float[Tensor, "b 3"]
    intrinsics: Float[Tensor, "b 3 3"]
    identity: Float[Tensor, "b ki"]
    expression: Float[Tensor, "b ke"]
    albedo: Float[Tensor, "b ka"]
    lighting: Float[Tensor, "b 9 3"]
    identity_number: Int[Tensor, " b"]
    attributes: Float[Tensor, "b a"]

    def __len__(self) -> int:
        return self.image.shape[0]

    @property
    def size(self) -> tuple[int, int]:
        """``(H, W)`` in pixels."""
        return self.image.shape[2], self.image.shape[3]

    @property
    def angles_rad(self) -> Float[Tensor, "b 3"]:
        """``(B, 3)`` yaw, pitch, roll of the head in the camera frame (signs in ``docs/conventions.md``)."""
        pitch, yaw, roll = matrix_to_euler(self.rotation).unbind(-1)
        return torch.stack((yaw, pitch, roll), dim=-1)

    @property
    def camera(self) -> PerspectiveCamera:
        """The cameras of these pictures, with the poses of the heads."""
        return PerspectiveCamera.of_intrinsics(self.intrinsics, self.rotation, self.translation_mm)

    def to(self, device: torch.device | str) -> FaceBatch:
        """The same batch on another device."""
        return self._map(lambda tensor: tensor.to(device))

    def select(self, index: int | slice | Sequence[int] | Int[Tensor, " k"] | Bool[Tensor, " b"]) -> FaceBatch:
        """Some of the samples; one index gives a batch of one.

        Raises:
            IndexError: no such sample.
        """
        rows = [index] if isinstance(index, int) else index
        return self._map(lambda tensor: tensor[rows])

    @staticmethod
    def cat(batches: Sequence[FaceBatch]) -> FaceBatch:
        """Several batches of one picture size and one model, one after the other.

        Raises:
            ValueError: nothing to join.
        """
        if not batches:
            raise ValueError("at least one batch is needed to join")
        names = [field.name for field in dataclasses.fields(FaceBatch)]
        return FaceBatch(**{name: torch.cat([getattr(batch, name) for batch in batches]) for name in names})

    def tensors(self) -> dict[str, Tensor]:
        """All fields by name."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def _map(self, change):  # type: ignore[no-untyped-def]
        return FaceBatch(**{name: change(tensor) for name, tensor in self.tensors().items()})


def intrinsic_matrix(focal_px: Float[Tensor, "b 2"], principal_px: Float[Tensor, "b 2"]) -> Float[Tensor, "b 3 3"]:
    """Intrinsic matrices ``(B, 3, 3)`` without skew."""
    matrix = focal_px.new_zeros(focal_px.shape[0], 3, 3)
    matrix[:, 0, 0], matrix[:, 1, 1] = focal_px[:, 0], focal_px[:, 1]
    matrix[:, :2, 2] = principal_px
    matrix[:, 2, 2] = 1.0
    return matrix
