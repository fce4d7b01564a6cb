"""The regressor as an ONNX file, and the way to run one with onnxruntime."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from recon.camera import CameraModel, check_camera_model
from recon.networks.head import FaceBlocks
from recon.networks.onnx_file import (
    OnnxNetwork,
    check_pictures,
    check_side,
    least_seconds,
    relative_difference,
    write_onnx,
)
from recon.networks.regressor import Regressor
from recon.parameters import FaceParameters

OUTPUTS = ("identity", "expression", "albedo", "rotation", "translation_mm", "lighting")
_INPUTS = ("pictures", "intrinsics")
_FORMAT = "facerecon-regressor-onnx-1"


class _Plain(nn.Module):
    """Tensors in, tensors out."""

    def __init__(self, regressor: Regressor) -> None:
        super().__init__()
        self.regressor = regressor

    def forward(self, pictures: Tensor, intrinsics: Tensor) -> tuple[Tensor, ...]:
        found = self.regressor(pictures, intrinsics).tensors()
        return tuple(found[name] for name in OUTPUTS)


def export_onnx(regressor: Regressor, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
    """Write the network as one ONNX file with any batch size; normalisation and links are inside.

    Inputs ``pictures`` (B, 3, S, S) sRGB in [0, 1] and ``intrinsics`` (B, 3, 3); outputs as :data:`OUTPUTS`.

    Raises:
        OutputExistsError, OutputError: see :func:`recon.export.write_file`.
    """
    side = regressor.config.size
    examples = dict(zip(_INPUTS, (torch.rand(2, 3, side, side), _example_intrinsics(2, side)), strict=True))
    facts = {
        "format": _FORMAT,
        "size": str(side),
        "backbone": regressor.config.backbone,
        "blocks": json.dumps(regressor.blocks.to_dict()),
        "camera": regressor.config.camera,
        "white_light": json.dumps(regressor.config.white_light),
    }
    return write_onnx(path, _Plain(regressor), examples, OUTPUTS, facts, overwrite=overwrite)


def _example_intrinsics(count: int, side: int) -> Float[Tensor, "b 3 3"]:
    focal, middle = 1015.0 / 224.0 * side, 0.5 * side
    return torch.tensor([[focal, 0.0, middle], [0.0, focal, middle], [0.0, 0.0, 1.0]]).expand(count, 3, 3).clone()


def _described(facts: Mapping[str, str]) -> tuple[int, FaceBlocks, CameraModel, bool]:
    size, blocks = int(facts["size"]), FaceBlocks.of_dict(json.loads(facts["blocks"]))
    check_side(size)
    camera = check_camera_model(facts.get("camera", "perspective"))
    white_light = json.loads(facts.get("white_light", "false"))
    if type(white_light) is not bool:
        raise ValueError(f"white_light {str(white_light)[:40]!r}")
    return size, blocks, camera, white_light


class OnnxRegressor:
    """A regressor run by onnxruntime; called like :class:`recon.networks.regressor.Regressor`.

    Args:
        path: of a file that :func:`export_onnx` wrote.
        threads: of onnxruntime; 0 leaves it to it.

    Attributes:
        size: side of the pictures.
        blocks: of the face model.
        camera, white_light: see :class:`recon.networks.regressor.RegressorConfig`; files that do not say have the defaults.

    Raises:
        OnnxError: no such file, or another format.
    """

    def __init__(self, path: str | os.PathLike[str], threads: int = 0) -> None:
        self._network = OnnxNetwork(path, "regressor", _FORMAT, _INPUTS, OUTPUTS, threads)
        self.size, self.blocks, self.camera, self.white_light = self._network.described(_described)

    def __call__(self, pictures: Float[Tensor, "b 3 h w"], intrinsics: Float[Tensor, "b 3 3"]) -> FaceParameters:
        """Coefficients of pictures in [0, 1], on the CPU.

        Raises:
            ValueError: pictures of another size.
            OnnxError: the file's network fails, or gives what its description does not say.
        """
        check_pictures(pictures, self.size)
        sizes = (self.blocks.n_identity, self.blocks.n_expression, self.blocks.n_albedo)
        shapes = [(len(pictures), *rest) for rest in (*((n,) for n in sizes), (3, 3), (3,), (9, 3))]
        inputs = dict(zip(_INPUTS, (pictures, intrinsics), strict=True))
        tensors = self._network.run(inputs, dict(zip(OUTPUTS, shapes, strict=True)))
        return FaceParameters(**tensors, camera_model=self.camera)


def compare_with_torch(regressor: Regressor, path: str | os.PathLike[str], repeats: int = 20) -> tuple[float, float]:
    """Largest difference between onnxruntime and torch on random pictures, over each output's largest value; and the
    least time of one picture on one thread in seconds."""
    network = OnnxRegressor(path, threads=1)
    generator = torch.Generator().manual_seed(0)
    pictures = torch.rand(3, 3, network.size, network.size, generator=generator)
    intrinsics = _example_intrinsics(3, network.size)
    with torch.no_grad():
        wanted = regressor(pictures, intrinsics).tensors()
    difference = relative_difference(network(pictures, intrinsics).tensors(), wanted)
    return difference, least_seconds(lambda: network(pictures[:1], intrinsics[:1]), repeats)
