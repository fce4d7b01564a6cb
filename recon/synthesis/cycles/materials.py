"""Node materials: skin that light enters, wet eyes, hair fibres, cloth, glass; and the one that writes labels.

Materials read what differs between samples from the geometry's attributes: ``albedo`` (linear), ``rest`` (mm on the mean
face, where the skin's pattern sticks), ``segment``, ``below_neckline`` (mm, clothes only), ``cloth``.
"""

from __future__ import annotations

from typing import Any

from recon.synthesis.config import SynthesisConfig
from recon.synthesis.sample import SEGMENT_NAMES

SEGMENT_AOV = "segment"
_FREE_PATH_MM = (3.673, 1.367, 0.683)
"""Diffuse mean free path of fair skin by colour: Jensen et al. 2001, "A practical model for subsurface light transport"."""
_SKIN_IOR = 1.4


class _Tree:
    """Adds nodes to a material; a value that is a socket becomes a link."""

    def __init__(self, bpy: Any, name: str) -> None:
        self.material = bpy.data.materials.new(name)
        self.nodes, self.links = self.material.node_tree.nodes, self.material.node_tree.links
        self.nodes.clear()

    def add(self, kind: str, settings: dict[str, Any] | None = None, **inputs: Any) -> Any:
        """A node; inputs by name with underscores for spaces, or ``_0`` for a place."""
        node = self.nodes.new(f"ShaderNode{kind}")
        for key, value in (settings or {}).items():
            setattr(node, key, value)
        for key, value in inputs.items():
            socket = node.inputs[int(key[1:]) if key[0] == "_" else key.replace("_", " ")]
            if hasattr(value, "is_linked"):
                self.links.new(value, socket)
            else:
                socket.default_value = value
        return node

    def attribute(self, name: str) -> Any:
        return self.add("Attribute", {"attribute_name": name, "attribute_type": "GEOMETRY"})

    def math(self, operation: str, first: Any, second: Any) -> Any:
        return self.add("Math", {"operation": operation}, _0=first, _1=second).outputs[0]

    def finish(self, shader: Any) -> Any:
        self.add("OutputMaterial", Surface=shader)
        return self.material


def skin(bpy: Any, name: str, config: SynthesisConfig, *, roughness: float = 0.46, depth: float = 1.0) -> Any:
    """Skin or lips; light spreads below the surface by ``depth`` times the free path of fair skin."""
    tree = _Tree(bpy, name)
    colour, normal = _skin_pattern(tree, config.skin_detail)
    shader = tree.add(
        "BsdfPrincipled",
        {"subsurface_method": "RANDOM_WALK"},
        Base_Color=colour,
        Roughness=roughness,
        IOR=_SKIN_IOR,
        Subsurface_Weight=config.subsurface,
        Subsurface_Radius=_FREE_PATH_MM,
        Subsurface_Scale=0.001 * depth,
        Specular_IOR_Level=0.5 * config.specular,
    )
    if normal is not None:
        tree.links.new(normal, shader.inputs["Normal"])
    return tree.finish(shader.outputs[0])


def _skin_pattern(tree: _Tree, strength: float) -> tuple[Any, Any]:
    """Albedo with blotches, and the bump of pores and fine lines."""
    albedo = tree.attribute("albedo").outputs["Color"]
    if strength == 0.0:
        return albedo, None
    rest = tree.attribute("rest").outputs["Vector"]
    blotch = tree.add("TexNoise", Vector=rest, Scale=0.11, Detail=4.0, Roughness=0.6).outputs[0]
    factor = tree.math("MULTIPLY_ADD", blotch, 0.30 * strength)
    factor.node.inputs[2].default_value = 1.0 - 0.15 * strength
    toned = tree.add("VectorMath", {"operation": "SCALE"}, _0=albedo, Scale=factor).outputs[0]
    pores = tree.add("TexVoronoi", Vector=rest, Scale=1.1).outputs["Distance"]
    lines = tree.add("TexNoise", Vector=rest, Scale=0.55, Detail=5.0, Roughness=0.65).outputs[0]
    height = tree.math("ADD", tree.math("MULTIPLY", pores, 0.35), lines)
    # Distance is the height in metres that a value of one stands for.
    bump = tree.add("Bump", Strength=0.9 * strength, Distance=0.0006, Height=height)
    return toned, bump.outputs[0]


def wet(bpy: Any, name: str, config: SynthesisConfig, roughness: float) -> Any:
    """Eyes, teeth and the inside of the mouth: opaque below a clear film."""
    tree = _Tree(bpy, name)
    shader = tree.add(
        "BsdfPrincipled",
        Base_Color=tree.attribute("albedo").outputs["Color"],
        Roughness=0.5,
        Specular_IOR_Level=0.2 * config.specular,
        Coat_Weight=config.specular,
        Coat_Roughness=roughness,
        Coat_IOR=1.376,
    )
    return tree.finish(shader.outputs[0])


def hair(bpy: Any, config: SynthesisConfig) -> Any:
    """Opaque fibres with a highlight along them: a tenth of the time that fibres which light passes take."""
    tree = _Tree(bpy, "hair")
    shader = tree.add(
        "BsdfPrincipled",
        Base_Color=tree.attribute("albedo").outputs["Color"],
        Roughness=0.38,
        IOR=1.55,
        Specular_IOR_Level=0.5 * config.specular,
        Specular_Tint=(1.0, 0.93, 0.85, 1.0),
    )
    return tree.finish(shader.outputs[0])


def clothes(bpy: Any, config: SynthesisConfig) -> Any:
    """Cloth below the neckline, skin above."""
    tree = _Tree(bpy, "clothes")
    bare = tree.add(
        "BsdfPrincipled",
        Base_Color=tree.attribute("albedo").outputs["Color"],
        Roughness=0.5,
        Subsurface_Weight=config.subsurface,
        Subsurface_Radius=_FREE_PATH_MM,
        Subsurface_Scale=0.001,
        Specular_IOR_Level=0.4 * config.specular,
    )
    place = tree.add("TexCoord").outputs["Object"]
    weave = tree.add("TexNoise", Vector=place, Scale=900.0, Detail=2.0).outputs[0]
    bump = tree.add("Bump", Strength=0.6, Distance=0.0006, Height=weave).outputs[0]
    cloth = tree.add(
        "BsdfPrincipled",
        Base_Color=tree.attribute("cloth").outputs["Color"],
        Roughness=0.9,
        Specular_IOR_Level=0.2,
        Sheen_Weight=0.3,
        Normal=bump,
    )
    share = tree.math("GREATER_THAN", tree.attribute("below_neckline").outputs["Factor"], 0.0)
    return tree.finish(tree.add("MixShader", _0=share, _1=bare.outputs[0], _2=cloth.outputs[0]).outputs[0])


def plain(bpy: Any, name: str, roughness: float) -> Any:
    """Frames of glasses and objects: the albedo with a specular reflection."""
    tree = _Tree(bpy, name)
    colour = tree.attribute("albedo").outputs["Color"]
    return tree.finish(tree.add("BsdfPrincipled", Base_Color=colour, Roughness=roughness).outputs[0])


def lens(bpy: Any, opacity: float) -> Any:
    """A thin pane: dims what lies behind it by ``opacity`` and mirrors by Fresnel's law."""
    tree = _Tree(bpy, "lens")
    clear = (1.0 - opacity,) * 3 + (1.0,)
    behind = tree.add("BsdfTransparent", Color=clear).outputs[0]
    mirror = tree.add("BsdfGlossy", Roughness=0.02).outputs[0]
    share = tree.add("Fresnel", IOR=1.5).outputs[0]
    return tree.finish(tree.add("MixShader", _0=share, _1=behind, _2=mirror).outputs[0])


def labels(bpy: Any) -> Any:
    """Writes the segment of what is seen to a channel; bare skin of the clothes' mesh is body."""
    tree = _Tree(bpy, "labels")
    segment = tree.attribute("segment").outputs["Factor"]
    bare = tree.math("LESS_THAN", tree.attribute("below_neckline").outputs["Factor"], 0.0)
    step = float(SEGMENT_NAMES.index("body") - SEGMENT_NAMES.index("clothes"))
    total = tree.math("MULTIPLY_ADD", bare, step)
    tree.links.new(segment, total.node.inputs[2])
    tree.add("OutputAOV", {"aov_name": SEGMENT_AOV}, Value=total)
    return tree.finish(tree.add("Emission").outputs[0])
