"""Depth and normal maps as files."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np

from recon.io.files import write_file
from recon.io.png import encode_png
from recon.io.write_exr import encode_exr

DEPTH_STEP_MM = 0.1
MAX_PNG_DEPTH_MM = 65535 * DEPTH_STEP_MM
_DEPTH_TEXT = "planar depth (distance along the optical axis)"


def write_depth_png(path: str | os.PathLike[str], depth_mm: np.ndarray, *, overwrite: bool = False) -> Path:
    """Write planar depth as 16-bit PNG in steps of 0.1 mm; 0 is background.

    Args:
        depth_mm: ``(H, W)``, positive in front of the camera, nan in the background.

    Raises:
        ValueError: a depth is infinite, below 0.05 mm or above 6553.5 mm, which 16 bits cannot hold.
    """
    depth = _checked_depth(depth_mm)
    seen = ~np.isnan(depth)
    steps = np.zeros(depth.shape, dtype=np.float64)
    steps[seen] = np.round(depth[seen].astype(np.float64) / DEPTH_STEP_MM)
    if seen.any() and (steps[seen].min() < 1 or steps[seen].max() > 65535):
        raise ValueError(
            f"16-bit depth in 0.1 mm holds 0.1 to {MAX_PNG_DEPTH_MM} mm, found {depth[seen].min():.6g} to "
            f"{depth[seen].max():.6g} mm; write EXR or NPY instead"
        )
    text = f"{_DEPTH_TEXT}; one step is {DEPTH_STEP_MM} mm; 0 is background"
    return write_file(path, encode_png(steps.astype(np.uint16), text), overwrite=overwrite)


def write_depth_exr(path: str | os.PathLike[str], depth_mm: np.ndarray, *, overwrite: bool = False) -> Path:
    """Write planar depth in mm as float32 OpenEXR, channel ``Z``; nan is background.

    Raises:
        ValueError: a depth is infinite or not positive.
    """
    depth = _checked_depth(depth_mm).astype(np.float32)
    data = encode_exr({"Z": depth}, comments=f"Z: {_DEPTH_TEXT} in mm; nan is background")
    return write_file(path, data, overwrite=overwrite)


def write_depth_npy(path: str | os.PathLike[str], depth_mm: np.ndarray, *, overwrite: bool = False) -> Path:
    """Write planar depth in mm as a float32 NumPy file; nan is background.

    Raises:
        ValueError: a depth is infinite or not positive.
    """
    buffer = io.BytesIO()
    np.save(buffer, _checked_depth(depth_mm).astype(np.float32), allow_pickle=False)
    return write_file(path, buffer.getvalue(), overwrite=overwrite)


def write_normals_png(path: str | os.PathLike[str], normals: np.ndarray, *, overwrite: bool = False) -> Path:
    """Write unit normals of the camera frame as 8-bit PNG: channel = round(127.5 + 127.5 n); background is (0, 0, 0).

    Red is x (to the right), green y (up), blue z (to the viewer), so a surface facing the camera is (128, 128, 255).

    Args:
        normals: ``(H, W, 3)`` unit vectors; nan in the background.

    Raises:
        ValueError: another shape, or vectors that are not of unit length.
    """
    array = np.asarray(normals, dtype=np.float64)
    if array.ndim != 3 or array.shape[2] != 3:
        raise ValueError(f"a normal map must have shape (H, W, 3), got {array.shape}")
    seen = ~np.isnan(array).any(axis=2)
    lengths = np.linalg.norm(array[seen], axis=1)
    if not (np.abs(lengths - 1.0) <= 1e-2).all():
        raise ValueError(
            f"normals must be unit vectors, found lengths {lengths.min():.4g} to {lengths.max():.4g}; "
            "mark the background with nan"
        )
    pixels = np.zeros(array.shape, dtype=np.uint8)
    pixels[seen] = np.clip(np.floor(127.5 + 127.5 * array[seen] + 0.5), 0, 255).astype(np.uint8)
    text = "normals in the camera frame: red x right, green y up, blue z to the viewer; 127.5 + 127.5 n; black is background"
    return write_file(path, encode_png(pixels, text), overwrite=overwrite)


def _checked_depth(depth_mm: np.ndarray) -> np.ndarray:
    depth = np.asarray(depth_mm)
    if depth.ndim != 2 or depth.dtype.kind != "f" or 0 in depth.shape:
        raise ValueError(f"a depth map must be floating point (H, W), got {depth.dtype} {depth.shape}")
    seen = depth[~np.isnan(depth)]
    if len(seen) and not (np.isfinite(seen).all() and seen.min() > 0):
        raise ValueError(
            f"depths must be positive and finite, found {seen.min():.6g} to {seen.max():.6g} mm; "
            "mark the background with nan"
        )
    return depth
