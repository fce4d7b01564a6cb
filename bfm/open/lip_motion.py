"""Lips that slide over the teeth: a correction of MakeHuman's mouth shapes.

MakeHuman's shapes lift and part the lips in a plane: at a full smile the middle of the mouth neither widens nor moves back
against the teeth, the lower lip rises 3 mm into the upper one, and lips part half as far as in other ARKit rigs. A smile
that shows teeth then needs an open jaw, and its upper lip stands out like a beak in profile. Here the lips' landmarks
move as they do in ICT-FaceKit, whose shapes were made from scans (Li et al. 2020; MIT licence; measured on its neutral
mean, turned and scaled to this head, see ``benchmarks/ict_anatomy.py``). Between the landmarks the skin follows MakeHuman's motion
at large, but smoothly: the folds that it cuts beside a smile are those of an old face.
"""

from __future__ import annotations

from importlib import resources

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import splu

from bfm.data import FloatArray, IntArray
from bfm.landmarks import MIRROR_68
from bfm.mediapipe_table import MEDIAPIPE_68
from bfm.open.head_mesh import HeadMesh
from bfm.open.landmark_table import TABLE
from bfm.open.laplacian import surface_laplacian
from bfm.open.quads import triangulate

_POINTS = (33, 34, 35, 51, 52, 53, 54, 55, 56, 57, 62, 63, 64, 65, 66)
"""Of the 68: under the nose, outer and inner lips, from the middle to the person's left."""

# Where each of the points goes in mm, by the pair of shapes, both at full weight. The lower lip's edge rises half a
# millimetre more in a smile than ICT-FaceKit's, so that shut lips stay shut.
_MOTION_MM: dict[str, tuple[tuple[float, float, float], ...]] = {
    "mouthSmile": (
        *((0.0, 0.8, -1.4), (1.5, 1.4, -1.4), (2.3, 2.1, -1.6)),
        *((0.0, 3.7, -3.3), (2.6, 3.9, -4.0), (5.0, 5.6, -6.0), (7.3, 11.1, -9.1)),
        *((3.9, 6.2, -4.8), (2.2, 4.9, -3.3), (0.0, 4.2, -2.1)),
        *((0.0, 4.0, -2.3), (2.9, 4.7, -3.8), (7.2, 10.4, -8.5), (2.3, 5.2, -2.8), (0.0, 4.4, -1.2)),
    ),
    "mouthUpperUp": (
        *((0.0, 2.8, -1.2), (1.3, 4.0, -1.4), (1.9, 5.6, -1.5)),
        *((0.0, 8.3, -1.0), (1.3, 8.6, -1.0), (2.1, 8.9, -0.4), (0.2, 4.5, 0.4)),
        *((0.1, 0.7, 0.1), (0.0, 0.4, -0.1), (0.0, 0.4, -0.2)),
        *((0.0, 7.9, -0.4), (1.1, 8.0, -0.2), (-0.1, 3.5, -0.3), (0.0, 0.7, -0.1), (0.0, 0.6, -0.3)),
    ),
    "mouthLowerDown": (
        *((0.0, 0.0, 0.0), (0.0, 0.0, 0.0), (0.0, 0.0, 0.0)),
        *((0.0, 0.0, 0.0), (0.0, 0.0, 0.0), (0.0, -0.2, 0.0), (0.0, -1.2, -0.2)),
        *((1.0, -4.9, -1.5), (0.7, -6.1, -2.0), (0.0, -6.8, -2.3)),
        *((0.0, 0.0, 0.0), (0.0, -0.1, 0.0), (0.0, -1.7, -0.5), (0.4, -6.3, -1.3), (0.0, -7.0, -1.6)),
    ),
    "mouthStretch": (
        *((0.0, -0.3, -0.7), (0.5, -0.3, -0.6), (0.8, -0.4, -0.7)),
        *((0.0, -0.8, -2.1), (1.4, -1.0, -2.4), (2.7, -1.2, -3.3), (6.8, -3.0, -7.4)),
        *((3.6, -0.4, -3.3), (1.7, 0.5, -2.3), (0.0, 1.1, -2.0)),
        *((0.0, -0.2, -1.3), (1.8, -0.5, -2.1), (7.3, -2.5, -7.0), (1.9, -0.2, -1.5), (0.0, 0.1, -0.9)),
    ),
}

_SEAM = (
    ((264, 0.684, 0.347), (322, 0.248, 0.403)),
    ((1628, 0.784, 0.909), (328, 0.051, 0.075)),
    ((295, 0.897, 0.045), (318, 0.985, 0.380)),
    ((297, 0.025, 0.760), (331, 0.990, 0.993)),
    ((2450, 0.714, 0.010), (4293, 0.999, 0.014)),
    ((2448, 0.753, 0.064), (2482, 0.991, 0.993)),
    ((2446, 0.069, 0.844), (2469, 0.376, 0.984)),
    ((3767, 0.894, 0.763), (2479, 0.063, 0.048)),
    ((2415, 0.346, 0.689), (2473, 0.374, 0.242)),
)
"""Where the upper and the lower lip meet, from the viewer's left to the right: a quad of the unsubdivided head and a place
in it. Not taken from the table of landmarks, for that is made on shut lips."""

_HELD_RADIUS_MM = 48.0
_HELD_DEPTH_MM = 35.0
_HELD_ABOVE_MM = 9.0
"""What lies so far from the middle of the lips, so deep in the mouth, or so far above the points, keeps its
motion."""
_FOLD_MM = 12.0
"""Folds narrower than this are smoothed."""
_MIDDLE_MM = 10.0
"""Half the width of the band in which the shapes of both sides share a correction."""
_PRESS_MM = 0.3
"""How far shut lips overlap, so that their outlines touch from everywhere."""
_HOLD = 1e4


def slide_lips(expression: FloatArray, names: tuple[str, ...], head: HeadMesh, mean: FloatArray) -> FloatArray:
    """Expression offsets with the lips' motion corrected.

    Args:
        expression: ``(N, 3, E)`` mm at full weight on the unsubdivided head, object frame.
        names: ``(E,)`` ARKit names.
        head: the unsubdivided head.
        mean: ``(N, 3)`` mean head in mm.
    """
    points = _landmark_rows(head, np.asarray(MEDIAPIPE_68)[[*_POINTS, *(MIRROR_68[k] for k in _POINTS)]])
    solve = _Smooth(head, mean, points)
    share = _smoothstep(mean[:, 0] / (2.0 * _MIDDLE_MM) + 0.5)[:, None]
    corrected = expression.copy()
    for name, motion in _MOTION_MM.items():
        left, right = names.index(f"{name}Left"), names.index(f"{name}Right")
        both, half = expression[..., left] + expression[..., right], np.asarray(motion)
        change = solve(both, np.concatenate([half, half * [-1.0, 1.0, 1.0]])) - both
        corrected[..., left] += share * change
        corrected[..., right] += (1.0 - share) * change
    return corrected


def shut_lips(mean: FloatArray, head: HeadMesh) -> FloatArray:
    """The mean head ``(N, 3)`` with lips that touch: MakeHuman's are half a millimetre apart, which bares the teeth."""
    seam = np.array(_SEAM)
    points = _rows(head, seam[..., 0].T.ravel().astype(int), seam[..., 1:].transpose(1, 0, 2).reshape(-1, 2))
    at = points @ mean
    raised = np.zeros_like(at)
    raised[len(seam) :, 1] = at[: len(seam), 1] - at[len(seam) :, 1] + _PRESS_MM
    return mean + _Smooth(head, mean, points)(np.zeros_like(mean), raised)


def _landmark_rows(head: HeadMesh, numbers: IntArray) -> sparse.csr_matrix:
    """Rows ``(P, N)`` that take head vertices to some of the 478 points."""
    with np.load(str(resources.files("bfm.open") / TABLE), allow_pickle=False) as table:
        return _rows(head, table["quads"][numbers], table["places"][numbers])


def _rows(head: HeadMesh, quads: IntArray, places: FloatArray) -> sparse.csr_matrix:
    """Rows ``(P, N)`` that take head vertices to places ``(P, 2)`` in quads, see :mod:`bfm.open.landmark_table`."""
    s, t = places.T
    weights = np.stack([(1 - s) * (1 - t), s * (1 - t), s * t, (1 - s) * t], axis=1)
    rows = np.repeat(np.arange(len(quads)), 4)
    return sparse.csr_matrix((weights.ravel(), (rows, head.quads[quads].ravel())), shape=(len(quads), len(head.part)))


class _Smooth:
    """Motions of the skin that keep near a given one, hit given values at points, and fold as little as they must."""

    def __init__(self, head: HeadMesh, mean: FloatArray, points: sparse.csr_matrix) -> None:
        triangles, _ = triangulate(head.quads, mean)
        skin = head.part == 0
        stiffness, mass = surface_laplacian(mean, triangles[skin[triangles].all(axis=1)])
        lips = points @ mean
        middle = lips.mean(axis=0)
        far = np.linalg.norm(mean - middle, axis=1) > _HELD_RADIUS_MM
        deep = (mean[:, 2] < middle[2] - _HELD_DEPTH_MM) & (np.abs(mean[:, 0]) < _HELD_DEPTH_MM)
        high = mean[:, 1] > lips[:, 1].max() + _HELD_ABOVE_MM
        bending = stiffness @ sparse.diags(1.0 / mass.diagonal()) @ stiffness
        self._points = points
        self._near = sparse.diags(np.where(far | deep | high | ~skin, _HOLD, mass.diagonal() / _FOLD_MM**4))
        self._factor = splu((bending + self._near + _HOLD * (points.T @ points)).tocsc())

    def __call__(self, motion: FloatArray, values: FloatArray) -> FloatArray:
        """Motion ``(N, 3)`` near ``motion`` with ``values`` ``(P, 3)`` at the points."""
        wanted = self._near @ motion + _HOLD * (self._points.T @ values)
        return np.asarray(self._factor.solve(np.ascontiguousarray(wanted)))


def _smoothstep(x: FloatArray) -> FloatArray:
    x = np.clip(x, 0.0, 1.0)
    return np.asarray(x * x * (3.0 - 2.0 * x))
