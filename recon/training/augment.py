"""Framing and camera effects: what moves in the picture moves in landmarks and intrinsics, exactly. For regressors; the
landmark network has :mod:`recon.training.degrade`."""

from __future__ import annotations

import dataclasses

import torch
from jaxtyping import Float
from torch import Tensor

from recon.training.batch import TrainingBatch


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """How much pictures vary beyond what they come with.

    Attributes:
        least_scale: the face is shrunk to a random size between this and 1 (the paper: 0.8).
        shift: largest shift, in shares of the side.
        gain: largest change of brightness a colour channel, of code values; labels of light stay, so it is their noise too.
        noise: standard deviation of added noise, code values, at most.
        erase: share of pictures in which a random box is filled with one colour.
    """

    least_scale: float = 0.8
    shift: float = 0.05
    gain: float = 0.1
    noise: float = 0.02
    erase: float = 0.2

    def __post_init__(self) -> None:
        limits = {
            "least_scale": (0.1, 1.0),
            "shift": (0.0, 0.5),
            "gain": (0.0, 0.9),
            "noise": (0.0, 0.5),
            "erase": (0.0, 1.0),
        }
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"augmentation {name} must lie in [{low}, {high}], got {value}")


def augment(batch: TrainingBatch, settings: Augmentation, generator: torch.Generator) -> TrainingBatch:
    """The batch framed and exposed anew. The generator lives on the CPU, whatever the batch's device."""
    count, device = len(batch), batch.image.device

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return (low + (high - low) * torch.rand(count, *shape, generator=generator)).to(device)

    scale = uniform(settings.least_scale, 1.0)
    height, width = batch.size
    shift_px = uniform(-settings.shift, settings.shift, 2) * torch.tensor([float(width), float(height)], device=device)
    framed = reframe(batch, scale, shift_px)
    gain = 1.0 + uniform(-settings.gain, settings.gain, 3)
    strength = uniform(0.0, settings.noise)
    noise = torch.randn(framed.image.shape, generator=generator).to(device) * strength[:, None, None, None]
    image = (framed.image * gain[:, :, None, None] + noise).clamp(0.0, 1.0)
    image, hidden = _erased(image, settings.erase, generator)
    face_mask = None if framed.face_mask is None else framed.face_mask.masked_fill(hidden, 0)
    return dataclasses.replace(framed, image=image, face_mask=face_mask)


def reframe(batch: TrainingBatch, scale: Float[Tensor, " b"], shift_px: Float[Tensor, "b 2"]) -> TrainingBatch:
    """Pictures shrunk about their middle and shifted; landmarks, intrinsics and maps follow exactly.

    A pixel x of the old picture lies at ``scale (x - c) + c + shift`` in the new one. Beyond the old picture, its
    border is continued.
    """
    height, width = batch.size
    size = batch.image.new_tensor([float(width), float(height)])
    centre = 0.5 * size
    offset = centre - scale[:, None] * centre + shift_px
    intrinsics = batch.intrinsics.clone()
    intrinsics[:, :2] = scale[:, None, None] * intrinsics[:, :2]
    intrinsics[:, :2, 2] += offset
    changes: dict[str, Tensor] = {"intrinsics": intrinsics}
    for name in ("landmarks68_px", "dense_px"):
        points = getattr(batch, name)
        if points is not None:
            changes[name] = scale[:, None, None] * points + offset[:, None]
    theta = batch.image.new_zeros(len(batch), 2, 3)
    theta[:, 0, 0] = theta[:, 1, 1] = 1.0 / scale
    theta[:, :, 2] = -2.0 * shift_px / size / scale[:, None]
    shape = [len(batch), 1, height, width]
    grid = torch.nn.functional.affine_grid(theta, shape, align_corners=False)
    changes["image"] = _sampled(batch.image, grid, "bilinear", "border").clamp(0.0, 1.0)
    for name in ("face_mask", "depth_mm", "normals"):
        field = getattr(batch, name)
        if field is not None:
            # Nearest: depth of the face and of the background must not be mixed.
            seen = _sampled(field.float(), grid, "nearest", "zeros")
            changes[name] = seen > 0.5 if field.dtype == torch.bool else seen
    return dataclasses.replace(batch, **changes)


def _sampled(picture: Tensor, grid: Tensor, mode: str, padding: str) -> Tensor:
    return torch.nn.functional.grid_sample(picture, grid, mode=mode, padding_mode=padding, align_corners=False)


def _erased(
    image: Float[Tensor, "b 3 h w"], share: float, generator: torch.Generator
) -> tuple[Float[Tensor, "b 3 h w"], Tensor]:
    """Pictures with boxes of one colour, and where the boxes are ``(B, 1, H, W)``."""
    count, _, height, width = image.shape
    chance, x, y, w, h = torch.rand(5, count, 1, 1, generator=generator).to(image.device).unbind(0)
    rows = (torch.arange(height, device=image.device)[:, None] + 0.5) / height
    columns = (torch.arange(width, device=image.device)[None] + 0.5) / width
    half_w, half_h = 0.05 + 0.12 * w, 0.05 + 0.12 * h
    hidden = ((columns - x).abs() < half_w) & ((rows - y).abs() < half_h) & (chance < share)
    colour = torch.rand(count, 3, 1, 1, generator=generator).to(image.device)
    return torch.where(hidden[:, None], colour, image), hidden[:, None]
