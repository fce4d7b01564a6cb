"""Errors with correspondence, which rigid alignment cannot hide.

Rigid alignment measures each scan point to the nearest point of the prediction, wherever that is, and so a head without
any identity scores well; Sariyanidi et al. ("Meta-evaluation of 3D face reconstruction benchmarks", arXiv 2505.18025)
found that such errors follow the true ones badly and that non-rigid correspondence repairs it. Here the predicted face
is deformed smoothly onto the scan (in the manner of Amberg et al. 2007, with displacements that start stiff and become
soft). Where each vertex ends says which scan point it stands for; the *undeformed* prediction is then compared with
these points after a rigid motion without scale.

The recovery slope compares with the mean head: for the part of the shape along the mean's normals, the regression of
(prediction - mean) on (truth - mean). 1 is full recovery, 0 is the mean head, below 1 the identity is shrunken.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Bool, Float
from scipy.sparse import coo_matrix, diags, spmatrix
from scipy.sparse.linalg import splu

from recon.alignment import Similarity, fit_similarity
from recon.evaluation.scans.errors import HeadSurface, micc_errors
from recon.evaluation.scans.scan import Scan
from recon.evaluation.scans.triangles import TriangleSurface

_STIFFNESS = (200.0, 60.0, 20.0, 6.0, 2.0)
_STEPS = 3
_REACH_MM = 12.0
_SLANT = 0.5


@dataclasses.dataclass(frozen=True, eq=False)
class Correspondence:
    """Scan points for the vertices of the predicted face.

    Attributes:
        face: the predicted face, rigidly placed on the scan, mm.
        points: ``(V, 3)`` the scan point each vertex stands for.
        valid: vertices whose scan point is inside the scan and plausible.
    """

    face: TriangleSurface
    points: Float[np.ndarray, "v 3"]
    valid: Bool[np.ndarray, " v"]


@dataclasses.dataclass(frozen=True, eq=False)
class NonRigidErrors:
    """Distances of corresponding points after a rigid motion.

    Attributes:
        distance: ``(V,)`` mm; nan where there is no scan point.
        slope: the recovery slope against the mean head; nan without one.
        variance: the slope's weight when several heads are pooled: sum of squares of (truth - mean), mm^2.
    """

    distance: Float[np.ndarray, " v"]
    slope: float
    variance: float


def correspond(scan: Scan, head: HeadSurface, rigid: Similarity | None = None) -> Correspondence:
    """Deform the predicted face onto the scan and read off the correspondence.

    Args:
        scan: the truth.
        head: the prediction.
        rigid: a rigid motion of the head onto the scan to start from; found by the MICC protocol if None.
    """
    rigid = rigid or micc_errors(scan, head, with_scale=False).motion
    keep = np.zeros(len(head.surface.vertices), dtype=bool)
    keep[head.face] = True
    face = head.surface.moved(rigid).cropped(keep)
    laplacian = _laplacian(face)
    placed = face.vertices
    displaced = placed.copy()
    for stiffness in _STIFFNESS:
        for _ in range(_STEPS):
            target, weight = _targets(displaced, face, scan.surface)
            system = (stiffness * laplacian + diags(weight + 1e-6)).tocsc()
            displaced = placed + splu(system).solve(weight[:, None] * (target - placed))
    target, weight = _targets(displaced, face, scan.surface)
    return Correspondence(face, target, weight > 0.0)


def nonrigid_errors(pairs: Correspondence, mean_face: Float[np.ndarray, "v 3"] | None = None) -> NonRigidErrors:
    """Errors of the undeformed prediction, and the recovery slope if the mean face (of the same vertices) is given.

    Raises:
        ValueError: fewer than a tenth of the face has scan points.
    """
    valid, truth = pairs.valid, pairs.points
    if valid.sum() < 0.1 * len(valid):
        raise ValueError(
            f"only {int(valid.sum())} of {len(valid)} face vertices have a scan point; is the scan a face?"
        )
    placed = fit_similarity(pairs.face.vertices[valid], truth[valid], with_scale=False).apply(pairs.face.vertices)
    distance = np.where(valid, np.linalg.norm(placed - truth, axis=1), np.nan)
    if mean_face is None:
        return NonRigidErrors(distance, float("nan"), 0.0)
    mean = TriangleSurface(
        fit_similarity(mean_face[valid], truth[valid], with_scale=False).apply(mean_face), pairs.face.faces
    )
    normals = _mean_face_normals(mean)
    wanted = np.einsum("vc,vc->v", truth - mean.vertices, normals)[valid]
    found = np.einsum("vc,vc->v", placed - mean.vertices, normals)[valid]
    variance = float((wanted**2).sum())
    return NonRigidErrors(distance, float((found * wanted).sum()) / max(variance, 1e-12), variance)


def _targets(
    points: Float[np.ndarray, "v 3"], face: TriangleSurface, scan: TriangleSurface
) -> tuple[Float[np.ndarray, "v 3"], Float[np.ndarray, " v"]]:
    """Nearest scan points, and 1 where they are to be believed: inside the scan, near, on a surface that faces alike."""
    found = scan.closest(points)
    normals = _mean_face_normals(TriangleSurface(points, face.faces))
    # The winding of scans is not to be relied on, so only the slant counts.
    alike = np.abs(np.einsum("vc,vc->v", normals, scan.face_normals[found.triangles])) > _SLANT
    good = alike & (found.distance < _REACH_MM) & ~scan.border_faces[found.triangles]
    return found.points, good.astype(np.float64)


def _laplacian(face: TriangleSurface) -> spmatrix:
    """Graph Laplacian ``(V, V)`` of the edges."""
    edges = np.unique(np.sort(face.faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1), axis=0)
    size = len(face.vertices)
    rows, columns = np.concatenate([edges[:, 0], edges[:, 1]]), np.concatenate([edges[:, 1], edges[:, 0]])
    adjacency = coo_matrix((np.ones(len(rows)), (rows, columns)), shape=(size, size))
    return diags(np.asarray(adjacency.sum(axis=1)).ravel()) - adjacency


def _mean_face_normals(surface: TriangleSurface) -> Float[np.ndarray, "v 3"]:
    """Unit normals of vertices in which each face counts alike, not by its area as in :mod:`recon.render.mesh`: reports
    that are compared with each other were all measured so."""
    normals = np.zeros_like(surface.vertices)
    for corner in range(3):
        np.add.at(normals, surface.faces[:, corner], surface.face_normals)
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
