"""Where a person's head is, from the body: in profile, the body is found more surely than the face."""

from __future__ import annotations

import numpy as np
from jaxtyping import UInt8

from recon.detection.mediapipe_graphs import Graph
from recon.detection.quiet import without_lines
from recon.detection.regions import Roi, picture_size, reduced

_POINTS_ON_HEAD = 11
_CHATTER = "landmark_projection_calculator.cc"
_LARGEST_PX = 1280
"""Larger photos are reduced to this: more does not find more people."""


def head_of_person(graph: Graph, image: UInt8[np.ndarray, "h w 3"]) -> Roi | None:
    """The extent of the nose, eyes, ears and mouth corners of the one person that the network finds, or None.

    Args:
        graph: :func:`recon.detection.mediapipe_graphs.body_graph`.
        image: RGB.
    """
    from mediapipe.python import packet_getter

    small, to_image = reduced(image, max(picture_size(image)) / _LARGEST_PX)
    with without_lines(_CHATTER):
        packets = graph.run(small)
    if "landmarks" not in packets:
        return None
    height, width = picture_size(small)
    marks = packet_getter.get_proto(packets["landmarks"]).landmark[:_POINTS_ON_HEAD]
    points = np.array([(mark.x * width, mark.y * height) for mark in marks])
    low, high = points.min(axis=0), points.max(axis=0)
    x, y = (0.5 * (low + high)).tolist()
    side_px = float((high - low).max())
    return Roi(x, y, side_px, 0.0).moved(to_image) if side_px > 0.0 else None
