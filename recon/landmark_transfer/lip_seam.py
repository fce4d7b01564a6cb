"""Where shut lips meet. A detector's marks there scatter by a millimetre, enough to land on the wrong lip."""

from __future__ import annotations

import numpy as np
import torch

from bfm.data import FloatArray
from bfm.model import MorphableModel
from recon.camera import PerspectiveCamera
from recon.lighting import ambient
from recon.render import Mesh, render

_SIZE_PX = 640
_DISTANCE_MM = 3000.0
_REACH_MM, _DEPTH_MM = 4.0, 12.0
_OFF_SEAM_MM = 0.2


class SeamError(RuntimeError):
    """The face shows no seam near a pair of points."""


def part_at_seam(
    model: MorphableModel, points: FloatArray, pairs: tuple[tuple[int, int], ...], faces: np.ndarray
) -> FloatArray:
    """Points with each pair moved to the two sides of the seam, on the mean face seen from the front.

    The seam is the deepest place straight above or below the pair's middle; the upper lip ends above it, the lower one
    begins below.

    Args:
        model: a face with its mouth shut, looking along +z, +y up.
        points: ``(N, 3)`` mm; left as they are.
        pairs: upper and lower point; the same point twice for a corner of the mouth, which is moved onto the seam.
        faces: ``(F, 3)`` triangles that may be lips.

    Raises:
        SeamError: the surface near a pair does not fold.
    """
    moved = points.copy()
    used = sorted({index for pair in pairs for index in pair})
    low, high = points[used, :2].min(axis=0), points[used, :2].max(axis=0)
    side_mm = float((high - low).max()) + 4.0 * _REACH_MM
    place, slope = _front_view(model, faces, 0.5 * (low + high), side_mm, float(points[used, 2].mean()))
    for upper, lower in pairs:
        middle = 0.5 * (points[upper] + points[lower])
        column = int(np.nanargmin(np.nanmean(np.abs(place[:, :, 0] - middle[0]), axis=0)))
        x, y, z = place[:, column].T
        near = (np.abs(y - middle[1]) < _REACH_MM) & (z > middle[2] - _DEPTH_MM)
        rows = np.nonzero(near)[0]
        seam = rows[z[rows].argmin()] if len(rows) else -1
        above = rows[(y[rows] >= y[seam] + _OFF_SEAM_MM) & (slope[rows, column] < 0.0)]
        below = rows[(y[rows] <= y[seam] - _OFF_SEAM_MM) & (slope[rows, column] > 0.0)]
        if len(above) == 0 or len(below) == 0:
            raise SeamError(f"no fold within {_REACH_MM} mm of points {upper} and {lower} at {middle.round(1)} mm")
        if upper == lower:
            moved[upper] = place[seam, column]
        else:
            moved[upper], moved[lower] = place[above.max(), column], place[below.min(), column]
    return moved


def _front_view(
    model: MorphableModel, faces: np.ndarray, centre: FloatArray, side_mm: float, z_mm: float
) -> tuple[FloatArray, FloatArray]:
    """Position ``(S, S, 3)``, object frame, and y of the normal ``(S, S)`` of each pixel; nan beside the surface."""
    shift = torch.tensor([[-centre[0], -centre[1], -_DISTANCE_MM - z_mm]], dtype=torch.float32)
    focal_px = _SIZE_PX * _DISTANCE_MM / side_mm
    camera = PerspectiveCamera.at(
        translation_mm=shift, size=(_SIZE_PX, _SIZE_PX), focal_px=torch.full((1, 2), focal_px)
    )
    with torch.no_grad():
        vertices = model.shape()
        mesh = Mesh.of(vertices, torch.as_tensor(faces), model.albedo())
        rendered = render(mesh, camera, ambient(torch.ones(1, 3)), (_SIZE_PX, _SIZE_PX))
        place = (
            camera.to_object(rendered.position.flatten(2).transpose(1, 2)).view(_SIZE_PX, _SIZE_PX, 3).double().numpy()
        )
    seen = rendered.covered[0, 0].numpy()
    place[~seen] = np.nan
    return place, np.where(seen, rendered.normals[0, 1].double().numpy(), 0.0)
