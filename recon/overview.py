"""One picture that shows a reconstruction: photo, overlay, shape from three sides, albedo and depth."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from recon.display import to_display
from recon.preview import portrait
from recon.reconstruction import Reconstruction
from recon.render import Topology

_TILE_PX = 320
_LABEL_PX = 20
_CLAY = 0.42
_CROP_MARGIN = 1.9


def overview(result: Reconstruction) -> UInt8[np.ndarray, "h w 3"]:
    """Two rows of four tiles."""
    model = result.model
    topology = Topology.of(model.faces, model.n_vertices)
    vertices = model.shape(result.identity, result.expression)
    low, high = vertices[0].min(dim=0).values, vertices[0].max(dim=0).values
    framing = (0.5 * (low + high), 1.1 * float((high - low)[:2].max()))
    clay = torch.full((1, model.n_vertices, 3), _CLAY)
    albedo = model.albedo(result.albedo_coefficients)

    def shape_from(yaw: float, paint: torch.Tensor) -> np.ndarray:
        with torch.no_grad():
            picture = portrait(vertices, paint, topology, framing, (yaw, 0.0), _TILE_PX)
        return _bytes(to_display(picture, "linear" if paint is clay else model.albedo_space)[0])

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
    labelled = [_labelled(picture, label) for label, picture in tiles]
    return np.concatenate([np.concatenate(labelled[:4], axis=1), np.concatenate(labelled[4:], axis=1)])


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
    shown = np.full((*depth_mm.shape, 3), 255, dtype=np.uint8)
    if known.any():
        near, far = np.percentile(depth_mm[known], [0.5, 99.5])
        grey = np.interp(np.where(known, depth_mm, near), [near, max(far, near + 1.0)], [235.0, 25.0])
        shown[known] = grey[known][:, None].astype(np.uint8)
    return shown


def _labelled(picture: np.ndarray, label: str) -> np.ndarray:
    sheet = Image.new("RGB", (_TILE_PX, _TILE_PX + _LABEL_PX), "white")
    sheet.paste(Image.fromarray(picture), (0, _LABEL_PX))
    ImageDraw.Draw(sheet).text((6, 4), label, fill="black", font=ImageFont.load_default())
    return np.asarray(sheet)
