"""How fast synthetic faces are made, and how far their labels can be trusted.

python benchmarks/synthesis.py                      speed on this machine, two threads
python benchmarks/synthesis.py --memory 50000       memory over many samples
python benchmarks/synthesis.py --detect 200         share of pictures in which MediaPipe finds the face
python benchmarks/synthesis.py --check              labels against trimesh, Procrustes and projection
python benchmarks/synthesis.py --cycles 3           time and depth of path-traced frames, 640x480 (needs bpy)
"""

from __future__ import annotations

import argparse
import resource
import time
from pathlib import Path

import numpy as np
import torch
from _report import print_header, print_table

import bfm
from recon.synthesis import FaceBatch, FaceSampler, SynthesisConfig

PAPER_SECONDS = "26.3-57.6"
"""Seconds a frame of 640x480 that Basak et al. 2020 (57.6) and 2021 (26.3) give for path tracing."""
_BATCH = 16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batches", type=int, default=8, help="batches of 16 timed [8]")
    parser.add_argument("--memory", type=int, metavar="N", help="render N samples and print the memory held on the way")
    parser.add_argument("--detect", type=int, metavar="N", help="look for the face in N pictures within yaw 60")
    parser.add_argument("--check", action="store_true", help="check labels independently")
    parser.add_argument("--cycles", type=int, metavar="N", help="path-trace N frames of the papers' capture modes")
    arguments = parser.parse_args()
    print_header(arguments.threads)
    model = bfm.load("open")
    if arguments.memory:
        _memory(FaceSampler(model, device=arguments.device), arguments.memory)
    elif arguments.detect:
        _detect(FaceSampler(model, SynthesisConfig(yaw_deg=60.0)), arguments.detect)
    elif arguments.cycles:
        _cycles(model, arguments.cycles, arguments.threads)
    elif arguments.check:
        _check(model)
    else:
        _speed(model, arguments)


def _speed(model, arguments) -> None:  # type: ignore[no-untyped-def]
    rows = []
    for title, config, size in (
        ("everything on, 224x224", SynthesisConfig(), (224, 224)),
        ("everything on, 128x128", SynthesisConfig(), (128, 128)),
        ("everything on, coarse mesh, 128x128", SynthesisConfig(mesh="coarse"), (128, 128)),
        ("clean, 224x224", SynthesisConfig.clean(), (224, 224)),
        ("everything on, 480x640", SynthesisConfig(framing="free", field_of_view_deg=60.0), (480, 640)),
    ):
        sampler = FaceSampler(model, config, size=size, device=arguments.device)
        sampler.batch(range(_BATCH))
        wall, used, n = time.perf_counter(), time.process_time(), 0
        for k in range(1, 1 + arguments.batches):
            batch = sampler.batch(range(_BATCH * k, _BATCH * (k + 1)))
            n += len(batch)
        if batch.image.is_cuda:
            torch.cuda.synchronize()
        wall, used = time.perf_counter() - wall, time.process_time() - used
        rows.append((title, f"{n / wall:.1f}", f"{1000 * wall / n:.1f}", f"{1000 * used / n:.1f}"))
    print_table("Speed", ("", "samples/s", "ms a sample", "processor ms a sample"), rows)
    print(f"\nThe papers need {PAPER_SECONDS} s a frame at 640x480; ours takes {float(rows[-1][2]) / 1000:.3f} s.")


def _memory(sampler: FaceSampler, count: int) -> None:
    rows, marks = [], {1, 2, 5, 10, 25, 50, 100}
    for done in range(0, count, _BATCH):
        sampler.batch(range(done, min(done + _BATCH, count)))
        share = 100 * (done + _BATCH) // count
        if {m for m in marks if m <= share}:
            marks = {m for m in marks if m > share}
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            rows.append((min(done + _BATCH, count), _resident_mb(), f"{peak:.0f}"))
            print(*rows[-1], flush=True)
    print_table("Memory", ("samples", "now MB", "peak MB"), rows)


def _resident_mb() -> str:
    """What the process holds now, where the system says so: the peak alone cannot show that memory is flat."""
    status = Path("/proc/self/statm")
    if not status.exists():
        return "unknown"
    return f"{int(status.read_text().split()[1]) * resource.getpagesize() / 2**20:.0f}"


def _detect(sampler: FaceSampler, count: int) -> None:
    from recon.detection.detect import open_detector

    found, off_px, missed = 0, [], []
    with open_detector() as detector:
        for index in range(count):
            batch = sampler[index]
            array = (batch.image[0].permute(1, 2, 0) * 255.0).round().byte().numpy()
            faces = detector.detect(np.ascontiguousarray(array), 40.0)
            if not faces:
                missed.append(index)
                continue
            found += 1
            if faces[0].landmarks68 is not None:
                gap = np.linalg.norm(faces[0].landmarks68 - batch.landmarks68_px[0].numpy(), axis=1)
                off_px.append(gap[17:].mean())
    rows = [
        ("faces found", f"{100 * found / count:.1f} %"),
        ("inner 51 points off", f"{np.median(off_px):.2f} px median"),
    ]
    print_table(f"MediaPipe on {count} pictures, everything on, yaw within 60 degrees", ("", ""), rows)
    print(f"missed: {missed}")


def _cycles(model, count: int, threads: int) -> None:  # type: ignore[no-untyped-def]
    from recon.synthesis.cycles import CyclesSampler, CyclesSettings

    config = SynthesisConfig(capture="c3i", framing="free", field_of_view_deg=60.0, expressions="basic")
    fast = FaceSampler(model, config, size=(480, 640))
    traced = CyclesSampler(fast, CyclesSettings(threads=threads))
    rows, worst = [], 0.0
    for index in range(count):
        wall, used = time.perf_counter(), time.process_time()
        theirs = traced[index]
        wall, used = time.perf_counter() - wall, time.process_time() - used
        depth = fast[index].depth_mm
        near = torch.nn.functional.unfold(depth, 3, padding=1).view(1, 9, *depth.shape[2:])
        bend = (near[:, [3, 1]] + near[:, [5, 7]] - 2.0 * depth).abs().amax(dim=1, keepdim=True)
        smooth = (near > 0).all(dim=1, keepdim=True) & (bend < 0.5) & theirs.mask
        gap = (theirs.scene_depth_mm - depth)[smooth].abs().max()
        rows.append((index, f"{wall:.1f}", f"{used:.1f}", f"{gap:.4f}", int(smooth.sum())))
        worst = max(worst, float(gap))
    print_table("Cycles, 640x480, 24 paths a pixel", ("sample", "s", "processor s", "largest gap mm", "pixels"), rows)
    print(f"\nThe papers need {PAPER_SECONDS} s a frame. Largest difference of depth away from edges: {worst:.4f} mm.")


def _check(model) -> None:  # type: ignore[no-untyped-def]
    sampler = FaceSampler(model, SynthesisConfig(), seed=5)
    batch, scene = sampler.batch(range(8)), sampler.scene(range(8))
    rows = [
        ("landmarks re-projected, largest", f"{_projected(batch):.5f} px"),
        (
            "depth against trimesh, largest of 1 000 px away from edges",
            f"{_against_rays(sampler, batch, scene):.5f} mm",
        ),
        ("pose by Procrustes, largest", f"{_procrustes(batch, scene):.5f} degrees"),
    ]
    print_table("Labels against independent checks", ("", ""), rows)


def _projected(batch: FaceBatch) -> float:
    flip = torch.tensor([1.0, -1.0, -1.0])
    rays = (batch.landmarks478_cam * flip) @ batch.intrinsics.transpose(1, 2)
    return float((rays[..., :2] / rays[..., 2:] - batch.landmarks478_px).norm(dim=-1).max())


def _against_rays(sampler: FaceSampler, batch: FaceBatch, scene) -> float:  # type: ignore[no-untyped-def]
    import trimesh

    worst, rng = 0.0, np.random.default_rng(0)
    v_cam = scene.camera.to_camera(scene.v_obj).double().numpy()
    faces = sampler.model.faces.numpy()
    for k in range(len(batch)):
        depth = batch.depth_mm[k, 0].numpy()
        near = np.stack([np.roll(depth, shift, axis) for axis in (0, 1) for shift in (-1, 1)])
        smooth = (near > 0).all(axis=0) & (depth > 0) & (np.abs(near - depth).max(axis=0) < 3.0)
        rows, columns = np.nonzero(smooth[1:-1, 1:-1])
        chosen = rng.choice(len(rows), 125, replace=False)
        rows, columns = rows[chosen] + 1, columns[chosen] + 1
        matrix = batch.intrinsics[k].double().numpy()
        x = (columns + 0.5 - matrix[0, 2]) / matrix[0, 0]
        y = -(rows + 0.5 - matrix[1, 2]) / matrix[1, 1]
        directions = np.stack([x, y, -np.ones_like(x)], axis=1)
        mesh = trimesh.Trimesh(v_cam[k], faces, process=False)
        places, which, _ = mesh.ray.intersects_location(np.zeros_like(directions), directions, multiple_hits=False)
        hit = depth[rows[which], columns[which]]
        worst = max(worst, float(np.abs(-places[:, 2] - hit).max()))
    return worst


def _procrustes(batch: FaceBatch, scene) -> float:  # type: ignore[no-untyped-def]
    worst = 0.0
    v_cam = scene.camera.to_camera(scene.v_obj).double()
    for k in range(len(batch)):
        a, b = scene.v_obj[k].double(), v_cam[k]
        u, _, vt = torch.linalg.svd((a - a.mean(0)).T @ (b - b.mean(0)))
        rotation = (u @ torch.diag(torch.tensor([1.0, 1.0, float(torch.det(u @ vt))]).double()) @ vt).T
        gap = rotation.T @ batch.rotation[k].double()
        worst = max(worst, float(torch.rad2deg(((gap - torch.eye(3)).norm() / 2**1.5).asin() * 2.0)))
    return worst


if __name__ == "__main__":
    main()
