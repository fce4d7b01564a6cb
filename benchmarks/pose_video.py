"""Speed and error of head poses in a video of 720p, which is drawn first, with its truth.

    python benchmarks/pose_video.py --method sixd --checkpoint best.safetensors --threads 2
    python benchmarks/pose_video.py --method sixd --checkpoint sixd.onnx --clip clip.mp4

A drawn head of the open model turns by up to 50 degrees of yaw, 20 of pitch and 15 of roll and moves through the picture. Reading,
following, telling the pose and making the row are timed together, as ``recon pose`` does them; opening networks is not. Both the time by
the clock and that of the processors are printed: on a machine with other work the latter tells what would be reached alone.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from _report import print_header, print_table

import bfm
from recon.camera import PerspectiveCamera
from recon.color import encode_srgb
from recon.datasets.pose_conventions import matrix_to_angles
from recon.evaluation.metrics.pose import angle_differences, geodesic_deg
from recon.export.pose_video_files import PoseRows
from recon.inference.estimate_poses import PoseOptions, open_pose_estimator
from recon.inference.face_tracks import TrackingConfig
from recon.inference.head_pose import METHODS
from recon.inference.video_poses import VideoPoses, make_tracks
from recon.io.image import Photo
from recon.io.video import open_video
from recon.io.write_video import VideoWriter
from recon.lighting import ambient, lamps_to_sh
from recon.render import Mesh, Topology, render
from recon.rotation import euler_to_matrix, turn_to_ray

SIZE, FPS, FOCAL_PX = (720, 1280), 30.0, 1400.0
LARGEST_DEG = (20.0, 50.0, 15.0)


def paths(n_frames: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Rotations ``(N, 3, 3)`` and places ``(N, 3)`` in mm, smooth in time."""
    turn = 2.0 * torch.pi * torch.arange(n_frames) / FPS
    waves = torch.stack((torch.sin(0.37 * turn + 1.0), torch.sin(0.23 * turn), torch.sin(0.31 * turn + 2.0)), dim=1)
    places = torch.stack(
        (180.0 * torch.sin(0.17 * turn), 60.0 * torch.sin(0.29 * turn), -900.0 + 150.0 * torch.sin(0.11 * turn)), dim=1
    )
    return euler_to_matrix(torch.deg2rad(torch.tensor(LARGEST_DEG)) * waves), places


@torch.no_grad()
def draw(path: Path, n_frames: int) -> None:
    """Write the clip."""
    model, generator = bfm.load("open"), torch.Generator().manual_seed(3)
    v_obj = model.shape(0.7 * torch.randn(1, model.n_identity, generator=generator))
    albedo = model.albedo(0.7 * torch.randn(1, model.n_albedo, generator=generator))
    mesh = Mesh.of(v_obj, Topology.of(model.faces, model.n_vertices), albedo)
    light = ambient(torch.full((1, 3), 0.5)) + lamps_to_sh(
        torch.tensor([[[0.5, 0.5, 0.9]]]), torch.full((1, 1, 3), 1.2)
    )
    coarse = 0.05 + 0.5 * torch.rand(1, 3, 9, 16, generator=generator)
    behind = torch.nn.functional.interpolate(coarse, SIZE, mode="bicubic", align_corners=True).clamp(0.0, 1.0)
    rotations, places_mm = paths(n_frames)
    noise = np.random.default_rng(0)
    with VideoWriter(path, FPS, overwrite=True) as writer:
        for rotation, place_mm in zip(rotations, places_mm, strict=True):
            camera = PerspectiveCamera.at(
                rotation[None], place_mm[None], size=SIZE, focal_px=torch.full((1, 2), FOCAL_PX)
            )
            linear = render(mesh, camera, light, SIZE, behind).image
            shown = 255.0 * encode_srgb(linear, "linear")[0].permute(1, 2, 0).numpy()
            writer.write((shown + noise.normal(0.0, 1.5, shown.shape)).round().clip(0, 255).astype(np.uint8))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--method", choices=METHODS, default="sixd")
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--frames", type=int, default=120)
    parser.add_argument("--clip", type=Path, help="where the clip is kept; it is drawn if it is not there")
    parser.add_argument("--search-every", type=int, default=TrackingConfig().search_every)
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    print_header(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        clip = options.clip or Path(folder) / "clip.mp4"
        if not clip.exists():
            draw(clip, options.frames)
        measure(clip, options)


def measure(clip: Path, options: argparse.Namespace) -> None:
    chosen = PoseOptions(options.method, options.checkpoint)
    rotations, places_mm = (values.double() for values in paths(options.frames))
    true_ray = (turn_to_ray(places_mm).mT @ rotations).numpy()
    with open_pose_estimator(chosen) as estimator:
        tracks = make_tracks(estimator, chosen, TrackingConfig(search_every=options.search_every))
        video, rows = open_video(clip), PoseRows()
        poses = VideoPoses(video, clip, estimator, tracks)
        found: dict[int, np.ndarray] = {}
        times, wall, processor = [], time.perf_counter(), time.process_time()
        for frame in poses:
            for person in frame.people:
                if person.pose is not None and person.person is not None and frame.frame is not None:
                    rows.add(frame.index, frame.time_s, person.person, person.pose, Photo(frame.frame.pixels))
                    found[frame.index] = person.pose.rotation_ray
            times.append(time.perf_counter())
        wall, processor = time.perf_counter() - wall, time.process_time() - processor
    steps_ms = 1e3 * np.diff(times)
    n_frames = len(times)
    print_table(
        f"{n_frames} frames of {SIZE[1]} x {SIZE[0]}, {options.method}, a search every {options.search_every} frames",
        ["frames a second", "ms a frame, median", "least", "processor ms a frame", "frames a second of one processor"],
        [
            [
                f"{n_frames / wall:.1f}",
                f"{np.median(steps_ms):.1f}",
                f"{steps_ms.min():.1f}",
                f"{1e3 * processor / n_frames:.1f}",
                f"{n_frames / processor:.1f}",
            ]
        ],
    )
    if not found:
        raise SystemExit("no frame has a pose")
    index = sorted(found)
    geodesic = [geodesic_deg(found[k], true_ray[k]) for k in index]
    angles = np.array([angle_differences(matrix_to_angles(found[k]), matrix_to_angles(true_ray[k])) for k in index])
    print_table(
        f"Against the truth, degrees; {n_frames - len(index)} frames without a pose, {len(rows.people)} person numbers",
        ["mean absolute error", "yaw", "pitch", "roll", "geodesic"],
        [[f"{value:.2f}" for value in (angles.mean(), *angles.mean(axis=0), np.mean(geodesic))]],
    )


if __name__ == "__main__":
    main()
