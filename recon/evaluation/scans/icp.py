"""Rigid alignment of a surface to a scan by their distance (iterative closest points).

Each step moves along the Gauss-Newton direction of the squared point-to-surface distances (Chen and Medioni 1991: the
surface is replaced by its tangent planes), with exact nearest points on triangles, not on vertices. With a free scale
the distances are measured in the unit of the points, as if the surface had been scaled onto them.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from recon.alignment import Similarity
from recon.evaluation.scans.triangles import TriangleSurface


@dataclasses.dataclass(frozen=True)
class IcpSettings:
    """How the alignment is sought.

    Attributes:
        with_scale: the scale is free too.
        robust: pairs on the border of the surface are left out and pairs beyond the typical distance count less (Tukey's
            biweight), which partly overlapping surfaces need. Off, it minimises the plain sum of squares over all points.
        max_steps: at most so many steps.
        tolerance: stop when a step moves no point by more than this, in the unit of the points.
        n_coarse: this many points take part until the motion is nearly found; then all of them.
    """

    with_scale: bool = False
    robust: bool = True
    max_steps: int = 60
    tolerance: float = 1e-4
    n_coarse: int = 4000


_FAR_FACTOR = 5.0
_DAMPING = 1e-9
_COARSE_TOLERANCE = 1e-2
_STALL = 1e-5
_PATIENCE = 4


@dataclasses.dataclass(frozen=True, eq=False)
class IcpResult:
    """The motion found.

    Attributes:
        motion: moves the points onto the surface.
        rms: root mean square distance of the pairs, weighted as they were.
        n_steps: steps made.
        converged: whether it ended because steps fell below the tolerance or the distance no longer fell.
    """

    motion: Similarity
    rms: float
    n_steps: int
    converged: bool


def align_to_surface(
    points: Float[np.ndarray, "n 3"],
    surface: TriangleSurface,
    start: Similarity | None = None,
    settings: IcpSettings | None = None,
) -> IcpResult:
    """The motion of ``points`` that brings them nearest to ``surface``, from a start within its reach.

    Raises:
        ValueError: fewer than six points, or points that are not finite.
    """
    chosen = settings or IcpSettings()
    wanted = np.asarray(points, dtype=np.float64)
    if len(wanted) < 6:
        raise ValueError(f"aligning by distance needs at least six points, got {len(wanted)}")
    stride = max(1, len(wanted) // chosen.n_coarse)
    motion, n_steps = start or Similarity.identity(), 0
    rms, converged = np.inf, False
    for part, tolerance in ((wanted[::stride], max(chosen.tolerance, _COARSE_TOLERANCE)), (wanted, chosen.tolerance)):
        least, stalled = np.inf, 0
        for _ in range(chosen.max_steps):
            placed = motion.apply(part)
            step, rms = _step(placed, surface, chosen)
            motion, n_steps = motion.then(step), n_steps + 1
            # Pairs that change sides for ever keep the points moving by hundredths of a millimetre.
            stalled = 0 if rms < least * (1.0 - _STALL) else stalled + 1
            least = min(least, rms)
            converged = float(np.abs(step.apply(placed) - placed).max()) < tolerance or stalled >= _PATIENCE
            if converged:
                break
    return IcpResult(motion, rms, n_steps, converged)


def _step(
    placed: Float[np.ndarray, "n 3"], surface: TriangleSurface, settings: IcpSettings
) -> tuple[Similarity, float]:
    """One Gauss-Newton step for points already placed, and the distance before it."""
    found = surface.closest(placed)
    gap = placed - found.points
    distance = found.distance
    normals = surface.face_normals[found.triangles]
    # The gradient of the distance is the direction to the nearest point; on the surface itself it is the normal.
    direction = np.where(distance[:, None] > 1e-9, gap / np.maximum(distance, 1e-300)[:, None], normals)
    weight = np.ones(len(placed))
    if settings.robust:
        far = _FAR_FACTOR * max(float(np.median(distance)), 1e-9)
        inner = ~surface.border_faces[found.triangles] & (distance < far)
        # A start far off can leave too few: then all take part.
        if inner.sum() >= max(6, len(placed) // 10):
            weight = np.where(inner, (1.0 - (distance / far) ** 2) ** 2, 0.0)
    centre = np.average(placed, axis=0, weights=weight)
    arm = placed - centre
    columns = [np.cross(arm, direction), direction]
    if settings.with_scale:
        # Distances count in the unit of the points, not of the surface: otherwise shrinking the points would pay.
        columns.append((np.einsum("nc,nc->n", arm, direction) - distance)[:, None])
    jacobian = np.concatenate(columns, axis=1)
    weighted = jacobian * weight[:, None]
    matrix = weighted.T @ jacobian
    matrix += np.diag(_DAMPING * np.maximum(np.diag(matrix), 1e-12))
    change = -np.linalg.solve(matrix, weighted.T @ distance)
    rotation = Rotation.from_rotvec(change[:3]).as_matrix()
    scale = float(np.exp(np.clip(change[6], -0.2, 0.2))) if settings.with_scale else 1.0
    return (
        Similarity(scale, rotation, centre + change[3:6] - scale * rotation @ centre),
        float(np.sqrt(np.average(distance**2, weights=weight))),
    )
