"""Path-traced synthetic faces: the same samples rendered by Blender's Cycles (extra ``blender``)."""

from recon.synthesis.cycles.blender import BlenderError, load_bpy
from recon.synthesis.cycles.engine import CyclesSampler, CyclesSettings

__all__ = ["BlenderError", "CyclesSampler", "CyclesSettings", "load_bpy"]
