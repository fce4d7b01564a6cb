"""A mesh of the head from its depth: a closed surface through all points, kept where there are points, with the photo on it."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from recon.depth.poisson_surface import OrientedPoints, SurfaceError, screened_poisson
from recon.export.mesh import ExportMesh
from recon.inference.depth import FaceDepth
from recon.networks.depth.crop_depth import CLASSES

_KEPT_CELLS = 2.0
"""The surface is kept where a point is so near."""
_LEAST_COSINE = 0.15
"""Steeper pixels say little of where the surface is."""
_HEAD = tuple(CLASSES.index(name) for name in ("skin", "hair"))


def head_points(found: FaceDepth, spacing_mm: float) -> OrientedPoints:
    """The points of skin and hair with their normals, thinned to about a spacing; of a network without classes all points.

    Args:
        found: the depth.
        spacing_mm: wanted distance of neighbours.

    Raises:
        SurfaceError: no head is seen.
    """
    seen = np.isfinite(found.depth_mm) & np.isfinite(found.normals).all(axis=2)
    if found.classes is not None:
        seen &= np.isin(found.classes, _HEAD)
    if not seen.any():
        raise SurfaceError("no head is seen where the network looked, so no surface can be made")
    focal_px = float(found.camera.focal_px.mean())
    per_pixel_mm = float(np.median(found.depth_mm[seen])) / focal_px
    step = max(1, round(spacing_mm / per_pixel_mm))
    thinned = np.zeros_like(seen)
    thinned[step // 2 :: step, step // 2 :: step] = True
    kept = seen & thinned
    finite = np.isfinite(found.depth_mm)
    places = np.full((*found.depth_mm.shape, 3), np.nan)
    places[finite] = found.points()[0]
    points, normals = places[kept], found.normals[kept].astype(np.float64)
    depth_mm = found.depth_mm[kept].astype(np.float64)
    cosine = -(normals * points).sum(axis=1) / np.linalg.norm(points, axis=1)
    good = cosine > _LEAST_COSINE
    if not good.any():
        raise SurfaceError("the network's normals look away from the camera, so no surface can be made")
    # A pixel's cone cuts this much of a plane that is seen at this cosine.
    slant = np.linalg.norm(points, axis=1) / depth_mm
    areas = (step * depth_mm / focal_px) ** 2 / (cosine * slant)
    return OrientedPoints(points[good], normals[good], areas[good])


def head_mesh(found: FaceDepth, cell_mm: float = 2.5) -> ExportMesh:
    """The surface in the camera frame, mm, with the photo as its texture.

    Args:
        found: the depth.
        cell_mm: details below this are smoothed away.

    Raises:
        SurfaceError: no head is seen, or see :func:`recon.depth.poisson_surface.screened_poisson`.
    """
    points = head_points(found, 0.5 * cell_mm)
    vertices, faces = screened_poisson(points, cell_mm)
    away, _ = cKDTree(points.places_mm).query(vertices, distance_upper_bound=_KEPT_CELLS * cell_mm)
    faces = faces[np.isfinite(away)[faces].all(axis=1)]
    faces = _largest_part(faces, len(vertices))
    if not len(faces):
        raise SurfaceError(
            "the surface is nowhere near its points; the network's depth and normals contradict each other"
        )
    used, inverse = np.unique(faces, return_inverse=True)
    vertices, faces = vertices[used], inverse.reshape(faces.shape)
    texture = np.ascontiguousarray(found.photo.pixels[found.part])
    height, width = texture.shape[:2]
    focal = found.camera.focal_px[0].double().numpy()
    principal = found.camera.principal_px[0].double().numpy() - np.array(found.corner_px)
    seen_px = principal + focal * vertices[:, :2] * [1.0, -1.0] / -vertices[:, 2:]
    uv = np.stack((seen_px[:, 0] / width, 1.0 - seen_px[:, 1] / height), axis=1)
    rows, columns = (np.clip(seen_px[:, k].astype(int), 0, limit - 1) for k, limit in ((1, height), (0, width)))
    colors = texture[rows, columns] / 255.0
    return ExportMesh(vertices, faces, uv=uv, uv_faces=faces, texture=texture, colors=colors)


def _largest_part(faces: np.ndarray, n_vertices: int) -> np.ndarray:
    from scipy import sparse

    if not len(faces):
        return faces
    pairs = np.concatenate((faces[:, :2], faces[:, 1:]))
    graph = sparse.csr_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(n_vertices, n_vertices))
    _, label = sparse.csgraph.connected_components(graph, directed=False)
    counts = np.bincount(label[faces[:, 0]])
    return faces[label[faces[:, 0]] == counts.argmax()]
