"""What a browser needs to draw heads: the face model once, and each head."""

from __future__ import annotations

import functools
import io
from typing import Any

import numpy as np
import torch
from PIL import Image

from bfm.data import ModelData
from bfm.model import MorphableModel
from recon.app.binary_parts import encode_parts
from recon.color import encode_srgb
from recon.export import ExportMesh
from recon.export.mesh import split_at_seams
from recon.lighting import CLAMPED_COSINE
from recon.reconstruction import Reconstruction
from recon.visualize.depth_picture import colours_of
from recon.visualize.model_sheet import studio_lighting

MAX_COMPONENTS = 24
"""Components of identity that the window has sliders for; they are sorted by how much they move."""
_LARGEST_INT16 = 32767
_DEPTH_COLOURS = 256
_PHOTO_PX = 1600


def model_parts(model: MorphableModel) -> bytes:
    """Topology, texture coordinates, expressions and the first components of identity, as the window reads them.

    Arrays: ``faces`` ``(F, 3)`` of vertices, ``corner_faces`` ``(F, 3)`` of corners, which are vertices split at texture seams,
    ``corner_vertex`` ``(N,)``, ``corner_uv`` ``(N, 2)`` (origin at the lower left), offsets of the expressions as the vertices
    that each moves (``moved_vertex``, ``moved_mm``, from ``moved_start[k]`` to ``moved_start[k + 1]``), offsets of identity as
    steps of ``identity_step_mm[k]`` in ``identity_steps`` ``(K, V, 3)``, and the colours of depth, near to far.
    """
    data = model.data()
    split = split_at_seams(_bare_mesh(data))
    uv = np.zeros((len(split.vertex), 2)) if split.uv is None else data.uv[split.uv]
    moved_start, moved_vertex, moved_mm = _sparse(data.expression_basis)
    steps, step_mm = _steps(data.identity_basis[..., :MAX_COMPONENTS])
    colours = colours_of(np.linspace(0.0, 1.0, _DEPTH_COLOURS)[:, None], 0.0, 1.0)[:, 0]
    return encode_parts(
        {
            "model": model.name,
            "vertices": model.n_vertices,
            "expressions": list(expression_names(model)),
            "components": len(step_mm),
            "textured": split.uv is not None,
            "linear_albedo": model.albedo_space == "linear",
            "studio_light": _radiances(studio_lighting()),
        },
        {
            "faces": np.asarray(data.faces, dtype=np.uint32),
            "corner_faces": split.faces.astype(np.uint32),
            "corner_vertex": split.vertex.astype(np.uint32),
            "corner_uv": np.asarray(uv, dtype=np.float32),
            "moved_start": moved_start,
            "moved_vertex": moved_vertex,
            "moved_mm": moved_mm,
            "identity_steps": steps,
            "identity_step_mm": step_mm,
            "depth_colours": colours,
        },
    )


def head_parts(head: Reconstruction) -> bytes:
    """A head without its expression, its albedo, and where it stands before the camera, as the window reads them.

    Arrays: ``neutral_mm`` ``(V, 3)``, ``albedo`` ``(V, 3)`` sRGB code values.
    """
    model, camera = head.model, head.camera
    colours = encode_srgb(torch.as_tensor(head.albedo), model.albedo_space).numpy()
    height, width = head.photo.pixels.shape[:2]
    return encode_parts(
        {
            "photo_size": [width, height],
            "camera_model": camera.model,
            "focal_px": camera.focal_px[0].tolist(),
            "principal_px": camera.principal_px[0].tolist(),
            "rotation": camera.rotation[0].flatten().tolist(),
            "translation_mm": camera.translation_mm[0].tolist(),
            "light": _radiances(head.lighting),
            "weights": head.expression[0].tolist(),
            "identity": head.identity[0, :MAX_COMPONENTS].tolist(),
            "pose": [head.pose.yaw, head.pose.pitch, head.pose.roll],
        },
        {
            "neutral_mm": model.shape(head.identity)[0].numpy().astype(np.float32),
            "albedo": np.round(255.0 * colours).clip(0, 255).astype(np.uint8),
        },
    )


def photo_jpeg(head: Reconstruction) -> bytes:
    """The photo behind a head, reduced to at most :data:`_PHOTO_PX` a side."""
    picture = Image.fromarray(head.photo.pixels)
    picture.thumbnail((_PHOTO_PX, _PHOTO_PX), Image.Resampling.BICUBIC, reducing_gap=3.0)
    return _jpeg(picture)


def texture_jpeg(head: Reconstruction, size: int = 1024) -> bytes:
    """The texture without the photo's light, ``size`` px a side.

    Raises:
        ValueError: the model has no UV coordinates.
    """
    return _jpeg(Image.fromarray(head.texture(size)))


def expression_names(model: MorphableModel) -> tuple[str, ...]:
    """Names of the expressions, made up where the model has none."""
    return tuple(model.expression_names) or tuple(f"expression{k}" for k in range(model.n_expression))


@functools.lru_cache(maxsize=2)
def cached_model_parts(model: MorphableModel) -> bytes:
    """:func:`model_parts`, made once for all windows."""
    return model_parts(model)


def _jpeg(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


def _radiances(lighting: torch.Tensor) -> list[float]:
    """Nine coefficients of three channels, times A_l / pi: irradiance over pi is their sum with the basis."""
    factors = lighting.new_tensor(CLAMPED_COSINE)[:, None] / torch.pi
    flat: list[float] = (factors * lighting[0]).expand(9, 3).flatten().tolist()
    return flat


def _bare_mesh(data: ModelData) -> ExportMesh:
    has_uv = len(data.uv) > 0
    return ExportMesh(
        data.mean_shape,
        data.faces,
        uv=data.uv if has_uv else None,
        uv_faces=data.uv_faces if has_uv else None,
    )


def _sparse(basis: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The vertices that each column of ``(V, 3, K)`` moves, and by how much."""
    moved = [np.flatnonzero(np.abs(basis[..., k]).max(axis=1) > 0.0) for k in range(basis.shape[2])]
    start = np.concatenate(([0], np.cumsum([len(rows) for rows in moved]))).astype(np.uint32)
    empty: list[Any] = [np.zeros(0, dtype=np.int64)]
    vertices = np.concatenate(moved or empty).astype(np.uint32)
    offsets = [basis[rows, :, k] for k, rows in enumerate(moved)] or [np.zeros((0, 3))]
    return start, vertices, np.concatenate(offsets).astype(np.float32)


def _steps(basis: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Columns of ``(V, 3, K)`` as int16 steps ``(K, V, 3)`` and the step of each, mm."""
    columns = np.moveaxis(basis, 2, 0).astype(np.float64)
    step_mm = np.abs(columns).max(axis=(1, 2), initial=0.0) / _LARGEST_INT16
    safe = np.where(step_mm > 0.0, step_mm, 1.0)
    return np.round(columns / safe[:, None, None]).astype(np.int16), step_mm.astype(np.float32)
