"""A texture for the exported head: the photo where it shows the face, the model's albedo where it does not."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from bfm.model import MorphableModel
from recon.camera import PerspectiveCamera
from recon.display import from_display, to_display
from recon.faces.resample import resample
from recon.lighting import shade
from recon.parsing import PARSE_PX, FaceParser, cut_face, guess_face
from recon.render import rasterize, vertex_normals

_SLANT_LOW, _SLANT_HIGH = 0.25, 0.60
"""Cosine to the viewing ray below which a texel is not taken from the photo, and above which it wholly is."""
_DEPTH_SLACK_MM = 1.5
_LEAST_SHADING = 0.08
_FEATHER_SHARE = 0.012
_CROP_MARGIN = 1.35
_SMOOTH_ROUNDS = 10
_PAD_TEXELS = 8


@dataclasses.dataclass(frozen=True, eq=False)
class TexelMap:
    """Which surface point each texel of a square texture shows.

    Attributes:
        triangles: ``(T, T)`` int, -1 where no triangle lies.
        barycentrics: ``(T, T, 3)``.
    """

    triangles: Int[Tensor, "t t"]
    barycentrics: Float[Tensor, "t t 3"]

    @classmethod
    def of(cls, model: MorphableModel, size: int) -> TexelMap:
        """Draw the model's UV layout.

        Raises:
            ValueError: the model has no UV coordinates.
        """
        if not len(model.uv):
            raise ValueError(f"model {model.name!r} has no texture coordinates, so it cannot carry a texture")
        uv = model.uv.cpu()
        flat = torch.cat([2.0 * uv - 1.0, torch.zeros_like(uv[:, :1]), torch.ones_like(uv[:, :1])], dim=1)[None]
        raster = rasterize(flat, model.uv_faces.cpu(), (size, size))
        return cls(raster.triangle_ids[0].long(), raster.barycentrics[0])

    def sample(self, values: Float[Tensor, "v c"], faces: Int[Tensor, "f 3"]) -> Float[Tensor, "t t c"]:
        """Per-vertex values at every texel, 0 where no triangle lies."""
        covered = self.triangles >= 0
        corners = faces[self.triangles[covered]]
        texels = values.new_zeros(*self.triangles.shape, values.shape[1])
        texels[covered] = torch.einsum("nk,nkc->nc", self.barycentrics[covered], values[corners])
        return texels


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
        light: ``"removed"`` divides the photo by the fitted shading; ``"baked"`` keeps it and shades the rest to match.
        parser: tells the bare face from what covers it.

    Raises:
        ValueError: another kind of ``light``.
    """
    if light not in ("removed", "baked"):
        raise ValueError(f"light must be 'removed' or 'baked', got {light!r}")
    faces = model.faces.cpu()
    v_cam = camera.to_camera(vertices).cpu()
    v_normals = vertex_normals(v_cam, faces)[0]
    smooth = _smoothed(v_normals, faces)
    at = texels.sample(torch.cat([v_cam[0], v_normals, smooth, albedo[0].cpu()], dim=1), faces)
    position, paint = at[..., :3], at[..., 9:].clamp(0, 1)
    normals, soft_normals = (torch.nn.functional.normalize(at[..., k : k + 3], dim=-1) for k in (3, 6))
    covered = texels.triangles >= 0
    shading = shade(torch.ones_like(normals).flatten(0, 1)[None], soft_normals.flatten(0, 1)[None], lighting.cpu())
    shading = shading[0].unflatten(0, normals.shape[:2]).clamp_min(_LEAST_SHADING)

    pixels = camera.to_pixels(position.flatten(0, 1)[None].to(v_cam))[0].unflatten(0, normals.shape[:2])
    photo_linear = from_display(_sample_photo(photo, pixels), model.albedo_space)
    seen = covered & _visible(faces, v_cam, camera, position, pixels, photo.shape[:2])
    ray = -torch.nn.functional.normalize(position, dim=-1)
    facing = (normals * ray).sum(-1)
    share = ((facing - _SLANT_LOW) / (_SLANT_HIGH - _SLANT_LOW)).clamp(0.0, 1.0) * seen
    bare = _bare_share(model, v_cam, camera, photo, parser)(pixels)
    share = share * _skin_share(model, texels, faces) * bare
    share = _feathered(share, max(1, round(_FEATHER_SHARE * share.shape[0])))[..., None]

    own = paint if light == "removed" else paint * shading
    from_photo = photo_linear / shading if light == "removed" else photo_linear
    from_photo = _toned(from_photo, own, share[..., 0] > 0.8)
    mixed = share * from_photo.clamp(0.0, 1.0) + (1.0 - share) * own
    return _padded(to_display(mixed, model.albedo_space), covered)


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


def _sample_photo(photo: UInt8[np.ndarray, "h w 3"], pixels: Float[Tensor, "t t 2"]) -> Float[Tensor, "t t 3"]:
    """Bilinear colours in [0, 1]; beyond the border the border's."""
    picture = torch.as_tensor(photo.astype(np.float32) / 255.0).permute(2, 0, 1)[None]
    size = torch.tensor([photo.shape[1], photo.shape[0]], dtype=torch.float32)
    grid = (2.0 * pixels.float() / size - 1.0)[None]
    sampled = torch.nn.functional.grid_sample(
        picture, grid, mode="bilinear", padding_mode="border", align_corners=False
    )
    return sampled[0].permute(1, 2, 0)


def _visible(
    faces: Int[Tensor, "f 3"],
    v_cam: Float[Tensor, "1 v 3"],
    camera: PerspectiveCamera,
    position: Float[Tensor, "t t 3"],
    pixels: Float[Tensor, "t t 2"],
    photo_size: tuple[int, ...],
) -> Bool[Tensor, "t t"]:
    """Whether the photo shows each texel's point: inside the picture, and no nearer surface in front of it."""
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


def _skin_share(model: MorphableModel, texels: TexelMap, faces: Int[Tensor, "f 3"]) -> Float[Tensor, "t t"]:
    """Where the photo may be trusted to show what the model means: not under hair, in the mouth or behind the lids."""
    if "face" not in model.region_names:
        return torch.ones(texels.triangles.shape)
    wanted = model.region("face").cpu().float()
    for name in ("mouth_interior", "eye_sockets"):
        if name in model.region_names:
            wanted[model.region(name).cpu()] = 0.0
    if "eyes" in model.region_names:
        wanted[model.region("eyes").cpu()] = 1.0
    return texels.sample(wanted[:, None], faces)[..., 0]


def _bare_share(
    model: MorphableModel,
    v_cam: Float[Tensor, "1 v 3"],
    camera: PerspectiveCamera,
    photo: UInt8[np.ndarray, "h w 3"],
    parser: FaceParser,
) -> Callable[[Float[Tensor, "t t 2"]], Float[Tensor, "t t"]]:
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

    def at(positions: Float[Tensor, "t t 2"]) -> Float[Tensor, "t t"]:
        # Texels off the surface have no pixel.
        grid = (2.0 * (positions - torch.tensor([left, top])) / side - 1.0).nan_to_num(-2.0)
        return torch.nn.functional.grid_sample(mask, grid[None].float(), align_corners=False)[0, 0]

    return at


def _feathered(share: Float[Tensor, "t t"], radius: int) -> Float[Tensor, "t t"]:
    """Shrunk and softened, so that the photo fades out before it ends."""
    side = (2 * radius + 1, 2 * radius + 1)
    soft = cv2.erode(share.numpy(), np.ones(side, np.uint8))
    for _ in range(2):
        soft = cv2.blur(soft, side, borderType=cv2.BORDER_REPLICATE)
    return torch.minimum(torch.from_numpy(soft), share)


def _toned(
    from_photo: Float[Tensor, "t t 3"], own: Float[Tensor, "t t 3"], sure: Bool[Tensor, "t t"]
) -> Float[Tensor, "t t 3"]:
    """Photo colours brought to the model's overall tone on the texels both know, by one gain a channel."""
    if int(sure.sum()) < 100:
        return from_photo
    gain = own[sure].mean(dim=0) / from_photo[sure].mean(dim=0).clamp_min(1e-3)
    return from_photo * gain.clamp(0.5, 2.0)


def _padded(colours: Float[Tensor, "t t 3"], covered: Bool[Tensor, "t t"]) -> UInt8[np.ndarray, "t t 3"]:
    """Colours spread a few texels beyond the islands, so that filtering at seams finds skin and not black."""
    picture, known = colours.cpu().numpy().copy(), covered.cpu().numpy().astype(np.float32)
    for _ in range(_PAD_TEXELS):
        near = cv2.blur(known, (3, 3), borderType=cv2.BORDER_CONSTANT)
        spread = cv2.blur(picture * known[..., None], (3, 3), borderType=cv2.BORDER_CONSTANT)
        # One known neighbour of nine is 0.11.
        grown = (near > 0.05) & (known == 0.0)
        picture[grown] = spread[grown] / near[grown, None]
        known[grown] = 1.0
    picture[known == 0.0] = picture[known > 0.0].mean(axis=0) if known.any() else 0.0
    return np.asarray((255.0 * picture.clip(0.0, 1.0)).round().astype(np.uint8))
