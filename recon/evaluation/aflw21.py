"""The 21 points of AFLW (Koestinger et al. 2011) on a reconstructed head.

Order, left and right as the viewer sees them: brows (left corner, centre, right corner, twice), eyes (left corner, centre,
right corner, twice), left ear lobe, nose left, tip, right, right ear lobe, mouth left corner, centre, right corner, chin.
The order was checked against the 68 points on the samples of AFLW2000-3D, whose ``pt2d`` holds them.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float

from recon.reconstruction import Reconstruction

N_POINTS = 21
_OF_68: tuple[tuple[int, ...], ...] = (
    *((17,), (19,), (21,), (22,), (24,), (26,)),
    *((36,), (36, 37, 38, 39, 40, 41), (39,), (42,), (42, 43, 44, 45, 46, 47), (45,)),
    *((), (31,), (30,), (35,), ()),
    *((48,), (62, 66), (54,), (8,)),
)
"""For each point those of the 68 whose mean it is; the ears have none."""
_EARS = (12, 16)


def aflw21_px(head: Reconstruction) -> Float[np.ndarray, "21 2"]:
    """The points in pixels; nan for the ear lobes of a model without the region ``ears``."""
    marks = head.landmarks_mm("68")
    points = np.stack([marks[list(rows)].mean(axis=0) if rows else np.full(3, np.nan) for rows in _OF_68])
    if "ears" in head.model.region_names:
        ears = np.nonzero(head.model.region("ears").cpu().numpy())[0]
        mean = head.model.mean_shape.cpu().numpy()
        for place, side in zip(_EARS, (-1.0, 1.0), strict=True):
            own = ears[mean[ears, 0] * side > 0.0]
            points[place] = head.vertices[own[np.argmin(mean[own, 1])]]
    points_cam = head.camera.to_camera(torch.as_tensor(points, dtype=torch.float32)[None])
    return head.camera.to_pixels(points_cam)[0].double().numpy()
