"""ONNX files of our networks: written with what they are in their metadata, and opened only if they are one of ours."""

from __future__ import annotations

import os
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from bfm.reading import read_bytes
from bfm.text import printable
from recon.io.files import write_file

OPSET = 18
"""GridSample came with 16."""
_LARGEST_BYTES = 2 << 30
"""Of a file without parts outside it."""
_LARGEST_SIDE_PX = 2048


class OnnxError(ValueError):
    """An ONNX file that is missing, damaged or not one that this project wrote."""

    def __init__(self, message: str) -> None:
        super().__init__(printable(" ".join(message.split())))


def write_onnx(
    path: str | os.PathLike[str],
    network: nn.Module,
    examples: Mapping[str, Tensor],
    outputs: Sequence[str],
    facts: Mapping[str, str],
    *,
    overwrite: bool = False,
) -> Path:
    """Write a network as one ONNX file that takes any number of pictures at a time.

    Args:
        path: of the file.
        network: takes tensors in the order of ``examples`` and gives tensors in that of ``outputs``, batch first.
        examples: an input of each name.
        outputs: their names.
        facts: texts for the metadata, among them ``format``.

    Raises:
        OutputExistsError, OutputError: see :func:`recon.io.files.write_file`.
    """
    import onnx

    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter about itself
        part = Path(folder) / "network.onnx"
        torch.onnx.export(
            network.eval(),
            tuple(examples.values()),
            str(part),
            input_names=list(examples),
            output_names=list(outputs),
            dynamic_axes={name: {0: "batch"} for name in (*examples, *outputs)},
            opset_version=OPSET,
            dynamo=False,
        )
        model = onnx.load(part)
    onnx.helper.set_model_props(model, dict(facts))
    return write_file(path, model.SerializeToString(), overwrite=overwrite)


Described = TypeVar("Described")
Answer = TypeVar("Answer")


class OnnxNetwork:
    """A file that :func:`write_onnx` wrote, opened by onnxruntime on the CPU.

    Args:
        path: of the file.
        kind: what the network is called in messages: "regressor".
        file_format: the ``format`` that it must have.
        inputs, outputs: their names.
        threads: of onnxruntime; 0 leaves it to it.

    Attributes:
        path: of the file.
        facts: the metadata.

    Raises:
        OnnxError: no such file, a damaged one, another format, or other inputs and outputs.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        kind: str,
        file_format: str,
        inputs: Sequence[str],
        outputs: Sequence[str],
        threads: int = 0,
    ) -> None:
        import onnxruntime

        self.path = Path(path)
        if not self.path.is_file():
            raise OnnxError(f"no ONNX file at {self.path}; write one with recon export-onnx")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        try:
            # As bytes: a file beside it, which an ONNX file may name, is then not opened.
            content = read_bytes(self.path, _LARGEST_BYTES)
            self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises types of its own that share no base
            raise OnnxError(f"{self.path} is damaged or no ONNX file: {' '.join(str(error).split())[:300]}") from error
        self.facts: dict[str, str] = self._session.get_modelmeta().custom_metadata_map
        if self.facts.get("format") != file_format:
            found = self.facts.get("format")
            raise OnnxError(f"{self.path} is no {kind} of ours: format {found!r}, expected {file_format!r}")
        names = [[value.name for value in end] for end in (self._session.get_inputs(), self._session.get_outputs())]
        if names != [list(inputs), list(outputs)]:
            raise OnnxError(f"{self.path} has other inputs and outputs than a {kind}: {names}")

    def described(self, config_of: Callable[[Mapping[str, str]], Described]) -> Described:
        """What the metadata say of the network.

        Args:
            config_of: of the metadata; KeyError, ValueError, TypeError or RecursionError say that they make no sense.

        Raises:
            OnnxError: they make none.
        """
        try:
            return config_of(self.facts)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise OnnxError(f"the description in {self.path} makes no sense ({error}); write it anew") from error

    def run(self, inputs: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
        """The outputs for these inputs, float32 on the CPU.

        Args:
            inputs: by name.
            shapes: of each output, as the file's description promises them.

        Raises:
            OnnxError: the file's network fails, or gives what its description does not say.
        """
        feeds: dict[str, Any] = {
            name: np.ascontiguousarray(value.detach().cpu().numpy(), dtype=np.float32) for name, value in inputs.items()
        }
        try:
            found = self._session.run(list(shapes), feeds)
        except Exception as error:  # the graph is the file's
            raise OnnxError(f"the network in {self.path} fails: {' '.join(str(error).split())[:300]}") from error
        for (name, shape), value in zip(shapes.items(), found, strict=True):
            if getattr(value, "shape", None) != shape or value.dtype != np.float32:
                raise OnnxError(f"the network in {self.path} gives {name} that is not {shape} float32")
        return {name: torch.from_numpy(value) for name, value in zip(shapes, found, strict=True)}


def check_side(side: int) -> None:
    """Refuse what no picture of a network is.

    Raises:
        ValueError: not from 1 to 2048 px.
    """
    if not 1 <= side <= _LARGEST_SIDE_PX:
        raise ValueError(f"a picture side of {side} px")


def check_pictures(pictures: Tensor, side: int) -> None:
    """Refuse pictures of another size than the network's.

    Raises:
        ValueError: not ``(B, 3, side, side)``.
    """
    if tuple(pictures.shape[1:]) != (3, side, side):
        raise ValueError(f"this network takes pictures (B, 3, {side}, {side}), got {tuple(pictures.shape)}")


def relative_difference(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> float:
    """The largest difference of any output, over the output's largest value."""
    smallest = torch.finfo(torch.float32).tiny  # an output may be zero everywhere
    return max(
        float((found[name] - value).abs().max() / value.abs().max().clamp_min(smallest))
        for name, value in wanted.items()
    )


def least_seconds(call: Callable[[], object], repeats: int) -> float:
    """The shortest of some calls: what other processes take away is then not counted."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def compare_on_crops(
    network: Callable[[Tensor], Answer],
    exported: Callable[[Tensor], Answer],
    side: int,
    tensors: Callable[[Answer], Mapping[str, Tensor]],
    repeats: int,
) -> tuple[float, float]:
    """Largest difference between onnxruntime and torch on random crops, over each output's largest value; and the least time of one
    crop on one thread in seconds.

    Args:
        network: of torch.
        exported: the same in onnxruntime, on one thread.
        side: of its crops, px.
        tensors: of an answer, by name.
        repeats: of the crop that is timed.
    """
    crops = torch.rand(3, 3, side, side, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        wanted = tensors(network(crops))
    difference = relative_difference(tensors(exported(crops)), wanted)
    return difference, least_seconds(lambda: exported(crops[:1]), repeats)
