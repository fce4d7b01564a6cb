"""Time and memory of the renderer, beside others that are installed.

    python benchmarks/render.py                    the table
    python benchmarks/render.py --parts            where the time goes, compiled steps beside their plain twins
    python benchmarks/render.py --silhouettes      gradients of a moving head against finite differences, by reach

Times are per picture, in ms: median and minimum over the repetitions of wall time, and minimum of processor time over
all threads, which other processes on the machine disturb less. Ratios compare minima within one run.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from recon.camera import PerspectiveCamera
from recon.lighting import ambient, lamps_to_sh
from recon.render import Mesh, Topology, antialias, rasterize, render, vertex_normals
from recon.render import silhouettes as plain_silhouettes
from recon.render.interpolate import (
    barycentrics_at,
    barycentrics_reference,
    interpolate_at,
    interpolate_reference,
)
from recon.render.kernels.silhouettes import find_crossings
from recon.render.mesh import face_normal_sums_reference, unit
from recon.render.screen import screen_to_pixels
from recon.render.shading import shade_packed, shade_packed_reference
from recon.rotation import euler_to_matrix

TARGETS = {"search": 4.0, "forward": 15.0, "forward + backward": 45.0}


@dataclasses.dataclass(frozen=True)
class Head:
    """A linear head model: what the benchmark needs of one."""

    name: str
    mean: torch.Tensor
    basis: torch.Tensor
    faces: torch.Tensor
    albedo: torch.Tensor

    def vertices(self, coefficients: torch.Tensor) -> torch.Tensor:
        return self.mean + (coefficients @ self.basis).view(len(coefficients), -1, 3)


def open_head() -> Head:
    """The open model."""
    import bfm

    model = bfm.load("open")
    data = model.data()
    bases = [data.identity_basis, data.expression_basis]
    basis = np.concatenate(bases, axis=-1).reshape(-1, sum(b.shape[-1] for b in bases)).T
    middle = 0.5 * (model.mean_shape.amin(0) + model.mean_shape.amax(0))
    return Head("open", model.mean_shape - middle, torch.from_numpy(basis.copy()), model.faces, model.mean_albedo)


def made_up_head(n_around: int, n_down: int) -> Head:
    """A closed surface of the size of a head with bumps, and a random basis of 132 components."""
    polar = torch.linspace(0, torch.pi, n_down + 2)[1:-1]
    azimuth = torch.arange(n_around) * (2 * torch.pi / n_around)
    p, a = torch.meshgrid(polar, azimuth, indexing="ij")
    radius = 1 + 0.04 * torch.sin(4 * a) * torch.sin(5 * p) * torch.sin(p)
    rings = torch.stack((75 * radius * p.sin() * a.sin(), 110 * radius * p.cos(), 95 * radius * p.sin() * a.cos()), -1)
    mean = torch.cat((rings.reshape(-1, 3), torch.tensor([[0.0, 110, 0], [0, -110, 0]])))
    i, j = torch.arange(n_down - 1)[:, None] * n_around, torch.arange(n_around)[None]
    after = (j + 1) % n_around
    sides = [(i + j, i + j + n_around, i + after), (i + after, i + j + n_around, i + after + n_around)]
    top, last = n_down * n_around, (n_down - 1) * n_around
    caps = [(torch.full_like(j, top), j, after), (torch.full_like(j, top + 1), last + after, last + j)]
    faces = torch.cat([torch.stack(torch.broadcast_tensors(*c), -1).reshape(-1, 3) for c in (*sides, *caps)])
    basis = 0.2 * torch.randn(132, 3 * len(mean), generator=torch.Generator().manual_seed(0))
    return Head("made-up", mean, basis, faces, 0.5 + 0.3 * torch.sin(mean / 25))


class Scene:
    """A batch of turned heads, and the parameters that a fit would move."""

    def __init__(self, head: Head, side: int, batch: int, device: str = "cpu") -> None:
        self.size, self.batch = (side, side), batch
        self.head = Head(head.name, *(getattr(head, n).to(device) for n in ("mean", "basis", "faces", "albedo")))
        self.topology = Topology.of(self.head.faces, len(self.head.mean))
        angles = torch.zeros(batch, 3, device=device)
        angles[:, 1] = torch.linspace(-0.7, 0.7, batch)
        self.angles = angles.requires_grad_()
        self.translation = torch.tensor([[0.0, 0, -1000]], device=device).repeat(batch, 1).requires_grad_()
        lamp = lamps_to_sh(torch.tensor([[[0.5, 0.6, 1.0]]]), torch.tensor([[[1.5, 1.4, 1.3]]]))
        light = ambient(torch.full((1, 3), 0.5)) + lamp
        self.lighting = light.repeat(batch, 1, 1).to(device).requires_grad_()
        self.coefficients = torch.zeros(batch, len(head.basis), device=device, requires_grad=True)
        self.cotangent = torch.randn(batch, 3, side, side, generator=torch.Generator().manual_seed(0)).to(device)
        # the head fills the picture as a face crop does: 224 mm of the object at 1 m
        self.focal = torch.full((1, 2), 4.53 * side, device=device)

    @property
    def leaves(self) -> tuple[torch.Tensor, ...]:
        return self.coefficients, self.angles, self.translation, self.lighting

    def camera(self) -> PerspectiveCamera:
        rotation = euler_to_matrix(self.angles)
        return PerspectiveCamera.at(rotation, self.translation, size=self.size, focal_px=self.focal)

    def clip(self) -> torch.Tensor:
        camera = self.camera()
        return camera.to_clip(camera.to_camera(self.head.vertices(self.coefficients)), self.size)

    def render(self, backend: str = "auto"):
        mesh = Mesh.of(self.head.vertices(self.coefficients), self.topology, self.head.albedo[None])
        return render(mesh, self.camera(), self.lighting, self.size, backend=backend)  # type: ignore[arg-type]

    def render_all_maps(self) -> None:
        result = self.render()
        _ = result.depth_mm, result.normals, result.position, result.albedo

    def step(self, backend: str = "auto") -> None:
        result = self.render(backend)
        torch.autograd.grad((result.image * self.cotangent).sum(), self.leaves)


@dataclasses.dataclass(frozen=True)
class Time:
    median: float
    least: float
    processor: float

    def row(self) -> str:
        return f"{self.median:9.2f} {self.least:9.2f} {self.processor:9.2f}"


def measure(call: Callable[[], object], per: int, repeats: int, device: str = "cpu") -> Time:
    """Times in ms for each of ``per`` pictures, after two calls that compile and warm up."""
    wall, processor = [], []
    for k in range(repeats + 2):
        if device == "cuda":
            torch.cuda.synchronize()
        t, c = time.perf_counter(), time.process_time()
        call()
        if device == "cuda":
            torch.cuda.synchronize()
        if k >= 2:
            wall.append((time.perf_counter() - t) * 1e3 / per)
            processor.append((time.process_time() - c) * 1e3 / per)
    return Time(statistics.median(wall), min(wall), min(processor))


def table(head: Head, batch: int, repeats: int, device: str) -> Time:
    """Print the rows for one mesh; returns the time of a forward pass at 224."""
    print(f"\n{head.name} head: {len(head.mean)} vertices, {len(head.faces)} triangles, batch {batch}, {device}")
    print(f"{'':46s}{'median':>9s} {'least':>9s} {'cpu':>9s}   target")
    at_224 = None
    for side in (224, 512):
        scene = Scene(head, side, batch, device)
        covered = (scene.render().triangle_ids >= 0).float().mean().item()
        print(f"{side} x {side}, {100 * covered:.0f} % of the pixels covered")
        scale = 1.0 if side == 224 else 3.0

        def show(name: str, call: Callable[[], object], per: int = batch, scale: float = scale) -> Time:
            took = measure(call, per, repeats, device)
            limit = TARGETS.get(name)
            end = f"   {limit * scale:.0f}" if limit and device == "cpu" else ""
            print(f"  {name:44s}{took.row()}{end}")
            return took

        screen, faces = scene.clip().detach(), scene.head.faces
        with torch.no_grad():
            if device == "cpu":
                show("search", lambda s=scene, v=screen, f=faces: search_only(v, f, s.size, "numba"))
            show("search, torch back end", lambda s=scene, v=screen, f=faces: search_only(v, f, s.size, "torch"))
            forward = show("forward", scene.render)
            show("forward and every map", scene.render_all_maps)
        show("forward + backward", scene.step)
        one = Scene(head, side, 1, device)
        show("forward + backward, batch 1", one.step, per=1)
        at_224 = at_224 or forward
    assert at_224 is not None
    return at_224


def search_only(v_clip: torch.Tensor, faces: torch.Tensor, size: tuple[int, int], backend: str) -> None:
    from recon.render.rasterize import search_of
    from recon.render.screen import clip_to_screen

    search_of(backend, v_clip.device)(clip_to_screen(v_clip, size), faces, size)  # type: ignore[arg-type]


def parts(head: Head, batch: int, repeats: int) -> None:
    """Forward and backward of the compiled steps beside their plain twins."""
    scene = Scene(head, 224, batch)
    raster = rasterize(scene.clip().detach(), scene.head.faces, scene.size)
    n = len(raster.pixel_index)
    generator = torch.Generator().manual_seed(0)
    flat = torch.randn(batch * len(head.mean), 9, generator=generator).requires_grad_()
    weights = raster.barycentrics_packed.detach().requires_grad_()
    screen = raster.screen.detach().requires_grad_()
    vertices = head.mean.expand(batch, -1, -1).contiguous().requires_grad_()
    normals = unit(torch.randn(n, 3, generator=generator)).requires_grad_()
    albedo = torch.rand(n, 3, generator=generator).requires_grad_()
    lighting = scene.lighting.detach().requires_grad_()
    index = (raster.corner_index, raster.pixel_index)
    rows: list[tuple[str, Callable[[], torch.Tensor], Callable[[], torch.Tensor], tuple[torch.Tensor, ...]]] = [
        (
            "barycentrics",
            lambda: barycentrics_at(screen, *index, raster.starts, scene.size),
            lambda: barycentrics_reference(screen, *index, scene.size),
            (screen,),
        ),
        (
            "interpolation of 9 values",
            lambda: interpolate_at(flat, weights, raster),
            lambda: interpolate_reference(flat, weights, raster.corner_index),
            (flat, weights),
        ),
        (
            "vertex normals",
            lambda: vertex_normals(vertices, head.faces),
            lambda: unit(face_normal_sums_reference(vertices, head.faces)),
            (vertices,),
        ),
        (
            "shading",
            lambda: shade_packed(albedo, normals, lighting, raster.starts),
            lambda: shade_packed_reference(albedo, normals, lighting, raster.starts),
            (albedo, normals, lighting),
        ),
    ]
    print(f"\nparts at 224 x 224, batch {batch}, forward + backward, ms a picture (median, least, cpu)")
    for name, fast, plain, leaves in rows:

        def both(call: Callable[[], torch.Tensor], leaves: tuple[torch.Tensor, ...] = leaves) -> None:
            out = call()
            torch.autograd.grad(out, leaves, torch.ones_like(out))

        quick = measure(lambda f=fast, b=both: b(f), batch, repeats)
        slow = measure(lambda f=plain, b=both: b(f), batch, repeats)
        print(f"  {name:28s} compiled {quick.row()}   plain {slow.row()}   {slow.least / quick.least:.1f} x")
    args = (raster.triangle_ids, raster.depth_hard, screen_to_pixels(raster.screen), raster.screen[..., 3])
    for reach in (0, 32):
        quick = measure(lambda r=reach: find_crossings(*args, scene.topology, r), batch, repeats)
        slow = measure(lambda r=reach: plain_silhouettes.find_crossings(*args, scene.topology, r), batch, 3)
        count = len(find_crossings(*args, scene.topology, reach).near)
        print(f"  crossings, reach {reach:2d} ({count:6d})  compiled {quick.row()}   plain {slow.row()}")


def silhouettes(head: Head) -> None:
    """Relative error of the gradient of mask area and overlap in the pose, against wide central differences."""
    for side in (224, 512):
        print(f"\nsilhouette gradients at {side} x {side}: error in norm for mask area, mask overlap")
        for reach in (0, 2, 4, 8, 16, 32, 64):
            area, overlap = silhouette_errors(head, side, reach)
            print(f"  reach {reach:2d}: {100 * area:6.1f} %  {100 * overlap:6.1f} %")


def silhouette_errors(head: Head, side: int, reach: int) -> tuple[float, float]:
    size = (side, side)
    y, x = torch.meshgrid(*(torch.arange(side, dtype=torch.float64) + 0.5,) * 2, indexing="ij")
    blob = torch.sigmoid((0.3 * side - torch.hypot(x - 0.6 * side, y - 0.42 * side)) / (0.05 * side))
    topology = Topology.of(head.faces, len(head.mean))
    focal = torch.full((1, 2), 3.3 * side, dtype=torch.float64)
    steps = torch.tensor([0.02, 0.02, 0.02, 1.0, 1.0, 5.0], dtype=torch.float64)  # rad and mm, a pixel or two

    def losses(p: torch.Tensor) -> torch.Tensor:
        place = p[None, 3:] + torch.tensor([[0.0, 0, -1000]], dtype=torch.float64)
        camera = PerspectiveCamera.at(euler_to_matrix(p[None, :3]), place, size=size, focal_px=focal)
        raster = rasterize(camera.to_clip(camera.to_camera(head.mean.double()[None]), size), head.faces, size)
        hard = (raster.triangle_ids >= 0)[..., None].double()
        mask = antialias(hard, raster, topology, reach=reach)[0, ..., 0]
        return torch.stack((mask.sum(), (mask * blob).sum()))

    pose = torch.tensor([0.1, 0.4, 0.05, 3.0, 2.0, 5.0], dtype=torch.float64, requires_grad=True)
    gradients = torch.stack([torch.autograd.grad(value, pose, retain_graph=True)[0] for value in losses(pose)])
    with torch.no_grad():
        wanted = torch.stack([losses(pose + d) - losses(pose - d) for d in torch.diag(steps)], dim=1) / 2
    area, overlap = ((gradients * steps - wanted).norm(dim=1) / wanted.norm(dim=1)).tolist()
    return area, overlap


def beside_others(head: Head, forward: Time, repeats: int) -> None:
    """Rows of other renderers that are installed, and of published figures that are not measured here."""
    print("\nother renderers, 224 x 224, ms a picture", flush=True)
    if importlib.util.find_spec("pytorch3d"):
        scene = Scene(head, 224, 1)
        v_clip = scene.clip().detach()
        took = measure(lambda: search_only(v_clip, head.faces, scene.size, "pytorch3d"), 1, 1)
        print(
            f"  PyTorch3D rasterize_meshes, ids and depth only {took.row()}   {took.least / forward.least:.0f} x our forward"
        )
    else:
        print("  PyTorch3D: not installed")
    if importlib.util.find_spec("mitsuba"):
        # in a process of its own: its compiler ends the whole process when the LLVM library is one it cannot use
        command = [sys.executable, __file__, "--mitsuba", "--head", head.name, "--repeats", str(repeats)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        print(done.stdout if done.returncode == 0 else f"  Mitsuba 3: did not run (exit {done.returncode})", end="")
    else:
        print("  Mitsuba 3: not installed")
    print("  Sim3DR (3DDFA_V2, C++, one core, colours without gradients): 4.9, a published figure not measured here")


def mitsuba_rows(head: Head, repeats: int) -> None:
    """Mitsuba 3, LLVM variant: new vertices, its acceleration structure updated, one ray a pixel, depth and normals."""
    import mitsuba as mi

    mi.set_variant("llvm_ad_rgb")
    mesh = mi.Mesh("head", len(head.mean), len(head.faces), has_vertex_normals=True)
    parameters = mi.traverse(mesh)
    parameters["vertex_positions"] = head.mean.numpy().ravel()
    parameters["faces"] = head.faces.numpy().astype(np.uint32).ravel()
    parameters.update()
    fov = float(np.degrees(2 * np.arctan(0.5 / 4.53)))
    scene = mi.load_dict(
        {
            "type": "scene",
            "head": mesh,
            "sensor": {
                "type": "perspective",
                "fov": fov,
                "to_world": mi.ScalarTransform4f().look_at([0, 0, 1000], [0, 0, 0], [0, 1, 0]),
                "film": {
                    "type": "hdrfilm",
                    "width": 224,
                    "height": 224,
                    "pixel_format": "rgb",
                    "rfilter": {"type": "box"},
                },
                "sampler": {"type": "independent", "sample_count": 1},
            },
            "integrator": {"type": "aov", "aovs": "depth:depth,normal:sh_normal"},
        }
    )
    traversed = mi.traverse(scene)
    key = next(k for k in traversed.keys() if k.endswith("vertex_positions"))
    positions = head.mean.numpy().ravel()

    def render_once() -> None:
        traversed[key] = positions
        traversed.update()
        np.asarray(mi.render(scene, spp=1))

    took = measure(render_once, 1, repeats)
    print(
        f"  Mitsuba 3 llvm_ad_rgb, depth + normals           {took.row()}   geometry update and one ray a pixel included;"
    )
    print("     no shading, no antialiasing, no gradients; ours includes all maps' inputs, shading and antialiasing")


def header() -> None:
    def run(*command: str) -> str:
        done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent, check=False)
        return done.stdout.strip()

    commit = run("git", "rev-parse", "--short", "HEAD") + (
        " with changes" if run("git", "status", "--porcelain", "-uno") else ""
    )
    models = [line.split(":", 1)[1].strip() for line in _cpuinfo() if line.startswith("model name")]
    print(f"command   python {' '.join(sys.argv)}")
    print(f"commit    {commit}")
    print(f"hardware  {models[0] if models else platform.processor()}, {torch.get_num_threads()} threads", end="")
    print(f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ", no CUDA device")
    print(f"software  Python {platform.python_version()}, torch {torch.__version__}")


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--head", choices=("open", "made-up"), default="open")
    parser.add_argument("--mitsuba", action="store_true", help="only the row of Mitsuba 3")
    parser.add_argument("--parts", action="store_true")
    parser.add_argument("--silhouettes", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if not options.mitsuba:
        header()
    head = open_head() if options.head == "open" else made_up_head(190, 96)
    if options.mitsuba:
        return mitsuba_rows(head, options.repeats)
    if options.parts:
        return parts(head, options.batch, options.repeats)
    if options.silhouettes:
        return silhouettes(head)
    for side in (224, 512):
        scene = Scene(head, side, options.batch)
        scene.step()
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(f"peak memory of the process, torch included, after forward + backward at {side}: {memory:.2f} GB (1.5)")
    forward = table(head, options.batch, options.repeats, "cpu")
    table(made_up_head(280, 126), options.batch, options.repeats, "cpu")
    if torch.cuda.is_available():
        table(head, 32, options.repeats, "cuda")
    else:
        print("\nCUDA: no device here, rows left out")
    beside_others(head, forward, options.repeats)


if __name__ == "__main__":
    main()
