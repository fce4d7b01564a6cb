"""The square crop a network sees, and the exact way back to the photo.

The framing is that of Deng et al. 2019 (Accurate 3D Face Reconstruction with Weakly-Supervised Learning): in a crop of
224 px, 100 mm at the face measure 102 px and the middle of the head lies in the middle of the crop. Like theirs, the
scale comes from a scaled-orthographic fit of five standard points *in 3D*: a flat similarity would take the narrow face
of a turned head for a small face and enlarge it.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float, UInt8

from recon.alignment import planar_angle, scaled_orthography
from recon.camera import PosedCamera
from recon.io.resample import resample

_Camera = TypeVar("_Camera", bound=PosedCamera)

PX_PER_MM_AT_224 = 1.02
"""Scale of Deng et al.'s crops: 102 px a decimetre ("rescale factor 102")."""

STANDARD_POINTS_MM = np.array(
    [
        [-31.5, 29.0, 13.0],  # middle of the eye on the viewer's left
        [31.5, 29.0, 13.0],
        [0.0, -4.0, 54.0],  # nose tip
        [-25.5, -38.0, 22.0],  # mouth corner on the viewer's left
        [25.5, -38.0, 22.0],
    ]
)
"""``(5, 3)`` an average adult's five points: x to the viewer's right, y up, z to the viewer; origin in the head, 13 mm
behind the eyes and 29 mm below them. Round numbers from anthropometry (pupils 63 mm apart: Dodgson 2004; mouth 51 mm wide:
Farkas 1994), placed so that the crop frames a face as Deng et al.'s does."""


UPRIGHT_POINTS_MM = torch.from_numpy(STANDARD_POINTS_MM[:, :2] * [1.0, -1.0])[None]
"""The same from the front, y down as in pictures."""


class AlignmentError(ValueError):
    """Five points that no face can have."""


@dataclasses.dataclass(frozen=True, eq=False)
class Alignment:
    """A square crop of a photo and the maps between them. Pixel centres lie at +0.5 in both.

    Attributes:
        crop_from_photo: ``(3, 3)`` float64, a similarity: crop pixel = crop_from_photo @ (x, y, 1) of the photo.
        photo_from_crop: ``(3, 3)`` its inverse.
        size: side of the crop, px.
        scale: crop px per photo px.
        picture_turn_rad: by how much the picture was turned, clockwise as seen; 0 if roll was kept.
    """

    crop_from_photo: Float[np.ndarray, "3 3"]
    photo_from_crop: Float[np.ndarray, "3 3"]
    size: int
    scale: float
    picture_turn_rad: float

    def crop(self, image: UInt8[np.ndarray, "h w 3"], fill: tuple[int, int, int] = (0, 0, 0)) -> np.ndarray:
        """The crop ``(size, size, 3)`` uint8, antialiased; ``fill`` where it reaches beyond the photo."""
        return resample(image, self.photo_from_crop, (self.size, self.size), fill)

    def crop_points(self, points: Float[np.ndarray, "*n 2"]) -> Float[np.ndarray, "*n 2"]:
        """Points from pixels of the photo to pixels of the crop."""
        return _apply(self.crop_from_photo, points)

    def photo_points(self, points: Float[np.ndarray, "*n 2"]) -> Float[np.ndarray, "*n 2"]:
        """Points from pixels of the crop to pixels of the photo."""
        return _apply(self.photo_from_crop, points)

    @property
    def turn(self) -> Float[np.ndarray, "3 3"]:
        """Rotation that takes the camera frame of the photo to that of the turned crop, for what is seen along the ray to the crop:
        the turn of the picture, clockwise as seen, in a frame whose y points up."""
        return _turned(self.picture_turn_rad)

    def widened(self, margin: float) -> Alignment:
        """The same framing with more around it at the same scale.

        Args:
            margin: on each side, in shares of the crop's side.
        """
        border = round(margin * self.size)
        shift = np.eye(3)
        shift[:2, 2] = border
        crop_from_photo = shift @ self.crop_from_photo
        return dataclasses.replace(
            self,
            crop_from_photo=crop_from_photo,
            photo_from_crop=np.linalg.inv(crop_from_photo),
            size=self.size + 2 * border,
        )

    def crop_camera(self, camera: _Camera) -> _Camera:
        """The camera that sees the crop as ``camera`` sees the photo.

        Intrinsics K' = A K with A = ``crop_from_photo``: focal length times ``scale``, principal point mapped. If the crop
        was turned, A K is no intrinsic matrix of ours, because a camera has no roll in it; the turn then goes into the
        pose (camera frame turned about z), which is the same picture exactly.

        Raises:
            AlignmentError: roll was removed and the camera's focal lengths in x and y differ.
        """
        return self._mapped(camera, self.crop_from_photo, self.scale, self.picture_turn_rad)

    def photo_camera(self, camera: _Camera) -> _Camera:
        """The camera that sees the full photo as ``camera`` sees the crop: the inverse of :meth:`crop_camera`."""
        return self._mapped(camera, self.photo_from_crop, 1.0 / self.scale, -self.picture_turn_rad)

    @staticmethod
    def _mapped(camera: _Camera, matrix: np.ndarray, scale: float, turn_rad: float) -> _Camera:
        if turn_rad and not torch.allclose(camera.focal_px[:, 0], camera.focal_px[:, 1], rtol=1e-6, atol=0.0):
            raise AlignmentError(
                f"a turned crop needs one focal length for x and y, got {camera.focal_px.tolist()}: align with "
                "remove_roll=False or resize the photo to square pixels"
            )
        linear = camera.principal_px.new_tensor(matrix[:2, :2].tolist())
        offset = camera.principal_px.new_tensor(matrix[:2, 2].tolist())
        turn = camera.rotation.new_tensor(_turned(turn_rad).tolist())
        return dataclasses.replace(
            camera,
            rotation=turn @ camera.rotation,
            translation_mm=camera.translation_mm @ turn.T.to(camera.translation_mm),
            focal_px=camera.focal_px * scale,
            principal_px=camera.principal_px @ linear.T + offset,
        )


def align(points5: np.ndarray, size: int = 224, *, remove_roll: bool = False) -> Alignment:
    """The crop around a face, from its five points.

    Args:
        points5: ``(5, 2)`` px of the photo, ordered as in :class:`recon.detection.Face`.
        size: side of the crop in px; the framing grows with it.
        remove_roll: turn the crop so that the face stands upright. Deng et al. keep the roll; for faces that lie on
            their side or stand on their head it should be removed.

    Raises:
        AlignmentError: the points are not finite, coincide, lie on a line, or left and right are exchanged.
    """
    points = np.asarray(points5, dtype=np.float64)
    if points.shape != (5, 2) or not np.isfinite(points).all():
        raise AlignmentError(f"alignment needs five finite points (5, 2), got {points.shape}: {points.tolist()}")
    if size < 1:
        raise AlignmentError(f"the side of a crop must be at least 1 px, got {size}")
    spread = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)
    if spread[0] < 1e-6 or spread[1] < 1e-3 * spread[0]:
        raise AlignmentError(f"five points on one spot or line show no face: {points.round(2).tolist()}")
    seen = torch.from_numpy(points)[None]
    rows, origin_px = (found[0].numpy() for found in scaled_orthography(torch.from_numpy(STANDARD_POINTS_MM), seen))
    px_per_mm = float(np.linalg.norm(rows, axis=1).mean())
    facing = (rows[0, 0] * rows[1, 1] - rows[0, 1] * rows[1, 0]) / px_per_mm**2
    if facing > 0.3:  # image y points down, so a face seen from the front gives a negative value
        raise AlignmentError(
            f"left and right seem exchanged in these five points: {points.round(2).tolist()}; the order is the viewer's "
            "left eye, right eye, nose tip, left mouth corner, right mouth corner"
        )
    face_roll_rad = float(planar_angle(UPRIGHT_POINTS_MM, seen)) if remove_roll else 0.0
    scale = PX_PER_MM_AT_224 * size / 224.0 / px_per_mm
    crop_from_photo = np.eye(3)
    cos, sin = math.cos(-face_roll_rad), math.sin(-face_roll_rad)
    crop_from_photo[:2, :2] = scale * np.array([[cos, -sin], [sin, cos]])
    crop_from_photo[:2, 2] = size / 2 - crop_from_photo[:2, :2] @ origin_px
    return Alignment(crop_from_photo, np.linalg.inv(crop_from_photo), size, scale, -face_roll_rad)


def _apply(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    return np.asarray(points, dtype=np.float64) @ matrix[:2, :2].T + matrix[:2, 2]


def _turned(turn_rad: float) -> Float[np.ndarray, "3 3"]:
    """A clockwise turn of the picture, whose y points down, in the camera frame, whose y points up."""
    cos, sin = math.cos(turn_rad), math.sin(turn_rad)
    return np.array([[cos, sin, 0.0], [-sin, cos, 0.0], [0.0, 0.0, 1.0]])
