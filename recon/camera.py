"""Cameras: object frame -> camera frame -> clip space and pixels, and back.

The pose (rotation, translation) is part of the camera, so a camera alone says where in the picture a point of the
object lies. Intrinsics are in pixels and belong to no picture size; :meth:`cropped` and :meth:`resized` give the camera
of a cropped or resized picture. All tensors are batched; a batch of 1 serves any number of meshes. Nothing is mirrored.

Frames: right-handed, mm, x to the viewer's right, y up, z towards the viewer. The camera sits at the origin and looks
along -z, so a point in front has z < 0 and depth -z. Pixels: x right, y down, origin at the top-left corner of the
picture, centres at +0.5.
"""

from __future__ import annotations

import abc
import dataclasses
from typing import ClassVar, Literal, Protocol, TypeVar, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

CameraModel = Literal["perspective", "weak_perspective"]
"""How points are projected: each divided by its own depth, or all by the depth of the object's origin (Eq. 4)."""

_Camera = TypeVar("_Camera", bound="PosedCamera")

DEFAULT_FOCAL = 1015.0 / 224.0
"""Default focal length as a multiple of the longer picture side (1015 px at 224 px, Deng et al. 2019)."""

DEFAULT_DISTANCE_MM = 1000.0
"""Distance of the default camera (10 model units, Deng et al. 2019). Crops for a network whose focal length is unknown are
taken to be seen from there, too: a network answers in pixels, so the distance only sets the scale of depth."""
PORTRAIT_DISTANCE_MM = 1500.0
"""Where a fit assumes a head whose photo tells no focal length. It goes into the perspective of the fitted face, so it is that
of people's photos: the geometric mean of a selfie at half a metre and a portrait through a long lens at four."""
MIN_FOCAL_SHARE = 0.8
"""An unknown focal length is never assumed shorter than this share of the photo's longer side (64 degrees)."""
NEAR_MM = 50.0
FAR_MM = 20_000.0


class CameraError(ValueError):
    """Camera parameters that do not fit together or cannot be."""


@runtime_checkable
class Camera(Protocol):
    """What the renderer and the losses need of a camera."""

    @property
    def batch(self) -> int:
        """Number of cameras; 1 serves any number of meshes."""
        ...

    def to_camera(self, v_obj: Float[Tensor, "b n 3"]) -> Float[Tensor, "c n 3"]:
        """Points from the object frame to the camera frame, mm."""
        ...

    def to_object(self, v_cam: Float[Tensor, "b n 3"]) -> Float[Tensor, "c n 3"]:
        """Points from the camera frame to the object frame, mm: the inverse of :meth:`to_camera`."""
        ...

    def to_clip(self, v_cam: Float[Tensor, "b n 3"], size: tuple[int, int]) -> Float[Tensor, "c n 4"]:
        """Points to clip space for a picture of ``size`` (H, W) px: y up, visible within ``-w..w``."""
        ...

    def to_pixels(self, v_cam: Float[Tensor, "b n 3"]) -> Float[Tensor, "c n 2"]:
        """Points to pixels. Points behind a perspective camera come out mirrored: mask them with their depth."""
        ...

    def unproject(self, v_px: Float[Tensor, "b n 2"], depth_mm: Float[Tensor, "b n"]) -> Float[Tensor, "c n 3"]:
        """Points in the camera frame from pixels and planar depth: the inverse of :meth:`to_pixels`."""
        ...

    def cropped(self, left_px: float, top_px: float) -> Camera:
        """The camera of a picture whose top-left corner was moved to (left, top); negative values pad."""
        ...

    def resized(self, scale_x: float, scale_y: float) -> Camera:
        """The camera of a picture resized by these factors (new size / old size)."""
        ...


@dataclasses.dataclass(frozen=True, eq=False)
class PosedCamera(abc.ABC):
    """What both camera models have in common: a pose and intrinsics. :meth:`at` fills in the defaults.

    A point (x, y) of the camera frame lies at principal + focal (x, -y) / d in the picture. The models differ in the depth d.

    Attributes:
        rotation: ``(B, 3, 3)``, object to camera: v_cam = R v_obj + t.
        translation_mm: ``(B, 3)``; an object in front has t_z < 0.
        focal_px: ``(B, 2)`` focal length in x and y.
        principal_px: ``(B, 2)`` x and y of the principal point, from the top-left corner.
        near_mm, far_mm: what is nearer or farther is not rendered.
    """

    model: ClassVar[CameraModel]

    rotation: Float[Tensor, "_b 3 3"]
    translation_mm: Float[Tensor, "_c 3"]
    focal_px: Float[Tensor, "_d 2"]
    principal_px: Float[Tensor, "_e 2"]
    near_mm: float = NEAR_MM
    far_mm: float = FAR_MM

    def __post_init__(self) -> None:
        _check_depth_range(self.near_mm, self.far_mm)
        _check_shapes(self, rotation=(3, 3), translation_mm=(3,), focal_px=(2,), principal_px=(2,))
        _check_positive("focal_px", self.focal_px)

    @classmethod
    def at(
        cls: type[_Camera],
        rotation: Float[Tensor, "_b 3 3"] | None = None,
        translation_mm: Float[Tensor, "_c 3"] | None = None,
        *,
        size: tuple[int, int] = (224, 224),
        focal_px: Float[Tensor, "_d 2"] | None = None,
        principal_px: Float[Tensor, "_e 2"] | None = None,
    ) -> _Camera:
        """A camera for pictures of ``size`` (H, W) px.

        Defaults: no rotation, object 1 m in front, focal length 1015 px at 224 px in proportion to the longer side,
        principal point at the centre of the picture.
        """
        given = [x for x in (rotation, translation_mm, focal_px, principal_px) if x is not None]
        like = given[0] if given else torch.zeros(())
        if rotation is None:
            rotation = torch.eye(3).to(like)[None]
        if translation_mm is None:
            translation_mm = torch.tensor([[0.0, 0.0, -DEFAULT_DISTANCE_MM]]).to(like)
        if focal_px is None:
            focal_px = torch.full((1, 2), DEFAULT_FOCAL * max(size)).to(like)
        if principal_px is None:
            principal_px = torch.tensor([[0.5 * size[1], 0.5 * size[0]]]).to(like)
        return cls(rotation, translation_mm, focal_px, principal_px)

    @classmethod
    def of_intrinsics(
        cls: type[_Camera],
        intrinsics: Float[Tensor, "_d 3 3"],
        rotation: Float[Tensor, "_b 3 3"],
        translation_mm: Float[Tensor, "_c 3"],
    ) -> _Camera:
        """The camera of an intrinsic matrix in pixels, without skew, and a pose."""
        focal_px = torch.stack((intrinsics[:, 0, 0], intrinsics[:, 1, 1]), dim=-1)
        return cls(rotation, translation_mm, focal_px, intrinsics[:, :2, 2])

    @property
    def intrinsics(self) -> Float[Tensor, "_d 3 3"]:
        """Intrinsic matrix ``[[fx, 0, cx], [0, fy, cy], [0, 0, 1]]`` in pixels."""
        matrix = torch.diag_embed(torch.cat((self.focal_px, torch.ones_like(self.focal_px[:, :1])), dim=1))
        matrix[:, :2, 2] = self.principal_px
        return matrix

    @property
    def batch(self) -> int:
        return max(x.shape[0] for x in (self.rotation, self.translation_mm, self.focal_px, self.principal_px))

    def to(self: _Camera, target: torch.device | torch.dtype | Tensor) -> _Camera:
        """The same camera on another device or of another type; given a tensor, as it."""
        names = ("rotation", "translation_mm", "focal_px", "principal_px")
        return dataclasses.replace(self, **{name: getattr(self, name).to(target) for name in names})

    def with_pose(self: _Camera, rotation: Float[Tensor, "_b 3 3"], translation_mm: Float[Tensor, "_c 3"]) -> _Camera:
        """The same intrinsics with another pose."""
        return dataclasses.replace(self, rotation=rotation, translation_mm=translation_mm)

    def to_camera(self, v_obj: Float[Tensor, "b n 3"]) -> Float[Tensor, "c n 3"]:
        return _rotate(v_obj, self.rotation) + self.translation_mm.to(v_obj.dtype)[:, None]

    def to_object(self, v_cam: Float[Tensor, "b n 3"]) -> Float[Tensor, "c n 3"]:
        return _rotate(v_cam - self.translation_mm.to(v_cam.dtype)[:, None], self.rotation.transpose(-1, -2))

    @abc.abstractmethod
    def to_clip(self, v_cam: Float[Tensor, "b n 3"], size: tuple[int, int]) -> Float[Tensor, "c n 4"]:
        """See :meth:`Camera.to_clip`."""

    @abc.abstractmethod
    def projection_depth_mm(self, depth_mm: Float[Tensor, "b n"]) -> Float[Tensor, "c n"]:
        """The depth d that the focal length is divided by, for points of these planar depths."""

    @abc.abstractmethod
    def view_rays(self, v_cam: Float[Tensor, "b n 3"]) -> Float[Tensor, "c n 3"]:
        """Unit directions, camera frame, in which points of the camera frame are seen."""

    def to_pixels(self, v_cam: Float[Tensor, "b n 3"]) -> Float[Tensor, "c n 2"]:
        focal, principal = _columns(self.focal_px, v_cam), _columns(self.principal_px, v_cam)
        depth = self.projection_depth_mm(-v_cam[..., 2])
        x = principal[0] + focal[0] * v_cam[..., 0] / depth
        y = principal[1] - focal[1] * v_cam[..., 1] / depth
        return torch.stack((x, y), dim=-1)

    def unproject(self, v_px: Float[Tensor, "b n 2"], depth_mm: Float[Tensor, "b n"]) -> Float[Tensor, "c n 3"]:
        focal, principal = _columns(self.focal_px, v_px), _columns(self.principal_px, v_px)
        depth = self.projection_depth_mm(depth_mm)
        x = (v_px[..., 0] - principal[0]) * depth / focal[0]
        y = (principal[1] - v_px[..., 1]) * depth / focal[1]
        return torch.stack((x, y, -depth_mm.expand_as(x)), dim=-1)

    def px_per_mm(self, depth_mm: Float[Tensor, "b n"]) -> Float[Tensor, "c n"]:
        """Size in the picture of a millimetre across the line of sight at planar depths; the mean of x and y."""
        return self.focal_px.to(depth_mm.dtype).mean(dim=1, keepdim=True) / self.projection_depth_mm(depth_mm)

    def cropped(self: _Camera, left_px: float, top_px: float) -> _Camera:
        shift = self.principal_px.new_tensor([left_px, top_px])
        return dataclasses.replace(self, principal_px=self.principal_px - shift)

    def resized(self: _Camera, scale_x: float, scale_y: float) -> _Camera:
        if not (scale_x > 0 and scale_y > 0):
            raise CameraError(f"resize factors must be positive, got {scale_x} and {scale_y}")
        scale = self.focal_px.new_tensor([scale_x, scale_y])
        return dataclasses.replace(self, focal_px=self.focal_px * scale, principal_px=self.principal_px * scale)


@dataclasses.dataclass(frozen=True, eq=False)
class PerspectiveCamera(PosedCamera):
    """A pinhole camera with any intrinsics: each point is divided by its own depth."""

    model: ClassVar[CameraModel] = "perspective"

    def to_clip(self, v_cam: Float[Tensor, "b n 3"], size: tuple[int, int]) -> Float[Tensor, "c n 4"]:
        height, width = size
        focal, principal = _columns(self.focal_px, v_cam), _columns(self.principal_px, v_cam)
        x, y, w = v_cam[..., 0], v_cam[..., 1], -v_cam[..., 2]
        x_clip = (2.0 / width) * (focal[0] * x + principal[0] * w) - w
        y_clip = w - (2.0 / height) * (principal[1] * w - focal[1] * y)
        near, far = self.near_mm, self.far_mm
        z_clip = ((far + near) / (far - near)) * w - 2.0 * far * near / (far - near)
        return torch.stack((x_clip, y_clip, z_clip, w.expand_as(x_clip)), dim=-1)

    def projection_depth_mm(self, depth_mm: Float[Tensor, "b n"]) -> Float[Tensor, "b n"]:
        return depth_mm

    def view_rays(self, v_cam: Float[Tensor, "b n 3"]) -> Float[Tensor, "b n 3"]:
        return torch.nn.functional.normalize(v_cam, dim=-1)


@dataclasses.dataclass(frozen=True, eq=False)
class WeakPerspectiveCamera(PosedCamera):
    """Scaled orthography: S2d = rho P R S + t2d (Eq. 4 of the reconstruction paper), with y down in the picture.

    Every point is divided by the depth of the object's origin, so rho = focal / -t_z, t2d = principal + rho (t_x, -t_y),
    and depth does not change the picture. All points are seen along -z. A picture that was resized unequally has one rho
    in x and one in y.

    Raises:
        CameraError: beside what every camera refuses, an object's origin that is not in front (t_z >= 0).
    """

    model: ClassVar[CameraModel] = "weak_perspective"

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_positive("the depth -translation_mm[:, 2] of a weak-perspective camera", -self.translation_mm[:, 2])

    @classmethod
    def of_scale(
        cls,
        rotation: Float[Tensor, "_b 3 3"],
        scale_px_per_mm: Float[Tensor, " _c"],
        offset_px: Float[Tensor, "_d 2"],
        distance_mm: float = DEFAULT_DISTANCE_MM,
    ) -> WeakPerspectiveCamera:
        """The camera by the terms of Eq. 4.

        Args:
            rotation: ``(B, 3, 3)``, object to camera.
            scale_px_per_mm: ``(B,)``, rho.
            offset_px: ``(B, 2)``, t2d: pixel x and y of the object's origin, from the top-left corner.
            distance_mm: depth of the object's origin, which only gives depths a meaning.
        """
        _check_positive("scale_px_per_mm", scale_px_per_mm)
        translation_mm = rotation.new_tensor([[0.0, 0.0, -distance_mm]])
        focal_px = (distance_mm * scale_px_per_mm)[:, None].expand(-1, 2)
        return cls(rotation, translation_mm, focal_px, offset_px)

    @property
    def scale_px_per_mm(self) -> Float[Tensor, "_b 2"]:
        """``(B, 2)`` rho in x and y."""
        return self.focal_px / -self.translation_mm[:, 2:]

    @property
    def offset_px(self) -> Float[Tensor, "_b 2"]:
        """``(B, 2)`` t2d: pixel x and y of the object's origin."""
        flip = self.translation_mm.new_tensor([1.0, -1.0])
        return self.principal_px + self.scale_px_per_mm * self.translation_mm[:, :2] * flip

    def to_clip(self, v_cam: Float[Tensor, "b n 3"], size: tuple[int, int]) -> Float[Tensor, "c n 4"]:
        height, width = size
        v_px = self.to_pixels(v_cam)
        x_clip, y_clip = v_px[..., 0] * (2.0 / width) - 1.0, 1.0 - v_px[..., 1] * (2.0 / height)
        span = self.far_mm - self.near_mm
        z_clip = (-2.0 * v_cam[..., 2] - (self.far_mm + self.near_mm)) / span
        return torch.stack((x_clip, y_clip, z_clip.expand_as(x_clip), torch.ones_like(x_clip)), dim=-1)

    def projection_depth_mm(self, depth_mm: Float[Tensor, "b n"]) -> Float[Tensor, "c n"]:
        origin_mm = -self.translation_mm.to(depth_mm.dtype)[:, 2:]
        return origin_mm.expand(max(len(origin_mm), len(depth_mm)), depth_mm.shape[1])

    def view_rays(self, v_cam: Float[Tensor, "b n 3"]) -> Float[Tensor, "b n 3"]:
        return v_cam.new_tensor([0.0, 0.0, -1.0]).expand_as(v_cam)


CAMERAS: dict[CameraModel, type[PosedCamera]] = {
    "perspective": PerspectiveCamera,
    "weak_perspective": WeakPerspectiveCamera,
}
"""Camera models by the names that settings, checkpoints and face.json give them."""


def check_camera_model(name: object) -> CameraModel:
    """The name, if it is one of :data:`CAMERAS`.

    Raises:
        CameraError: it is not.
    """
    for known in CAMERAS:
        if name == known:
            return known
    raise CameraError(f"camera must be {' or '.join(CAMERAS)}, got {str(name)[:40]!r}")


def depth_to_ray_length(v_cam: Float[Tensor, "*b 3"]) -> Float[Tensor, "*b"]:
    """Distance from the camera centre in mm, as a ray-casting sensor reports it; planar depth is ``-v_cam[..., 2]``."""
    return torch.linalg.vector_norm(v_cam, dim=-1)


def _rotate(points: Tensor, rotation: Tensor) -> Tensor:
    return points @ rotation.to(points.dtype).transpose(-1, -2)


def _columns(values: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    """x and y of ``(B, 2)`` as ``(B, 1)``, ready to meet ``(B, N)``."""
    return values.to(like.dtype)[:, 0:1], values.to(like.dtype)[:, 1:2]


def _check_depth_range(near_mm: float, far_mm: float) -> None:
    if not 0.0 < near_mm < far_mm:
        raise CameraError(f"near and far must satisfy 0 < near < far in mm, got {near_mm} and {far_mm}")


def _check_shapes(camera: object, **shapes: tuple[int, ...]) -> None:
    batches = set()
    for name, shape in shapes.items():
        found = tuple(getattr(camera, name).shape)
        if len(found) != len(shape) + 1 or found[1:] != shape or found[0] == 0:
            raise CameraError(f"{name} must be (B, {', '.join(map(str, shape))}) with B > 0, got {found}")
        batches.add(found[0])
    if len(batches - {1}) > 1:
        raise CameraError(f"camera tensors must share one batch size or have 1, got {sorted(batches)}")


def _check_positive(name: str, values: Tensor) -> None:
    if values.device.type == "cpu" and not bool((values.detach() > 0).all()):
        raise CameraError(f"{name} must be positive, got {values.detach().flatten().tolist()}")
