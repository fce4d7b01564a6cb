"""The regressor as an ONNX file, and the way to run one with onnxruntime."""

from __future__ import annotations

import json
import os
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from bfm.reading import read_bytes
from bfm.text import printable
from recon.camera import check_camera_model
from recon.io.files import write_file
from recon.networks.head import FaceBlocks
from recon.networks.regressor import Regressor
from recon.parameters import FaceParameters

OUTPUTS = ("identity", "expression", "albedo", "rotation", "translation_mm", "lighting")
_FORMAT = "facerecon-regressor-onnx-1"
_OPSET = 18
_LARGEST_BYTES = 2 << 30
"""Of a file without parts outside it."""


class OnnxError(ValueError):
    """An ONNX file that is missing, damaged or not written by :func:`export_onnx`."""

    def __init__(self, message: str) -> None:
        super().__init__(printable(" ".join(message.split())))


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
    import onnx

    side = regressor.config.size
    examples = (torch.rand(2, 3, side, side), _example_intrinsics(2, side))
    plain = _Plain(regressor).eval()
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter about itself
        part = Path(folder) / "network.onnx"
        torch.onnx.export(
            plain,
            examples,
            str(part),
            input_names=["pictures", "intrinsics"],
            output_names=list(OUTPUTS),
            dynamic_axes={name: {0: "batch"} for name in ("pictures", "intrinsics", *OUTPUTS)},
            opset_version=_OPSET,
            dynamo=False,
        )
        model = onnx.load(part)
    facts = {
        "format": _FORMAT,
        "size": str(side),
        "backbone": regressor.config.backbone,
        "blocks": json.dumps(regressor.blocks.to_dict()),
        "camera": regressor.config.camera,
        "white_light": json.dumps(regressor.config.white_light),
    }
    onnx.helper.set_model_props(model, facts)
    return write_file(path, model.SerializeToString(), overwrite=overwrite)


def _example_intrinsics(count: int, side: int) -> Float[Tensor, "b 3 3"]:
    focal, middle = 1015.0 / 224.0 * side, 0.5 * side
    return torch.tensor([[focal, 0.0, middle], [0.0, focal, middle], [0.0, 0.0, 1.0]]).expand(count, 3, 3).clone()


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
        import onnxruntime

        place = Path(path)
        if not place.is_file():
            raise OnnxError(f"no ONNX file at {place}; write one with recon export-onnx")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        try:
            # As bytes: a file beside it, which an ONNX file may name, is then not opened.
            content = read_bytes(place, _LARGEST_BYTES)
            self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises types of its own that share no base
            raise OnnxError(f"{place} is damaged or no ONNX file: {' '.join(str(error).split())[:300]}") from error
        facts: dict[str, str] = self._session.get_modelmeta().custom_metadata_map
        if facts.get("format") != _FORMAT:
            raise OnnxError(f"{place} is no regressor of ours: format {facts.get('format')!r}, expected {_FORMAT!r}")
        try:
            self.size = int(facts["size"])
            self.blocks = FaceBlocks.of_dict(json.loads(facts["blocks"]))
            if not 1 <= self.size <= 2048:
                raise ValueError(f"a picture side of {self.size} px")
            self.camera = check_camera_model(facts.get("camera", "perspective"))
            self.white_light = json.loads(facts.get("white_light", "false"))
            if type(self.white_light) is not bool:
                raise ValueError(f"white_light {str(self.white_light)[:40]!r}")
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise OnnxError(f"the description in {place} makes no sense ({error}); write it anew") from error
        names = [[value.name for value in end] for end in (self._session.get_inputs(), self._session.get_outputs())]
        if names != [["pictures", "intrinsics"], list(OUTPUTS)]:
            raise OnnxError(f"{place} has other inputs and outputs than a regressor: {names}")
        self._place = place

    def __call__(self, pictures: Float[Tensor, "b 3 h w"], intrinsics: Float[Tensor, "b 3 3"]) -> FaceParameters:
        """Coefficients of pictures in [0, 1], on the CPU.

        Raises:
            ValueError: pictures of another size.
            OnnxError: the file's network fails, or gives what its description does not say.
        """
        if tuple(pictures.shape[1:]) != (3, self.size, self.size):
            raise ValueError(
                f"this network takes pictures (B, 3, {self.size}, {self.size}), got {tuple(pictures.shape)}"
            )
        feeds: dict[str, Any] = {
            "pictures": np.ascontiguousarray(pictures.detach().cpu().numpy(), dtype=np.float32),
            "intrinsics": np.ascontiguousarray(intrinsics.detach().cpu().numpy(), dtype=np.float32),
        }
        try:
            found = self._session.run(list(OUTPUTS), feeds)
        except Exception as error:  # the graph is the file's
            raise OnnxError(f"the network in {self._place} fails: {' '.join(str(error).split())[:300]}") from error
        sizes = (self.blocks.n_identity, self.blocks.n_expression, self.blocks.n_albedo)
        shapes = [(len(pictures), *rest) for rest in (*((n,) for n in sizes), (3, 3), (3,), (9, 3))]
        for name, value, shape in zip(OUTPUTS, found, shapes, strict=True):
            if getattr(value, "shape", None) != shape or value.dtype != np.float32:
                raise OnnxError(f"the network in {self._place} gives {name} that is not {shape} float32")
        tensors = {name: torch.from_numpy(value) for name, value in zip(OUTPUTS, found, strict=True)}
        return FaceParameters(**tensors, camera_model=self.camera)


def compare_with_torch(regressor: Regressor, path: str | os.PathLike[str], repeats: int = 20) -> tuple[float, float]:
    """Largest difference between onnxruntime and torch on random pictures, over each output's largest value; and the
    least time of one picture on one thread in seconds."""
    import time

    network = OnnxRegressor(path, threads=1)
    generator = torch.Generator().manual_seed(0)
    pictures = torch.rand(3, 3, network.size, network.size, generator=generator)
    intrinsics = _example_intrinsics(3, network.size)
    with torch.no_grad():
        wanted = regressor(pictures, intrinsics).tensors()
    found = network(pictures, intrinsics).tensors()
    gap = max(float((found[name] - value).abs().max() / value.abs().max()) for name, value in wanted.items())
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        network(pictures[:1], intrinsics[:1])
        times.append(time.perf_counter() - start)
    return gap, min(times)
