"""From a scene to its picture and maps: head and occluders are rasterised apart and composited."""

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
from recon.synthesis.appearance.brows import Brows
from recon.synthesis.appearance.occluder_points import OccluderPoints, occluder_points
from recon.synthesis.appearance.shadows import lamp_visibility, shadow_maps
from recon.synthesis.appearance.skin_points import Complexion, SkinSurface, Surfaces, skin_points
from recon.synthesis.camera.camera_pipeline import camera_pipeline
from recon.synthesis.compose import sorted_layers, with_front, with_head
from recon.synthesis.config import SynthesisConfig
from recon.synthesis.counter_rng import CounterRng
from recon.synthesis.geometry.anatomy import Anatomy
from recon.synthesis.geometry.hair import Hairstyles
from recon.synthesis.geometry.occluders import Occluders
from recon.synthesis.labels import landmark_labels
from recon.synthesis.sample import FACE_SEGMENTS, SEGMENT_NAMES
from recon.synthesis.scene.assets import OccluderAssets, SceneAssets, outer_faces
from recon.synthesis.scene.lights import Lights
from recon.synthesis.scene.people import People
from recon.synthesis.scene.poses import HEAD_CENTRE_MM

_PARTED_LIPS_MM = 10.0
_LIFT_MM = 4.0


@dataclasses.dataclass(frozen=True, eq=False)
class Scene:
    """B samples before they are rendered.

    Attributes:
        rng: random numbers of each sample.
        person_rng: random numbers of each person.
        look_rng: random numbers of each look of a person.
        numbers: ``(B,)`` of the persons.
        people: the persons.
        expression: ``(B, n_expression)``.
        v_obj: ``(B, V, 3)`` the head in mm, object frame.
        albedo: ``(B, V, 3)`` in the model's space, with make-up and beard.
        hairstyles: hair; ``None`` if the config has none.
        brows: rendered pixel by pixel; ``None`` if the config has no hair or the model no brows.
        occluders: geometry around the head, camera frame; ``None`` if the config has none.
        camera: with the pose of the head.
        lights: in the camera frame.
        capture: cameras and heads in the world of the published depth set, where the config takes them from there.
    """

    rng: CounterRng
    person_rng: CounterRng
    look_rng: CounterRng
    numbers: Int[Tensor, " b"]
    people: People
    expression: Float[Tensor, "b ke"]
    v_obj: Float[Tensor, "b v 3"]
    albedo: Float[Tensor, "b v 3"]
    hairstyles: Hairstyles | None
    brows: Brows | None
    occluders: Occluders | None
    camera: PerspectiveCamera
    lights: Lights
    capture: Capture | None = None

    def albedo_with_brows(self, mean_shape: Float[Tensor, "v 3"]) -> Float[Tensor, "b v 3"]:
        """The albedo of vertices with the brows on it, for renderers that know vertices only: as coarse as the mesh, so that
        narrow brows come out in pieces."""
        if self.brows is None:
            return self.albedo
        batch, n_vertices = self.albedo.shape[:2]
        owner = torch.arange(batch, device=mean_shape.device).repeat_interleave(n_vertices)
        flat = self.brows.over_albedo(self.albedo.flatten(0, 1), mean_shape.repeat(batch, 1), owner)
        return flat.unflatten(0, (batch, n_vertices))

    @property
    def head_centre_cam(self) -> Float[Tensor, "b 3"]:
        """Middle of the heads."""
        centre = self.v_obj.new_tensor(HEAD_CENTRE_MM).expand(len(self.v_obj), 1, 3)
        return self.camera.to_camera(centre)[:, 0]


def render_scene(
    scene: Scene,
    assets: SceneAssets,
    occluder_assets: OccluderAssets | None,
    config: SynthesisConfig,
    size: tuple[int, int],
    background: Float[Tensor, "b 3 h w"],
) -> dict[str, Tensor]:
    """The picture, maps and landmarks of :class:`recon.synthesis.sample.FaceBatch`, by field name.

    Args:
        scene: what to render.
        assets, occluder_assets: prepared for the model and the occluders' faces.
        config: for the strengths.
        size: (H, W) px.
        background: linear light.
    """
    camera, model = scene.camera, assets.model
    v_cam = camera.to_camera(scene.v_obj)
    raster = rasterize(camera.to_clip(v_cam, size), model.faces, size)
    shadows = _Shadows.of(scene, assets, occluder_assets, config, v_cam)
    points, normals, segment_at = _head_points(scene, model, assets.anatomy, config, v_cam, raster, shadows)
    colour = (
        shading.lambertian(points, scene.lights)
        if is_lambertian(config)
        else shading.shade(points, scene.lights, config)
    )
    if model.albedo_space == "srgb":
        colour = srgb_to_linear(colour.clamp(0.0, 1.0))
    segmentation = torch.zeros_like(raster.triangle_ids, dtype=torch.int64)
    segmentation.view(-1).index_copy_(0, raster.pixel_index, segment_at)
    depth = raster.unpack(-points.position[:, 2:])[..., 0]
    scene_depth, visible = depth, raster.triangle_ids >= 0
    if scene.occluders is None or occluder_assets is None:
        picture = antialias(
            raster.unpack(colour.clamp_min(0.0), background.permute(0, 2, 3, 1)), raster, assets.topology
        )
        image = picture.permute(0, 3, 1, 2)
    else:
        seen = occluder_points(scene.occluders, camera, size, scene.rng)
        layers = sorted_layers(seen, _shaded_occluders(seen, scene, config, shadows), background, segmentation, depth)
        segmentation, scene_depth, visible = layers.segmentation, layers.depth_mm, layers.visible
        picture = with_head(layers.back, raster, colour, layers.front, config.ambient_occlusion)
        picture = antialias(picture, raster, assets.topology)
        image = with_front(picture, antialias(layers.front, seen.raster, occluder_assets.topology))
    image = camera_pipeline(image, config, scene.rng)
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


def is_lambertian(config: SynthesisConfig) -> bool:
    """Whether nothing but the model's albedo under distant light shows."""
    return not any((config.shadows, config.ambient_occlusion, config.specular, config.subsurface, config.skin_detail))


@dataclasses.dataclass(frozen=True, eq=False)
class _Shadows:
    """Shadow maps of the first lamp, and how to ask them."""

    maps: Float[Tensor, "b s s"] | None
    centre: Float[Tensor, "b 3"]
    scene: Scene
    strength: float

    @classmethod
    def of(
        cls,
        scene: Scene,
        assets: SceneAssets,
        occluder_assets: OccluderAssets | None,
        config: SynthesisConfig,
        v_cam: Tensor,
    ) -> _Shadows:
        centre = scene.head_centre_cam
        if config.shadows == 0.0:
            return cls(None, centre, scene, 0.0)
        vertices, faces = v_cam, None
        if scene.occluders is not None and occluder_assets is not None:
            vertices, faces = torch.cat((v_cam, scene.occluders.v_cam), dim=1), occluder_assets.shadow_casters
        faces = outer_faces(assets.model) if faces is None else faces
        maps = shadow_maps(vertices, faces, centre, scene.lights.directions[:, 0])
        return cls(maps, centre, scene, config.shadows)

    def of_lamps(
        self, position: Float[Tensor, "p 3"], normals: Float[Tensor, "p 3"], picture: Int[Tensor, " p"]
    ) -> Float[Tensor, "p 2"]:
        """Fraction of each lamp that points see; the second lamp casts no shadow."""
        visibility = torch.ones_like(position[:, :2])
        if self.maps is not None:
            lights = self.scene.lights
            # A little off the surface, or a slanted one would shadow itself in the steps of the map.
            lifted = position + _LIFT_MM * normals
            first = lamp_visibility(
                self.maps, lifted, picture, self.centre, lights.directions[:, 0], lights.light_radius
            )
            visibility[:, 0] = 1.0 - self.strength * (1.0 - first)
        return visibility


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
    attributes = [v_cam, vertex_normals(v_cam, model.faces)]
    if is_lambertian(config):
        attributes.append(scene.albedo_with_brows(model.mean_shape))
    else:
        attributes += [
            scene.albedo,
            ambient_visibility_of(scene, model, anatomy)[..., None],
            model.mean_shape[None].expand(batch, -1, -1),
        ]
    packed = interpolate_packed(torch.cat(attributes, dim=-1), raster)
    picture = torch.div(raster.pixel_index, raster.size[0] * raster.size[1], rounding_mode="floor")
    segment = anatomy.triangle_segments[raster.triangle_ids.view(-1)[raster.pixel_index].long()]
    if is_lambertian(config):
        position, normals, colour = packed[:, :3], unit(packed[:, 3:6]), packed[:, 6:9]
        ones = torch.ones_like(packed[:, 0])
        points = shading.Points(
            picture, raster.starts, position, normals, colour, ones, ones, ones, ones, ones[:, None].expand(-1, 2)
        )
        return points, normals, segment
    complexion = Complexion.of(scene.people, scene.person_rng, scene.rng, config.skin_detail)
    position, vertex_normal, albedo, visibility, rest_mm = packed.split((3, 3, 3, 1, 3), dim=1)
    if scene.brows is not None:
        albedo = scene.brows.over_albedo(albedo, rest_mm, picture)
    surface = SkinSurface(picture, segment, position, vertex_normal, albedo, visibility[:, 0], rest_mm)
    found = skin_points(surface, complexion)
    points = shading.Points(
        picture, raster.starts, found.position, found.relief, found.albedo, found.ambient_visibility, found.specular_strength, found.specular_exponent,
        found.subsurface_weight, shadows.of_lamps(found.position, found.normals, picture),
    )  # fmt: skip
    return points, found.normals, segment


def ambient_visibility_of(scene: Scene, model: MorphableModel, anatomy: Anatomy) -> Float[Tensor, "b v"]:
    """Share of the surroundings' light that reaches each vertex, with what the surfaces about it pass on.

    Parted lips let light into the mouth: a centimetre is as good as an open jaw for the teeth behind them.
    """
    marks = model.landmarks68(scene.v_obj)
    gap_mm = (marks[:, 62] - marks[:, 66]).norm(dim=-1)
    parted = (gap_mm / _PARTED_LIPS_MM).clamp(0.0, 1.0)[:, None]
    open_mouth = anatomy.ambient_visibility_jaw_open - anatomy.ambient_visibility
    return multi_bounce(anatomy.ambient_visibility + parted * open_mouth, scene.albedo.mean(dim=-1).clamp(0.0, 1.0))


def multi_bounce(visibility: Float[Tensor, "*n"], albedo: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """Ambient visibility of surfaces that light each other: bright ones are less dark in their hollows.

    The cubic of Jimenez et al. 2016, "Practical realtime strategies for accurate indirect occlusion", Eq. 10, for surroundings
    of the same albedo.

    Args:
        visibility: share of the hemisphere that is free, [0, 1].
        albedo: [0, 1].
    """
    a, b, c = 2.0404 * albedo - 0.3324, -4.7951 * albedo + 0.6417, 2.7552 * albedo + 0.6903
    return torch.maximum(visibility, ((visibility * a + b) * visibility + c) * visibility)


def _shaded_occluders(
    seen: OccluderPoints, scene: Scene, config: SynthesisConfig, shadows: _Shadows
) -> Float[Tensor, "p 3"]:
    """Shaded colours of the occluders' points."""
    appearance = seen.appearance
    surfaces = Surfaces.on(appearance.position.device)
    points = shading.Points(
        seen.picture, seen.raster.starts, appearance.position, appearance.normals, appearance.albedo, appearance.ambient_visibility,
        surfaces.specular_strength[appearance.segment], surfaces.specular_exponent[appearance.segment], appearance.subsurface_weight,
        shadows.of_lamps(appearance.position, appearance.normals, seen.picture),
    )  # fmt: skip
    return shading.shade(points, scene.lights, config).clamp_min(0.0)
