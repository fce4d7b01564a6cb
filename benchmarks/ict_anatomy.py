"""The open model's nose, teeth and lips beside ICT-FaceKit's, whose shapes come from scans.

    python benchmarks/ict_anatomy.py --ict DIR

DIR is ICT-FaceKit's FaceXModel folder (MIT licence). Prints the profile of both mean noses, how far the teeth lie behind
the lips, how far the rows overlap and how wide they are, and where the lips' landmarks go at full weight of the mouth
shapes. ``bfm/open/lip_motion.py``, the means of the nose's sliders in ``bfm/open/identity.py`` and the places of the teeth
in ``bfm/open/build.py`` were made from these figures. ICT-FaceKit is turned and scaled to the open
head by brows, eyes, nose and mouth, and its landmarks are moved along the lips to where the open model's lie.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from _report import print_header, print_table
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

import bfm
from bfm.model import MorphableModel
from recon.alignment import fit_similarity

PAIRS = ("mouthSmile", "mouthUpperUp", "mouthLowerDown", "mouthStretch")
CHAINS = ((33, 34, 35), (51, 52, 53, 54), (57, 56, 55, 54), (62, 63, 64), (66, 65, 64))
"""Of the 68: under the nose and along the lips, from the middle to the person's left."""
EYES_BEHIND_MM = 2.8
"""ICT-FaceKit's eyes lie so much deeper behind brow, nose and lips."""
HEIGHTS_MM = np.arange(-57.0, 1.0, 3.0)
HALF_WIDTH_MM, HALF_STEP_MM = 1.2, 1.6
INCISOR_MM = 3.0


def landmarks(model: MorphableModel, pair: str | None = None) -> np.ndarray:
    """The 68 landmarks ``(68, 3)`` of the mean face, both shapes of a pair at full weight."""
    weights = torch.zeros(1, model.n_expression)
    for index, name in enumerate(model.expression_names):
        weights[0, index] = float(pair is not None and name.startswith(pair))
    return model.landmarks68(model.shape(expression=weights))[0].double().numpy()


def turn_and_scale(source: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, float]:
    """Rotation ``(3, 3)`` by the landmarks without the jaw, and the ratio of the distances between the outer eye corners."""
    width = [np.linalg.norm(points[36] - points[45]) for points in (source, target)]
    return fit_similarity(source[17:], target[17:]).rotation, float(width[1] / width[0])


def profile(vertices: np.ndarray, skin: np.ndarray) -> np.ndarray:
    """The foremost z at each height on the middle of the face, mm from the middle of the eyes' outer corners."""
    middle = vertices[skin & (np.abs(vertices[:, 0]) < HALF_WIDTH_MM)]
    near = np.abs(middle[:, 1] - HEIGHTS_MM[:, None]) < HALF_STEP_MM
    return np.where(near.any(axis=1), np.where(near, middle[:, 2], -np.inf).max(axis=1), np.nan)


def rows_of_teeth(model: MorphableModel) -> tuple[np.ndarray, np.ndarray]:
    """Vertices ``(N, 3)`` of the upper and of the lower row, which hang together or, as in ICT-FaceKit, tooth by tooth."""
    teeth = model.region("teeth")
    within = model.faces[teeth[model.faces].all(dim=1)]
    edges = torch.cat([within[:, [0, 1]], within[:, [1, 2]]]).numpy()
    graph = coo_matrix((np.ones(len(edges)), edges.T), shape=(model.n_vertices, model.n_vertices))
    _, piece = connected_components(graph, directed=False)
    vertices = model.mean_shape.double().numpy()
    pieces = [vertices[piece == number] for number in np.unique(piece[teeth.numpy()])]
    middles = np.array([points[:, 1].mean() for points in pieces])
    above = middles > 0.5 * (middles.min() + middles.max())
    upper, lower = (np.concatenate([p for p, up in zip(pieces, above, strict=True) if up == side]) for side in (1, 0))
    return upper, lower


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ict", required=True, metavar="DIR")
    options = parser.parse_args()
    print_header()
    ours, theirs = bfm.load("open"), bfm.load("ict", path=options.ict)
    here, there = landmarks(ours), landmarks(theirs)
    rotation, scale = turn_and_scale(there, here)
    noses = []
    for model, marks, turn, size, shift in (
        (ours, here, np.eye(3), 1.0, 0.0),
        (theirs, there, rotation, scale, EYES_BEHIND_MM),
    ):
        skin = model.region("skin" if "skin" in model.region_names else "face").numpy()
        centred = (model.mean_shape.double().numpy() - 0.5 * (marks[36] + marks[45])) * size @ turn.T
        noses.append(profile(centred - [0.0, 0.0, shift], skin))
        teeth = model.mean_shape[model.region("teeth")].double().numpy()
        behind = marks[51, 2] - teeth[np.abs(teeth[:, 0]) < INCISOR_MM, 2].max()
        upper, lower = rows_of_teeth(model)
        bite = lower[np.abs(lower[:, 0]) < INCISOR_MM, 1].max() - upper[np.abs(upper[:, 0]) < INCISOR_MM, 1].min()
        widths = " and ".join(f"{size * np.ptp(row[:, 0]):.0f}" for row in (upper, lower))
        print(f"{model.name}: incisors {size * behind:.1f} mm behind the upper lip, overbite {size * bite:.1f} mm")
        print(f"{model.name}: rows of teeth {widths} mm wide")
    rows = [[f"{y:.0f}", f"{a:.1f}", f"{b:.1f}"] for y, a, b in zip(HEIGHTS_MM, *noses, strict=True)]
    print_table("profile of the mean face", ["height, mm", "open", "ict"], rows[::-1])
    for pair in PAIRS:
        moved = (landmarks(theirs, pair) - there) * scale @ rotation.T
        own = landmarks(ours, pair) - here
        rows = []
        for chain in CHAINS:
            points = list(chain)
            along = [marks[points, 0] / marks[54, 0] for marks in (there, here)]
            for row, index in enumerate(points):
                wanted = [float(np.interp(along[1][row], along[0], moved[points, axis])) for axis in range(3)]
                rows.append([str(index), *(" ".join(f"{x:5.1f}" for x in motion) for motion in (wanted, own[index]))])
        print_table(f"{pair}, both sides, mm", ["landmark", "ict", "open"], rows)


if __name__ == "__main__":
    main()
