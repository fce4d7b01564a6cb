"""The differentiable renderer: rasterize -> interpolate -> shade -> antialias, pure functions behind one door."""

from recon.render.antialias import antialias
from recon.render.checks import RenderInputError
from recon.render.interpolate import interpolate
from recon.render.mesh import Mesh, vertex_normals
from recon.render.pipeline import Render, render
from recon.render.rasterize import Raster, rasterize
from recon.render.texture import Texture
from recon.render.topology import Topology

__all__ = [
    "Mesh",
    "Raster",
    "Render",
    "RenderInputError",
    "Texture",
    "Topology",
    "antialias",
    "interpolate",
    "rasterize",
    "render",
    "vertex_normals",
]
