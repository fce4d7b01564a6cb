"""JPEG compression of pictures as a torch function: YCbCr, 8 x 8 cosine transform, quantisation, and back."""

from __future__ import annotations

import functools

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from recon.synthesis.camera.isp import LUMA

# Tables K.1 and K.2 of ITU-T T.81 (the JPEG standard): quantisation at quality 50.
_LUMA = (
    *(16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56),
    *(14, 17, 22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92),
    *(49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99),
)
_CHROMA = (
    *(17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99, 24, 26, 56, 99, 99, 99, 99, 99),
    *(47, 66, 99, 99, 99, 99, 99, 99, *(99,) * 32),
)
_TO_YCC = (LUMA, (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
_FROM_YCC = ((1.0, 0.0, 1.402), (1.0, -0.344136, -0.714136), (1.0, 1.772, 0.0))


def jpeg(
    picture: Float[Tensor, "b 3 h w"], quality: Float[Tensor, " b"], subsampled: Bool[Tensor, " b"]
) -> Float[Tensor, "b 3 h w"]:
    """What is left of pictures after JPEG (ITU-T T.81): YCbCr, 8 x 8 cosine transform, quantised, and back.

    Args:
        picture: sRGB, [0, 1].
        quality: ``(B,)`` 1..100, libjpeg's scale.
        subsampled: ``(B,)`` bool, whether colour is stored at half the resolution.
    """
    height, width = picture.shape[-2:]
    down, right = -height % 16, -width % 16
    padded = torch.nn.functional.pad(picture, (0, right, 0, down), mode="replicate")
    ycc = torch.einsum("kc,bchw->bkhw", picture.new_tensor(_TO_YCC), (padded * 255.0).round())
    ycc[:, 0] -= 128.0
    halved = torch.nn.functional.interpolate(torch.nn.functional.avg_pool2d(ycc[:, 1:], 2), scale_factor=2.0)
    colour = torch.where(subsampled[:, None, None, None], halved, ycc[:, 1:])
    scale = torch.where(quality < 50.0, 5000.0 / quality.clamp_min(1.0), 200.0 - 2.0 * quality)
    planes = torch.cat((ycc[:, :1], colour), dim=1)
    tables = torch.stack([picture.new_tensor(table).view(8, 8) for table in (_LUMA, _CHROMA, _CHROMA)])
    steps = torch.floor((tables * scale[:, None, None, None] + 50.0) / 100.0).clamp(1.0, 255.0)
    cosine = _cosines(picture.device).to(picture.dtype)
    blocks = planes.unflatten(2, (-1, 8)).unflatten(4, (-1, 8)).permute(0, 1, 2, 4, 3, 5)
    steps = steps[:, :, None, None]
    found = cosine @ blocks @ cosine.T
    kept = cosine.T @ ((found / steps).round() * steps) @ cosine
    planes = kept.permute(0, 1, 2, 4, 3, 5).flatten(4, 5).flatten(2, 3)
    planes[:, 0] += 128.0
    rgb = torch.einsum("kc,bchw->bkhw", picture.new_tensor(_FROM_YCC), planes)
    return (rgb[..., :height, :width].round() / 255.0).clamp(0.0, 1.0)


@functools.lru_cache(maxsize=4)
def _cosines(device: torch.device) -> Float[Tensor, "8 8"]:
    """The orthonormal 8-point cosine transform."""
    k = torch.arange(8, dtype=torch.float64)
    matrix = torch.cos((2.0 * k[None] + 1.0) * k[:, None] * torch.pi / 16.0) * 0.5
    matrix[0] *= 0.5**0.5
    return matrix.float().to(device)
