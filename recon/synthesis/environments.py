"""Light from environment maps: equirectangular pictures of a folder become surroundings and one lamp each."""

from __future__ import annotations

import dataclasses
import math
import re
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from recon.display import srgb_to_linear
from recon.lighting import environment_directions, environment_to_sh, rotate_lighting
from recon.read_exr import ExrError, decode_exr
from recon.rotation import euler_to_matrix
from recon.synthesis.draws import Draws

_SUFFIXES = frozenset({".hdr", ".exr", ".jpg", ".jpeg", ".png"})
_ROWS, _COLUMNS = 64, 128
"""Maps are reduced to this: order 2 sees nothing finer, and lamps are wider than a texel's 3 degrees."""
_LAMP_TIMES_MEAN = 8.0
_LAMP_REACH_RAD = math.radians(25.0)
_RESOLUTION = re.compile(rb"-Y (\d+) \+X (\d+)\n")


class EnvironmentMapError(ValueError):
    """A folder of environment maps that cannot be used."""


@dataclasses.dataclass(frozen=True, eq=False)
class Surroundings:
    """N maps, each at a mean radiance of 1. Frames are those of :func:`recon.lighting.environment_to_sh`.

    Attributes:
        lighting: ``(N, 9, 3)`` radiance coefficients without the lamp.
        direction: ``(N, 3)`` unit, towards the lamp: the brightest spot.
        irradiance: ``(N, 3)`` what the lamp gives a surface that faces it; 0 where nothing is that bright.
    """

    lighting: Float[Tensor, "n 9 3"]
    direction: Float[Tensor, "n 3"]
    irradiance: Float[Tensor, "n 3"]


class FolderEnvironments:
    """The environment maps of a folder, read once and kept as coefficients.

    Args:
        folder: with ``.hdr`` (Radiance), ``.exr`` (ZIP or uncompressed) or, with less range of brightness, ``.jpg`` and
            ``.png`` pictures, twice as wide as high; subfolders too.

    Raises:
        EnvironmentMapError: no folder, no maps in it, or a map that cannot be read or is not 2 : 1.
    """

    def __init__(self, folder: str | Path) -> None:
        root = Path(folder)
        if not root.is_dir():
            raise EnvironmentMapError(f"the folder of environment maps {root} does not exist; name a folder with maps")
        paths = sorted(path for path in root.rglob("*") if path.suffix.lower() in _SUFFIXES)
        if not paths:
            raise EnvironmentMapError(f"the folder {root} holds no environment maps ({', '.join(sorted(_SUFFIXES))})")
        found = [split_lamp(read_environment(path)) for path in paths]
        names = [field.name for field in dataclasses.fields(Surroundings)]
        self.maps = Surroundings(**{name: torch.cat([getattr(one, name) for one in found]) for name in names})

    def draw(self, draws: Draws) -> Surroundings:
        """A random map for each sample, turned about the vertical by a random angle."""
        which = draws.integer("environment map", len(self.maps.lighting)).cpu()
        turn = 2.0 * torch.pi * draws.uniform("environment turn").cpu()
        zero = torch.zeros_like(turn)
        rotation = euler_to_matrix(torch.stack((zero, turn, zero), dim=1))
        return Surroundings(
            rotate_lighting(self.maps.lighting[which], rotation).to(draws.device),
            (rotation @ self.maps.direction[which][..., None])[..., 0].to(draws.device),
            self.maps.irradiance[which].to(draws.device),
        )


def split_lamp(picture: Float[Tensor, "3 h w"]) -> Surroundings:
    """One map as surroundings and a lamp, which together give the map's light.

    What is brighter than eight times the mean, near the brightest spot, is taken out as the lamp: order 2 cannot hold a
    sun, and a lamp casts shadows. Mean radiance becomes 1, because the exposure of maps is arbitrary.
    """
    small = torch.nn.functional.interpolate(picture[None], size=(_ROWS, _COLUMNS), mode="area")[0]
    directions, area = environment_directions(small)
    solid_angle = area[:, None]  # of the texels of a row
    mean = (small.mean(dim=0) * solid_angle).sum() / (4.0 * math.pi)
    small = small / mean.clamp_min(1e-8)
    level = small.mean(dim=0)
    brightest = directions.reshape(-1, 3)[level.argmax()]
    near = (directions @ brightest).clamp(-1.0, 1.0).acos() < _LAMP_REACH_RAD
    excess = torch.where(near, (1.0 - _LAMP_TIMES_MEAN / level.clamp_min(1e-8)).clamp_min(0.0), 0.0)
    taken = small * excess
    irradiance = (taken * solid_angle).sum(dim=(1, 2))
    weight = taken.mean(dim=0) * solid_angle
    direction = (directions * weight[..., None]).sum(dim=(0, 1)) + 1e-12 * brightest
    return Surroundings(
        environment_to_sh(small - taken)[None],
        torch.nn.functional.normalize(direction, dim=0)[None],
        irradiance[None],
    )


def read_environment(path: Path) -> Float[Tensor, "3 h w"]:
    """A map in linear radiance of any scale.

    Raises:
        EnvironmentMapError: unreadable, not twice as wide as high, or without light.
    """
    try:
        data = path.read_bytes()
        suffix = path.suffix.lower()
        if suffix == ".hdr":
            picture = decode_radiance(data)
        elif suffix == ".exr":
            channels = decode_exr(data)
            picture = np.stack([channels[name] for name in "RGB"], axis=-1)
        else:
            with Image.open(path) as image:
                code = torch.as_tensor(np.array(image.convert("RGB")), dtype=torch.float32) / 255.0
            picture = srgb_to_linear(code).numpy()
    except KeyError as error:
        raise EnvironmentMapError(f"the environment map {path} has no channel {error}") from error
    except (OSError, ExrError, UnidentifiedImageError, Image.DecompressionBombError, ValueError) as error:
        raise EnvironmentMapError(f"the environment map {path} cannot be read: {error}") from error
    height, width = picture.shape[:2]
    if width != 2 * height:
        raise EnvironmentMapError(
            f"the environment map {path} is {width} x {height} px: an equirectangular map is twice as wide as high"
        )
    if not np.isfinite(picture).all() or picture.min() < 0.0 or picture.max() <= 0.0:
        raise EnvironmentMapError(
            f"the environment map {path} holds no light, or values that are negative or not finite"
        )
    return torch.as_tensor(np.ascontiguousarray(np.moveaxis(picture, -1, 0)), dtype=torch.float32)


def decode_radiance(data: bytes) -> Float[np.ndarray, "h w 3"]:
    """A Radiance ``.hdr`` picture (Ward 1991, "Real pixels"): a shared exponent a pixel, lines plain or run-length coded.

    Raises:
        ValueError: another format or orientation, or truncated.
    """
    if not data.startswith((b"#?RADIANCE", b"#?RGBE")):
        raise ValueError("it does not begin as a Radiance picture")
    head = _RESOLUTION.search(data)
    if head is None or b"FORMAT=32-bit_rle_rgbe" not in data[: head.start()]:
        raise ValueError("only RGBE pictures with the resolution '-Y height +X width' are read")
    height, width = int(head.group(1)), int(head.group(2))
    if not (0 < height <= 32768 and 0 < width <= 65536):
        raise ValueError(f"it claims {width} x {height} px")
    at, lines = head.end(), []
    for _ in range(height):
        line, at = _radiance_line(data, at, width)
        lines.append(line)
    rgbe = np.stack(lines)
    scale = np.where(rgbe[..., 3] > 0, np.ldexp(1.0, rgbe[..., 3].astype(np.int32) - 136), 0.0)
    return ((rgbe[..., :3] + 0.5 * (rgbe[..., 3:] > 0)) * scale[..., None]).astype(np.float32)


def _radiance_line(data: bytes, at: int, width: int) -> tuple[np.ndarray, int]:
    """One line ``(W, 4)`` uint8 and where the next begins."""
    coded = (
        8 <= width < 32768
        and data[at : at + 2] == b"\x02\x02"
        and int.from_bytes(data[at + 2 : at + 4], "big") == width
    )
    if not coded:
        end = at + 4 * width
        if end > len(data):
            raise ValueError("it is truncated")
        return np.frombuffer(data[at:end], np.uint8).reshape(width, 4), end
    at += 4
    planes = []
    for _ in range(4):
        plane = bytearray()
        while len(plane) < width:
            if at + 1 >= len(data):
                raise ValueError("it is truncated")
            count = data[at]
            if count > 128:
                plane += data[at + 1 : at + 2] * (count - 128)
                at += 2
            else:
                plane += data[at + 1 : at + 1 + count]
                at += 1 + count
            if count in (0, 128):
                raise ValueError("its runs are damaged")
        if len(plane) != width:
            raise ValueError("its runs are damaged")
        planes.append(np.frombuffer(bytes(plane), np.uint8))
    return np.stack(planes, axis=-1), at
