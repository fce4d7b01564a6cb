"""Makes ``bfm/open/landmarks478.npz``: ``python tools/make_landmark_table.py``.

Needed only when the mesh or the paint of the open model changes; the table is part of the package.
"""

from __future__ import annotations

import dataclasses
import io
import sys
from pathlib import Path

import numpy as np

import bfm.open
from bfm.mediapipe_table import INNER_LIPS, MIRROR_478
from bfm.model import MorphableModel
from bfm.open.build import build_without_landmarks
from bfm.open.landmark_table import TABLE, ascend, landmark_sets, triangle_to_quad
from bfm.open.options import BuildOptions
from recon.detection.detect import open_detector
from recon.landmark_transfer.people import move_to_front_marks
from recon.landmark_transfer.transfer import Transfer, transfer_landmarks


def main() -> None:
    """Build the model without landmarks, transfer the detector's points, write the table and say how well they agree."""
    options = BuildOptions()
    data, cut_ac = build_without_landmarks(options, lambda stage, share: None)
    mirror = np.asarray(MIRROR_478)
    with open_detector("mediapipe") as detector:

        def marks(image: np.ndarray) -> np.ndarray | None:
            faces = detector.detect(image, 24.0)
            found = faces[0].landmarks478 if len(faces) == 1 else None
            return None if found is None else found[:, :2]

        def table(result: Transfer) -> tuple[np.ndarray, np.ndarray]:
            return ascend(*triangle_to_quad(result.points, cut_ac), options.levels)

        def report(title: str, result: Transfer) -> None:
            quartiles = np.nanpercentile(result.spread_mm, [25, 50, 75])
            found, of = result.n_views
            sys.stdout.write(f"{title}: {found} of {of} views, spread quartiles {quartiles.round(2)} mm\n")

        around = transfer_landmarks(MorphableModel(data), marks, mirror, touching=INNER_LIPS)
        report("mean head from all sides", around)
        skin = data.regions["skin"]
        sets = landmark_sets(data.mean_shape, data.faces, cut_ac, options.levels, skin, table(around))
        model = MorphableModel(dataclasses.replace(data, landmarks=sets))
        moved = move_to_front_marks(model, marks, mirror, INNER_LIPS)
        report("people from the front", moved)
    quads, places = table(moved)
    buffer = io.BytesIO()
    np.savez(buffer, quads=quads.astype(np.int32), places=places.astype(np.float32))
    path = Path(bfm.open.__file__).with_name(TABLE)
    path.write_bytes(buffer.getvalue())
    sys.stdout.write(f"wrote {path}\n")


if __name__ == "__main__":
    main()
