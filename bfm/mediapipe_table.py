"""Which of MediaPipe's 478 face points stand for the usual 68, and which mirror each other.

The points are those of the Attention Mesh network (Grishchenko et al. 2020): 468 on the skin, then five on each iris,
first the iris on the viewer's left. Their numbers are constants of the published network.
"""

from __future__ import annotations

N_POINTS = 478
N_SKIN_POINTS = 468

MEDIAPIPE_68: tuple[int, ...] = (
    # jaw, from the viewer's left to the right
    *(162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389),
    *(70, 63, 105, 66, 107),  # brow on the viewer's left
    *(336, 296, 334, 293, 300),
    *(168, 197, 5, 4),  # bridge of the nose, downwards
    *(75, 97, 2, 326, 305),
    *(33, 160, 158, 133, 153, 144),  # eye on the viewer's left
    *(362, 385, 387, 263, 373, 380),
    *(61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181),  # outer lips
    *(78, 82, 13, 312, 308, 317, 14, 87),  # inner lips
)
"""For each of the 68 points (jaw, brows, nose, eyes, lips; Multi-PIE order) the index of the nearest mesh point."""

INNER_LIPS: tuple[tuple[int, int], ...] = (
    *((78, 78), (191, 95), (80, 88), (81, 178), (82, 87), (13, 14)),
    *((312, 317), (311, 402), (310, 318), (415, 324), (308, 308)),
)
"""Upper and lower point of the inner lips from the viewer's left to the right; the corners are one point."""

MIDLINE: tuple[int, ...] = (
    *(0, 1, 2, 4, 5, 6, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19),
    *(94, 151, 152, 164, 168, 175, 195, 197, 199, 200),
)
"""Points on the plane of symmetry."""

_IRIS_PAIRS = ((468, 473), (469, 476), (470, 475), (471, 474), (472, 477))


def _mirror() -> tuple[int, ...]:
    # The mesh numbers the middle and the viewer's left half first, then the right half in the same order.
    left = [i for i in range(248) if i not in MIDLINE]
    right = range(248, N_SKIN_POINTS)
    partner = list(range(N_POINTS))
    for a, b in (*zip(left, right, strict=True), *_IRIS_PAIRS):
        partner[a], partner[b] = b, a
    return tuple(partner)


MIRROR_478: tuple[int, ...] = _mirror()
"""For each of the 478 points its partner on the other half of the face; midline points are their own."""
