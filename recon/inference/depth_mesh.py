"""A mesh of the head from its depth: a closed surface through all points, kept where there are points, with the photo on it."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy import ndimage, sparse

from recon.depth.mesh_cut import cut_where_negative
from recon.depth.poisson_surface import OrientedPoints, SurfaceError, screened_poisson
from recon.export.mesh import ExportMesh
from recon.inference.depth import FaceDepth
from recon.networks.depth.crop_depth import CLASSES

_KEPT_CELLS = 2.0
"""The surface is kept where it is so near to the depths about its pixel, along the ray."""
_LEAST_COSINE = 0.15
"""Steeper pixels say little of where the surface is."""
_FINEST = 4
"""Steep pixels are divided into so many a side at most, so that points are as dense there as elsewhere."""
_INSET_MM = 1.5
"""The rim is cut so far within the outline, where pixels show some of the background."""
_ROUNDING_MM = 2.5
"""The outline is smoothed by a Gaussian of this standard deviation."""
_HOLE_MM2 = 800.0
"""Patches of background within the head are closed up to this size: a head has none."""
_HEAD = tuple(CLASSES.index(name) for name in ("skin", "hair"))


def head_mask(found: FaceDepth) -> Bool[np.ndarray, "h w"]:
    """Where a surface is laid: skin and hair, and what they enclose (glasses, hands on a cheek, and specks of background, where
    nothing is known); everything with depth for a network without classes.

    Raises:
        SurfaceError: no head is seen.
    """
    known = np.isfinite(found.depth_mm) & np.isfinite(found.normals).all(axis=2)
    if found.classes is None:
        seen = known
    else:
        seen = known & np.isin(found.classes, _HEAD)
    if not seen.any():
        raise SurfaceError("no head is seen where the network looked, so no surface can be made")
    holes, count = ndimage.label(ndimage.binary_fill_holes(seen) & ~seen)
    if not count:
        return seen
    unknown = ndimage.sum_labels(~known, holes, np.arange(count + 1)) * _pixel_mm(found, seen) ** 2
    closed = unknown < _HOLE_MM2
    closed[0] = False
    return seen | closed[holes]


def head_points(found: FaceDepth, spacing_mm: float) -> OrientedPoints:
    """Points of :func:`head_mask` with their normals, about a spacing apart on the surface.

    Args:
        found: the depth.
        spacing_mm: wanted distance of neighbours.

    Raises:
        SurfaceError: no head is seen.
    """
    mask = head_mask(found) & np.isfinite(found.depth_mm) & np.isfinite(found.normals).all(axis=2)
    focal_px = float(found.camera.focal_px.mean())
    step = spacing_mm / _pixel_mm(found, mask)
    maps = np.concatenate((found.depth_mm[..., None], found.normals), axis=2).astype(np.float64)
    parts = [_sampled(found, maps, mask, step, level) for level in range(1, _FINEST + 1)]
    places, normals, depth_mm, cosine, steps = (np.concatenate(values) for values in zip(*parts, strict=True))
    if not len(places):
        raise SurfaceError("the network's normals look away from the camera, so no surface can be made")
    # A pixel's cone cuts this much of a plane that is seen at this cosine.
    slant = np.linalg.norm(places, axis=1) / depth_mm
    return OrientedPoints(places, normals, (steps * depth_mm / focal_px) ** 2 / (cosine * slant))


def _sampled(
    found: FaceDepth, maps: np.ndarray, mask: np.ndarray, step: float, level: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Places, normals, depth, cosine and step in px of the points whose slant asks for ``step / level`` px."""
    fine = step / level
    height, width = mask.shape
    rows, columns = (np.arange(0.5 * fine, limit, fine) for limit in (height, width))
    y, x = (grid.ravel() for grid in np.meshgrid(rows, columns, indexing="ij"))
    values = _bilinear(np.where(mask[..., None], maps, np.nan), x, y)
    known = np.isfinite(values).all(axis=1)
    x, y, values = x[known], y[known], values[known]
    depth_mm = values[:, 0]
    normals = values[:, 1:] / np.maximum(np.linalg.norm(values[:, 1:], axis=1, keepdims=True), 1e-9)
    places = _unprojected(found, x, y, depth_mm)
    cosine = -(normals * places).sum(axis=1) / np.linalg.norm(places, axis=1)
    wanted = np.clip(np.ceil(1.0 / np.maximum(cosine, 1e-6) - 0.25), 1, _FINEST)
    good = (cosine > _LEAST_COSINE) & (wanted == level)
    steps = np.full(int(good.sum()), fine)
    return places[good], normals[good], depth_mm[good], cosine[good], steps


def head_mesh(found: FaceDepth, cell_mm: float = 2.5) -> ExportMesh:
    """The surface in the camera frame, mm, with the photo as its texture. Within its rim, a little inside the outline of
    :func:`head_mask`, it has no holes.

    Args:
        found: the depth.
        cell_mm: details below this are smoothed away.

    Raises:
        SurfaceError: no head is seen, or see :func:`recon.depth.poisson_surface.screened_poisson`.
    """
    points = head_points(found, 0.5 * cell_mm)
    vertices, faces = screened_poisson(points, cell_mm)
    vertices, faces = cut_where_negative(vertices, faces, _keeping(found, vertices, faces, cell_mm))
    faces = _largest_part(faces, len(vertices))
    if not len(faces):
        raise SurfaceError(
            "the surface is nowhere near its points; the network's depth and normals contradict each other"
        )
    used, inverse = np.unique(faces, return_inverse=True)
    vertices, faces = vertices[used], inverse.reshape(faces.shape)
    texture = np.ascontiguousarray(found.photo.pixels[found.part])
    height, width = texture.shape[:2]
    x, y = _projected(found, vertices)
    uv = np.stack((x / width, 1.0 - y / height), axis=1)
    rows, columns = (np.clip(at.astype(int), 0, limit - 1) for at, limit in ((y, height), (x, width)))
    colors = texture[rows, columns] / 255.0
    return ExportMesh(vertices, faces, uv=uv, uv_faces=faces, texture=texture, colors=colors)


def _keeping(found: FaceDepth, vertices: np.ndarray, faces: np.ndarray, cell_mm: float) -> np.ndarray:
    """``(V,)`` mm, positive for vertices of the surface that the photo shows: within the outline of the head, and along their ray
    near the depths about their pixel, or enclosed by such vertices. Where depth falls off steeply all between the near side and the
    far side is near."""
    mask = head_mask(found)
    per_px_mm = _pixel_mm(found, mask)
    height, width = mask.shape
    padded = np.pad(mask, 1)
    inside_px = ndimage.distance_transform_edt(padded) - ndimage.distance_transform_edt(~padded)
    outline_mm = ndimage.gaussian_filter(inside_px * per_px_mm, _ROUNDING_MM / per_px_mm)[1:-1, 1:-1] - _INSET_MM
    nearest = ndimage.distance_transform_edt(
        ~(mask & np.isfinite(found.depth_mm)), return_distances=False, return_indices=True
    )
    depth_mm = found.depth_mm.astype(np.float64)[tuple(nearest)]
    side = 2 * max(1, int(np.ceil(cell_mm / per_px_mm))) + 1
    near, far = ndimage.minimum_filter(depth_mm, side), ndimage.maximum_filter(depth_mm, side)
    x, y = _projected(found, vertices)
    bounds = np.stack((outline_mm, near, far), axis=2)
    outline, low, high = _bilinear(bounds, x.clip(0.5, width - 0.5), y.clip(0.5, height - 0.5)).T
    # No nearer to the border than a pixel beyond which nothing is known.
    border = per_px_mm * np.min((x - 0.5, y - 0.5, width - 0.5 - x, height - 0.5 - y), axis=0)
    across = np.minimum(outline, border)
    slack = _KEPT_CELLS * cell_mm
    values = np.min((across, slack - vertices[:, 2] - low, slack + vertices[:, 2] + high), axis=0)
    away = faces[(values[faces] <= 0.0).all(axis=1)]
    label = _parts(away, len(vertices))
    reaches_out = np.zeros(label.max() + 1, dtype=bool)
    reaches_out[label[across <= 0.0]] = True
    return np.where(reaches_out[label], values, across)


def _pixel_mm(found: FaceDepth, mask: Bool[np.ndarray, "h w"]) -> float:
    """A pixel's side at the head."""
    known = mask & np.isfinite(found.depth_mm)
    return float(np.median(found.depth_mm[known])) / float(found.camera.focal_px.mean())


def _bilinear(maps: Float[np.ndarray, "h w c"], x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"]) -> np.ndarray:
    """``(N, C)`` values at places in px, whose pixels have their middles at halves; nan beyond the outermost middles."""
    height, width = maps.shape[:2]
    left, top = np.floor(x - 0.5).astype(int), np.floor(y - 0.5).astype(int)
    right_share, lower_share = (x - 0.5 - left)[:, None], (y - 0.5 - top)[:, None]
    beyond = (x < 0.5) | (y < 0.5) | (x > width - 0.5) | (y > height - 0.5)
    columns = [np.clip(left + k, 0, width - 1) for k in (0, 1)]
    rows = [np.clip(top + k, 0, height - 1) for k in (0, 1)]
    upper = maps[rows[0], columns[0]] * (1.0 - right_share) + maps[rows[0], columns[1]] * right_share
    lower = maps[rows[1], columns[0]] * (1.0 - right_share) + maps[rows[1], columns[1]] * right_share
    return np.where(beyond[:, None], np.nan, upper * (1.0 - lower_share) + lower * lower_share)


def _unprojected(found: FaceDepth, x: np.ndarray, y: np.ndarray, depth_mm: np.ndarray) -> np.ndarray:
    """``(N, 3)`` mm, camera frame, of places in px of the part that the maps cover."""
    px = torch.from_numpy(np.stack((x, y), axis=1) + np.array(found.corner_px))
    return found.camera.to(torch.float64).unproject(px[None], torch.from_numpy(depth_mm)[None])[0].numpy()


def _projected(found: FaceDepth, v_cam: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The inverse of :func:`_unprojected`: x and y."""
    px = found.camera.to(torch.float64).to_pixels(torch.from_numpy(v_cam)[None])[0].numpy()
    x, y = (px - np.array(found.corner_px)).T
    return x, y


def _parts(faces: Int[np.ndarray, "f 3"], n_vertices: int) -> Int[np.ndarray, " v"]:
    """The number of the connected part that each vertex belongs to."""
    pairs = np.concatenate((faces[:, :2], faces[:, 1:]))
    graph = sparse.csr_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(n_vertices, n_vertices))
    return np.asarray(sparse.csgraph.connected_components(graph, directed=False)[1])


def _largest_part(faces: Int[np.ndarray, "f 3"], n_vertices: int) -> Int[np.ndarray, "f2 3"]:
    if not len(faces):
        return faces
    label = _parts(faces, n_vertices)
    counts = np.bincount(label[faces[:, 0]])
    return faces[label[faces[:, 0]] == counts.argmax()]
