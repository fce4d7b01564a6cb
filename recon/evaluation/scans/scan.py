"""3D scans of faces with seven landmarks: reading, units, plausibility."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path

import numpy as np
from jaxtyping import Float

from bfm.files import ModelFileError
from bfm.reading import read_text
from bfm.text import printable
from recon.evaluation.scans.mesh_file import MESH_SUFFIXES, read_mesh
from recon.evaluation.scans.triangles import TriangleSurface

LANDMARK_NAMES: tuple[str, ...] = (
    *("right eye outer corner", "right eye inner corner", "left eye inner corner", "left eye outer corner"),
    *("nose bottom", "right mouth corner", "left mouth corner"),
)
"""Order of the seven points, right and left as the subject's own: that of the NoW benchmark (Sanyal et al. 2019)."""

LANDMARKS_OF_68 = (36, 39, 42, 45, 33, 48, 54)
"""The same points among the usual 68."""

UNITS_MM: dict[str, float] = {"mm": 1.0, "cm": 10.0, "m": 1000.0, "inch": 25.4}
SCAN_SUFFIXES = MESH_SUFFIXES

_EYE_CORNERS_MM = (55.0, 145.0)
"""Outer eye corners of people, from a small child to far beyond a large adult, lie this far apart."""
_NOSE_REACH_MM = 35.0
_FARTHEST = 1e9


class ScanError(ValueError):
    """A scan or its landmarks cannot be measured with; the message names the file and the way out."""

    def __init__(self, message: str) -> None:
        super().__init__(printable(" ".join(message.split())))


@dataclasses.dataclass(frozen=True, eq=False)
class Scan:
    """One scan in mm, in any frame.

    Attributes:
        name: for messages.
        surface: without faulty vertices and double vertices.
        landmarks: ``(7, 3)`` in the order of :data:`LANDMARK_NAMES`.
        notes: what was found and changed while reading.
    """

    name: str
    surface: TriangleSurface
    landmarks: Float[np.ndarray, "7 3"]
    notes: tuple[str, ...] = ()

    @functools.cached_property
    def nose_tip(self) -> Float[np.ndarray, " 3"]:
        """See :func:`outermost_near_nose`; it does not depend on any prediction."""
        return outermost_near_nose(self.surface.vertices, self.landmarks, self.name)


def outermost_near_nose(
    vertices: Float[np.ndarray, "v 3"], landmarks: Float[np.ndarray, "7 3"], name: str
) -> Float[np.ndarray, " 3"]:
    """The vertex that stands out most from the plane of eyes and mouth, near the nose: the nose tip by one rule for
    scans, which have no landmark there, and heads.

    Raises:
        ScanError: no vertex is near the nose.
    """
    near = np.linalg.norm(vertices - landmarks[4], axis=1) <= _NOSE_REACH_MM
    if not near.any():
        raise ScanError(
            f"{name}: no vertex lies within {_NOSE_REACH_MM:.0f} mm of the nose landmark; are landmarks and mesh in one "
            "frame and one unit?"
        )
    outward = face_axes(landmarks)[2]
    return np.asarray(vertices[near][np.argmax(vertices[near] @ outward)])


def face_axes(landmarks: Float[np.ndarray, "7 3"]) -> Float[np.ndarray, "3 3"]:
    """Rows: unit x from the right to the left eye, y up, z out of the face."""
    points = np.asarray(landmarks, dtype=np.float64)
    x = points[2:4].mean(axis=0) - points[0:2].mean(axis=0)
    x /= np.linalg.norm(x)
    up = points[0:4].mean(axis=0) - points[5:7].mean(axis=0)
    y = up - (up @ x) * x
    y /= np.linalg.norm(y)
    return np.stack([x, y, np.cross(x, y)])


def read_scan(scan_path: Path, landmarks_path: Path, unit: str | None = None) -> Scan:
    """A scan file with its landmark file.

    Args:
        scan_path: OBJ, PLY or STL.
        landmarks_path: seven lines ``x y z``, in the scan's frame and unit.
        unit: one of :data:`UNITS_MM`; by default mm, and refused when the size of the face says otherwise.

    Raises:
        ScanError: unreadable, empty, of another unit, or landmarks that cannot be those of a face.
    """
    landmarks = read_scan_landmarks(landmarks_path)
    factor = check_unit(landmarks, unit, landmarks_path)
    vertices, faces = _read_mesh(scan_path)
    surface, notes = cleaned(vertices * factor, faces, scan_path)
    landmarks = landmarks * factor
    check_scan_landmarks(landmarks, str(landmarks_path))
    gaps = surface.closest(landmarks).distance
    if gaps.max() > 25.0:
        worst = int(gaps.argmax())
        raise ScanError(
            f"{landmarks_path}: the {LANDMARK_NAMES[worst]} lies {gaps[worst]:.0f} mm off the scan {scan_path.name}; "
            "landmarks and scan must be in one frame and one unit"
        )
    return Scan(scan_path.parent.name, surface, landmarks, notes)


def read_scan_landmarks(path: Path) -> Float[np.ndarray, "7 3"]:
    """Seven points from a text file; separators are spaces, tabs or commas, ``#`` starts a comment.

    Raises:
        ScanError: unreadable, not seven rows of three finite numbers.
    """
    try:
        text = read_text(path)
    except (ModelFileError, OSError) as error:
        fault = error.fault if isinstance(error, ModelFileError) else str(error)
        raise ScanError(f"{path}: cannot be read as text ({fault})") from None
    rows = [line.split("#")[0].replace(",", " ").split() for line in text.splitlines()]
    rows = [row for row in rows if row]
    try:
        points = np.array([[float(number) for number in row] for row in rows], dtype=np.float64)
    except ValueError:
        points = np.zeros((0, 0))
    if points.shape != (7, 3) or not (np.abs(points) < _FARTHEST).all():
        raise ScanError(
            f"{path}: expected seven lines of x y z ({', '.join(LANDMARK_NAMES)}), found {len(rows)} lines"
            + ("" if points.shape == (7, 3) else " that are not all three numbers")
        )
    return points


def check_scan_landmarks(landmarks_mm: Float[np.ndarray, "7 3"], where: str) -> None:
    """Refuse landmarks that no face has: swapped sides or a wrong order.

    Raises:
        ScanError: with what is wrong.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        axes = face_axes(landmarks_mm)
    if not np.isfinite(axes).all():
        raise ScanError(
            f"{where}: eyes and mouth lie in one place or on one line. The order is: {', '.join(LANDMARK_NAMES)}"
        )
    local = (landmarks_mm - landmarks_mm.mean(axis=0)) @ axes.T
    plane_z = float(local[[0, 3, 5, 6], 2].mean())
    if local[4, 2] - plane_z < 0.0:
        raise ScanError(
            f"{where}: left and right are swapped, or the scan is mirrored: with right and left as the subject's own, the "
            f"nose would lie {plane_z - local[4, 2]:.0f} mm inside the face. The order is: {', '.join(LANDMARK_NAMES)}"
        )
    x, y = local[:, 0], local[:, 1]
    if not (x[0] < x[1] < x[2] < x[3] and x[5] < x[6]):
        raise ScanError(
            f"{where}: the eye or mouth corners are out of order from the subject's right to left "
            f"(x = {', '.join(f'{value:.0f}' for value in x)} mm). The order is: {', '.join(LANDMARK_NAMES)}"
        )
    if not (y[:4].min() > y[4] > y[5:].max()):
        raise ScanError(f"{where}: the nose bottom does not lie between eyes and mouth; check the order of the points")


def cleaned(
    vertices: Float[np.ndarray, "v 3"], faces: np.ndarray, path: Path | str
) -> tuple[TriangleSurface, tuple[str, ...]]:
    """The surface without vertices that are nan or inf, with double vertices made one, and notes about it.

    Raises:
        ScanError: no triangles, or none left.
    """
    notes = []
    if faces.ndim != 2 or faces.shape[1] != 3 or len(faces) == 0:
        raise ScanError(f"{path}: has no triangles; a point cloud cannot be measured against, mesh it first")
    finite = np.isfinite(vertices).all(axis=1)
    if not finite.all():
        notes.append(f"{int((~finite).sum())} vertices were nan or inf; they and their triangles were left out")
        faces = faces[finite[faces].all(axis=1)]
    if len(faces) == 0:
        raise ScanError(f"{path}: no triangle has finite vertices")
    used = np.unique(faces)
    # Texture seams split vertices in files; measuring needs one vertex a place, or seams look like borders.
    _, first, number = np.unique(vertices[used], axis=0, return_index=True, return_inverse=True)
    if len(first) < len(used):
        notes.append(f"{len(used) - len(first)} double vertices were merged")
    place = np.zeros(len(vertices), dtype=np.int64)
    place[used] = number.reshape(-1)
    merged = place[faces]
    flat = (merged[:, 0] == merged[:, 1]) | (merged[:, 1] == merged[:, 2]) | (merged[:, 2] == merged[:, 0])
    if flat.any():
        notes.append(f"{int(flat.sum())} triangles without area were left out")
    if flat.all():
        raise ScanError(f"{path}: all triangles have no area")
    surface = TriangleSurface(np.asarray(vertices[used][first], dtype=np.float64), merged[~flat])
    n_parts = _components(surface)
    if n_parts > 1:
        notes.append(f"the scan is in {n_parts} pieces; all were measured")
    return surface, tuple(notes)


def _components(surface: TriangleSurface) -> int:
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    pairs = surface.faces[:, [0, 1, 1, 2]].reshape(-1, 2)
    size = len(surface.vertices)
    graph = coo_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(size, size))
    labels = connected_components(graph, directed=False)[1]
    return len(np.unique(labels[np.unique(surface.faces)]))


def check_unit(landmarks: Float[np.ndarray, "7 3"], unit: str | None, path: Path) -> float:
    """mm per unit of a landmark file.

    Raises:
        ScanError: an unknown unit, or none given and the face is not of the size of a face in mm.
    """
    apart = float(np.linalg.norm(landmarks[0] - landmarks[3]))
    low, high = _EYE_CORNERS_MM
    if unit is not None:
        if unit not in UNITS_MM:
            raise ScanError(f"unknown scan unit {unit!r}; known: {', '.join(UNITS_MM)}")
        return UNITS_MM[unit]
    if low <= apart <= high:
        return 1.0
    fits = [(name, factor) for name, factor in UNITS_MM.items() if low <= apart * factor <= high]
    if fits:
        name, factor = fits[0]
        raise ScanError(
            f"{path}: the outer eye corners are {apart:.4g} apart, which is {apart * factor:.0f} mm if the unit is {name} "
            f"(factor {factor:g}). Scans are taken to be in mm; pass --scan-unit {name} if it is so"
        )
    raise ScanError(
        f"{path}: the outer eye corners are {apart:.4g} apart; people's are {low:.0f} to {high:.0f} mm, and no known unit "
        f"({', '.join(UNITS_MM)}) explains it. Pass --scan-unit to measure nevertheless"
    )


def _read_mesh(path: Path) -> tuple[Float[np.ndarray, "v 3"], np.ndarray]:
    try:
        return read_mesh(path)
    except (ModelFileError, OSError) as error:
        fault = error.fault if isinstance(error, ModelFileError) else str(error)
        raise ScanError(f"{path}: cannot be read as a mesh: {fault}") from error
