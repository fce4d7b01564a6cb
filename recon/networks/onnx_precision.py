"""ONNX files of our networks made smaller: weights with 16 bits, or weights and activations with 8."""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from recon.networks.onnx_file import least_seconds, relative_difference

Precision = Literal["fp32", "fp16", "int8"]
PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16", "int8")
_FEWEST_WEIGHTS = 256
"""Of a tensor worth fewer bits; what is smaller is often a constant of the graph."""
_CALIBRATED = ("Conv",)
"""With products of matrices as well, attention and heat maps of the landmark network suffer, and it becomes slower."""
Inputs = Mapping[str, np.ndarray]


def in_precision(content: bytes, precision: Precision, calibration: Sequence[Inputs] = ()) -> bytes:
    """An ONNX file with fewer bits a number; inputs, outputs and metadata stay as they are.

    ``fp16`` keeps weights with 16 bits and computes with 32: half the size, the same time, and little lost for weights that
    were saved so. ``int8`` computes convolutions with 8 bits (Jacob et al. 2018): faster where the processor has instructions for it.

    Args:
        content: of the file.
        precision: of :data:`PRECISIONS`.
        calibration: batches of inputs by name, by which the range of activations is told, for ``int8``. Without any it is
            measured anew in each run and products of matrices are what is computed with 8 bits, which suits networks without
            convolutions.
    """
    if precision == "fp32":
        return content
    if precision == "fp16":
        return _half_weights(content)
    return _quantised(content, calibration)


def compare_files(full: bytes, reduced: bytes, inputs: Inputs, repeats: int = 20) -> tuple[float, float]:
    """Largest difference between the outputs of two files for the same inputs, over each output's largest value; and the least time
    of the second on the first of the inputs, on one thread, in seconds."""
    sessions = [_session(content) for content in (full, reduced)]
    names = [output.name for output in sessions[0].get_outputs()]
    answers = [
        dict(zip(names, map(torch.from_numpy, session.run(names, dict(inputs))), strict=True)) for session in sessions
    ]
    first = {name: value[:1] for name, value in inputs.items()}
    return relative_difference(answers[1], answers[0]), least_seconds(lambda: sessions[1].run(names, first), repeats)


def _session(content: bytes) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def _half_weights(content: bytes) -> bytes:
    import onnx

    model = onnx.load_from_string(content)
    casts = []
    for tensor in model.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < _FEWEST_WEIGHTS:
            continue
        half = f"{tensor.name}_fp16"
        casts.append(onnx.helper.make_node("Cast", [half], [tensor.name], to=onnx.TensorProto.FLOAT))
        tensor.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float16), half))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return bytes(model.SerializeToString())


def _quantised(content: bytes, calibration: Sequence[Inputs]) -> bytes:
    import onnx
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(quantization.CalibrationDataReader):
        def __init__(self) -> None:
            self._batches = iter(calibration)

        def get_next(self) -> dict[str, np.ndarray] | None:
            batch = next(self._batches, None)
            return None if batch is None else dict(batch)

    with tempfile.TemporaryDirectory() as folder, _without_warnings():
        full, prepared, reduced = (Path(folder) / f"{name}.onnx" for name in ("full", "prepared", "reduced"))
        full.write_bytes(content)
        quant_pre_process(str(full), str(prepared), skip_symbolic_shape=True)
        if calibration:
            quantization.quantize_static(
                str(prepared),
                str(reduced),
                Reader(),
                per_channel=True,
                op_types_to_quantize=list(_CALIBRATED),
                activation_type=quantization.QuantType.QUInt8,
                weight_type=quantization.QuantType.QInt8,
            )
        else:
            quantization.quantize_dynamic(str(prepared), str(reduced), per_channel=True)
        model = onnx.load(reduced)
    facts = {entry.key: entry.value for entry in onnx.load_from_string(content).metadata_props}
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, facts)
    return bytes(model.SerializeToString())


@contextlib.contextmanager
def _without_warnings() -> Iterator[None]:
    """The quantiser's advice about how files should be prepared goes to the root logger."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
