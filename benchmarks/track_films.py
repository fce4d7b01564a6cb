"""How steady heads are that are tracked in films, whose truth nobody knows: second differences of single frames, filter and smoother.

    python benchmarks/track_films.py FILM [FILM ...] --quality default --out DIR

Second differences over frames that follow each other without a cut: of the rotation (degrees), of the face's vertices in the camera's frame
(mm) and in the head's own frame, where only expressions move (mm), and of where they are seen, in percent of the face's size. What a head
really does is in them, so that less is not always better: look at ``overlay.mp4``, which is written to ``--out``.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _report import print_header, print_table
from jaxtyping import Float

import bfm
from bfm.model import MorphableModel
from recon.io.video import open_video
from recon.rotation import rotation_angle
from recon.tracking.estimate_file import EstimateFile
from recon.tracking.head_track import HeadTrack
from recon.tracking.output import write_track
from recon.tracking.tracker import Tracker

COLUMNS = ("", "rotation, degrees", "vertices, mm", "expression, mm", "in the picture, %")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("films", type=Path, nargs="+")
    parser.add_argument("--quality", choices=("fast", "default"), default="default")
    parser.add_argument("--out", type=Path, help="also write the tracks there")
    arguments = parser.parse_args()
    print_header(1)
    model = bfm.load("open")
    for film in arguments.films:
        heading, rows = _measured(model, film, arguments)
        print_table(heading, COLUMNS, rows)


def _measured(model: MorphableModel, film: Path, arguments: argparse.Namespace) -> tuple[str, list[list[str]]]:
    """What is told of a film, and a row a way to track."""
    with tempfile.TemporaryDirectory() as folder:
        work, video = Path(folder), open_video(film)
        (two_pass,) = Tracker(model, arguments.quality)(video, work)
        (causal,) = Tracker(model, arguments.quality, causal=True)(video, work)
        estimates = EstimateFile(work / "person1" / "estimates.bin", model.n_expression)
        single = {_microseconds(one.time_s): one for one in (estimates[k] for k in range(len(estimates)))}
    at = np.flatnonzero(two_pass.found).tolist()
    rows = [
        ["single frames", *_cells(model, two_pass, {k: single[_microseconds(two_pass.time_s[k])] for k in at})],
        *(
            [name, *_cells(model, track, {k: _Row(track, k) for k in at})]
            for name, track in (("causal", causal), ("two-pass", two_pass))
        ),
    ]
    if arguments.out is not None:
        place = arguments.out / film.stem
        place.mkdir(parents=True, exist_ok=True)
        write_track(place, two_pass, video, overwrite=True)
    return f"{film.name}: a head in {len(at)} of {len(two_pass)} frames, {len(two_pass.cuts)} cuts", rows


class _Row:
    """A frame of a track."""

    def __init__(self, track: HeadTrack, position: int) -> None:
        self.rotation, self.translation_mm = track.rotation[position], track.translation_mm[position]
        self.expression = track.expression[position]


def _microseconds(time_s: float) -> int:
    return round(1e6 * float(time_s))


def _cells(model: MorphableModel, track: HeadTrack, frames: Mapping[int, Any]) -> list[str]:
    """Mean second differences over all three frames that follow each other in one scene."""
    sums, n = np.zeros(4), 0
    for middle in frames:
        three = (middle - 1, middle, middle + 1)
        if not all(k in frames for k in three) or any(k in track.cuts for k in three[1:]):
            continue
        sums += _second_differences(model, track, [frames[k] for k in three])
        n += 1
    return [f"{value:.3f}" for value in sums / max(n, 1)]


def _second_differences(model: MorphableModel, track: HeadTrack, three: list) -> Float[np.ndarray, " 4"]:
    rotation, translation_mm, expression = (
        torch.from_numpy(np.stack([getattr(one, name) for one in three])).float()
        for name in ("rotation", "translation_mm", "expression")
    )
    v_obj = model.shape(track.person.identity, expression.clamp(0.0, 1.0))[:, model.region("face")]
    v_cam = v_obj @ rotation.transpose(1, 2) + translation_mm[:, None]
    seen_px = track.person.focal_px * v_cam[..., :2] / -v_cam[..., 2:]
    size_px = float((seen_px[1].max(dim=0).values - seen_px[1].min(dim=0).values).prod().sqrt())
    # The turn from the first step to the second.
    steps = rotation[1:].double() @ rotation[:-1].double().transpose(1, 2)
    turn = float(torch.rad2deg(rotation_angle(steps[:1], steps[1:]))[0])
    return np.array([turn, _bend(v_cam), _bend(v_obj), 100.0 * _bend(seen_px) / size_px])


def _bend(points: Float[torch.Tensor, "3 v c"]) -> float:
    return float((points[2] - 2.0 * points[1] + points[0]).norm(dim=-1).mean())


if __name__ == "__main__":
    main()
