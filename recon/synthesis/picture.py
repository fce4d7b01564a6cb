"""From a scene to its picture and maps."""

from __future__ import annotations

import dataclasses

import torch
from jaxtyping import Float, Int
from torch import Tensor

from bfm.model import MorphableModel
from recon.camera import PerspectiveCamera
from recon.display import srgb_to_linear
from recon.render import Raster, Topology, antialias, rasterize, vertex_normals
from recon.render.interpolate import interpolate_packed
from recon.render.mesh import unit
from recon.synthesis import shading
from recon.synthesis.anatomy import Anatomy
from recon.synthesis.config import SynthesisConfig
from recon.synthesis.draws import Draws
from recon.synthesis.labels import landmark_labels
from recon.synthesis.lights import Lights
from recon.synthesis.people import People
from recon.synthesis.photo import take_photo
from recon.synthesis.poses import HEAD_CENTRE_MM
from recon.synthesis.sample import FACE_SEGMENTS, SEGMENT_NAMES
from recon.synthesis.shadows import lit_share, shadow_maps
from recon.synthesis.skin import Surfaces, hair_colours, painted, skin_detail


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
        camera: with the pose of the head.
        lights: in the camera frame.
    """

    draws: Draws
    person_draws: Draws
    numbers: Int[Tensor, " b"]
    people: People
    expression: Float[Tensor, "b ke"]
    v_obj: Float[Tensor, "b v 3"]
    camera: PerspectiveCamera
    lights: Lights


def draw_scene(
    scene: Scene,
    model: MorphableModel,
    topology: Topology,
    anatomy: Anatomy,
    config: SynthesisConfig,
    size: tuple[int, int],
    background: Float[Tensor, "b 3 h w"],
) -> dict[str, Tensor]:
    """The picture, maps and landmarks of :class:`recon.synthesis.sample.FaceBatch`, by field name."""
    camera = scene.camera
    v_cam = camera.to_camera(scene.v_obj)
    raster = rasterize(camera.to_clip(v_cam, size), model.faces, size)
    points, head = _head_points(scene, model, anatomy, config, v_cam, raster)
    colour = shading.plain(points, scene.lights) if _is_plain(config) else shading.shade(points, scene.lights, config)
    if model.albedo_space == "srgb":
        colour = srgb_to_linear(colour.clamp(0.0, 1.0))
    picture = raster.unpack(colour.clamp_min(0.0), background.permute(0, 2, 3, 1))
    picture = antialias(picture, raster, topology)
    image = take_photo(picture.permute(0, 3, 1, 2), config, scene.draws)
    segmentation = raster.unpack(head[:, None])[..., 0].round().long()
    depth = raster.unpack(-points.position[:, 2:]).permute(0, 3, 1, 2)
    mask = (raster.triangle_ids >= 0)[:, None]
    return {
        "image": image.contiguous(),
        "mask": mask,
        "face_mask": torch.isin(segmentation, _ids(FACE_SEGMENTS, segmentation.device))[:, None],
        "segmentation": segmentation,
        "depth_mm": depth,
        "scene_depth_mm": depth,
        "normals": raster.unpack(points.normals).permute(0, 3, 1, 2).contiguous(),
        **landmark_labels(model, v_cam, camera, depth),
    }


def _head_points(
    scene: Scene,
    model: MorphableModel,
    anatomy: Anatomy,
    config: SynthesisConfig,
    v_cam: Float[Tensor, "b v 3"],
    raster: Raster,
) -> tuple[shading.Points, Float[Tensor, " p"]]:
    """Visible points of the head, and the segment of each."""
    batch = v_cam.shape[0]
    albedo = model.albedo(scene.people.albedo)
    if not _is_plain(config):
        hair = hair_colours(scene.person_draws, scene.people)
        bald = torch.zeros(batch, device=v_cam.device)
        albedo = painted(albedo, anatomy, config, scene.person_draws, scene.people, hair, bald)
    sky = _sky(scene, model, anatomy)
    rest = model.mean_shape[None].expand(batch, -1, -1)
    packed = interpolate_packed(
        torch.cat((v_cam, vertex_normals(v_cam, model.faces), albedo, sky[..., None], rest), dim=-1), raster
    )
    position, normals, colour, open_sky, rest_at = packed.split((3, 3, 3, 1, 3), dim=1)
    normals = unit(normals)
    picture = torch.div(raster.pixel_index, raster.size[0] * raster.size[1], rounding_mode="floor")
    segment = anatomy.labels[raster.triangle_ids.view(-1)[raster.pixel_index].long()]
    surfaces = Surfaces.on(v_cam.device)
    gloss = surfaces.gloss[segment]
    shaded = normals
    if config.skin_detail > 0.0:
        detail = skin_detail(rest_at, picture, scene.people, scene.person_draws, config.skin_detail)
        skin = surfaces.scatter[segment] > 0.5
        colour = torch.where(skin[:, None], colour * detail.albedo, colour)
        shaded = torch.where(skin[:, None], unit(normals + detail.bump), normals)
        gloss = torch.where(skin, gloss * detail.gloss, gloss)
    gloss = gloss * scene.draws.uniform("oily", low=0.4, high=1.7)[picture]
    lit = torch.ones_like(position[:, :2])
    if config.shadows > 0.0:
        lit[:, 0] = _lit(scene, config, v_cam, model.faces, position, picture)
    points = shading.Points(
        picture, raster.starts, position, normals, colour, open_sky[:, 0], gloss,
        surfaces.sharpness[segment], surfaces.scatter[segment], lit,
    )  # fmt: skip
    if shaded is not normals:
        points = dataclasses.replace(points, normals=shaded)
    return points, segment.to(v_cam.dtype)


def _sky(scene: Scene, model: MorphableModel, anatomy: Anatomy) -> Float[Tensor, "b v"]:
    """Openness of each vertex: an open jaw lets light into the mouth."""
    if "jawOpen" not in model.expression_names:
        return anatomy.open_sky.expand(len(scene.v_obj), -1)
    jaw = (scene.expression[:, model.expression_names.index("jawOpen")] / 0.7).clamp(0.0, 1.0)[:, None]
    return anatomy.open_sky + jaw * (anatomy.open_sky_jaw - anatomy.open_sky)


def _lit(
    scene: Scene,
    config: SynthesisConfig,
    v_cam: Float[Tensor, "b v 3"],
    faces: Int[Tensor, "f 3"],
    position: Float[Tensor, "p 3"],
    picture: Int[Tensor, " p"],
) -> Float[Tensor, " p"]:
    camera, lights = scene.camera, scene.lights
    centre = camera.to_camera(position.new_tensor(HEAD_CENTRE_MM).expand(len(v_cam), 1, 3))[:, 0]
    towards = lights.directions[:, 0]
    maps = shadow_maps(v_cam, faces, centre, towards)
    share = lit_share(maps, position, picture, centre, towards, lights.softness)
    return 1.0 - config.shadows * (1.0 - share)


def _is_plain(config: SynthesisConfig) -> bool:
    """Whether nothing but the model's albedo under distant light shows."""
    looks = (config.shadows, config.occlusion, config.shine, config.softness, config.skin_detail)
    paints = (config.make_up, config.beard, config.hair)
    return not any((*looks, *paints))


def _ids(names: tuple[str, ...], device: torch.device) -> Int[Tensor, " n"]:
    return torch.tensor([SEGMENT_NAMES.index(name) for name in names], device=device)
