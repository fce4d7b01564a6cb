"""A texture for the exported head: the photo where it shows the face, the model's albedo where it does not.

The photo is written as a log albedo residual: the logarithm of its colour over the model's albedo times shading. Light that
the fitted shading leaves over is taken out of the residual, what one half of the face hides takes the residual of the other
half, and the residual fades to 0 where neither is seen.
"""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from bfm.model import MorphableModel
from recon.color import encode_srgb
from recon.segmentation.grabcut import GrabCutSegmenter
from recon.segmentation.segmenter import FaceSegmenter
from recon.texturing.delight import delight
from recon.texturing.eyes_teeth import eye_log_residual, has_irises, tooth_log_residual
from recon.texturing.unproject import LOG_OFFSET, HeadPoints, PhotographedHead, TextureUnprojection
from recon.texturing.uv_map import UvMap, padded
from recon.texturing.visible_skin import VisibleSkin

_FEATHER_FRACTION = 0.012
_COARSE_FRACTION = 0.02
"""Radius of what counts as coarse, in fractions of the texture: about a centimetre on the open model's face."""
_MOST_MEAN_SHIFT = 0.7
"""Bound of the mean residual, as a logarithm."""
_FEWEST_TEXELS = 100
_FEATURES = ("brows", "eyes", "eye_sockets", "eyelids", "lips", "mouth_interior", "teeth", "tongue")
"""Not plain skin: too dark or too red to tell light from albedo."""
_UNPAIRED = ("eyes", "eye_sockets", "mouth_interior", "teeth", "tongue")
"""Whose mirror image is wrong: gaze goes one way."""


@dataclasses.dataclass(frozen=True, eq=False)
class _Texels:
    """What the model says of the texels of a texture.

    Attributes:
        covered: ``(T, T)`` where a triangle lies; N texels.
        albedo, shading: ``(N, 3)`` of those.
        from_photo: ``(T, T)`` in [0, 1] how far the photo may show what the model means.
        plain_skin: ``(T, T)`` in [0, 1].
        paired: ``(T, T)`` whose mirror image means the same.
        teeth: ``(T, T)``.
    """

    covered: Bool[Tensor, "t t"]
    albedo: Float[Tensor, "n 3"]
    shading: Float[Tensor, "n 3"]
    from_photo: Float[np.ndarray, "t t"]
    plain_skin: Float[np.ndarray, "t t"]
    paired: Bool[Tensor, "t t"]
    teeth: Bool[Tensor, "t t"]

    @classmethod
    def of(cls, uv_map: UvMap, model: MorphableModel, points: HeadPoints, *, model_eyes: bool) -> _Texels:
        """Of a head's vertices; with ``model_eyes`` nothing of the eyes is taken from the photo."""
        covered = uv_map.triangle_ids >= 0
        from_photo = _comparable(model)
        if model_eyes:
            from_photo &= ~model.any_region("eyes").cpu()
        masks = (
            from_photo,
            ~model.any_region(*_FEATURES).cpu(),
            from_photo & ~model.any_region(*_UNPAIRED).cpu(),
            model.any_region("teeth").cpu(),
        )
        at_vertices = torch.cat([points.albedo, points.shading, torch.stack(masks, dim=1).float()], dim=1)
        at_texels = uv_map.sample_at(covered, at_vertices, model.faces.cpu())
        albedo, shading, weights = at_texels.split([3, 3, len(masks)], dim=1)
        wanted, plain_skin, paired, teeth = (_placed(column, covered) for column in weights.unbind(dim=1))
        return cls(
            covered,
            albedo,
            shading,
            wanted,
            plain_skin,
            torch.from_numpy(paired > 0.99),
            torch.from_numpy(teeth > 0.99),
        )


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
    model, baked = head.model, light == "baked"
    unprojection = TextureUnprojection.of(head)
    # Light may stay on eyes; without it they keep the model's albedo.
    model_eyes = not baked and has_irises(model)
    texels = _Texels.of(uv_map, model, unprojection.points, model_eyes=model_eyes)
    skin = VisibleSkin.of(unprojection, segmenter or GrabCutSegmenter())
    residual, weight = _observed(uv_map, unprojection, texels.from_photo, skin)
    mean_shift = _mean_color_shift(residual, weight)
    residual -= mean_shift
    log_change = _delighted(residual, weight, texels, uv_map.mirror_lookup(model, texels.paired), keep_light=baked)
    if model_eyes:
        own, visible = _observed_within(unprojection, unprojection.points, skin)
        eyes = eye_log_residual(model, own - torch.from_numpy(mean_shift), visible)
        log_change[texels.covered] += uv_map.sample_at(texels.covered, eyes, model.faces.cpu()).numpy()
    if bool(texels.teeth.any()):
        own, visible = _observed_within(unprojection, _points_at(uv_map, unprojection, texels.teeth), skin)
        log_change[texels.teeth] = tooth_log_residual(own - torch.from_numpy(mean_shift), visible).numpy()
    if baked:
        log_change += mean_shift
    colours = (texels.albedo + LOG_OFFSET) * torch.from_numpy(log_change)[texels.covered].exp() - LOG_OFFSET
    if baked:
        colours = colours * texels.shading
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
    texels: _Texels,
    mirror_lookup: Float[np.ndarray, "t t 2"],
    *,
    keep_light: bool,
) -> Float[np.ndarray, "t t 3"]:
    """The change of the albedo that the photo and its mirror image ask for, as a logarithm; 0 where neither shows the face."""
    box = _bounds(texels.from_photo)
    part, seen = residual[box], weight[box]
    without_light = delight(part, texels.plain_skin[box], seen, _COARSE_FRACTION * len(weight))
    log_change = np.zeros_like(residual)
    log_change[box] = _mirrored(without_light, seen, mirror_lookup, box)
    if keep_light:
        # The photo as it is; the rest in its mean colour.
        log_change[box] += seen[..., None] * (part - without_light)
    return log_change


def _comparable(model: MorphableModel) -> Bool[Tensor, " v"]:
    """Where a photo can show what the model means: not under hair, in the mouth or behind the lids."""
    if "face" not in model.region_names:
        return torch.ones(model.n_vertices, dtype=torch.bool)
    hidden = model.any_region("mouth_interior", "eye_sockets")
    return ((model.region("face") & ~hidden) | model.any_region("eyes")).cpu()


def _placed(values: Float[Tensor, " n"], covered: Bool[Tensor, "t t"]) -> Float[np.ndarray, "t t"]:
    """Values of covered texels in their places, 0 elsewhere."""
    placed = torch.zeros(covered.shape)
    placed[covered] = values
    return np.asarray(placed.numpy())


def _bounds(wanted: Float[np.ndarray, "t t"]) -> tuple[slice, slice]:
    """Rows and columns that the face and its eyes take up: about half of the texture on the open model."""
    rows, columns = (np.flatnonzero(wanted.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return slice(0, len(wanted)), slice(0, len(wanted))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


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


def _points_at(uv_map: UvMap, unprojection: TextureUnprojection, chosen: Bool[Tensor, "t t"]) -> HeadPoints:
    triangles = unprojection.model.faces.cpu()
    return unprojection.points.interpolated(lambda values: uv_map.sample_at(chosen, values, triangles))


def _observed(
    uv_map: UvMap, unprojection: TextureUnprojection, wanted: Float[np.ndarray, "t t"], skin: VisibleSkin
) -> tuple[Float[np.ndarray, "t t 3"], Float[np.ndarray, "t t"]]:
    """The log albedo residual at the wanted texels, and the weight of each: 0 where the photo shows nothing of the face."""
    chosen = torch.from_numpy(wanted > 0.0)
    points = _points_at(uv_map, unprojection, chosen)
    own, own_weight = unprojection.log_albedo_residual(points)
    own_weight = own_weight * skin.confidence_at(unprojection.pixels(points))
    residual, weight = np.zeros((*wanted.shape, 3), dtype=np.float32), np.zeros(wanted.shape, dtype=np.float32)
    residual[chosen.numpy()], weight[chosen.numpy()] = own.numpy(), own_weight.nan_to_num(0.0).numpy()
    return residual, _feathered(weight * wanted, max(1, round(_FEATHER_FRACTION * len(weight))))


def _observed_within(
    unprojection: TextureUnprojection, points: HeadPoints, skin: VisibleSkin
) -> tuple[Float[Tensor, "n 3"], Bool[Tensor, " n"]]:
    """The log albedo residual at points of the surface, and whether the photo shows them within the outline of the skin."""
    residual, weight = unprojection.log_albedo_residual(points)
    return residual, (weight > 0.0) & skin.encloses(unprojection.pixels(points))


def _feathered(weight: Float[np.ndarray, "t t"], radius: int) -> Float[np.ndarray, "t t"]:
    """Shrunk and softened, so that the photo fades out before it ends."""
    side = (2 * radius + 1, 2 * radius + 1)
    soft = cv2.erode(weight, np.ones(side, np.uint8))
    for _ in range(2):
        soft = cv2.blur(soft, side, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(np.minimum(soft, weight))
