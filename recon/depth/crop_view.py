"""A square crop of a picture as a camera of its own, which looks along the ray through the crop's middle.

A plain crop of a face beside the middle of a photo is seen on a slant, which it does not show. Turning the camera to the face
takes that away, and exactly so: both cameras stand at one place, so a plane projective map leads from one picture to the other
whatever is seen. Depth and normals of the crop are those of its own camera, and the way back is exact, too.
"""

from __future__ import annotations

import dataclasses

import torch
from jaxtyping import Float
from torch import Tensor

from recon.rotation import turn_to_ray


@dataclasses.dataclass(frozen=True, eq=False)
class CropView:
    """B crops and the cameras of their pictures. Places in a crop are shares of its side: (0, 0) its middle, x right, y down.

    Attributes:
        turn: ``(B, 3, 3)`` from the camera frame of the picture to that of the crop.
        focal_sides: ``(B,)`` focal length of the crop's camera in sides of the crop.
        focal_px: ``(B, 2)`` focal lengths of the picture in x and y.
        principal_px: ``(B, 2)`` principal point of the picture.
    """

    turn: Float[Tensor, "b 3 3"]
    focal_sides: Float[Tensor, " b"]
    focal_px: Float[Tensor, "b 2"]
    principal_px: Float[Tensor, "b 2"]

    @classmethod
    def towards(
        cls,
        intrinsics: Float[Tensor, "b 3 3"],
        middle_px: Float[Tensor, "b 2"],
        side_px: Float[Tensor, " b"],
        turn_rad: Float[Tensor, " b"],
    ) -> CropView:
        """The crops about some places.

        Args:
            intrinsics: of the pictures, px.
            middle_px: the places.
            side_px: how much of the picture a side of the crop holds at its middle (the geometric mean over directions).
            turn_rad: by how much the picture is turned, clockwise as seen.
        """
        focal_px = torch.stack((intrinsics[:, 0, 0], intrinsics[:, 1, 1]), dim=-1)
        principal_px = intrinsics[:, :2, 2]
        across = (middle_px - principal_px) / focal_px
        ray = torch.stack((across[:, 0], -across[:, 1], -torch.ones_like(across[:, 0])), dim=-1)
        cos, sin, zero, one = (
            torch.cos(turn_rad),
            torch.sin(turn_rad),
            torch.zeros_like(turn_rad),
            torch.ones_like(turn_rad),
        )
        # A clockwise turn of the picture, whose y points down, in the camera frame, whose y points up.
        about_axis = torch.stack((cos, sin, zero, -sin, cos, zero, zero, zero, one), dim=-1).view(-1, 3, 3)
        turn = about_axis @ turn_to_ray(ray).transpose(1, 2)
        # Off the axis a radian is f / cos^2 px along the radius and f / cos across it.
        slant = ray.norm(dim=-1)
        focal_sides = focal_px.prod(dim=-1).sqrt() / side_px * slant**1.5
        return cls(turn, focal_sides, focal_px, principal_px)

    def places(self, size: int) -> Float[Tensor, "b s s 2"]:
        """Where the pixels of crops of ``size`` px lie in the pictures, px; what lies behind a camera is far outside."""
        seen = self._directions(size)
        ahead = (-seen[..., 2:]).clamp_min(1e-3)
        flip = seen.new_tensor([1.0, -1.0])
        return self.principal_px[:, None, None] + self.focal_px[:, None, None] * seen[..., :2] * flip / ahead

    def crops(
        self, pictures: Float[Tensor, "b c h w"], size: int, mode: str = "bilinear", padding: str = "border"
    ) -> Float[Tensor, "b c s s"]:
        """The pictures as the crops' cameras see them; ``mode`` and ``padding`` are those of torch's grid_sample."""
        height, width = pictures.shape[-2:]
        grid = 2.0 * self.places(size) / pictures.new_tensor([float(width), float(height)]) - 1.0
        return torch.nn.functional.grid_sample(pictures, grid, mode=mode, padding_mode=padding, align_corners=False)

    def depth_ratio(self, size: int) -> Float[Tensor, "b 1 s s"]:
        """Planar depth in the crop's frame over that in the picture's, for each pixel of crops of ``size`` px."""
        return 1.0 / (-self._directions(size)[..., 2])[:, None]

    def normals(self, normals: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 h w"]:
        """Directions from the picture's camera frame to the crop's."""
        return torch.einsum("bij,bjhw->bihw", self.turn, normals)

    def photo_normals(self, normals: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 h w"]:
        """The inverse of :meth:`normals`."""
        return torch.einsum("bji,bjhw->bihw", self.turn, normals)

    def seen_from(self, pixels: Float[Tensor, "b n 2"]) -> tuple[Float[Tensor, "b n 2"], Float[Tensor, "b n"]]:
        """Where pixels of the picture lie in the crop, and planar depth in the crop's frame over that in the picture's there;
        the ratio of what lies behind the crop's camera is 0 or less, and its place means nothing."""
        across = (pixels - self.principal_px[:, None]) / self.focal_px[:, None]
        ahead = -torch.ones_like(across[..., :1])
        rays = torch.cat((across[..., :1], -across[..., 1:], ahead), dim=-1) @ self.turn.transpose(1, 2)
        ratio = -rays[..., 2]
        flip = rays.new_tensor([1.0, -1.0])
        places = self.focal_sides[:, None, None] * rays[..., :2] * flip / ratio[..., None]
        return places, ratio

    def _directions(self, size: int) -> Float[Tensor, "b s s 3"]:
        """In which the crop's pixels look, in the picture's camera frame, of planar depth 1 in the crop's."""
        share = (torch.arange(size, device=self.turn.device, dtype=self.turn.dtype) + 0.5) / size - 0.5
        y, x = torch.meshgrid(share, share, indexing="ij")
        focal = self.focal_sides[:, None, None]
        rays = torch.stack((x / focal, -y / focal, -torch.ones_like(x).expand(len(focal), -1, -1)), dim=-1)
        return torch.einsum("bji,bhwj->bhwi", self.turn, rays)
