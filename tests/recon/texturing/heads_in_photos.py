"""Heads of known paint in known light, and their photos."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import torch

from bfm.model import MorphableModel
from recon.camera import PerspectiveCamera
from recon.color import encode_srgb
from recon.lighting import ambient, lamps_to_sh
from recon.render import Mesh, Topology, render
from recon.rotation import euler_to_matrix
from recon.texturing.bake import bake_texture
from recon.texturing.unproject import PhotographedHead
from recon.texturing.uv_map import UvMap

SIZE = 256
PHOTO = (480, 420)


uv_map_of = functools.lru_cache(maxsize=2)(UvMap.of)


def everything(images, prior):
    """A segmenter that takes all of the face for skin."""
    return prior.face.float()


class Turned:
    """A head turned by some yaw under a known light, its photo, and its texture baked from the photo."""

    def __init__(
        self,
        model: MorphableModel,
        yaw_deg: float,
        worn: torch.Tensor | None = None,
        shade: Callable[[np.ndarray], np.ndarray] | None = None,
    ) -> None:
        rotation = euler_to_matrix(torch.deg2rad(torch.tensor([[0.0, yaw_deg, 0.0]])))
        self.model, self.texels = model, uv_map_of(model, SIZE)
        self.camera = PerspectiveCamera.at(
            rotation, torch.tensor([[0.0, 0.0, -800.0]]), size=PHOTO, focal_px=torch.full((1, 2), 1300.0)
        )
        self.light = ambient(torch.full((1, 3), 0.5)) + lamps_to_sh(
            torch.tensor([[[0.5, 0.3, 0.8]]]), torch.full((1, 1, 3), 0.9)
        )
        self.albedo = model.mean_albedo[None].clamp(0, 1)
        worn = self.albedo if worn is None else worn
        mesh = Mesh.of(model.mean_shape[None], Topology.of(model.faces, model.n_vertices), worn)
        with torch.no_grad():
            rendered = render(mesh, self.camera, self.light, PHOTO, torch.full((1, 3, *PHOTO), 0.2)).image
        picture = encode_srgb(rendered, model.albedo_space)[0].permute(1, 2, 0).numpy()
        if shade is not None:
            picture = shade(picture)
        self.photo = (255 * picture).round().clip(0, 255).astype(np.uint8)

    def texture(self, light="removed"):
        return bake_texture(self.head(), self.texels, light, everything).astype(float) / 255.0

    def head(self):
        shape = self.model.mean_shape[None]
        return PhotographedHead(self.model, shape, self.albedo, self.light, self.camera, self.photo)

    def at(self, texture, place):
        """The texture around a point of the mean head, mm."""
        places = self.texels.sample(self.model.mean_shape, self.model.faces)
        near = (torch.linalg.norm(places - torch.tensor(place), dim=-1) < 3.0) & (self.texels.triangle_ids >= 0)
        assert near.any()
        return texture[near.numpy()].mean(axis=0)

    def plain(self):
        """What a texture of albedo alone would be."""
        own = self.texels.sample(self.albedo[0], self.model.faces)
        return encode_srgb(own, self.model.albedo_space).numpy()


def cheek(model, side):
    """A point of the cheek, mm; side 1 is the subject's left."""
    inside = model.region("cheeks") & (model.mean_shape[:, 0] * side > 0)
    place = model.mean_shape[inside].mean(dim=0)
    nearest = torch.linalg.norm(model.mean_shape - place, dim=1).argmin()
    return model.mean_shape[nearest].tolist()


def marked(model, place):
    """Paint with a mole of 4 mm at a place."""
    albedo = model.mean_albedo[None].clamp(0, 1).clone()
    albedo[0, torch.linalg.norm(model.mean_shape - torch.tensor(place), dim=1) < 4.0] *= 0.5
    return albedo
