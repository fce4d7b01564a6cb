"""Renders synthetic faces: index in, picture and labels out."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from bfm.coarse import coarse_model
from bfm.dense_landmarks import dense_landmarks
from bfm.model import MorphableModel
from recon.color import srgb_to_linear
from recon.synthesis.appearance.brows import Brows
from recon.synthesis.appearance.skin import hair_colours, skin_albedo
from recon.synthesis.config import SynthesisConfig, SynthesisConfigError
from recon.synthesis.counter_rng import CounterRng
from recon.synthesis.geometry.hair import Hairstyles, sample_hairstyles
from recon.synthesis.geometry.occluders import build_occluders
from recon.synthesis.geometry.parts import Head
from recon.synthesis.labels import LANDMARK_SETS
from recon.synthesis.parallel import in_parallel
from recon.synthesis.render_scene import Scene, render_scene
from recon.synthesis.sample import FaceBatch, intrinsic_matrix
from recon.synthesis.scene.assets import OccluderAssets, SceneAssets
from recon.synthesis.scene.backgrounds import FolderBackgrounds, procedural
from recon.synthesis.scene.environments import FolderEnvironments
from recon.synthesis.scene.heads import SampledHeads, sample_heads
from recon.synthesis.scene.lights import sample_lights
from recon.synthesis.scene.people import People

_AT_ONCE = 8
"""Samples rendered together by one thread of a CPU: more does not get faster, and less stays in the caches."""


class FaceSampler:
    """Synthetic faces with labels, by index.

    Sample i of a seed is the same picture whatever the batch it is rendered in (up to the rounding of floating point, which
    depends on the batch size by a few millionths), and whichever worker renders it.

    Args:
        model: with the landmark sets ``"68"`` and ``"478"``; the open model has all that every setting needs.
        config: what varies.
        seed: of all random numbers, 0 or more.
        size: (H, W) of the pictures in px.
        device: where batches are made.

    Raises:
        SynthesisConfigError: the config asks for what this model cannot give, or an impossible size.
        BackgroundError: the folder of backgrounds is missing, empty or holds unreadable pictures.
        EnvironmentMapError: the same of the folder of environment maps.
    """

    def __init__(
        self,
        model: MorphableModel,
        config: SynthesisConfig | None = None,
        seed: int = 0,
        size: tuple[int, int] = (224, 224),
        device: torch.device | str = "cpu",
    ) -> None:
        self.config = config or SynthesisConfig()
        self.seed = int(seed)
        self.size = (int(size[0]), int(size[1]))
        self.device = torch.device(device)
        if min(self.size) < 16:
            raise SynthesisConfigError(f"pictures must be at least 16 px high and wide, got {self.size}")
        if self.seed < 0:
            raise SynthesisConfigError(f"the seed must be 0 or more, got {seed}")
        _check_model(model, self.config)
        if "520" not in model.landmark_sets:
            model = model.with_landmarks("520", dense_landmarks(model))
        if self.config.mesh == "coarse":
            model = coarse_model(model)
        self.model = model if model.mean_shape.device == self.device else MorphableModel(model.data()).to(self.device)
        self.assets = SceneAssets.of(self.model, self.config)
        region = self.model.region("face") if "face" in self.model.region_names else torch.ones(self.model.n_vertices)
        self._face_vertices = torch.nonzero(region)[::23, 0].to(self.device)
        maps = self.config.environment_folder
        self._environments = FolderEnvironments(maps) if maps is not None else None
        self._occluder_assets = OccluderAssets.of(self.assets, self._scene([0]).occluders)
        folder = self.config.background_folder
        self._backgrounds = FolderBackgrounds(folder) if folder is not None else None

    def __getitem__(self, index: int) -> FaceBatch:
        """One sample, as a batch of one."""
        return self.batch([index])

    def batch(self, indices: Sequence[int]) -> FaceBatch:
        """The samples with these indices, any integers from 0 to 2^63 - 1, in their order.

        Raises:
            ValueError: no indices, or negative ones.
        """
        wanted = [int(index) for index in indices]
        if not wanted:
            raise ValueError("at least one index is needed to make a batch")
        step = _AT_ONCE if self.device.type == "cpu" else len(wanted)
        parts = in_parallel(self._render, [wanted[k : k + step] for k in range(0, len(wanted), step)])
        return parts[0] if len(parts) == 1 else FaceBatch.cat(parts)

    def scene(self, indices: Sequence[int]) -> Scene:
        """Everything about the samples before they are rendered: for other renderers and for checks."""
        return self._scene([int(index) for index in indices])

    def _render(self, indices: list[int]) -> FaceBatch:
        return self.render(self._scene(indices))

    @torch.no_grad()  # here, because it holds for one thread only
    def render(self, scene: Scene) -> FaceBatch:
        """The pictures and labels of a scene of this sampler."""
        background = self.background(scene.rng)
        rendered = render_scene(scene, self.assets, self._occluder_assets, self.config, self.size, background)
        camera = scene.camera
        return FaceBatch(
            **rendered,
            rotation=camera.rotation,
            translation_mm=camera.translation_mm,
            intrinsics=intrinsic_matrix(camera.focal_px, camera.principal_px),
            identity=scene.people.identity,
            expression=scene.expression,
            albedo=scene.people.albedo,
            lighting=scene.lights.total,
            identity_number=scene.numbers,
            attributes=scene.people.attributes,
        )

    def _scene(self, indices: list[int]) -> Scene:
        return self.scene_of(sample_heads(self.model, self.config, self.seed, indices))

    def scene_of(self, heads: SampledHeads) -> Scene:
        """Everything about heads that are given, with what is sampled around them."""
        config, model = self.config, self.model
        rng, person_rng, look_rng, people = heads.rng, heads.person_rng, heads.look_rng, heads.people
        v_obj = model.shape(people.identity, heads.expression)
        camera = heads.camera(config, model.landmarks68(v_obj), self.size)
        albedo, hairstyles, brows = self._colours(person_rng, look_rng, people)
        level = albedo[:, self._face_vertices].mean(dim=(1, 2))
        facing = camera.rotation[:, :, 2]
        lights = sample_lights(rng, config.lighting, config.exposure, facing, level, self._environments)
        occluders = None
        if hairstyles is not None:
            head = Head(model, v_obj, albedo, camera)
            occluders = build_occluders(self.assets.occluder_grids, config, head, hairstyles, rng, look_rng)
        return Scene(
            rng=rng,
            person_rng=person_rng,
            look_rng=look_rng,
            numbers=torch.tensor(heads.numbers, dtype=torch.int64, device=self.device),
            people=people,
            expression=heads.expression,
            v_obj=v_obj,
            albedo=albedo,
            hairstyles=hairstyles,
            brows=brows,
            occluders=occluders,
            camera=camera,
            lights=lights,
            capture=heads.capture,
        )

    def _colours(
        self, person_rng: CounterRng, look_rng: CounterRng, people: People
    ) -> tuple[Float[Tensor, "b v 3"], Hairstyles | None, Brows | None]:
        """The skin with what is on it, the hair and the brows; the bare model where the config has nothing on it."""
        config = self.config
        albedo = self.model.albedo(people.albedo)
        if not any((config.hair, config.beard, config.make_up, config.clothes, config.glasses, config.occluders)):
            return albedo, None, None
        colour = hair_colours(person_rng, people)
        hairstyles = sample_hairstyles(person_rng, look_rng, people, config.hair, colour)
        curve, brows = self.assets.brow_curve, None
        if curve is not None and config.hair > 0.0:
            brows = Brows.of(curve, people, person_rng, colour, config.hair)
        skin = skin_albedo(albedo, self.assets.anatomy, config, person_rng, look_rng, people, hairstyles)
        return skin, hairstyles, brows

    def background(self, rng: CounterRng) -> Float[Tensor, "b 3 h w"]:
        """What is behind the heads, in linear light ``(B, 3, H, W)``."""
        if self._backgrounds is not None:
            return srgb_to_linear(self._backgrounds.sample(rng, self.size))
        if self.config.background == "procedural":
            return procedural(rng, self.size)
        return srgb_to_linear(torch.full((1, 3, 1, 1), 0.5, device=self.device)).expand(len(rng.keys), 3, *self.size)


def _check_model(model: MorphableModel, config: SynthesisConfig) -> None:
    missing = [name for name in LANDMARK_SETS[:2] if name not in model.landmark_sets]
    if missing:
        raise SynthesisConfigError(
            f"model {model.name!r} has no landmark set {' and '.join(map(repr, missing))}, which labels need; "
            "recon.landmark_transfer.transfer.transfer_landmarks makes '478'"
        )
    for strength, region in (("hair", "scalp"), ("beard", "beard"), ("make_up", "lips"), ("clothes", "neck")):
        if getattr(config, strength) > 0.0 and region not in model.region_names:
            raise SynthesisConfigError(
                f"{strength} needs the region {region!r}, which model {model.name!r} does not have: set {strength} to 0"
            )
    if model.expression_names and "jawOpen" not in model.expression_names:
        raise SynthesisConfigError(
            f"the expressions of model {model.name!r} have names, but not ARKit's: {', '.join(model.expression_names[:4])}"
        )
