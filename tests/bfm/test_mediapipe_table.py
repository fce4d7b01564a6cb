from __future__ import annotations

import warnings

from bfm.mediapipe_table import MEDIAPIPE_68, MIDLINE, MIRROR_478

# Mirror partners of the 68 points: jaw, brows, nose, eyes, outer and inner lips.
MIRROR_68 = [
    *(16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17),
    *(27, 28, 29, 30, 35, 34, 33, 32, 31, 45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40),
    *(54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65),
]


def test_mirror_is_an_involution_that_fixes_the_midline() -> None:
    assert len(MIRROR_478) == 478
    assert all(MIRROR_478[MIRROR_478[i]] == i for i in range(478))
    assert tuple(i for i in range(478) if MIRROR_478[i] == i) == MIDLINE


def test_mirror_keeps_the_outlines_of_the_mesh() -> None:
    """Lips, eyes, brows, face oval and irises are symmetric; of the inner mesh only six diagonals are not."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # importing mediapipe's drawing tables, not our code
        from mediapipe.python.solutions import face_mesh_connections as tables

    def undirected(edges) -> set[frozenset[int]]:
        return {frozenset(edge) for edge in edges}

    def mirrored(edges) -> set[frozenset[int]]:
        return {frozenset((MIRROR_478[a], MIRROR_478[b])) for a, b in edges}

    outlines = undirected(tables.FACEMESH_CONTOURS) | undirected(tables.FACEMESH_IRISES)
    assert mirrored(outlines) == outlines
    mesh = undirected(tables.FACEMESH_TESSELATION)
    assert len(mirrored(mesh) - mesh) == 6


def test_68_points_are_distinct_and_symmetric() -> None:
    assert len(set(MEDIAPIPE_68)) == 68
    assert [MIRROR_478[i] for i in MEDIAPIPE_68] == [MEDIAPIPE_68[j] for j in MIRROR_68]
