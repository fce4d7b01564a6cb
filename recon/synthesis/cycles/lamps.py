"""Light in Blender from the light of a sample: its surroundings as a world picture, its lamps as area, sun, point or spot."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from recon.lighting import sh_basis
from recon.synthesis.counter_rng import CounterRng
from recon.synthesis.cycles.geometry import METRES
from recon.synthesis.scene.lights import N_LAMPS, Lights

KINDS = ("AREA", "SUN", "POINT", "SPOT")
_SHARES = (0.45, 0.15, 0.2, 0.2)
_WORLD = (32, 64)
_AWAY_M = 1.6
"""Distance of lamps from the middle of the head."""
_SPOT_RAD = math.radians(50.0)


def add_lights(
    bpy: Any, lights: Lights, rng: CounterRng, centre_mm: np.ndarray, *, shadows: bool, kinds: tuple[str, ...] = ()
) -> None:
    """The light of one sample; what a lamp gives a surface at the middle of the head is the sample's irradiance.

    Args:
        bpy: Blender's module.
        lights: of a batch of one.
        rng: of the sample: which kind each lamp is.
        centre_mm: ``(3,)`` middle of the head, camera frame.
        shadows: whether lamps cast them.
        kinds: of the lamps, instead of random ones.
    """
    _add_world(bpy, lights.surroundings[0])
    light_radius = float(lights.light_radius[0])
    for k in range(N_LAMPS):
        irradiance = lights.irradiances[0, k].double().cpu().numpy()
        strength = float(irradiance.max())
        if strength <= 1e-4:
            continue
        kind = kinds[k] if kinds else KINDS[int(rng.choice(f"cycles lamp {k}", _SHARES)[0])]
        towards = lights.directions[0, k].double().cpu().numpy()
        lamp = bpy.data.lights.new(f"lamp {k}", kind)
        lamp.color = (irradiance / strength).tolist()
        lamp.use_shadow = shadows
        lamp.energy = strength * _watts(kind)
        _shape(lamp, kind, light_radius)
        item = bpy.data.objects.new(lamp.name, lamp)
        item.matrix_world = _placed(bpy, towards, centre_mm * METRES)
        bpy.context.scene.collection.objects.link(item)


def _watts(kind: str) -> float:
    """Energy of a lamp that gives the irradiance 1 at its distance.

    Area lights are Lambertian emitters of so many watts, point and spot lights spheres (a spot's cone cuts it without
    changing what is inside), suns are given as irradiance.
    """
    square = _AWAY_M**2
    sphere = 4.0 * math.pi * square
    return {"AREA": math.pi * square, "SUN": 1.0, "POINT": sphere, "SPOT": sphere}[kind]


def _shape(lamp: Any, kind: str, light_radius: float) -> None:
    """Soft lamps are large: the penumbra grows with them."""
    if kind == "AREA":
        lamp.shape, lamp.size = "DISK", 0.15 + 0.75 * light_radius
    elif kind == "SUN":
        lamp.angle = math.radians(0.5 + 12.0 * light_radius)
    else:
        lamp.shadow_soft_size = 0.02 + 0.13 * light_radius
        if kind == "SPOT":
            lamp.spot_size, lamp.spot_blend = _SPOT_RAD, 0.3


def _placed(bpy: Any, towards: np.ndarray, centre_m: np.ndarray) -> Any:
    """Lamps shine along their own -z, so their z axis points from the head to them."""
    from mathutils import Matrix, Vector

    axis = Vector(towards.tolist())
    turn = axis.to_track_quat("Z", "Y").to_matrix().to_4x4()
    return Matrix.Translation(Vector(centre_m.tolist()) + _AWAY_M * axis) @ turn


def _add_world(bpy: Any, surroundings: torch.Tensor) -> None:
    """A world picture of the radiance; order 2 can ring below zero, which no light can be."""
    radiance = (sh_basis(world_directions(*_WORLD)) @ surroundings.cpu()).clamp_min(0.0).numpy()
    picture = bpy.data.images.new("surroundings", _WORLD[1], _WORLD[0], alpha=False, float_buffer=True)
    picture.colorspace_settings.name = "Linear Rec.709"
    pixels = np.concatenate([radiance, np.ones((*_WORLD, 1), np.float32)], axis=-1).astype(np.float32)
    picture.pixels.foreach_set(np.ascontiguousarray(pixels[::-1]).ravel())
    picture.update()
    world = bpy.data.worlds.new("world")
    bpy.context.scene.world = world
    tree = world.node_tree
    tree.nodes.clear()
    texture = tree.nodes.new("ShaderNodeTexEnvironment")
    texture.image = picture
    background, output = tree.nodes.new("ShaderNodeBackground"), tree.nodes.new("ShaderNodeOutputWorld")
    tree.links.new(texture.outputs[0], background.inputs[0])
    tree.links.new(background.outputs[0], output.inputs[0])


def world_directions(height: int, width: int) -> torch.Tensor:
    """``(H, W, 3)`` unit directions of a world picture's texels, top row first: Blender's equirectangular mapping has its
    pole at +z, the middle column at +x, and turns towards -y to the right."""
    polar = (torch.arange(height) + 0.5) * (math.pi / height)
    turn = math.pi - (torch.arange(width) + 0.5) * (2.0 * math.pi / width)
    return torch.stack(
        (
            polar.sin()[:, None] * turn.cos(),
            polar.sin()[:, None] * turn.sin(),
            polar.cos()[:, None].expand(height, width),
        ),
        dim=-1,
    )
