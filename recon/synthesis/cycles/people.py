"""The head of a sample and its occluders, in Blender."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from torch import Tensor

from recon.synthesis.config import SynthesisConfig
from recon.synthesis.cycles import materials
from recon.synthesis.cycles.geometry import add_mesh, add_strands
from recon.synthesis.cycles.strands import grow
from recon.synthesis.geometry.attributes import SurfaceAttributes
from recon.synthesis.geometry.clothes import cloth_colours
from recon.synthesis.noise import line_noise
from recon.synthesis.render_scene import Scene
from recon.synthesis.sample import SEGMENT_NAMES
from recon.synthesis.scene.assets import SceneAssets

_WET = {"eyes": 0.03, "mouth": 0.18}
_LIPS = "lips"
_BODY = ("clothes", "body")


def add_head(bpy: Any, scene: Scene, assets: SceneAssets, config: SynthesisConfig) -> None:
    """Skin, lips, eyes and mouth of a batch of one."""
    segments = _array(assets.anatomy.triangle_segments)
    kinds = [
        materials.skin(bpy, "skin", config),
        materials.skin(bpy, _LIPS, config, roughness=0.34, depth=1.2),
        *(materials.wet(bpy, name, config, roughness) for name, roughness in _WET.items()),
    ]
    material_of = np.zeros(len(segments), np.int32)
    for place, name in enumerate((_LIPS, *_WET), start=1):
        material_of[segments == SEGMENT_NAMES.index(name)] = place
    shift = 32.0 * _array(scene.person_rng.uniform("skin place", 3))
    albedo = scene.albedo_with_brows(assets.model.mean_shape)
    add_mesh(
        bpy,
        "head",
        _array(scene.camera.to_camera(scene.v_obj)[0]),
        _array(assets.model.faces),
        kinds,
        point={"albedo": _coloured(_array(albedo[0])), "rest": _array(assets.model.mean_shape) + shift},
        face={"segment": segments[:, None]},
        material_of=material_of,
    )


def add_occluders(bpy: Any, scene: Scene, config: SynthesisConfig) -> None:
    """Clothes, glasses and things before the face, of a batch of one; hair is :func:`add_hair`'s."""
    occluders = scene.occluders
    assert occluders is not None
    v_cam, albedo = _array(occluders.v_cam[0]), _array(occluders.albedo[0])
    attributes = _Attributes.of(occluders.attributes)
    faces, segments = _array(occluders.faces), _array(occluders.segments)
    for segment in np.unique(segments):
        name = SEGMENT_NAMES[segment]
        if name == "hair":
            continue
        chosen = faces[segments == segment]
        groups = [(name, chosen)]
        if name == "glasses":
            clear = (attributes.glasses_opacity[chosen] < 0.999).any(axis=1)
            groups = [("glasses", chosen[~clear]), ("lens", chosen[clear])]
        for kind, triangles in groups:
            used, flat = np.unique(triangles, return_inverse=True)
            if np.ptp(v_cam[used], axis=0).max() < 1e-6:
                continue  # what a sample lacks lies in one spot
            mesh = _Mesh(kind, int(segment), v_cam[used], flat.reshape(-1, 3), albedo[used], attributes.at(used))
            _add_part(bpy, scene, config, mesh)


@dataclasses.dataclass(frozen=True, eq=False)
class _Attributes:
    """Attributes of vertices that materials read: of cloth, and the opacity of glasses; ``(G,)`` each."""

    azimuth_rad: np.ndarray
    below_edge_mm: np.ndarray
    neckline_mm: np.ndarray
    glasses_opacity: np.ndarray

    @classmethod
    def of(cls, attributes: SurfaceAttributes) -> _Attributes:
        """Of a batch of one."""
        cloth = attributes.cloth
        columns = (cloth.azimuth_rad, cloth.below_edge_mm, cloth.neckline_mm, attributes.glasses.opacity)
        return cls(*(_array(column[0]) for column in columns))

    def at(self, vertices: np.ndarray) -> _Attributes:
        """Of some of the vertices."""
        return _Attributes(*(getattr(self, field.name)[vertices] for field in dataclasses.fields(self)))


@dataclasses.dataclass(frozen=True, eq=False)
class _Mesh:
    kind: str
    segment: int
    v_cam: np.ndarray
    faces: np.ndarray
    albedo: np.ndarray
    attributes: _Attributes


def _add_part(bpy: Any, scene: Scene, config: SynthesisConfig, mesh: _Mesh) -> None:
    point = {"albedo": _coloured(mesh.albedo)}
    if mesh.kind == "clothes":
        material = materials.clothes(bpy, config)
        below = mesh.attributes.below_edge_mm - mesh.attributes.neckline_mm
        # Zero is what other meshes, which have no neckline, read.
        point["below_neckline"] = np.where(below == 0.0, 1e-3, below)[:, None]
        point["cloth"] = _coloured(_cloth(scene, mesh.attributes))
    elif mesh.kind == "lens":
        material = materials.lens(bpy, float(mesh.attributes.glasses_opacity.min()))
    elif mesh.kind == "glasses":
        material = materials.plain(bpy, "frame", 0.25)
    else:
        material = materials.plain(bpy, mesh.kind, 0.5)
        point["rest"] = mesh.v_cam
        if bool(scene.rng.chance("hand", 0.6)[0]):
            material = materials.skin(bpy, "hand", config)
    add_mesh(
        bpy,
        mesh.kind,
        mesh.v_cam,
        mesh.faces,
        [material],
        point=point,
        face={"segment": np.full((len(mesh.faces), 1), mesh.segment)},
    )
    if mesh.kind == "lens":
        bpy.context.scene.objects["lens"]["clear"] = bool(mesh.attributes.glasses_opacity.min() < 0.5)


def _cloth(scene: Scene, attributes: _Attributes) -> np.ndarray:
    """Linear colour of the cloth at vertices."""
    import torch

    first, other = (_array(x[0]) for x in cloth_colours(scene.rng))
    width = float(scene.rng.uniform("stripe width", low=8.0, high=40.0)[0])
    striped = np.sin(2.0 * np.pi * attributes.below_edge_mm / width) > 0.0
    azimuth, below = torch.as_tensor(attributes.azimuth_rad), torch.as_tensor(attributes.below_edge_mm)
    folds = line_noise(azimuth * 5.0 + 0.03 * below + 3000.0 * scene.rng.uniform("folds")) * line_noise(
        below / 18.0 + azimuth * 2.0
    )
    return np.where(striped[:, None], other, first) * (0.75 + 0.5 * _array(folds))[:, None]


def add_hair(bpy: Any, scene: Scene, assets: SceneAssets, config: SynthesisConfig, count: int) -> None:
    """Single hairs of a batch of one."""
    sheet, hairstyles = assets.occluder_grids.hair, scene.hairstyles
    if sheet is None or hairstyles is None:
        return
    strands = grow(sheet, hairstyles, scene.look_rng, assets.model, scene.v_obj, count)
    points = scene.camera.to_camera(scene.v_obj.new_tensor(strands.points).reshape(1, -1, 3))[0]
    colour = np.clip(strands.shade[:, None] * _array(hairstyles.colour[0]), 0.0, 0.9)
    add_strands(
        bpy,
        "hair",
        _array(points).reshape(strands.points.shape),
        strands.radius_mm,
        materials.hair(bpy, config),
        strand={
            "albedo": _coloured(colour),
            "segment": np.full((len(colour), 1), float(SEGMENT_NAMES.index("hair"))),
        },
    )


def _coloured(rgb: np.ndarray) -> np.ndarray:
    return np.concatenate([rgb, np.ones_like(rgb[:, :1])], axis=1)


def _array(tensor: Tensor) -> np.ndarray:
    array: np.ndarray = tensor.detach().cpu().numpy()
    return array
