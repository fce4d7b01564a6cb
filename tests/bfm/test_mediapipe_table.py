from __future__ import annotations

import warnings

import pytest

from bfm.landmarks import MIRROR_68
from bfm.mediapipe_table import MEDIAPIPE_68, MIDLINE, MIRROR_478


def test_mirror_is_an_involution_that_fixes_the_midline() -> None:
    assert len(MIRROR_478) == 478
    assert all(MIRROR_478[MIRROR_478[i]] == i for i in range(478))
    assert tuple(i for i in range(478) if MIRROR_478[i] == i) == MIDLINE


def test_mirror_keeps_the_outlines_of_the_mesh() -> None:
    """Lips, eyes, brows, face oval and irises are symmetric; of the inner mesh only six diagonals are not."""
    pytest.importorskip("mediapipe", reason="the extra mediapipe is not installed")
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
