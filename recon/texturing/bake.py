"""A texture for the exported head: the photo where it shows the face, the model's albedo where it does not.

The photo is written as a gap to the model's paint, the logarithm of photo over paint times shading. Light that the fitted
shading leaves over is taken out of the gap, what one half of the face hides takes the gap of the other half, and the gap
fades to 0 where neither is seen.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from bfm.model import MorphableModel
from recon.camera import PerspectiveCamera
from recon.color import encode_srgb
from recon.segmentation.grabcut import FaceParser, cut_face
from recon.segmentation.visible_skin import BareFace
from recon.texturing.delight import without_leftover_light
from recon.texturing.eyes_teeth import eye_gap, has_irises, tooth_gap
from recon.texturing.unproject import LEAST_COLOUR, SeenSurface
from recon.texturing.uv_map import TexelMap, padded

_FEATHER_SHARE = 0.012
_COARSE_SHARE = 0.02
"""Reach of what counts as coarse, in shares of the texture: about a centimetre on the open model's face."""
_MOST_TONE = 0.7
"""Bound of the overall gap, as a logarithm."""
_FEATURES = ("brows", "eyes", "eye_sockets", "eyelids", "lips", "mouth_interior", "teeth", "tongue")
"""Not plain skin: too dark or too red to tell light from paint."""
_UNPAIRED = ("eyes", "eye_sockets", "mouth_interior", "teeth", "tongue")
"""Whose mirror image is wrong: gaze goes one way."""


def bake_texture(
    model: MorphableModel,
    texels: TexelMap,
    vertices: Float[Tensor, "1 v 3"],
    albedo: Float[Tensor, "1 v 3"],
    camera: PerspectiveCamera,
    lighting: Float[Tensor, "1 9 3"],
    photo: UInt8[np.ndarray, "h w 3"],
    light: str = "removed",
    parser: FaceParser = cut_face,
) -> UInt8[np.ndarray, "t t 3"]:
    """The texture as uint8 sRGB, first row at the top.

    Args:
        model: for faces and UV layout.
        texels: of the same model.
        vertices: ``(1, V, 3)`` mm, object frame.
        albedo: ``(1, V, 3)`` in the model's space.
        camera: of the photo.
        lighting: ``(1, 9, 3)``, camera frame.
        photo: the full photo.
        light: ``"removed"`` divides the photo by the fitted shading and evens out what that leaves; ``"baked"`` keeps the
            light and shades the rest to match.
        parser: tells the bare face from what covers it.

    Raises:
        ValueError: another kind of ``light``.
    """
    if light not in ("removed", "baked"):
        raise ValueError(f"light must be 'removed' or 'baked', got {light!r}")
    surface = SeenSurface.of(model, camera.to_camera(vertices).cpu(), albedo[0].cpu(), lighting.cpu(), camera, photo)
    covered = texels.triangles >= 0
    # Light may stay on eyes; without it they are painted.
    painted_eyes = light == "removed" and has_irises(model)
    trusted = _trusted(model)
    if painted_eyes:
        trusted &= ~model.any_region("eyes").cpu()
    regions = [
        trusted,
        ~model.any_region(*_FEATURES).cpu(),
        trusted & ~model.any_region(*_UNPAIRED).cpu(),
        model.any_region("teeth").cpu(),
    ]
    known = torch.cat([surface.paint, surface.shading, torch.stack(regions, dim=1).float()], dim=1)
    own = texels.sample_at(covered, known, model.faces.cpu())
    wanted, plain, paired, tooth = (_spread(own[:, column], covered) for column in (6, 7, 8, 9))
    bare = BareFace.of(surface, parser)
    gap, share = _seen(texels, surface, wanted, bare)
    sure = share > 0.8
    tone = gap[sure].mean(axis=0).clip(-_MOST_TONE, _MOST_TONE) if int(sure.sum()) >= 100 else np.zeros(3, np.float32)
    gap -= tone
    box = _box(wanted)
    reach = _COARSE_SHARE * len(wanted)
    paint_gap = without_leftover_light(gap[box], plain[box], share[box], reach)
    painted = np.zeros_like(gap)
    painted[box] = _mirrored(paint_gap, share[box], texels.partners(model, torch.from_numpy(paired > 0.99)), box)
    if light == "baked":
        # The photo as it is; the rest in its tone.
        painted[box] += share[box][..., None] * (gap[box] - paint_gap)
    if painted_eyes:
        own_gap, visible = _seen_within(surface, surface.columns, bare)
        eyes = eye_gap(model, own_gap - torch.from_numpy(tone), visible)
        painted[covered] += texels.sample_at(covered, eyes, model.faces.cpu()).numpy()
    teeth = torch.from_numpy(tooth > 0.99)
    if bool(teeth.any()):
        points = texels.sample_at(teeth, surface.columns, model.faces.cpu())
        own_gap, visible = _seen_within(surface, points, bare)
        painted[teeth] = tooth_gap(own_gap - torch.from_numpy(tone), visible).numpy()
    if light == "baked":
        painted += tone
    colours = (own[:, :3] + LEAST_COLOUR) * torch.from_numpy(painted)[covered].exp() - LEAST_COLOUR
    if light == "baked":
        colours = colours * own[:, 3:6]
    texture = torch.zeros(*covered.shape, 3)
    texture[covered] = encode_srgb(colours.clamp(0.0, 1.0), model.albedo_space)
    return padded(texture, covered)


def _trusted(model: MorphableModel) -> Bool[Tensor, " v"]:
    """Where the photo may be trusted to show what the model means: not under hair, in the mouth or behind the lids."""
    if "face" not in model.region_names:
        return torch.ones(model.n_vertices, dtype=torch.bool)
    hidden = model.any_region("mouth_interior", "eye_sockets")
    return ((model.region("face") & ~hidden) | model.any_region("eyes")).cpu()


def _spread(values: Float[Tensor, " n"], covered: Bool[Tensor, "t t"]) -> Float[np.ndarray, "t t"]:
    """Values of covered texels in their places, 0 elsewhere."""
    placed = torch.zeros(covered.shape)
    placed[covered] = values
    return np.asarray(placed.numpy())


def _box(wanted: Float[np.ndarray, "t t"]) -> tuple[slice, slice]:
    """Rows and columns that the face and its eyes take up: about half of the texture on the open model."""
    rows, columns = (np.flatnonzero(wanted.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return slice(0, len(wanted)), slice(0, len(wanted))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def _mirrored(
    gap: Float[np.ndarray, "h w 3"],
    share: Float[np.ndarray, "h w"],
    partners: Float[np.ndarray, "t t 2"],
    box: tuple[slice, slice],
) -> Float[np.ndarray, "h w 3"]:
    """The gap weighted by its share, with what the photo hides taken from the other half where that is seen.

    Args:
        gap, share: of the texels in the box.
        partners: where in the whole texture each texel's mirror image is, nan for none.
        box: rows and columns.
    """
    weighted = gap * share[..., None]
    places: np.ndarray = partners[box] - np.array([box[1].start, box[0].start], dtype=np.float32)
    room = (1.0 - share) * np.isfinite(places[..., 0])
    # Beyond the border there is no gap.
    places = np.nan_to_num(places, nan=-9.0)
    there = cv2.remap(weighted, places[..., 0], places[..., 1], cv2.INTER_LINEAR)
    return np.asarray(weighted + room[..., None] * there)


def _seen(
    texels: TexelMap, surface: SeenSurface, wanted: Float[np.ndarray, "t t"], bare: BareFace
) -> tuple[Float[np.ndarray, "t t 3"], Float[np.ndarray, "t t"]]:
    """The gap between photo and paint, and how far to use it: 0 where the photo shows nothing of the face."""
    chosen = torch.from_numpy(wanted > 0.0)
    points = texels.sample_at(chosen, surface.columns, surface.model.faces.cpu())
    gap, share = surface.gap_at(points)
    share = share * bare.share_at(surface.pixels(points))
    gaps, shares = np.zeros((*wanted.shape, 3), dtype=np.float32), np.zeros(wanted.shape, dtype=np.float32)
    gaps[chosen.numpy()], shares[chosen.numpy()] = gap.numpy(), share.nan_to_num(0.0).numpy()
    return gaps, _feathered(shares * wanted, max(1, round(_FEATHER_SHARE * len(shares))))


def _seen_within(
    surface: SeenSurface, points: Float[Tensor, "n 10"], bare: BareFace
) -> tuple[Float[Tensor, "n 3"], Bool[Tensor, " n"]]:
    """The gap at points of the surface, and whether the photo shows them within the outline of the bare face."""
    gap, share = surface.gap_at(points)
    return gap, (share > 0.0) & bare.encloses(surface.pixels(points))


def _feathered(share: Float[np.ndarray, "t t"], radius: int) -> Float[np.ndarray, "t t"]:
    """Shrunk and softened, so that the photo fades out before it ends."""
    side = (2 * radius + 1, 2 * radius + 1)
    soft = cv2.erode(share, np.ones(side, np.uint8))
    for _ in range(2):
        soft = cv2.blur(soft, side, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(np.minimum(soft, share))
