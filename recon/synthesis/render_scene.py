"""From a scene to its picture and maps: the head and its cover are drawn apart and laid over each other."""

from __future__ import annotations

import dataclasses

import torch
from jaxtyping import Float, Int
from torch import Tensor

from bfm.model import MorphableModel
from recon.camera import PerspectiveCamera
from recon.color import srgb_to_linear
from recon.datasets.c3i_world import Capture
from recon.render import Raster, antialias, rasterize, vertex_normals
from recon.render.interpolate import interpolate_packed
from recon.render.mesh import unit
from recon.synthesis.appearance import shading
from recon.synthesis.appearance.occluder_points import CoverPoints, cover_points
from recon.synthesis.appearance.shadows import lit_share, shadow_maps
from recon.synthesis.appearance.skin_points import Complexion, Surfaces, skin_points
from recon.synthesis.camera.camera_pipeline import take_photo
from recon.synthesis.compose import sorted_layers, with_front, with_head
from recon.synthesis.config import SynthesisConfig
from recon.synthesis.draws import Draws
from recon.synthesis.geometry.anatomy import Anatomy
from recon.synthesis.geometry.hair import Hairdos
from recon.synthesis.geometry.occluders import Cover
from recon.synthesis.labels import landmark_labels
from recon.synthesis.sample import FACE_SEGMENTS, SEGMENT_NAMES
from recon.synthesis.scene.assets import CoverStage, Stage, outer_faces
from recon.synthesis.scene.lights import Lights
from recon.synthesis.scene.people import People
from recon.synthesis.scene.poses import HEAD_CENTRE_MM

_LIFT_MM = 4.0


@dataclasses.dataclass(frozen=True, eq=False)
class Scene:
    """B samples before they are drawn.

    Attributes:
        draws: random numbers of each sample.
        person_draws: random numbers of each person.
        numbers: ``(B,)`` of the persons.
        people: the persons.
        expression: ``(B, n_expression)``.
        v_obj: ``(B, V, 3)`` the head in mm, object frame.
        albedo: ``(B, V, 3)`` in the model's space, with make-up and beard.
        hairdos: hair; ``None`` if the config has none.
        cover: geometry around the head, camera frame; ``None`` if the config has none.
        camera: with the pose of the head.
        lights: in the camera frame.
        capture: cameras and heads in the world of the published depth set, where the config takes them from there.
    """

    draws: Draws
    person_draws: Draws
    numbers: Int[Tensor, " b"]
    people: People
    expression: Float[Tensor, "b ke"]
    v_obj: Float[Tensor, "b v 3"]
    albedo: Float[Tensor, "b v 3"]
    hairdos: Hairdos | None
    cover: Cover | None
    camera: PerspectiveCamera
    lights: Lights
    capture: Capture | None = None

    @property
    def head_centre_cam(self) -> Float[Tensor, "b 3"]:
        """Middle of the heads."""
        centre = self.v_obj.new_tensor(HEAD_CENTRE_MM).expand(len(self.v_obj), 1, 3)
        return self.camera.to_camera(centre)[:, 0]


def draw_scene(
    scene: Scene,
    stage: Stage,
    cover_stage: CoverStage | None,
    config: SynthesisConfig,
    size: tuple[int, int],
    background: Float[Tensor, "b 3 h w"],
) -> dict[str, Tensor]:
    """The picture, maps and landmarks of :class:`recon.synthesis.sample.FaceBatch`, by field name.

    Args:
        scene: what to draw.
        stage, cover_stage: prepared for the model and the cover's faces.
        config: for the strengths of the looks.
        size: (H, W) px.
        background: linear light.
    """
    camera, model = scene.camera, stage.model
    v_cam = camera.to_camera(scene.v_obj)
    raster = rasterize(camera.to_clip(v_cam, size), model.faces, size)
    shadows = _Shadows.of(scene, stage, cover_stage, config, v_cam)
    points, normals, segment_at = _head_points(scene, model, stage.anatomy, config, v_cam, raster, shadows)
    colour = shading.plain(points, scene.lights) if is_plain(config) else shading.shade(points, scene.lights, config)
    if model.albedo_space == "srgb":
        colour = srgb_to_linear(colour.clamp(0.0, 1.0))
    segmentation = torch.zeros_like(raster.triangle_ids, dtype=torch.int64)
    segmentation.view(-1).index_copy_(0, raster.pixel_index, segment_at)
    depth = raster.unpack(-points.position[:, 2:])[..., 0]
    scene_depth, visible = depth, raster.triangle_ids >= 0
    if scene.cover is None or cover_stage is None:
        picture = antialias(
            raster.unpack(colour.clamp_min(0.0), background.permute(0, 2, 3, 1)), raster, stage.topology
        )
        image = picture.permute(0, 3, 1, 2)
    else:
        seen = cover_points(scene.cover, camera, size, scene.draws)
        layers = sorted_layers(seen, _lit_cover(seen, scene, config, shadows), background, segmentation, depth)
        segmentation, scene_depth, visible = layers.segmentation, layers.depth_mm, layers.visible
        picture = with_head(layers.back, raster, colour, layers.front, config.occlusion)
        picture = antialias(picture, raster, stage.topology)
        image = with_front(picture, antialias(layers.front, seen.raster, cover_stage.topology))
    image = take_photo(image, config, scene.draws)
    wanted = torch.tensor([name in FACE_SEGMENTS for name in SEGMENT_NAMES], device=segmentation.device)
    return {
        "image": image.contiguous(),
        "mask": visible[:, None],
        "face_mask": wanted[segmentation][:, None],
        "segmentation": segmentation,
        "depth_mm": depth[:, None],
        "scene_depth_mm": scene_depth[:, None],
        "normals": raster.unpack(normals).permute(0, 3, 1, 2).contiguous(),
        **landmark_labels(model, v_cam, camera, scene_depth[:, None]),
    }


def is_plain(config: SynthesisConfig) -> bool:
    """Whether nothing but the model's albedo under distant light shows."""
    return not any((config.shadows, config.occlusion, config.shine, config.softness, config.skin_detail))


@dataclasses.dataclass(frozen=True, eq=False)
class _Shadows:
    """Shadow maps of the first lamp, and how to ask them."""

    maps: Float[Tensor, "b s s"] | None
    centre: Float[Tensor, "b 3"]
    scene: Scene
    strength: float

    @classmethod
    def of(
        cls, scene: Scene, stage: Stage, cover_stage: CoverStage | None, config: SynthesisConfig, v_cam: Tensor
    ) -> _Shadows:
        centre = scene.head_centre_cam
        if config.shadows == 0.0:
            return cls(None, centre, scene, 0.0)
        vertices, faces = v_cam, None
        if scene.cover is not None and cover_stage is not None:
            vertices, faces = torch.cat((v_cam, scene.cover.part.v_cam), dim=1), cover_stage.casters
        faces = outer_faces(stage.model) if faces is None else faces
        maps = shadow_maps(vertices, faces, centre, scene.lights.directions[:, 0])
        return cls(maps, centre, scene, config.shadows)

    def lit(
        self, position: Float[Tensor, "p 3"], normals: Float[Tensor, "p 3"], picture: Int[Tensor, " p"]
    ) -> Float[Tensor, "p 2"]:
        """Share of each lamp that points see; the second lamp casts no shadow."""
        lit = torch.ones_like(position[:, :2])
        if self.maps is not None:
            lights = self.scene.lights
            # A little off the surface, or a slanted one would shadow itself in the steps of the map.
            lifted = position + _LIFT_MM * normals
            share = lit_share(self.maps, lifted, picture, self.centre, lights.directions[:, 0], lights.softness)
            lit[:, 0] = 1.0 - self.strength * (1.0 - share)
        return lit


def _head_points(
    scene: Scene,
    model: MorphableModel,
    anatomy: Anatomy,
    config: SynthesisConfig,
    v_cam: Float[Tensor, "b v 3"],
    raster: Raster,
    shadows: _Shadows,
) -> tuple[shading.Points, Float[Tensor, "p 3"], Int[Tensor, " p"]]:
    """Visible points of the head with the normals that light sees, their true normals, and their segments."""
    batch = v_cam.shape[0]
    attributes = [v_cam, vertex_normals(v_cam, model.faces), scene.albedo]
    if not is_plain(config):
        attributes += [_sky(scene, model, anatomy)[..., None], model.mean_shape[None].expand(batch, -1, -1)]
    packed = interpolate_packed(torch.cat(attributes, dim=-1), raster)
    picture = torch.div(raster.pixel_index, raster.size[0] * raster.size[1], rounding_mode="floor")
    segment = anatomy.labels[raster.triangle_ids.view(-1)[raster.pixel_index].long()]
    if is_plain(config):
        position, normals, colour = packed[:, :3], unit(packed[:, 3:6]), packed[:, 6:9]
        ones = torch.ones_like(packed[:, 0])
        points = shading.Points(
            picture, raster.starts, position, normals, colour, ones, ones, ones, ones, ones[:, None].expand(-1, 2)
        )
        return points, normals, segment
    complexion = Complexion.of(scene.people, scene.person_draws, scene.draws, config.skin_detail)
    found = skin_points(packed, segment, picture, complexion)
    points = shading.Points(
        picture, raster.starts, found.position, found.relief, found.albedo, found.sky, found.gloss, found.sharpness,
        found.scatter, shadows.lit(found.position, found.normals, picture),
    )  # fmt: skip
    return points, found.normals, segment


def _sky(scene: Scene, model: MorphableModel, anatomy: Anatomy) -> Float[Tensor, "b v"]:
    """Openness of each vertex: an open jaw lets light into the mouth."""
    if "jawOpen" not in model.expression_names:
        return anatomy.open_sky.expand(len(scene.v_obj), -1)
    jaw = (scene.expression[:, model.expression_names.index("jawOpen")] / 0.7).clamp(0.0, 1.0)[:, None]
    return anatomy.open_sky + jaw * (anatomy.open_sky_jaw - anatomy.open_sky)


def _lit_cover(seen: CoverPoints, scene: Scene, config: SynthesisConfig, shadows: _Shadows) -> Float[Tensor, "p 3"]:
    """Colours of the cover's points."""
    look = seen.look
    surfaces = Surfaces.on(look.position.device)
    points = shading.Points(
        seen.picture, seen.raster.starts, look.position, look.normals, look.albedo, look.sky,
        surfaces.gloss[look.segment], surfaces.sharpness[look.segment], look.scatter,
        shadows.lit(look.position, look.normals, seen.picture),
    )  # fmt: skip
    return shading.shade(points, scene.lights, config).clamp_min(0.0)
