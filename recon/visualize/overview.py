"""One picture that shows a reconstruction: photo, overlay, shape and texture from several sides, albedo and depth."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image, ImageDraw

from recon.color import decode_srgb, encode_srgb
from recon.lighting import shade
from recon.reconstruction import Reconstruction
from recon.render import Topology, rasterize, vertex_normals
from recon.visualize.label import with_label
from recon.visualize.model_sheet import portrait, portrait_camera, studio_lighting

_TILE_PX = 320
_LABEL_PX = 20
_CLAY = 0.42
_CROP_MARGIN = 1.9
_TEXTURE_PX = 768


def overview(result: Reconstruction) -> UInt8[np.ndarray, "h w 3"]:
    """Two rows of five tiles, or of four for a model without texture coordinates."""
    model = result.model
    topology = Topology.of(model.faces, model.n_vertices)
    vertices = model.shape(result.identity, result.expression)
    low, high = vertices[0].min(dim=0).values, vertices[0].max(dim=0).values
    framing = (0.5 * (low + high), 1.1 * float((high - low)[:2].max()))
    clay = torch.full((1, model.n_vertices, 3), _CLAY)
    albedo = model.albedo(result.albedo_coefficients)

    def shape_from(yaw: float, vertex_albedo: torch.Tensor) -> np.ndarray:
        with torch.no_grad():
            image = portrait(vertices, vertex_albedo, topology, framing, (yaw, 0.0), _TILE_PX)
        return _bytes(encode_srgb(image, "linear" if vertex_albedo is clay else model.albedo_space)[0])

    pose = result.pose
    tiles = [
        ("photo", _face_crop(result, result.photo.pixels)),
        ("overlay", _face_crop(result, result.overlay())),
        ("shape, yaw 0", shape_from(0.0, clay)),
        ("yaw 40", shape_from(40.0, clay)),
        (f"pose: yaw {pose.yaw:.0f}, pitch {pose.pitch:.0f}, roll {pose.roll:.0f}", _landmarks(result)),
        ("depth", _face_crop(result, _depth_picture(result))),
        ("albedo, studio light", shape_from(0.0, albedo)),
        ("yaw 90", shape_from(90.0, clay)),
    ]
    if len(model.uv):
        texture = result.texture(_TEXTURE_PX)
        tiles.insert(4, ("texture of the photo, yaw 0", _textured(result, texture, framing, 0.0)))
        tiles.append(("yaw -40", _textured(result, texture, framing, -40.0)))
    labelled = [with_label(picture, label, _LABEL_PX) for label, picture in tiles]
    half = len(labelled) // 2
    return np.concatenate([np.concatenate(labelled[:half], axis=1), np.concatenate(labelled[half:], axis=1)])


def _textured(
    result: Reconstruction, texture: np.ndarray, framing: tuple[torch.Tensor, float], yaw_deg: float
) -> np.ndarray:
    """The head with its texture in studio light, rendered at twice the size and reduced."""
    model, size = result.model, 2 * _TILE_PX
    vertices = torch.as_tensor(result.vertices)[None] - framing[0]
    camera = portrait_camera(framing[1], (yaw_deg, 0.0), size)
    v_cam = camera.to_camera(vertices)
    raster = rasterize(camera.to_clip(v_cam, (size, size)), model.faces, (size, size))
    ids, weights = raster.triangle_ids[0].long(), raster.barycentrics[0]

    def at(values: torch.Tensor, faces: torch.Tensor) -> torch.Tensor:
        return torch.einsum("hwk,hwkc->hwc", weights, values[faces[ids.clamp_min(0)]])

    place = at(model.uv, model.uv_faces) * torch.tensor([2.0, -2.0]) + torch.tensor([-1.0, 1.0])
    image = torch.as_tensor(texture.copy()).permute(2, 0, 1)[None].float() / 255.0
    colours = torch.nn.functional.grid_sample(image, place[None], padding_mode="border", align_corners=False)
    normals = torch.nn.functional.normalize(at(vertex_normals(v_cam, model.faces)[0], model.faces), dim=-1)
    light = shade(torch.ones(1, size * size, 3), normals.view(1, -1, 3), studio_lighting()).view(size, size, 3)
    lit = decode_srgb(colours[0].permute(1, 2, 0), "linear") * light
    lit = torch.where((ids >= 0)[..., None], lit, 0.75).clamp(0.0, 1.0)
    reduced = torch.nn.functional.avg_pool2d(lit.permute(2, 0, 1)[None], 2)[0]
    return _bytes(encode_srgb(reduced, "linear"))


def _bytes(picture: torch.Tensor) -> np.ndarray:
    return np.asarray((255.0 * picture.permute(1, 2, 0)).round().to(torch.uint8).numpy())


def _face_crop(result: Reconstruction, picture: np.ndarray) -> np.ndarray:
    left, top, side = _crop_box(result)
    crop = Image.fromarray(picture).transform(
        (_TILE_PX, _TILE_PX),
        Image.Transform.EXTENT,
        (left, top, left + side, top + side),
        resample=Image.Resampling.BICUBIC,
        fillcolor=(255, 255, 255),
    )
    return np.asarray(crop)


def _crop_box(result: Reconstruction) -> tuple[float, float, float]:
    box = result.face.box
    side = _CROP_MARGIN * float(max(box[2] - box[0], box[3] - box[1]))
    return float(box[0] + box[2] - side) / 2, float(box[1] + box[3] - side) / 2, side


def _landmarks(result: Reconstruction) -> np.ndarray:
    """The face with the fitted 68 points."""
    left, top, side = _crop_box(result)
    picture = Image.fromarray(_face_crop(result, result.photo.pixels))
    draw = ImageDraw.Draw(picture)
    for x, y in (result.landmarks68 - [left, top]) * _TILE_PX / side:
        draw.ellipse((x - 2.2, y - 2.2, x + 2.2, y + 2.2), fill=(60, 230, 90), outline=(0, 60, 0))
    return np.asarray(picture)


def _depth_picture(result: Reconstruction) -> np.ndarray:
    """Near is light, far is dark, nothing is white."""
    depth_mm = result.depth_map()
    known = np.isfinite(depth_mm)
    image = np.full((*depth_mm.shape, 3), 255, dtype=np.uint8)
    if known.any():
        near, far = np.percentile(depth_mm[known], [0.5, 99.5])
        grey = np.interp(np.where(known, depth_mm, near), [near, max(far, near + 1.0)], [235.0, 25.0])
        image[known] = grey[known][:, None].astype(np.uint8)
    return image
