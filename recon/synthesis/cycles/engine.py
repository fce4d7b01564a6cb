"""Renders samples with Cycles: path-traced pictures, and labels of exactly what these show."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from bfm.model import MorphableModel
from recon.io.read_exr import ExrError, decode_exr
from recon.synthesis.camera.camera_pipeline import camera_pipeline
from recon.synthesis.config import SynthesisConfig, SynthesisConfigError
from recon.synthesis.cycles import materials
from recon.synthesis.cycles.blender import BlenderError, load_bpy
from recon.synthesis.cycles.geometry import METRES, add_camera
from recon.synthesis.cycles.lamps import KINDS, add_lights
from recon.synthesis.cycles.people import add_hair, add_head, add_occluders
from recon.synthesis.labels import LANDMARK_SETS, visible_landmarks
from recon.synthesis.render_scene import Scene
from recon.synthesis.sample import FACE_SEGMENTS, SEGMENT_NAMES, FaceBatch
from recon.synthesis.sampler import FaceSampler

_FAR_M = 1e9
_CENTRE_FILTER = 0.01
"""Width of the pixel filter of the labels' pass in px: all rays go through pixel centres."""


@dataclasses.dataclass(frozen=True)
class CyclesSettings:
    """How Cycles renders.

    Attributes:
        samples: paths a pixel; the papers take 256.
        denoise: smooth what noise is left with Open Image Denoise.
        bounces: of diffuse and glossy light; the papers take 0.
        strands: hairs on a head; 0 renders no hair.
        lamps: kinds of the two lamps, of AREA, SUN, POINT, SPOT; empty samples them.
        threads: 0 takes all cores.

    Raises:
        SynthesisConfigError: a number out of range or an unknown lamp.
    """

    samples: int = 24
    denoise: bool = True
    bounces: int = 3
    strands: int = 30_000
    lamps: tuple[str, ...] = ()
    threads: int = 0

    def __post_init__(self) -> None:
        for name, least, most in (("samples", 1, 65_536), ("bounces", 0, 64), ("strands", 0, 500_000), ("threads", 0, 1024)):  # fmt: skip
            value = getattr(self, name)
            if type(value) is not int or not least <= value <= most:
                raise SynthesisConfigError(f"{name} must be a whole number from {least} to {most}, got {value!r}")
        if self.lamps and (len(self.lamps) != 2 or not set(self.lamps) <= set(KINDS)):
            raise SynthesisConfigError(f"lamps must be two of {', '.join(KINDS)}, got {self.lamps!r}")


class CyclesSampler:
    """The samples of a :class:`FaceSampler` with path-traced pictures, one after the other on the CPU.

    Shape, pose, camera, lights and colours are those of the sample. Segmentation, depth of what is seen, and masks are of
    the path-traced scene, at pixel centres: its hair is made of single hairs. Blender's scene is emptied for every
    picture, so nothing else should be kept in it.

    Args:
        sampler: of the samples, on the CPU.
        settings: how Cycles renders.
        bpy: Blender's module; ``None`` looks for it.

    Raises:
        BlenderError: no usable Blender.
        SynthesisConfigError: a sampler on another device.
    """

    def __init__(self, sampler: FaceSampler, settings: CyclesSettings | None = None, bpy: Any = None) -> None:
        if sampler.device.type != "cpu":
            raise SynthesisConfigError(
                f"the Cycles engine takes samples from the CPU, the sampler is on {sampler.device}"
            )
        self.sampler = sampler
        self.settings = settings or CyclesSettings()
        self._bpy = load_bpy() if bpy is None else bpy

    @property
    def config(self) -> SynthesisConfig:
        """What varies."""
        return self.sampler.config

    @property
    def model(self) -> MorphableModel:
        """The face model."""
        return self.sampler.model

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) px."""
        return self.sampler.size

    def __getitem__(self, index: int) -> FaceBatch:
        """One sample, as a batch of one."""
        return self.batch([index])

    def scene(self, indices: Sequence[int]) -> Scene:
        """As :meth:`FaceSampler.scene`."""
        return self.sampler.scene(indices)

    @torch.no_grad()
    def batch(self, indices: Sequence[int]) -> FaceBatch:
        """The samples with these indices.

        Raises:
            ValueError: no indices, or negative ones.
            BlenderError: Cycles could not render.
        """
        fast = self.sampler.batch(indices)
        return FaceBatch.cat([self._render(fast.select(row), int(index)) for row, index in enumerate(indices)])

    def _render(self, fast: FaceBatch, index: int) -> FaceBatch:
        """A sample of the fast renderer with picture and maps of this one."""
        scene = self.sampler.scene([index])
        seen = self._traced(scene, fast.intrinsics[0].double().numpy(), index)
        backdrop = self.sampler.background(scene.rng)
        picture = seen.premultiplied[:, :3] + (1.0 - seen.premultiplied[:, 3:]) * backdrop
        head = (seen.segmentation > 0) & (seen.segmentation <= SEGMENT_NAMES.index("neck"))
        wanted = torch.tensor([name in FACE_SEGMENTS for name in SEGMENT_NAMES])
        depth = torch.where(head[:, None], seen.depth_mm, fast.depth_mm)
        visible = {
            f"landmarks{name}_visible": visible_landmarks(
                getattr(fast, f"landmarks{name}_px"), getattr(fast, f"landmarks{name}_cam"), seen.depth_mm
            )
            for name in LANDMARK_SETS
        }
        return dataclasses.replace(
            fast,
            image=camera_pipeline(picture, self.config, scene.rng).contiguous(),
            mask=head[:, None],
            face_mask=wanted[seen.segmentation][:, None],
            segmentation=seen.segmentation,
            depth_mm=torch.where(seen.segmentation[:, None] > 0, depth, torch.zeros_like(depth)),
            scene_depth_mm=seen.depth_mm,
            **visible,
        )

    def _traced(self, scene: Scene, intrinsics: np.ndarray, index: int) -> Traced:
        bpy = self._bpy
        bpy.ops.wm.read_factory_settings(use_empty=True)
        camera, config = scene.camera, self.config
        add_camera(bpy, intrinsics, self.size)
        add_head(bpy, scene, self.sampler.assets, config)
        if scene.occluders is not None:
            add_occluders(bpy, scene, config)
        if self.settings.strands and scene.hairstyles is not None and bool(scene.hairstyles.has_sheet[0]):
            add_hair(bpy, scene, self.sampler.assets, config, self.settings.strands)
        centre = camera.to_camera(scene.v_obj)[0].mean(dim=0).double().numpy()
        add_lights(bpy, scene.lights, scene.rng, centre, shadows=config.shadows > 0.0, kinds=self.settings.lamps)
        colour = path_traced(bpy, self.settings, index)[None]
        with tempfile.TemporaryDirectory(prefix="facerecon-cycles-") as folder:
            marks = _rendered(bpy, Path(folder) / "labels.exr", lambda: _set_up_label_pass(bpy))
        depth_m = _channel(marks, "Depth.Z", "Depth.V")
        segment = _channel(marks, f"{materials.SEGMENT_AOV}.X", f"{materials.SEGMENT_AOV}.V")
        there = (depth_m > 0.0) & (depth_m < _FAR_M)
        return Traced(
            torch.as_tensor(colour),
            torch.as_tensor(np.where(there, depth_m / METRES, 0.0).astype(np.float32))[None, None],
            torch.as_tensor(np.where(there, segment, 0.0).round().astype(np.int64))[None],
        )


def path_traced(bpy: Any, settings: CyclesSettings, seed: int) -> Float[np.ndarray, "4 h w"]:
    """The picture of Blender's scene as it stands: linear light, premultiplied by opacity, and opacity.

    Args:
        bpy: Blender's module; its scene has a camera and lights.
        settings: how Cycles renders.
        seed: of the paths.

    Raises:
        BlenderError: Cycles could not render.
    """
    with tempfile.TemporaryDirectory(prefix="facerecon-cycles-") as folder:
        seen = _rendered(bpy, Path(folder) / "appearance.exr", lambda: _set_up_appearance_pass(bpy, settings, seed))
    return np.stack([_channel(seen, f"Combined.{c}") for c in "RGBA"])


@dataclasses.dataclass(frozen=True, eq=False)
class Traced:
    """What Cycles saw: linear light with opacity, planar depth, segments."""

    premultiplied: Float[Tensor, "1 4 h w"]
    depth_mm: Float[Tensor, "1 1 h w"]
    segmentation: Tensor


def _set_up_appearance_pass(bpy: Any, settings: CyclesSettings, seed: int) -> None:
    scene = _common(bpy)
    scene.cycles.samples, scene.cycles.seed = settings.samples, seed % 2**31
    scene.cycles.pixel_filter_type, scene.cycles.filter_width = "BLACKMAN_HARRIS", 1.5
    scene.cycles.use_denoising = settings.denoise
    if settings.denoise:
        scene.cycles.denoiser = "OPENIMAGEDENOISE"
    scene.cycles.max_bounces, scene.cycles.transparent_max_bounces = 32, 16
    scene.cycles.diffuse_bounces = scene.cycles.glossy_bounces = settings.bounces
    scene.cycles.transmission_bounces = 16
    # A path that meets a lamp by chance makes a bright dot that few samples cannot average.
    scene.cycles.sample_clamp_indirect = 4.0
    scene.render.threads_mode = "FIXED" if settings.threads else "AUTO"
    if settings.threads:
        scene.render.threads = settings.threads


def _set_up_label_pass(bpy: Any) -> None:
    scene = _common(bpy)
    scene.cycles.samples, scene.cycles.seed, scene.cycles.use_denoising = 1, 0, False
    scene.cycles.pixel_filter_type, scene.cycles.filter_width = "BOX", _CENTRE_FILTER
    layer = scene.view_layers[0]
    layer.use_pass_z = True
    channel = layer.aovs.add()
    channel.name, channel.type = materials.SEGMENT_AOV, "VALUE"
    layer.material_override = materials.labels(bpy)
    for item in scene.objects:
        # Clear glasses hide nothing, and lamps are not to be seen.
        item.hide_render = bool(item.get("clear", False))


def _common(bpy: Any) -> Any:
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    scene.cycles.device = "CPU"
    scene.cycles.use_adaptive_sampling = False
    scene.render.film_transparent = True
    scene.render.use_compositing = scene.render.use_sequencer = False
    scene.cycles_curves.shape = "RIBBONS"
    kind = scene.render.image_settings
    kind.media_type = "MULTI_LAYER_IMAGE"
    kind.file_format, kind.color_depth, kind.exr_codec = "OPEN_EXR_MULTILAYER", "32", "ZIP"
    kind.use_exr_interleave = True
    return scene


def _rendered(bpy: Any, path: Path, prepare: Any) -> dict[str, np.ndarray]:
    """Channels of a render."""
    prepare()
    bpy.context.scene.render.filepath = str(path)
    try:
        bpy.ops.render.render(write_still=True)
        return decode_exr(path.read_bytes())
    except (RuntimeError, OSError, ExrError) as error:
        raise BlenderError(f"Cycles could not render: {error}") from error


def _channel(channels: dict[str, np.ndarray], *endings: str) -> np.ndarray:
    for name, values in channels.items():
        if name.endswith(endings):
            return values
    raise BlenderError(f"Blender wrote no channel {' or '.join(endings)}, only {', '.join(sorted(channels))}")
