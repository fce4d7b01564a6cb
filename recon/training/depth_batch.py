"""What a step of a depth network sees."""

from __future__ import annotations

import dataclasses

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from recon.networks.depth.crop_depth import CLASSES
from recon.synthesis.sample import SEGMENT_NAMES, FaceBatch

UNKNOWN = -1
"""The class of a pixel of which nothing is known."""
_SKIN = CLASSES.index("skin")
_CLASS_OF_SEGMENT = torch.tensor(
    [
        CLASSES.index({"background": "background", "hair": "hair"}.get(name, "other"))
        if name in ("background", "hair", "clothes", "glasses", "occluder")
        else _SKIN
        for name in SEGMENT_NAMES
    ]
)


def classes_of_segments(segments: Int[Tensor, "*b h w"]) -> Int[Tensor, "*b h w"]:
    """Indices into :data:`recon.networks.depth.crop_depth.CLASSES` of those into
    :data:`recon.synthesis.sample.SEGMENT_NAMES`."""
    return _CLASS_OF_SEGMENT.to(segments.device)[segments]


@dataclasses.dataclass(frozen=True, eq=False)
class DepthBatch:
    """B pictures with their depth; directions and depths are in the camera frames of these pictures.

    Attributes:
        image: ``(B, 3, H, W)`` sRGB code values in [0, 1].
        depth_mm: ``(B, 1, H, W)`` planar depth of what is seen, 0 where it is not known.
        normals: ``(B, 3, H, W)`` unit normals of what is seen, 0 where they are not known.
        classes: ``(B, H, W)`` indices into :data:`recon.networks.depth.crop_depth.CLASSES`, or :data:`UNKNOWN`.
        focal_sides: ``(B,)`` focal length in longer sides of the picture.
        origin_mm: ``(B,)`` planar depth of the head's origin.
    """

    image: Float[Tensor, "b 3 h w"]
    depth_mm: Float[Tensor, "b 1 h w"]
    normals: Float[Tensor, "b 3 h w"]
    classes: Int[Tensor, "b h w"]
    focal_sides: Float[Tensor, " b"]
    origin_mm: Float[Tensor, " b"]

    @classmethod
    def of(cls, faces: FaceBatch) -> DepthBatch:
        """Synthetic faces as they were drawn."""
        return cls(
            image=faces.image,
            depth_mm=faces.scene_depth_mm,
            normals=torch.where(faces.mask, faces.normals, 0.0),
            classes=classes_of_segments(faces.segmentation),
            focal_sides=faces.intrinsics[:, 0, 0] / max(faces.size),
            origin_mm=-faces.translation_mm[:, 2],
        )

    def __len__(self) -> int:
        return self.image.shape[0]

    @property
    def known(self) -> Bool[Tensor, "b 1 h w"]:
        """Where depth is known."""
        return self.depth_mm > 0.0

    @property
    def face(self) -> Bool[Tensor, "b 1 h w"]:
        """Skin of known depth, by which depth networks are measured."""
        return self.known & (self.classes == _SKIN)[:, None]

    def tensors(self) -> dict[str, Tensor]:
        """The fields by name."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def to(self, device: torch.device | str, non_blocking: bool = False) -> DepthBatch:
        """The same batch on another device."""
        return DepthBatch(**{n: t.to(device, non_blocking=non_blocking) for n, t in self.tensors().items()})

    def pin_memory(self) -> DepthBatch:
        """The same batch in page-locked memory; called by torch's loader."""
        return DepthBatch(**{name: tensor.pin_memory() for name, tensor in self.tensors().items()})
