"""Light from environment maps: equirectangular pictures of a folder become surroundings and one lamp each."""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from recon.color import srgb_to_linear
from recon.io.faults import reason
from recon.io.left_out import warn_left_out
from recon.io.names import printable
from recon.io.pictures import open_picture, strips
from recon.io.read_exr import exr_blocks, read_exr_header
from recon.io.read_radiance import radiance_blocks, read_radiance_header
from recon.io.regular_files import read_regular
from recon.lighting import environment_directions, environment_to_sh, rotate_lighting
from recon.rotation import euler_to_matrix
from recon.synthesis.counter_rng import CounterRng

_SUFFIXES = frozenset({".hdr", ".exr", ".jpg", ".jpeg", ".png"})
_ROWS, _COLUMNS = 64, 128
"""Maps are reduced to this: order 2 sees nothing finer, and lamps are wider than a texel's 3 degrees."""
_LAMP_TIMES_MEAN = 8.0
_LAMP_REACH_RAD = math.radians(25.0)
_MAX_ROWS = 2048
_MAX_RADIANCE = 1e20
"""What is brighter cannot be summed; such files are damaged."""
logger = logging.getLogger(__name__)


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

    Maps that cannot be read or are not 2 : 1 are left out, with a warning that counts them.

    Args:
        folder: with ``.hdr`` (Radiance), ``.exr`` (ZIP or uncompressed) or, with less range of brightness, ``.jpg`` and
            ``.png`` pictures, twice as wide as high; subfolders too.

    Raises:
        EnvironmentMapError: no folder, or no maps in it that can be used.
    """

    def __init__(self, folder: str | Path) -> None:
        root = Path(folder)
        if not root.is_dir():
            raise EnvironmentMapError(f"the folder of environment maps {root} does not exist; name a folder with maps")
        paths = sorted(path for path in root.rglob("*") if path.suffix.lower() in _SUFFIXES)
        if not paths:
            raise EnvironmentMapError(f"the folder {root} holds no environment maps ({', '.join(sorted(_SUFFIXES))})")
        found, faults = [], []
        for path in paths:
            try:
                found.append(split_lamp(read_environment(path)))
            except EnvironmentMapError as fault:
                faults.append(str(fault))
        if not found:
            raise EnvironmentMapError(f"the folder {root} holds no environment maps that can be used: {faults[0]}")
        warn_left_out(logger, "environment maps", root, len(paths), faults)
        names = [field.name for field in dataclasses.fields(Surroundings)]
        self.maps = Surroundings(**{name: torch.cat([getattr(one, name) for one in found]) for name in names})

    def sample(self, rng: CounterRng) -> Surroundings:
        """A random map for each sample, turned about the vertical by a random angle."""
        which = rng.integer("environment map", len(self.maps.lighting)).cpu()
        turn = 2.0 * torch.pi * rng.uniform("environment turn").cpu()
        zero = torch.zeros_like(turn)
        rotation = euler_to_matrix(torch.stack((zero, turn, zero), dim=1))
        return Surroundings(
            rotate_lighting(self.maps.lighting[which], rotation).to(rng.device),
            (rotation @ self.maps.direction[which][..., None])[..., 0].to(rng.device),
            self.maps.irradiance[which].to(rng.device),
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
    """A map in linear radiance of any scale. Maps over 2048 rows are averaged to at most that many while they are read.

    Raises:
        EnvironmentMapError: unreadable, not twice as wide as high, or without light.
    """
    try:
        suffix = path.suffix.lower()
        if suffix == ".hdr":
            picture = _radiance(path)
        elif suffix == ".exr":
            picture = _exr(path)
        else:
            picture = _picture(path)
    except KeyError as error:
        raise EnvironmentMapError(f"the environment map {printable(path)} has no channel {error}") from error
    except (OSError, ValueError) as error:
        if isinstance(error, EnvironmentMapError):
            raise
        raise EnvironmentMapError(f"the environment map {printable(path)} cannot be read: {reason(error)}") from error
    if not np.isfinite(picture).all() or picture.min() < 0.0 or not 0.0 < picture.max() <= _MAX_RADIANCE:
        raise EnvironmentMapError(
            f"the environment map {printable(path)} holds no light, or values that are negative or not finite"
        )
    return torch.as_tensor(np.ascontiguousarray(np.moveaxis(picture, -1, 0)), dtype=torch.float32)


def _radiance(path: Path) -> Float[np.ndarray, "h w 3"]:
    data = read_regular(path)
    header = read_radiance_header(data)
    return _gathered(path, (header.height, header.width), radiance_blocks(data, header))


def _exr(path: Path) -> Float[np.ndarray, "h w 3"]:
    data = read_regular(path)
    header = read_exr_header(data)
    blocks = (
        (first, np.stack([channels[name] for name in "RGB"], axis=-1)) for first, channels in exr_blocks(data, header)
    )
    return _gathered(path, (header.height, header.width), blocks)


def _picture(path: Path) -> Float[np.ndarray, "h w 3"]:
    linear = srgb_to_linear(torch.arange(256, dtype=torch.float32) / 255.0).numpy()
    with open_picture(path) as opened:
        width, height = opened.size_in_file
        blocks = ((first, linear[codes]) for first, codes in strips(opened.image, "RGB"))
        return _gathered(path, (height, width), blocks)


def _gathered(
    path: Path, size: tuple[int, int], blocks: Iterable[tuple[int, np.ndarray]]
) -> Float[np.ndarray, "h w 3"]:
    """Blocks of lines as one picture: whole, or reduced by the mean over squares if it has more than 2048 rows."""
    height, width = size
    if width != 2 * height:
        raise EnvironmentMapError(
            f"the environment map {printable(path)} is {width} x {height} px: an equirectangular map is twice as wide as high"
        )
    side = -(-height // _MAX_ROWS)
    if side == 1:
        picture = np.zeros((height, width, 3), np.float32)
        for first, block in blocks:
            picture[first : first + len(block)] = block
        return picture
    columns = np.arange(0, width, side)
    sums = np.zeros((-(-height // side), len(columns), 3), np.float32)
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is seen in the result
        for first, block in blocks:
            rows = np.flatnonzero((np.arange(first, first + len(block)) % side == 0) | (np.arange(len(block)) == 0))
            part = np.add.reduceat(np.add.reduceat(block, rows, axis=0), columns, axis=1)
            if (part < 0.0).any():
                raise EnvironmentMapError(f"the environment map {printable(path)} holds negative values")
            sums[first // side : first // side + len(part)] += part
    n_rows = np.diff(np.append(np.arange(0, height, side), height))
    n_columns = np.diff(np.append(columns, width))
    return sums / (n_rows[:, None] * n_columns)[..., None].astype(np.float32)
