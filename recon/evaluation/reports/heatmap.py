"""Scans coloured by their distance from the prediction."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont

from recon.color import encode_srgb
from recon.evaluation.scans.scan import face_axes
from recon.evaluation.scans.triangles import TriangleSurface
from recon.render import Topology
from recon.visualize.model_sheet import portrait

_RAMP = np.array(
    [[0.16, 0.32, 0.62], [0.42, 0.66, 0.78], [0.93, 0.92, 0.82], [0.95, 0.66, 0.33], [0.72, 0.15, 0.12]],
    dtype=np.float64,
)
"""Blue for 0 over white to red for the limit, sRGB."""


def colour_of(distance_mm: Float[np.ndarray, " n"], limit_mm: float) -> Float[np.ndarray, "n 3"]:
    """sRGB colours in [0, 1]; distances beyond the limit get the last colour, nan gets grey."""
    place = np.clip(np.nan_to_num(distance_mm) / limit_mm, 0.0, 1.0) * (len(_RAMP) - 1)
    colours = np.stack([np.interp(place, np.arange(len(_RAMP)), _RAMP[:, k]) for k in range(3)], axis=1)
    return np.where(np.isfinite(distance_mm)[:, None], colours, 0.6)


def heat_tile(
    scan: TriangleSurface,
    distance_mm: Float[np.ndarray, " n"],
    landmarks: Float[np.ndarray, "7 3"],
    limit_mm: float,
    side_px: int = 220,
) -> UInt8[np.ndarray, "h w 3"]:
    """The scan from the front and from the side.

    Args:
        scan: mm, any frame.
        distance_mm: of each vertex.
        landmarks: of the scan: they say where the front is.
        limit_mm: distance of the last colour.
        side_px: of one view.
    """
    axes = face_axes(landmarks)
    centre = 0.5 * (landmarks[:4].mean(axis=0) + landmarks[5:].mean(axis=0))
    vertices = (scan.vertices - centre) @ axes.T
    oriented = TriangleSurface(vertices, scan.faces)
    weights = np.linalg.norm(np.ptp(vertices[scan.faces], axis=1), axis=1)
    # Scans wound inside out would be lit from behind.
    inside_out = float((oriented.face_normals[:, 2] * weights).sum()) < 0.0
    faces = scan.faces[:, ::-1].copy() if inside_out else scan.faces
    topology = Topology.of(torch.as_tensor(faces), len(vertices))
    placed = torch.as_tensor(vertices, dtype=torch.float32)[None]
    colours = torch.as_tensor(colour_of(distance_mm, limit_mm), dtype=torch.float32)[None]
    height_mm = 2.1 * float(np.abs(vertices[:, :2]).max())
    with torch.no_grad():
        views = [
            portrait(placed, colours, topology, (torch.zeros(3), height_mm), (yaw, 0.0), side_px)[0]
            for yaw in (0.0, 55.0)
        ]
    shown = [encode_srgb(view[None], "srgb")[0].permute(1, 2, 0).numpy() for view in views]
    return (255.0 * np.concatenate(shown, axis=1)).round().clip(0, 255).astype(np.uint8)


def colour_bar(width_px: int, limit_mm: float) -> UInt8[np.ndarray, "h w 3"]:
    """The colours with their distances."""
    bar = np.broadcast_to(colour_of(np.linspace(0.0, limit_mm, width_px), limit_mm)[None], (12, width_px, 3))
    sheet = Image.new("RGB", (width_px, 30), "white")
    sheet.paste(Image.fromarray((255.0 * bar).round().astype(np.uint8)), (0, 2))
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default()
    for share, anchor in ((0.0, "la"), (0.5, "ma"), (1.0, "ra")):
        draw.text((share * (width_px - 1), 16), f"{share * limit_mm:g} mm", fill=(30, 30, 30), font=font, anchor=anchor)
    return np.asarray(sheet)
