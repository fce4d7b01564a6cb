"""Landmarks for other programs: CSV, NumPy and the .pts files of iBUG."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
from jaxtyping import Float

from recon.detection.landmark_sets import FaceLandmarks, LandmarkSet
from recon.export.landmarks_json import numbers
from recon.io.files import write_file

CSV_COLUMNS = ("set", "index", "x_px", "y_px", "depth_px", "sigma_px", "sigma_depth_px", "visible")
_PTS_SHIFT = 0.5
"""iBUG's files count pixels as MATLAB does: the centre of the first pixel is (1, 1), where ours is (0.5, 0.5)."""


def write_landmarks_csv(path: str | os.PathLike[str], landmarks: FaceLandmarks, *, overwrite: bool = False) -> Path:
    """Write one row a point, :data:`CSV_COLUMNS`; indices count from 0, what is not known is empty.

    Raises:
        OutputExistsError, OutputError: see :func:`recon.io.files.write_files`.
    """
    lines = [",".join(CSV_COLUMNS)]
    for name, points in landmarks.sets.items():
        columns = [numbers(column) for column in (*points.xy_px.T, points.depth_px)]
        columns += [numbers(column) for column in (points.sigma_px, points.sigma_depth_px, points.visible)]
        for k in range(len(points.xy_px)):
            cells = ["" if column is None else repr(column[k]) for column in columns]
            lines.append(",".join((name, str(k), *cells)))
    return write_file(path, ("\n".join(lines) + "\n").encode(), overwrite=overwrite)


def write_landmarks_npy(path: str | os.PathLike[str], points: LandmarkSet, *, overwrite: bool = False) -> Path:
    """Write one set as NumPy array ``(N, 3)`` float32: x, y, depth in px; nan where the depth is not known.

    Raises:
        OutputExistsError, OutputError: see :func:`recon.io.files.write_files`.
    """
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(points.points_px), allow_pickle=False)
    return write_file(path, buffer.getvalue(), overwrite=overwrite)


def write_landmarks_pts(
    path: str | os.PathLike[str], xy_px: Float[np.ndarray, "n 2"], *, overwrite: bool = False
) -> Path:
    """Write points as iBUG's data sets hold them (version 1).

    Args:
        path: of the file.
        xy_px: ``(N, 2)`` px of the photo, centres at +0.5. The file has 1-based pixels with centres at whole numbers, that
            is x + 0.5 and y + 0.5.

    Raises:
        ValueError: other shapes, nan or inf.
        OutputExistsError, OutputError: see :func:`recon.io.files.write_files`.
    """
    points = np.asarray(xy_px, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 2 or not np.isfinite(points).all():
        raise ValueError(f"a .pts file holds finite points (N, 2), got shape {points.shape}")
    rows = "".join(f"{x:.4f} {y:.4f}\n" for x, y in points + _PTS_SHIFT)
    text = f"version: 1\nn_points: {len(points)}\n{{\n{rows}}}\n"
    return write_file(path, text.encode("ascii"), overwrite=overwrite)
