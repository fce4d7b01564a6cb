"""A texture for the exported head: the photo where it shows the face, the model's albedo where it does not.

The photo is written as a gap to the model's paint, the logarithm of photo over paint times shading. Light that the fitted
shading leaves over is taken out of the gap, what one half of the face hides takes the gap of the other half, and the gap
fades to 0 where neither is seen.
"""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from bfm.model import MorphableModel
from recon.camera import PerspectiveCamera
from recon.display import from_display, to_display
from recon.faces.resample import resample
from recon.leftover_light import without_leftover_light
from recon.lighting import shade
from recon.parsing import PARSE_PX, FaceParser, cut_face, guess_face
from recon.render import rasterize, vertex_normals
from recon.texels import TexelMap, padded

_SLANT_LOW, _SLANT_HIGH = 0.25, 0.60
"""Cosine to the viewing ray below which a texel is not taken from the photo, and above which it wholly is."""
_DEPTH_SLACK_MM = 1.5
_LEAST_SHADING = 0.08
_FEATHER_SHARE = 0.012
_COARSE_SHARE = 0.02
"""Reach of what counts as coarse, in shares of the texture: about a centimetre on the open model's face."""
_CROP_MARGIN = 1.35
_SMOOTH_ROUNDS = 10
_LEAST_COLOUR = 0.01
"""Added to colours before their logarithm, below which they are noise."""
_MOST_TONE = 0.7
"""Bound of the overall gap, as a logarithm."""
_FEATURES = ("brows", "eyes", "eye_sockets", "eyelids", "lips", "mouth_interior", "teeth", "tongue")
"""Not plain skin: too dark or too red to tell light from paint."""
_UNPAIRED = ("eyes", "eye_sockets", "mouth_interior", "teeth", "tongue")
"""Whose mirror image is wrong: gaze goes one way."""


@dataclasses.dataclass(frozen=True, eq=False)
class _Surface:
    """What is known of the head at each vertex.

    Attributes:
        v_cam: ``(1, V, 3)`` mm.
        paint: ``(V, 3)`` albedo in [0, 1].
        shading: ``(V, 3)`` the smooth light that falls there, above 0.
        facing: ``(V, 1)`` cosine between the normal and the ray to the camera.
    """

    v_cam: Float[Tensor, "1 v 3"]
    paint: Float[Tensor, "v 3"]
    shading: Float[Tensor, "v 3"]
    facing: Float[Tensor, "v 1"]


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
    surface = _surface(model, camera.to_camera(vertices).cpu(), albedo[0].cpu(), lighting.cpu())
    covered = texels.triangles >= 0
    trusted = _trusted(model)
    regions = [trusted, ~_any_region(model, _FEATURES), trusted & ~_any_region(model, _UNPAIRED)]
    known = torch.cat([surface.paint, surface.shading, torch.stack(regions, dim=1).float()], dim=1)
    own = texels.sample_at(covered, known, model.faces.cpu())
    wanted, plain, paired = (_spread(own[:, column], covered) for column in (6, 7, 8))
    gap, share = _seen(model, texels, surface, camera, photo, wanted, parser)
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
        painted += tone
    colours = (own[:, :3] + _LEAST_COLOUR) * torch.from_numpy(painted)[covered].exp() - _LEAST_COLOUR
    if light == "baked":
        colours = colours * own[:, 3:6]
    texture = torch.zeros(*covered.shape, 3)
    texture[covered] = to_display(colours.clamp(0.0, 1.0), model.albedo_space)
    return padded(texture, covered)


def _surface(
    model: MorphableModel, v_cam: Float[Tensor, "1 v 3"], albedo: Float[Tensor, "v 3"], lighting: Float[Tensor, "1 9 3"]
) -> _Surface:
    faces = model.faces.cpu()
    normals = vertex_normals(v_cam, faces)[0]
    soft = _smoothed(normals, faces)
    shading = shade(torch.ones_like(soft)[None], soft[None], lighting)[0].clamp_min(_LEAST_SHADING)
    ray = -torch.nn.functional.normalize(v_cam[0], dim=-1)
    return _Surface(v_cam, albedo.clamp(0.0, 1.0), shading, (normals * ray).sum(dim=-1, keepdim=True))


def _any_region(model: MorphableModel, names: tuple[str, ...]) -> Bool[Tensor, " v"]:
    inside = torch.zeros(model.n_vertices, dtype=torch.bool)
    for name in set(names) & set(model.region_names):
        inside |= model.region(name).cpu()
    return inside


def _trusted(model: MorphableModel) -> Bool[Tensor, " v"]:
    """Where the photo may be trusted to show what the model means: not under hair, in the mouth or behind the lids."""
    if "face" not in model.region_names:
        return torch.ones(model.n_vertices, dtype=torch.bool)
    hidden = _any_region(model, ("mouth_interior", "eye_sockets"))
    return (model.region("face").cpu() & ~hidden) | _any_region(model, ("eyes",))


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


def _smoothed(normals: Float[Tensor, "v 3"], faces: Int[Tensor, "f 3"]) -> Float[Tensor, "v 3"]:
    """Normals averaged over about a centimetre.

    Shading is removed with these: a fold of the fitted shape that misses the photo's by a few millimetres would leave a
    dark and a bright line, while light that leaves skin has spread below it anyway.
    """
    for _ in range(_SMOOTH_ROUNDS):
        means = normals[faces].mean(dim=1)
        sums = torch.zeros_like(normals).index_add(0, faces.reshape(-1), means.repeat_interleave(3, dim=0))
        normals = torch.nn.functional.normalize(sums, dim=1)
    return normals


def _seen(
    model: MorphableModel,
    texels: TexelMap,
    surface: _Surface,
    camera: PerspectiveCamera,
    photo: UInt8[np.ndarray, "h w 3"],
    wanted: Float[np.ndarray, "t t"],
    parser: FaceParser,
) -> tuple[Float[np.ndarray, "t t 3"], Float[np.ndarray, "t t"]]:
    """The gap between photo and paint, and how far to use it: 0 where the photo shows nothing of the face."""
    faces, chosen = model.faces.cpu(), torch.from_numpy(wanted > 0.0)
    known = torch.cat([surface.v_cam[0], surface.paint, surface.shading, surface.facing], dim=1)
    position, paint, shading, facing = texels.sample_at(chosen, known, faces).split([3, 3, 3, 1], dim=1)
    pixels = camera.to_pixels(position[None])[0]
    shown = from_display(_sample_photo(photo, pixels), model.albedo_space) / shading
    gap = ((shown + _LEAST_COLOUR) / (paint + _LEAST_COLOUR)).log()
    share = ((facing[:, 0] - _SLANT_LOW) / (_SLANT_HIGH - _SLANT_LOW)).clamp(0.0, 1.0)
    share = share * _visible(faces, surface.v_cam, camera, position, pixels, photo.shape[:2])
    share = share * _bare_share(model, surface.v_cam, camera, photo, parser, pixels)
    gaps, shares = np.zeros((*wanted.shape, 3), dtype=np.float32), np.zeros(wanted.shape, dtype=np.float32)
    # Behind a perspective camera there are no pixels.
    gaps[chosen.numpy()], shares[chosen.numpy()] = gap.nan_to_num(0.0).numpy(), share.nan_to_num(0.0).numpy()
    return gaps, _feathered(shares * wanted, max(1, round(_FEATHER_SHARE * len(shares))))


def _sample_photo(photo: UInt8[np.ndarray, "h w 3"], pixels: Float[Tensor, "n 2"]) -> Float[Tensor, "n 3"]:
    """Bilinear colours in [0, 1]; beyond the border the border's."""
    picture = torch.as_tensor(photo.astype(np.float32) / 255.0).permute(2, 0, 1)[None]
    size = torch.tensor([photo.shape[1], photo.shape[0]], dtype=torch.float32)
    grid = (2.0 * pixels.float() / size - 1.0)[None, None]
    sampled = torch.nn.functional.grid_sample(
        picture, grid, mode="bilinear", padding_mode="border", align_corners=False
    )
    return sampled[0, :, 0].T


def _visible(
    faces: Int[Tensor, "f 3"],
    v_cam: Float[Tensor, "1 v 3"],
    camera: PerspectiveCamera,
    position: Float[Tensor, "n 3"],
    pixels: Float[Tensor, "n 2"],
    photo_size: tuple[int, ...],
) -> Bool[Tensor, " n"]:
    """Whether the photo shows each point: inside the picture, and no nearer surface in front of it."""
    height, width = int(photo_size[0]), int(photo_size[1])
    v_pix = camera.to_pixels(v_cam)[0]
    low, high = v_pix.min(dim=0).values, v_pix.max(dim=0).values
    left, top = max(0, int(low[0])), max(0, int(low[1]))
    right, bottom = min(width, int(high[0]) + 2), min(height, int(high[1]) + 2)
    inside = (pixels[..., 0] >= 0) & (pixels[..., 0] < width) & (pixels[..., 1] >= 0) & (pixels[..., 1] < height)
    if right <= left or bottom <= top:
        return torch.zeros_like(inside)
    # The depth test needs no more detail than the texture has.
    scale = min(1.0, 768.0 / max(right - left, bottom - top))
    size = (max(1, round(scale * (bottom - top))), max(1, round(scale * (right - left))))
    window = camera.cropped(float(left), float(top)).resized(size[1] / (right - left), size[0] / (bottom - top))
    raster = rasterize(window.to_clip(v_cam, size), faces, size)
    nearest = raster.unpack(
        torch.einsum("pk,pk->p", raster.barycentrics_packed, -v_cam[0, :, 2][raster.corner_index])[:, None]
    )[0, ..., 0]
    column = ((pixels[..., 0] - left) * size[1] / (right - left)).long().clamp(0, size[1] - 1)
    row = ((pixels[..., 1] - top) * size[0] / (bottom - top)).long().clamp(0, size[0] - 1)
    in_front = nearest[row, column]
    return inside & ((in_front <= 0.0) | (-position[..., 2] <= in_front + _DEPTH_SLACK_MM))


def _bare_share(
    model: MorphableModel,
    v_cam: Float[Tensor, "1 v 3"],
    camera: PerspectiveCamera,
    photo: UInt8[np.ndarray, "h w 3"],
    parser: FaceParser,
    positions: Float[Tensor, "n 2"],
) -> Float[Tensor, " n"]:
    """How surely the photo shows bare face at given pixels: the parser's answer for a crop around the face."""
    inside = model.region("face") if "face" in model.region_names else torch.ones(model.n_vertices, dtype=torch.bool)
    v_pix = camera.to_pixels(v_cam)[0, inside.cpu()]
    low, high = v_pix.min(dim=0).values, v_pix.max(dim=0).values
    side = _CROP_MARGIN * float((high - low).max())
    left, top = (0.5 * (low + high) - 0.5 * side).tolist()
    scale = PARSE_PX / side
    photo_from_crop = np.array([[1.0 / scale, 0.0, left], [0.0, 1.0 / scale, top], [0.0, 0.0, 1.0]])
    size = (PARSE_PX, PARSE_PX)
    drawn = rasterize(camera.cropped(left, top).resized(scale, scale).to_clip(v_cam, size), model.faces.cpu(), size)
    pixels = resample(photo, photo_from_crop, size)
    mask = torch.from_numpy(parser(pixels, guess_face(model, drawn.triangle_ids[0]))).float()[None, None]
    grid = (2.0 * (positions - torch.tensor([left, top])) / side - 1.0).nan_to_num(-2.0)
    return torch.nn.functional.grid_sample(mask, grid[None, None].float(), align_corners=False)[0, 0, 0]


def _feathered(share: Float[np.ndarray, "t t"], radius: int) -> Float[np.ndarray, "t t"]:
    """Shrunk and softened, so that the photo fades out before it ends."""
    side = (2 * radius + 1, 2 * radius + 1)
    soft = cv2.erode(share, np.ones(side, np.uint8))
    for _ in range(2):
        soft = cv2.blur(soft, side, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(np.minimum(soft, share))
