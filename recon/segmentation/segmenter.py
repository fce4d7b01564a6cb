"""One interface to everything that tells visible facial skin from hair, hands, glasses and background in pictures."""

from __future__ import annotations

import abc
import dataclasses
from typing import ClassVar, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from bfm.model import MorphableModel
from recon.color import encode_srgb_unclamped
from recon.render import Render

SEGMENTATION_PX = 160
"""Side of the square crops in which fit and texture have a face segmented: hair and hands are large."""


class SegmentationError(ValueError):
    """A segmenter was not given what it needs, or answered with something that is no mask of its pictures."""


@dataclasses.dataclass(frozen=True, eq=False)
class RenderedRegions:
    """What a fitted or regressed head says about B pictures. ``None`` is what the caller does not know.

    Attributes:
        covered: ``(B, 1, H, W)`` where the head is rendered.
        face: ``(B, 1, H, W)`` of it the face, ear to ear and hairline to chin.
        skin_core: ``(B, 1, H, W)`` cheeks and nose, which hair, beard and glasses mostly leave free.
        forehead: ``(B, 1, H, W)`` where a fringe may hang.
        rendered: ``(B, 3, H, W)`` the head in its light, sRGB code values, not clamped to [0, 1]; any colour off it.
    """

    covered: Bool[Tensor, "b 1 h w"] | None = None
    face: Bool[Tensor, "b 1 h w"] | None = None
    skin_core: Bool[Tensor, "b 1 h w"] | None = None
    forehead: Bool[Tensor, "b 1 h w"] | None = None
    rendered: Float[Tensor, "b 3 h w"] | None = None

    @classmethod
    def of_triangles(
        cls,
        model: MorphableModel,
        triangle_ids: Int[Tensor, "b h w"],
        rendered: Float[Tensor, "b 3 h w"] | None = None,
    ) -> RenderedRegions:
        """The regions of a rendered head.

        Args:
            model: whose triangles they are; of a model without regions everything is face, and no forehead is known.
            triangle_ids: at each pixel, -1 for none.
            rendered: see :class:`RenderedRegions`.
        """
        covered = triangle_ids >= 0

        def region(*names: str) -> Bool[Tensor, "b 1 h w"]:
            inside = model.any_region(*names) if set(names) & set(model.region_names) else ~model.any_region()
            triangles = inside[model.faces].all(dim=1)
            return (triangles[triangle_ids.clamp_min(0).long()] & covered)[:, None]

        forehead = region("forehead") if "forehead" in model.region_names else torch.zeros_like(covered)[:, None]
        return cls(covered[:, None], region("face"), region("cheeks", "nose"), forehead, rendered)

    @classmethod
    def of_render(cls, model: MorphableModel, render: Render) -> RenderedRegions:
        """Of a render of the head in its light.

        Args:
            model: the one that was rendered.
            render: in the space that the model shades in.
        """
        rendered = encode_srgb_unclamped(render.image.detach(), model.albedo_space)
        return cls.of_triangles(model, render.triangle_ids, rendered)


@runtime_checkable
class FaceSegmenter(Protocol):
    """Segments the visible skin of faces. A network may ignore the prior."""

    def __call__(self, images: Float[Tensor, "b 3 h w"], prior: RenderedRegions | None) -> Float[Tensor, "b 1 h w"]:
        """Confidence in [0, 1] that each pixel shows visible facial skin; brows, eyes and lips amid it belong to it.

        Args:
            images: sRGB code values in [0, 1], one face in each.
            prior: what a head says about where the face is. Implementations say which of its fields they need.

        Raises:
            SegmentationError: the prior lacks a field that is needed.
        """
        ...


class Segmenter(abc.ABC):
    """Base class of segmenters that a training config names by ``class_path``; a :class:`FaceSegmenter` elsewhere.

    A network is one too: ``class Parsing(torch.nn.Module, Segmenter)`` with a ``forward``.

    Attributes:
        NEEDS: fields of the prior without which it cannot work.
    """

    NEEDS: ClassVar[tuple[str, ...]] = ()

    @abc.abstractmethod
    def __call__(self, images: Float[Tensor, "b 3 h w"], prior: RenderedRegions | None) -> Float[Tensor, "b 1 h w"]:
        """See :class:`FaceSegmenter`."""


def segment(
    segmenter: FaceSegmenter, images: Float[Tensor, "b 3 h w"], prior: RenderedRegions | None
) -> Float[Tensor, "b 1 h w"]:
    """A segmenter's mask of the images, in their type and on their device, without gradient.

    Raises:
        SegmentationError: the prior lacks a field that is needed, or the answer has not one number for each pixel.
    """
    with torch.no_grad():
        mask = segmenter(images, prior)
    wanted = (len(images), 1, *images.shape[2:])
    if not isinstance(mask, Tensor) or mask.shape != wanted:
        found = tuple(mask.shape) if isinstance(mask, Tensor) else type(mask).__name__
        raise SegmentationError(f"a segmenter must answer with a tensor of shape {wanted}, got {found}")
    return mask.to(images)


def known_fields(segmenter: object, prior: RenderedRegions | None, names: tuple[str, ...]) -> list[Tensor]:
    """The fields of a prior that a segmenter needs, in the order of their names.

    Raises:
        SegmentationError: one is not known.
    """
    missing = [name for name in names if prior is None or getattr(prior, name) is None]
    if missing:
        raise SegmentationError(
            f"{type(segmenter).__name__} needs {', '.join(names)} of the prior, and {', '.join(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} not known: RenderedRegions.of_render takes all of them from a rendered head"
        )
    return [getattr(prior, name) for name in names]
