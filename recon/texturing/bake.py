"""A texture for the exported head: the photo where it shows the face, the model's albedo where it does not.

The photo is written as a log albedo residual: the logarithm of its colour over the model's albedo times shading. Light that
the fitted shading leaves over is taken out of the residual, what one half of the face hides takes the residual of the other
half, and the residual fades to 0 where neither is seen.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from bfm.model import MorphableModel
from recon.color import encode_srgb
from recon.segmentation.grabcut import GrabCutSegmenter
from recon.segmentation.segmenter import FaceSegmenter
from recon.texturing.delight import delight
from recon.texturing.eyes_teeth import eye_log_residual, tooth_log_residual
from recon.texturing.observed_albedo import ObservedAlbedo
from recon.texturing.texels import Texels
from recon.texturing.unproject import LOG_OFFSET, PhotographedHead, TextureUnprojection
from recon.texturing.uv_map import UvMap, padded

_COARSE_FRACTION = 0.02
"""Radius of what counts as coarse, in fractions of the texture: about a centimetre on the open model's face."""
_MOST_MEAN_SHIFT = 0.7
"""Bound of the mean residual, as a logarithm."""
_FEWEST_TEXELS = 100


def bake_texture(
    head: PhotographedHead,
    uv_map: UvMap,
    light: str = "removed",
    segmenter: FaceSegmenter | None = None,
) -> UInt8[np.ndarray, "t t 3"]:
    """The texture as uint8 sRGB, first row at the top.

    Args:
        head: and its photo.
        uv_map: of the head's model.
        light: ``"removed"`` divides the photo by the fitted shading and evens out what that leaves; ``"baked"`` keeps the
            light and shades the rest to match.
        segmenter: tells visible skin from what covers it; ``None`` is a :class:`GrabCutSegmenter`.

    Raises:
        ValueError: another kind of ``light``.
        SegmentationError: see :func:`recon.segmentation.segmenter.segment`.
    """
    if light not in ("removed", "baked"):
        raise ValueError(f"light must be 'removed' or 'baked', got {light!r}")
    baked, unprojection = light == "baked", TextureUnprojection.of(head)
    texels = Texels.of(uv_map, head.model, unprojection.points.albedo, keep_light=baked)
    observed = ObservedAlbedo.of(unprojection, texels, segmenter or GrabCutSegmenter())
    return painted(observed, texels, head.model, unprojection.points.shading if baked else None)


def painted(
    observed: ObservedAlbedo, texels: Texels, model: MorphableModel, shading: Float[Tensor, "v 3"] | None = None
) -> UInt8[np.ndarray, "t t 3"]:
    """The texture of what was observed, as uint8 sRGB, first row at the top.

    Args:
        observed: by a photo or several.
        texels: of the texture.
        model: of the head.
        shading: of its vertices, to keep the light that it was observed in; ``None`` removes it.
    """
    wanted = texels.from_photo > 0.0
    residual, weight = np.zeros((*wanted.shape, 3), dtype=np.float32), np.zeros(wanted.shape, dtype=np.float32)
    residual[wanted], weight[wanted] = observed.residual, observed.weight
    mean_shift = _mean_color_shift(residual, weight)
    residual -= mean_shift
    mirror_lookup = texels.uv_map.mirror_lookup(model, texels.paired)
    log_change = _delighted(residual, weight, texels, mirror_lookup, keep_light=shading is not None)
    triangles = model.faces.cpu()
    if texels.model_eyes:
        eyes = eye_log_residual(model, observed.eyes - torch.from_numpy(mean_shift), observed.eyes_visible)
        log_change[texels.covered] += texels.uv_map.sample_at(texels.covered, eyes, triangles).numpy()
    if bool(texels.teeth.any()):
        teeth = tooth_log_residual(observed.teeth - torch.from_numpy(mean_shift), observed.teeth_visible)
        log_change[texels.teeth] = teeth.numpy()
    if shading is not None:
        log_change += mean_shift
    colours = (texels.albedo + LOG_OFFSET) * torch.from_numpy(log_change)[texels.covered].exp() - LOG_OFFSET
    if shading is not None:
        colours = colours * texels.uv_map.sample_at(texels.covered, shading, triangles)
    texture = torch.zeros(*texels.covered.shape, 3)
    texture[texels.covered] = encode_srgb(colours.clamp(0.0, 1.0), model.albedo_space)
    return padded(texture, texels.covered)


def _mean_color_shift(
    residual: Float[np.ndarray, "t t 3"], weight: Float[np.ndarray, "t t"]
) -> Float[np.ndarray, " 3"]:
    """The mean residual where the photo surely shows the face; 0 if that is hardly anywhere."""
    sure = weight > 0.8
    if int(sure.sum()) < _FEWEST_TEXELS:
        return np.zeros(3, np.float32)
    return np.asarray(residual[sure].mean(axis=0).clip(-_MOST_MEAN_SHIFT, _MOST_MEAN_SHIFT))


def _delighted(
    residual: Float[np.ndarray, "t t 3"],
    weight: Float[np.ndarray, "t t"],
    texels: Texels,
    mirror_lookup: Float[np.ndarray, "t t 2"],
    *,
    keep_light: bool,
) -> Float[np.ndarray, "t t 3"]:
    """The change of the albedo that the photo and its mirror image ask for, as a logarithm; 0 where neither shows the face."""
    box = texels.box
    part, seen = residual[box], weight[box]
    without_light = delight(part, texels.plain_skin[box], seen, _COARSE_FRACTION * len(weight))
    log_change = np.zeros_like(residual)
    log_change[box] = _mirrored(without_light, seen, mirror_lookup, box)
    if keep_light:
        # The photo as it is; the rest in its mean colour.
        log_change[box] += seen[..., None] * (part - without_light)
    return log_change


def _mirrored(
    residual: Float[np.ndarray, "h w 3"],
    weight: Float[np.ndarray, "h w"],
    mirror_lookup: Float[np.ndarray, "t t 2"],
    box: tuple[slice, slice],
) -> Float[np.ndarray, "h w 3"]:
    """The weighted residual, with what the photo hides taken from the other half where that is seen.

    Args:
        residual, weight: of the texels in the box.
        mirror_lookup: where in the whole texture each texel's mirror image is, nan for none.
        box: rows and columns.
    """
    weighted = residual * weight[..., None]
    places: np.ndarray = mirror_lookup[box] - np.array([box[1].start, box[0].start], dtype=np.float32)
    free = (1.0 - weight) * np.isfinite(places[..., 0])
    # Beyond the border there is no residual.
    places = np.nan_to_num(places, nan=-9.0)
    mirrored = cv2.remap(weighted, places[..., 0], places[..., 1], cv2.INTER_LINEAR)
    return np.asarray(weighted + free[..., None] * mirrored)
