"""Scenes with several faces, for the face box network: cut-out synthetic people of all sizes before photos without faces.

People are rendered once (:mod:`recon.training.face_cache`, with ``cutouts``); scenes are composed anew each time. Parts of people
without their faces, as hands, hair and clothes are, stand among them: they are what a face is most easily taken for.
"""

from __future__ import annotations

import dataclasses
import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from bfm.landmarks import five_points_of_68
from recon.training.face_cache import FaceCache

ABSENT, SEEN, DOUBTFUL = 0, 1, 2
"""Kinds of a face in a scene: none; one to be found; one so hidden or cut off that either answer is right."""
_DISC = 0.42
"""Radius of the disc that stands for a face / side of its box."""
_SOURCE_LEVELS = 5


@dataclasses.dataclass(frozen=True)
class SceneConfig:
    """What is seen in a scene. Shares lie in [0, 1].

    Attributes:
        face_px: the smallest and the largest side of a face's box, px.
        most_faces: in a scene; as many slots has a batch.
        empty: share of scenes without a face.
        turn_deg: standard deviation of the angle by which faces are turned in the picture.
        parts: most parts of people in a scene.
        hidden: share of a face that may be hidden or cut off before it is doubtful.

    Raises:
        ValueError: an impossible setting.
    """

    face_px: tuple[float, float] = (10.0, 130.0)
    most_faces: int = 5
    empty: float = 0.2
    turn_deg: float = 18.0
    parts: int = 3
    hidden: float = 0.4

    def __post_init__(self) -> None:
        for name in ("empty", "hidden"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"scenes.{name} must lie in [0, 1], got {getattr(self, name)}")
        low, high = self.face_px
        if not 0.0 < low < high:
            raise ValueError(f"scenes.face_px must be two growing sizes, got {self.face_px}")
        if self.most_faces < 1 or self.parts < 0 or not self.turn_deg >= 0.0:
            raise ValueError(
                f"scenes need most_faces of 1 or more and parts and turn_deg of 0 or more, got {self.most_faces}, {self.parts}, "
                f"{self.turn_deg}"
            )


@dataclasses.dataclass(frozen=True, eq=False)
class SceneFaces:
    """The faces of B scenes in K slots.

    Attributes:
        kind: ``(B, K)`` :data:`ABSENT`, :data:`SEEN` or :data:`DOUBTFUL`.
        side_px: ``(B, K)`` of the square about all of a face's 478 points, upright as the face is.
        points_px: ``(B, K, 6, 2)`` the middle of that square, then the five points of :class:`recon.detection.Face`.
    """

    kind: Int[Tensor, "b k"]
    side_px: Float[Tensor, "b k"]
    points_px: Float[Tensor, "b k 6 2"]


class Cutouts:
    """Synthetic people by number, ready to be pasted.

    Args:
        cache: of cutouts.

    Raises:
        ValueError: the pictures of the cache have no fourth channel.
    """

    def __init__(self, cache: FaceCache) -> None:
        if cache.picture(0).shape[-1] != 4:
            raise ValueError("scenes are made of cutouts, pictures with a fourth channel; make a cache with cutouts")
        self.cache = cache
        labels = cache.labels
        points = labels["landmarks478_px"]
        low, high = points.min(axis=1), points.max(axis=1)
        middle = 0.5 * (low + high)
        five = five_points_of_68(torch.from_numpy(labels["landmarks520_px"][:, :68])).float()
        self.side_px = torch.from_numpy((high - low).max(axis=1)).float()
        self.points_px = torch.cat((torch.from_numpy(middle).float()[:, None], five), dim=1)

    def __len__(self) -> int:
        return len(self.cache)

    def picture(self, index: int) -> Float[Tensor, "4 s s"]:
        """Colour times opacity, and opacity."""
        picture = torch.from_numpy(self.cache.picture(index).copy()).permute(2, 0, 1).float() / 255.0
        return torch.cat((picture[:3] * picture[3:], picture[3:]))


def compose_scenes(
    backgrounds: Float[Tensor, "b 3 h w"], cutouts: Cutouts, config: SceneConfig, generator: torch.Generator
) -> tuple[Float[Tensor, "b 3 h w"], SceneFaces]:
    """Backgrounds with people before them.

    Args:
        backgrounds: sRGB code values in [0, 1]; left as they are.
        cutouts: the people.
        config: how many, how large.
        generator: of the random numbers.
    """
    scenes = backgrounds.clone()
    batch, slots = len(scenes), config.most_faces
    faces = SceneFaces(
        torch.zeros(batch, slots, dtype=torch.int64), torch.ones(batch, slots), torch.zeros(batch, slots, 6, 2)
    )
    for scene, kind, side_px, points_px in zip(scenes, faces.kind, faces.side_px, faces.points_px, strict=True):
        for _ in range(_whole(0, config.parts, generator)):
            _paste_part(scene, cutouts, config, generator)
        count = 0 if _unit(generator) < config.empty else _whole(1, slots, generator)
        if not count:
            continue
        # The nearer stand before the others.
        side_px[:count] = _log_uniform(count, config.face_px, generator).sort().values
        opacity = torch.zeros(count, *scene.shape[1:])
        for k in range(count):
            points_px[k], opacity[k] = _paste_person(scene, cutouts, float(side_px[k]), config, generator)
        kind[:count] = _kinds(opacity, side_px[:count], points_px[:count, 0], config.hidden)
    return scenes, faces


def _paste_person(
    scene: Tensor, cutouts: Cutouts, side_px: float, config: SceneConfig, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """One person somewhere; the six points of the face, and where the person covers the scene."""
    index = _whole(0, len(cutouts) - 1, generator)
    turn_rad = math.radians(config.turn_deg) * float(torch.randn((), generator=generator))
    scale = side_px / float(cutouts.side_px[index])
    linear = scale * _rotation(turn_rad)
    middle = torch.tensor([scene.shape[2] * _unit(generator), scene.shape[1] * _unit(generator)])
    shift = middle - linear @ cutouts.points_px[index, 0]
    picture = cutouts.picture(index)
    if _unit(generator) < 0.5:
        picture = picture * _soft_border(picture.shape[-1], 0.08)
    return cutouts.points_px[index] @ linear.T + shift, _paste(scene, picture, linear, shift)


def _paste_part(scene: Tensor, cutouts: Cutouts, config: SceneConfig, generator: torch.Generator) -> None:
    """A box of somebody's picture that shows little or nothing of the face."""
    index = _whole(0, len(cutouts) - 1, generator)
    side = cutouts.cache.picture(index).shape[0]
    face, radius = cutouts.points_px[index, 0], _DISC * float(cutouts.side_px[index])
    width, height = (int(side * (0.15 + 0.4 * _unit(generator))) for _ in range(2))
    left, top = (_whole(0, side - length, generator) for length in (width, height))
    away = torch.stack((face - torch.tensor([left + width, top + height]), torch.tensor([left, top]) - face)).amax(
        dim=0
    )
    if float(away.clamp_min(0.0).norm()) < 0.7 * radius:
        return
    box = torch.zeros(1, side, side)
    box[:, top : top + height, left : left + width] = 1.0
    scale = float(_log_uniform(1, config.face_px, generator)) / float(cutouts.side_px[index])
    linear = scale * _rotation(2.0 * math.pi * _unit(generator))
    middle = torch.tensor([scene.shape[2] * _unit(generator), scene.shape[1] * _unit(generator)])
    shift = middle - linear @ torch.tensor([left + 0.5 * width, top + 0.5 * height])
    _paste(scene, cutouts.picture(index) * box, linear, shift)


def _paste(scene: Float[Tensor, "3 h w"], picture: Float[Tensor, "4 s s"], linear: Tensor, shift: Tensor) -> Tensor:
    """Composite a picture, premultiplied by its opacity, over the scene; returns where it covers it.

    Args:
        scene: composited into.
        picture: what is pasted.
        linear, shift: similarity from its pixels to those of the scene.
    """
    opacity = torch.zeros(scene.shape[1:])
    side = float(picture.shape[-1])
    corners = torch.tensor([[0.0, 0.0], [side, 0.0], [0.0, side], [side, side]]) @ linear.T + shift
    left, top = (int(x) for x in corners.amin(dim=0).floor().clamp_min(0.0))
    right, bottom = (
        min(length, math.ceil(float(x)))
        for length, x in zip((scene.shape[2], scene.shape[1]), corners.amax(dim=0), strict=True)
    )
    if right <= left or bottom <= top:
        return opacity
    level = min(max(math.floor(-math.log2(math.sqrt(abs(float(torch.linalg.det(linear)))))), 0), _SOURCE_LEVELS - 1)
    source = torch.nn.functional.avg_pool2d(picture, 2**level) if level else picture
    y, x = torch.meshgrid(torch.arange(top, bottom) + 0.5, torch.arange(left, right) + 0.5, indexing="ij")
    there = (torch.stack((x, y), dim=-1) - shift) @ torch.linalg.inv(linear).T
    grid = 2.0 * there / side - 1.0
    resampled = torch.nn.functional.grid_sample(source[None], grid[None], mode="bilinear", align_corners=False)[0]
    window = scene[:, top:bottom, left:right]
    window.copy_(window * (1.0 - resampled[3:]) + resampled[:3])
    opacity[top:bottom, left:right] = resampled[3]
    return opacity


def _kinds(
    opacity: Float[Tensor, "k h w"], side_px: Float[Tensor, " k"], middle_px: Float[Tensor, "k 2"], most_hidden: float
) -> Int[Tensor, " k"]:
    """Which faces are to be found: as much of their disc as asked lies in the scene and is not covered by those before them."""
    height, width = opacity.shape[1:]
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    away = torch.hypot(x - middle_px[:, 0, None, None], y - middle_px[:, 1, None, None])
    disc = (away < _DISC * side_px[:, None, None]).float()
    free = torch.ones_like(opacity)
    for k in range(len(opacity) - 1):
        free[k] = (1.0 - opacity[k + 1 :]).prod(dim=0)
    seen = (disc * free).sum(dim=(1, 2)) / (math.pi * (_DISC * side_px) ** 2)
    inside: Bool[Tensor, " k"] = (middle_px > 0.0).all(dim=1) & (middle_px < torch.tensor([width, height])).all(dim=1)
    found = torch.where((seen > 1.0 - most_hidden) & inside, SEEN, DOUBTFUL)
    return torch.where(seen > 0.05, found, ABSENT)


def _soft_border(side: int, share: float) -> Tensor:
    """1, and 0 at the left, right and lower border."""
    place = (torch.arange(side) + 0.5) / side
    ramp = (torch.minimum(place, 1.0 - place) / share).clamp(0.0, 1.0)
    below = ((1.0 - place) / share).clamp(0.0, 1.0)
    return ramp[None] * below[:, None]


def _rotation(turn_rad: float) -> Tensor:
    """Clockwise as seen, for y points down."""
    cos, sin = math.cos(turn_rad), math.sin(turn_rad)
    return torch.tensor([[cos, -sin], [sin, cos]])


def _unit(generator: torch.Generator) -> float:
    return float(torch.rand((), generator=generator))


def _whole(least: int, most: int, generator: torch.Generator) -> int:
    return int(torch.randint(least, most + 1, (), generator=generator))


def _log_uniform(count: int, bounds: tuple[float, float], generator: torch.Generator) -> Tensor:
    low, high = math.log(bounds[0]), math.log(bounds[1])
    return torch.exp(low + (high - low) * torch.rand(count, generator=generator))
