"""Lips that slide over the teeth: a correction of MakeHuman's mouth shapes.

MakeHuman's shapes lift and part the lips in a plane: at a full smile the middle of the mouth neither widens nor moves back
against the teeth, the lower lip rises 3 mm into the upper one, and lips part half as far as in other ARKit rigs. A smile
that shows teeth then needs an open jaw, and its upper lip stands out like a beak in profile. Here the lips' landmarks
move as they do in ICT-FaceKit, whose shapes were made from scans (Li et al. 2020; MIT licence; measured on its neutral
mean, turned and scaled to this head, see ``benchmarks/ict_anatomy.py``). Between the landmarks the skin follows MakeHuman's motion
at large, but smoothly: the folds that it cuts beside a smile are those of an old face.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import splu

from bfm.data import FloatArray, IntArray
from bfm.open.head_mesh import HeadMesh
from bfm.open.laplacian import surface_laplacian
from bfm.open.quads import triangulate

_Place = tuple[int, float, float]

_POINTS: tuple[tuple[_Place, _Place], ...] = (
    ((212, 0.813283, 0.07418914), (212, 0.813283, 0.07418914)),
    ((2339, 0.904625, 0.89978206), (188, 0.94452477, 0.8515082)),
    ((2351, 0.7193131, 0.64796066), (200, 0.5692553, 0.69867355)),
    ((304, 0.0054409322, 0.42919195), (304, 0.0054409322, 0.42919195)),
    ((2453, 0.19582134, 0.46896884), (302, 0.47775814, 0.1961724)),
    ((3790, 0.33531794, 0.86151856), (1651, 0.8646757, 0.33345726)),
    ((3763, 0.27043012, 0.10349927), (1624, 0.0622699, 0.27987784)),
    ((2460, 0.15739414, 0.33243623), (309, 0.33404598, 0.15795107)),
    ((2468, 0.19857912, 0.9317514), (317, 0.9312529, 0.20010412)),
    ((4295, 0.0017210717, 0.19970742), (4295, 0.0017210717, 0.19970742)),
    ((2450, 0.4581178, 0.007734387), (2450, 0.4581178, 0.007734387)),
    ((2448, 0.506174, 0.042648613), (297, 0.008813843, 0.5125955)),
    ((2419, 0.55432284, 0.07468996), (268, 0.019490853, 0.6020232)),
    ((4293, 0.00019765897, 0.56217474), (438, 0.5563123, 0.0014343885)),
    ((438, 0.58010995, 0.9994791), (438, 0.58010995, 0.9994791)),
)
"""Under the nose, outer and inner lips (33 to 35, 51 to 57 and 62 to 66 of the 68), from the middle to the person's left,
and their mirror images: a quad of the unsubdivided head and a place in it. They stand for ICT-FaceKit's landmarks, not for
a detector's marks, whose table may move."""

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

_SEAM: tuple[tuple[_Place, _Place], ...] = (
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
    points = _pair_rows(head, _POINTS)
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
    points = _pair_rows(head, _SEAM)
    at = points @ mean
    raised = np.zeros_like(at)
    raised[len(_SEAM) :, 1] = at[: len(_SEAM), 1] - at[len(_SEAM) :, 1] + _PRESS_MM
    return mean + _Smooth(head, mean, points)(np.zeros_like(mean), raised)


def _pair_rows(head: HeadMesh, pairs: tuple[tuple[_Place, _Place], ...]) -> sparse.csr_matrix:
    """:func:`_rows` of the first of each pair, then of the second."""
    places = np.array(pairs).transpose(1, 0, 2).reshape(-1, 3)
    return _rows(head, places[:, 0].astype(int), places[:, 1:])


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
