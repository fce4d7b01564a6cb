"""Time, memory and accuracy of fitting one photo.

    python benchmarks/fit.py                  seconds of each stage for each quality, and peak memory
    python benchmarks/fit.py --heads 50       accuracy of all methods on rendered heads whose truth is known, beside the mean head
    python benchmarks/fit.py --beside 2       seconds of a run alone, and of so many at the same time

The rendered heads are the open model with N(0, 1) identity, albedo at 0.8 sigma, four random expression weights, yaw to 45,
pitch to 20 and roll to 15 degrees, at 0.6 to 1.2 m under an ambient light and two lamps, before a background of random
colours; 512 px, landmarks by the detector, focal length known. The error is the mean distance of vertices of the region
``face`` after rigid and scale alignment.
"""

from __future__ import annotations

import argparse
import dataclasses
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import skimage.data
import torch
from _report import print_header, print_table
from PIL import Image

import bfm
from recon.alignment import fit_similarity
from recon.camera import PerspectiveCamera
from recon.color import encode_srgb
from recon.detection.detect import open_detector
from recon.detection.face import Face
from recon.fitting import FaceFitter, FitSettings, View
from recon.inference.landmark_observation import landmark_observation
from recon.io.image import Photo, read_image
from recon.lighting import ambient, lamps_to_sh
from recon.reconstructor import Reconstructor
from recon.render import Mesh, Topology, render
from recon.rotation import euler_to_matrix, rotation_angle

SIZE_PX = 512
QUALITIES = ("fast", "default", "best")


@dataclasses.dataclass(frozen=True)
class RenderedHead:
    """A picture and its truth."""

    pixels: np.ndarray
    vertices: np.ndarray
    rotation: torch.Tensor
    focal_px: float


def render_head(
    model: bfm.MorphableModel, topology: Topology, number: int, distance_mm: float | None = None
) -> RenderedHead:
    """Head ``number``, always the same, from its own distance or from another."""
    generator = torch.Generator().manual_seed(1000 + number)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    def uniform(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=generator)

    expression = torch.zeros(1, model.n_expression)
    for _ in range(4):
        expression[0, int(uniform(1) * model.n_expression)] = 0.6 * float(uniform(1))
    vertices = model.shape(normal(1, model.n_identity), expression)
    angles = torch.deg2rad((2.0 * uniform(1, 3) - 1.0) * torch.tensor([20.0, 45.0, 15.0]))
    rotation = euler_to_matrix(angles)
    own_distance_mm = 600.0 + 600.0 * float(uniform(1))
    distance_mm = own_distance_mm if distance_mm is None else distance_mm
    translation = torch.cat([10.0 * normal(1, 2), torch.tensor([[-distance_mm]])], dim=1)
    focal_px = 1.75 * distance_mm
    camera = PerspectiveCamera.at(rotation, translation, size=(SIZE_PX, SIZE_PX), focal_px=torch.full((1, 2), focal_px))
    lamps = normal(1, 2, 3)
    lamps[..., 2] = lamps[..., 2].abs() + 0.5
    light = ambient(torch.full((1, 3), 0.35 + 0.25 * float(uniform(1))))
    light = light + lamps_to_sh(lamps, 0.9 * uniform(1, 2, 1).expand(-1, -1, 3))
    patches = (255 * uniform(8, 8, 3).numpy()).astype(np.uint8)
    backdrop = np.asarray(Image.fromarray(patches).resize((SIZE_PX, SIZE_PX), Image.Resampling.BICUBIC)) / 255.0
    with torch.no_grad():
        mesh = Mesh.of(vertices, topology, model.albedo(0.8 * normal(1, model.n_albedo)))
        rendered = render(mesh, camera, light, (SIZE_PX, SIZE_PX))
    shown = encode_srgb(rendered.image, model.albedo_space)[0].permute(1, 2, 0).numpy()
    mask = rendered.mask[0].permute(1, 2, 0).numpy()
    pixels = (255.0 * (shown + (1.0 - mask) * backdrop)).clip(0, 255).round().astype(np.uint8)
    return RenderedHead(pixels, vertices[0].numpy(), rotation[0], focal_px)


def vertex_error_mm(found: np.ndarray, truth: np.ndarray) -> float:
    """Mean distance after rigid and scale alignment."""
    return float(np.linalg.norm(fit_similarity(found, truth).apply(found) - truth, axis=1).mean())


def accuracy(n_heads: int) -> None:
    model = bfm.load("open")
    topology = Topology.of(model.faces, model.n_vertices)
    face = model.region("face").numpy()
    heads: list[tuple[RenderedHead, Face]] = []
    with open_detector() as detector:
        for number in range(n_heads):
            head = render_head(model, topology, number)
            found = detector.detect(head.pixels, 60.0)
            if found and found[0].landmarks478 is not None:
                heads.append((head, found[0]))
    mean_mm = [vertex_error_mm(model.mean_shape.numpy()[face], head.vertices[face]) for head, _ in heads]
    rows = [("mean head", f"{np.mean(mean_mm):.2f}", f"{np.max(mean_mm):.2f}", "-", "-", "-")]
    for name, find in ways(model).items():
        errors, turns, seconds = [], [], []
        for head, detected in heads:
            begin = time.perf_counter()
            vertices, rotation = find(dataclasses.replace(read_image(head.pixels), focal_px=head.focal_px), detected)
            seconds.append(time.perf_counter() - begin)
            errors.append(vertex_error_mm(vertices[face], head.vertices[face]))
            turns.append(float(torch.rad2deg(rotation_angle(rotation, head.rotation))))
        row = (np.mean(errors), np.max(errors), np.mean(turns), np.max(turns), statistics.median(seconds))
        rows.append((name, *(f"{value:.2f}" for value in row)))
    print_table(
        f"{len(heads)} of {n_heads} rendered heads detected",
        ["", "mm", "largest", "rotation, deg", "largest", "s, median"],
        rows,
    )


def ways(model: bfm.MorphableModel) -> dict[str, Callable[[Photo, Face], tuple[np.ndarray, torch.Tensor]]]:
    """What finds vertices (V, 3) and rotation (3, 3) of a detected face, by name."""

    def landmarks_alone(photo: Photo, face: Face) -> tuple[np.ndarray, torch.Tensor]:
        view = View(photo.pixels, landmark_observation(face, "478"), photo.focal_px)
        found = fitter([view], FitSettings(levels=())).parameters
        return model.shape(found.identity, found.expression)[0].numpy(), found.rotation[0]

    def by(reconstruct: Reconstructor) -> Callable[[Photo, Face], tuple[np.ndarray, torch.Tensor]]:
        def found(photo: Photo, face: Face) -> tuple[np.ndarray, torch.Tensor]:
            head = reconstruct.fit_face(photo, face)
            return head.vertices, head.camera.rotation[0]

        return found

    fitter = FaceFitter(model)
    chosen = {"landmarks alone": landmarks_alone, "network": by(Reconstructor(model, method="regress"))}
    for method in ("fit", "hybrid"):
        for quality in QUALITIES[:2]:
            chosen[f"{method}, {quality}"] = by(Reconstructor(model, method=method, quality=quality))
    return chosen


def stages(repeats: int) -> None:
    photo = skimage.data.astronaut()
    rows = []
    for quality in QUALITIES:
        times: dict[str, list[float]] = {name: [] for name in ("detect", "landmarks", "photo", "texture", "all")}
        reconstruct = Reconstructor(quality=quality)
        fitter = FaceFitter(reconstruct.model)
        reconstruct(photo)  # compiles and caches
        for _ in range(repeats):
            begin = time.perf_counter()
            found = reconstruct.detect(read_image(photo))[0]
            detected = time.perf_counter()
            assert found.landmarks478 is not None
            view = View(photo, landmark_observation(found, "478"))
            fitter([view], FitSettings(levels=()))
            pointed = time.perf_counter()
            head = reconstruct.fit_face(read_image(photo), found)
            fitted = time.perf_counter()
            head.texture(1024)
            textured = time.perf_counter()
            times["detect"].append(detected - begin)
            times["landmarks"].append(pointed - detected)
            times["photo"].append(fitted - pointed - (pointed - detected))
            times["texture"].append(textured - fitted)
            times["all"].append(detected - begin + textured - pointed)
        rows.append((quality, *(f"{statistics.median(values):.2f}" for values in times.values())))
    print_table(
        "seconds of one 512 px photo, median", ["quality", "detect", "landmarks", "photo", "texture", "all"], rows
    )
    peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"\npeak memory of the process, imports included: {peak_gb:.2f} GB (limit 2.5); limits 3 s fast, 12 s default"
    )


def beside(n_processes: int, repeats: int) -> None:
    """Whole commands, as a user starts them: `recon reconstruct` on three photos."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        photos = []
        for turn_deg in (-8, 0, 8):
            photos.append(folder / f"turned by {turn_deg}.png")
            Image.fromarray(skimage.data.astronaut()).rotate(turn_deg).save(photos[-1])
        for quality in QUALITIES[:2]:
            seconds: dict[int, list[float]] = {1: [], n_processes: []}
            for _ in range(repeats):
                for n, values in seconds.items():
                    begin = time.perf_counter()
                    outs = [tempfile.mkdtemp(dir=folder) for _ in range(n)]
                    command = [sys.executable, "-m", "recon.cli", "reconstruct", *photos, "--quality", quality, "-o"]
                    runs = [subprocess.Popen([*command, out], stdout=subprocess.DEVNULL) for out in outs]
                    if any([run.wait() for run in runs]):
                        raise SystemExit("a run of the benchmark failed, see above")
                    values.append(time.perf_counter() - begin)
            alone, together = (statistics.median(values) for values in seconds.values())
            rows.append((quality, f"{alone:.1f}", f"{together:.1f}", f"{together / alone:.2f}"))
    print_table(
        f"seconds of a command on three 512 px photos, start included, median of {repeats}",
        ["quality", "alone", f"{n_processes} at once", "ratio"],
        rows,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--heads", type=int, default=0, help="measure accuracy on this many rendered heads")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--beside", type=int, default=0, metavar="N", help="so many processes at the same time")
    options = parser.parse_args()
    print_header(options.threads)
    if options.beside:
        beside(options.beside, options.repeats)
    elif options.heads:
        accuracy(options.heads)
    else:
        stages(options.repeats)


if __name__ == "__main__":
    main()
