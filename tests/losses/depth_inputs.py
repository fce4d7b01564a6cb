"""Depth maps with all that any depth loss needs besides, small and asymmetric, in float64."""

import copy
import dataclasses

import torch

from losses.depth.catalogue import CATALOGUE
from losses.depth.ranking import segment_pairs
from losses.depth.reprojection import Views
from recon.camera import PerspectiveCamera

B, H, W = 2, 9, 13
FOCAL_PX, PRINCIPAL_PX = (300.0, 290.0), (6.1, 4.9)
DISTANCES_MM = torch.tensor([600.0, 750.0], dtype=torch.float64)


def sample(*size, seed=0):
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def uniform(*size, seed=0):
    return torch.rand(*size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class TinyNetwork(torch.nn.Module):
    """Two feature maps of different sizes."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(3)
            self.first = torch.nn.Conv2d(3, 4, 3, padding=1, dtype=torch.float64)
            self.second = torch.nn.Conv2d(4, 5, 3, stride=2, dtype=torch.float64)

    def forward(self, picture):
        first = torch.tanh(self.first(picture))
        return [first, torch.tanh(self.second(first))]


@dataclasses.dataclass(frozen=True)
class Case:
    """What a loss is called with."""

    predicted: torch.Tensor
    true: torch.Tensor
    mask: torch.Tensor
    inputs: dict


def camera(translation_mm=None):
    return PerspectiveCamera.at(
        None,
        torch.zeros(B, 3, dtype=torch.float64) if translation_mm is None else translation_mm,
        focal_px=torch.tensor([FOCAL_PX], dtype=torch.float64),
        principal_px=torch.tensor([PRINCIPAL_PX], dtype=torch.float64),
    )


def views():
    """A picture of a wall at 600 and 750 mm, and two more: one two pixels to the right, one a pixel up."""
    image = uniform(B, 3, H, W, seed=5)
    shift = torch.zeros(2, B, 3, dtype=torch.float64)
    shift[0, :, 0] = 2.0 * DISTANCES_MM / FOCAL_PX[0]
    shift[1, :, 1] = 1.0 * DISTANCES_MM / FOCAL_PX[1]
    sources = (torch.roll(image, 2, dims=3), torch.roll(image, -1, dims=2))
    return Views(image, camera(), sources, (camera(shift[0]), camera(shift[1])))


def mask():
    found = sample(B, 1, H, W, seed=9) > -0.7
    found[:, :, 2:7, 3:9] = True  # somewhere for whole windows
    found[0, :, :, -2:] = False
    return found


def case(name):
    """Inputs of a loss: a relief with errors of some mm; a wall where pictures must agree; nan off the mask."""
    inside = mask()
    true = DISTANCES_MM[:, None, None, None] * torch.ones(B, 1, H, W, dtype=torch.float64)
    if "views" not in CATALOGUE[name].needs:
        rows, columns = torch.meshgrid(torch.arange(H), torch.arange(W), indexing="ij")
        true = true + 3.0 * columns - 5.0 * rows + 20.0 * sample(B, 1, H, W, seed=1)
    noise_mm = 60.0 if "views" in CATALOGUE[name].needs else 6.0
    predicted = true + noise_mm * sample(B, 1, H, W, seed=2) + 4.0
    everything = {
        "image": uniform(B, 3, H, W, seed=6),
        "views": views(),
        "features": TinyNetwork().requires_grad_(False),
        "student": sample(B, 4, 5, 7, seed=7),
        "teacher": sample(B, 6, 5, 7, seed=8),
        "pairs": segment_pairs(
            (uniform(B, 1, H, W, seed=10) * 3.0).long(), inside, 40, torch.Generator().manual_seed(4)
        ),
        "camera": camera(),
        "bin_centres": 500.0 + 200.0 * uniform(B, 6, seed=11),
        "pixel_size": torch.tensor([2.0, 2.6], dtype=torch.float64),
    }
    everything["pairs"][0, 3] = -1
    inputs = {key: everything[key] for key in CATALOGUE[name].takes}
    nan = torch.full_like(true, torch.nan)
    return Case(torch.where(inside, predicted, nan), torch.where(inside, true, nan), inside, inputs)


def in_float32(value):
    """Inputs in single precision."""
    if isinstance(value, dict):
        return {key: in_float32(part) for key, part in value.items()}
    if isinstance(value, tuple):
        return tuple(in_float32(part) for part in value)
    if isinstance(value, torch.nn.Module):
        return copy.deepcopy(value).float()
    if dataclasses.is_dataclass(value):
        parts = {field.name: in_float32(getattr(value, field.name)) for field in dataclasses.fields(value)}
        return dataclasses.replace(value, **parts)
    return value.float() if isinstance(value, torch.Tensor) and value.is_floating_point() else value


def one_picture(inputs, index):
    """The same for one picture of the batch."""
    found = {}
    for key, value in inputs.items():
        if key == "views":
            cameras = [one_camera(c, index) for c in (value.camera, *value.source_cameras)]
            pictures = [picture[index : index + 1] for picture in (value.image, *value.sources)]
            found[key] = Views(pictures[0], cameras[0], tuple(pictures[1:]), tuple(cameras[1:]))
        elif key == "camera":
            found[key] = one_camera(value, index)
        else:
            found[key] = value[index : index + 1] if isinstance(value, torch.Tensor) else value
    return found


def one_camera(found, index):
    return dataclasses.replace(found, translation_mm=found.translation_mm[index : index + 1])
