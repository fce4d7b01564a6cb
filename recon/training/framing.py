"""Crops of synthetic pictures as a detector would frame them: turned, scaled and shifted at random; points follow exactly."""

from __future__ import annotations

import dataclasses
import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from bfm.landmarks import five_points_of_68
from recon.alignment import planar_angle, scaled_orthography
from recon.detection.align import PX_PER_MM_AT_224, STANDARD_POINTS_MM, UPRIGHT_POINTS_MM


@dataclasses.dataclass(frozen=True)
class CropJitter:
    """How far crops lie beside the standard framing (:func:`recon.detection.align.align`).

    Most crops come from points of a face that was looked at before, and lie nearly right (``tight``); the first look at a
    face has only what a detector says (``wide``).

    Attributes:
        wide_share: of crops that are framed like a first look.
        tight_turn_deg, wide_turn_deg: standard deviation of the turn.
        tight_scale, wide_scale: of the logarithm of the scale.
        tight_shift, wide_shift: of the shift in x and y, in shares of the side.
    """

    wide_share: float = 0.4
    tight_turn_deg: float = 3.0
    wide_turn_deg: float = 15.0
    tight_scale: float = 0.04
    wide_scale: float = 0.15
    tight_shift: float = 0.015
    wide_shift: float = 0.06

    def __post_init__(self) -> None:
        if not 0.0 <= self.wide_share <= 1.0:
            raise ValueError(f"wide_share must lie in [0, 1], got {self.wide_share}")
        for field in dataclasses.fields(self):
            if not (math.isfinite(getattr(self, field.name)) and getattr(self, field.name) >= 0.0):
                raise ValueError(f"{field.name} must be 0 or more, got {getattr(self, field.name)}")


@dataclasses.dataclass(frozen=True, eq=False)
class CropSimilarity:
    """B similarities of the plane: x' = scale R(turn) x + shift, in shares of the picture's and the crop's side, from the
    middle.

    Attributes:
        scale: ``(B,)`` sides of the crop a side of the picture.
        turn_rad: ``(B,)`` clockwise as seen, for y points down.
        shift: ``(B, 2)``.
    """

    scale: Float[Tensor, " b"]
    turn_rad: Float[Tensor, " b"]
    shift: Float[Tensor, "b 2"]

    @property
    def linear(self) -> Float[Tensor, "b 2 2"]:
        """Scale and turn as matrices."""
        cos, sin = torch.cos(self.turn_rad), torch.sin(self.turn_rad)
        rows = torch.stack((torch.stack((cos, -sin), dim=-1), torch.stack((sin, cos), dim=-1)), dim=1)
        return self.scale[:, None, None] * rows

    def to(self, device: torch.device | str) -> CropSimilarity:
        """The same similarities on another device."""
        return CropSimilarity(self.scale.to(device), self.turn_rad.to(device), self.shift.to(device))

    def points(self, points: Float[Tensor, "b n 3"]) -> Float[Tensor, "b n 3"]:
        """Points from the picture to the crop; their depth is scaled with them."""
        plane = points[..., :2] @ self.linear.transpose(1, 2) + self.shift[:, None]
        return torch.cat((plane, self.scale[:, None, None] * points[..., 2:]), dim=-1)

    def crops(self, pictures: Float[Tensor, "b 3 h w"], size: int) -> Float[Tensor, "b 3 s s"]:
        """The crops, bilinear; beyond the picture its border goes on. Pictures that are much larger than the crops are made smaller by a
        whole factor first, so that none of their pixels is passed over: crops of photos are antialiased, too."""
        factor = int(pictures.shape[-1] / (size * float(self.scale.mean())))
        if factor > 1:
            smaller = [side // factor for side in pictures.shape[-2:]]
            pictures = torch.nn.functional.interpolate(pictures, size=smaller, mode="area")
        back = torch.linalg.inv(self.linear)
        offset = -(back @ self.shift[..., None])
        # affine_grid counts in half sides.
        theta = torch.cat((back, 2.0 * offset), dim=-1)
        grid = torch.nn.functional.affine_grid(theta, [len(pictures), 3, size, size], align_corners=False)
        return torch.nn.functional.grid_sample(
            pictures, grid, mode="bilinear", padding_mode="border", align_corners=False
        )

    def rotations(self, rotation: Float[Tensor, "b 3 3"]) -> Float[Tensor, "b 3 3"]:
        """Heads' rotations in the camera frame of the crop, whose y points up."""
        return self._camera_turn() @ rotation

    def translations(self, translation_mm: Float[Tensor, "b 3"]) -> Float[Tensor, "b 3"]:
        """Heads' places in the camera frame of the crop."""
        return (self._camera_turn() @ translation_mm[..., None])[..., 0]

    def intrinsics(self, intrinsics: Float[Tensor, "b 3 3"], side_px: float) -> Float[Tensor, "b 3 3"]:
        """Those of the crops, of pictures with one focal length for x and y; both have the same side in px."""
        focal_px = self.scale * intrinsics[:, 0, 0]
        principal = (intrinsics[:, None, :2, 2] / side_px - 0.5) @ self.linear.transpose(1, 2) + self.shift[:, None]
        framed = torch.zeros_like(intrinsics)
        framed[:, 0, 0] = framed[:, 1, 1] = focal_px
        framed[:, :2, 2] = side_px * (principal[:, 0] + 0.5)
        framed[:, 2, 2] = 1.0
        return framed

    def _camera_turn(self) -> Float[Tensor, "b 3 3"]:
        cos, sin = torch.cos(self.turn_rad), torch.sin(self.turn_rad)
        zero, one = torch.zeros_like(cos), torch.ones_like(cos)
        return torch.stack((cos, sin, zero, -sin, cos, zero, zero, zero, one), dim=-1).reshape(-1, 3, 3)


def upright_framing(points68: Float[Tensor, "b 68 2"]) -> CropSimilarity:
    """The similarities from crops to the standard crops of the faces in them, upright: those of
    :func:`recon.detection.align.align` for many faces at once.

    Args:
        points68: in shares of the crop's side, from its middle.
    """
    points5 = five_points_of_68(points68).double()
    rows, origin = scaled_orthography(torch.from_numpy(STANDARD_POINTS_MM).to(points5), points5)
    sides_per_mm = torch.linalg.vector_norm(rows, dim=2).mean(dim=1)
    scale = PX_PER_MM_AT_224 / 224.0 / sides_per_mm
    turn_rad = -planar_angle(UPRIGHT_POINTS_MM.to(points5).expand_as(points5), points5)
    about_middle = CropSimilarity(scale, turn_rad, torch.zeros_like(origin))
    shift = -(about_middle.linear @ origin[..., None])[..., 0]
    return CropSimilarity(*(values.to(points68) for values in (scale, turn_rad, shift)))


def sample_framing(count: int, jitter: CropJitter, zoom: float, generator: torch.Generator) -> CropSimilarity:
    """Random framings.

    Args:
        count: how many, B.
        jitter: how far they stray.
        zoom: sides of the picture a side of the standard crop, 1 or more.
        generator: of the random numbers, on the CPU.
    """
    wide = torch.rand(count, generator=generator) < jitter.wide_share
    normal = torch.randn(count, 4, generator=generator).clamp(-2.5, 2.5)

    def of(tight: float, broad: float) -> Tensor:
        return torch.where(wide, broad, tight)

    turn = torch.deg2rad(of(jitter.tight_turn_deg, jitter.wide_turn_deg) * normal[:, 0])
    scale = zoom * torch.exp(of(jitter.tight_scale, jitter.wide_scale) * normal[:, 1])
    shift = of(jitter.tight_shift, jitter.wide_shift)[:, None] * normal[:, 2:]
    return CropSimilarity(scale, turn, shift)


def inside(points: Float[Tensor, "b n 3"]) -> Bool[Tensor, "b n"]:
    """Which points lie in the crop."""
    return (points[..., :2].abs() < 0.5).all(dim=-1)
