"""Memory of tracking against the length of a video.

    python benchmarks/track_memory.py --frames 1000 10000

What faces, fits and lights leave on the disk is simulated: one person whose head turns and speaks. The tracker goes on from there, as
after a kill: it reads all frames, puts people together, estimates the motion and smooths it, and the tables are written. So all is run
that could grow with the video; what works on one frame at a time is not. Each length has a process of its own. Pages of mapped files
are counted apart: the system takes them back when it wants them.
"""

from __future__ import annotations

import argparse
import dataclasses
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from _report import print_header, print_table
from scipy.spatial.transform import Rotation

from recon.io.video import Frame

_FPS, _SIZE = 25.0, (36, 64)
_SIGMA_RAD, _SIGMA_MM, _SIGMA_WEIGHT = 0.01, 3.0, 0.05
_LOOK_EVERY = 3


@dataclasses.dataclass(frozen=True)
class SimulatedVideo:
    """As much of a :class:`recon.io.video.Video` as tracking asks of one: grey frames."""

    n_frames: int
    source: Path = Path("simulated.mp4")
    size: tuple[int, int] = _SIZE
    fps: float = _FPS
    wanted_fps: None = None

    def __iter__(self) -> Iterator[Frame]:
        for index in range(self.n_frames):
            yield Frame(index, index / _FPS, np.full((*_SIZE, 3), 128, np.uint8))


def simulate(folder: Path, n_frames: int, n_identity: int, n_expression: int, n_albedo: int) -> None:
    """Write what a run leaves in its working folder when all single frames are done."""
    from recon.inference.identity import FaceEmbedder
    from recon.tracking.estimate_file import EstimateFile
    from recon.tracking.motion import N_POSE, FrameEstimate
    from recon.tracking.seen import SeenFile, SeenFrame, face_dtype, frame_record

    face_type = face_dtype(n_expression, FaceEmbedder().size)
    rng = np.random.default_rng(0)
    place = folder / "person1"
    place.mkdir(parents=True)
    np.savez(
        place / "person.npz",
        identity=np.zeros((1, n_identity), np.float32),
        albedo=np.zeros((1, n_albedo), np.float32),
        focal_px=60.0,
        principal_px=np.array([_SIZE[1] / 2, _SIZE[0] / 2]),
    )
    seen = SeenFile(folder / "seen", face_type)
    estimates = EstimateFile(place / "estimates.bin", n_expression)
    sigma = np.concatenate([np.full(3, _SIGMA_RAD), np.full(3, _SIGMA_MM), np.full(n_expression, _SIGMA_WEIGHT)])
    evidence = np.diag(sigma**-2.0)
    for k in range(n_frames):
        time_s = k / _FPS
        face = np.zeros(1, face_type)
        face["frame"], face["score"], face["box"], face["sharpness"] = k, 0.9, [20.0, 8.0, 44.0, 32.0], 1.0
        face["embedding"][:, 0] = 1.0
        face["lifted"] = k % _LOOK_EVERY == 0
        face["rotvec"] = [0.0, 0.5 * np.sin(time_s), 0.0]
        record = frame_record(index=k, time_s=time_s, next_track=1, n_faces=1)
        seen.append(SeenFrame(record, face))
        weights = 0.3 + 0.2 * np.sin(time_s * np.linspace(0.5, 3.0, n_expression))
        noise = sigma * rng.standard_normal(N_POSE + n_expression)
        turn = Rotation.from_rotvec(noise[:3] + [0.0, 0.5 * np.sin(time_s), 0.0])
        place_mm = noise[3:N_POSE] + [10.0 * np.sin(0.7 * time_s), 0.0, -600.0]
        estimates.append(
            FrameEstimate(time_s, turn.as_matrix(), place_mm, weights + noise[N_POSE:], 1.01 * evidence, evidence)
        )
    np.full(n_frames, 0.01).tofile(place / "errors.bin")
    np.tile(0.5, (n_frames, 27)).tofile(place / "light.bin")


def measure(n_frames: int) -> None:
    """Track a simulated video and print what memory it took."""
    import torch

    import bfm
    from recon.export.track_files import track_json, transforms_json, weights_csv
    from recon.tracking.output import animation_of, track_table
    from recon.tracking.tracker import Tracker

    torch.set_num_threads(1)
    model = bfm.load("open")
    tracker = Tracker(model, "fast")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        simulate(folder, n_frames, model.n_identity, model.n_expression, model.n_albedo)
        before, most, stop = _memory_mb(), [0.0, 0.0], threading.Event()

        def watch() -> None:
            while not stop.wait(0.02):
                most[:] = np.maximum(most, _memory_mb()).tolist()

        watcher = threading.Thread(target=watch)
        watcher.start()
        started_s = time.process_time()
        (track,) = tracker(SimulatedVideo(n_frames), folder)  # type: ignore[arg-type]
        tracked_s, tracked = time.process_time() - started_s, list(most)
        assert track.found.all()
        table = track_table(track)
        lens = {"focal_px": 60.0, "principal_x_px": _SIZE[1] / 2, "principal_y_px": _SIZE[0] / 2}
        written = [weights_csv(table), track_json(table, {}), transforms_json(table, lens, _SIZE), animation_of(track)]
        assert all(written)
        stop.set()
        watcher.join()
    values = [before[0], *tracked, *most, tracked_s]
    print(" ".join(f"{value:.1f}" for value in values))


def _memory_mb() -> tuple[float, float]:
    """Of this process: its own, and pages of mapped files."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    own, mapped = (float(lines[name].split()[0]) / 1024.0 for name in ("RssAnon", "RssFile"))
    return own, mapped


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, nargs="+", default=[1000, 10000])
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one is not None:
        measure(arguments.one)
        return
    print_header(1)
    rows = []
    for n_frames in arguments.frames:
        command = [sys.executable, __file__, "--one", str(n_frames)]
        answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
        rows.append((n_frames, *answer[-6:]))
    columns = (
        "frames",
        "before, MB",
        "tracking, MB",
        "mapped files, MB",
        "with the tables, MB",
        "mapped files, MB",
        "tracking, s of a processor",
    )
    print_table("Most memory", columns, rows)


if __name__ == "__main__":
    main()
