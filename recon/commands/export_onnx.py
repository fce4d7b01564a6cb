"""``recon export-onnx``: a trained network as an ONNX file."""

from __future__ import annotations

import argparse
import dataclasses
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from recon.io.faults import complain

if TYPE_CHECKING:
    from recon.networks.onnx_precision import Precision

_SEED = 20_261_127
"""Of the drawn faces by which ``int8`` is calibrated and measured; training must not use it."""
_BATCH, _N_CALIBRATION = 8, 64


@dataclasses.dataclass(frozen=True)
class _Export:
    """A loaded network to be written.

    Attributes:
        write: writes it, and gives its difference from torch and the time of one picture in seconds.
        inputs: for it, of faces by number.
        is_calibrated: these inputs are such as it meets, so that they tell the range of its activations.
    """

    write: Callable[[Path, bool], tuple[float, float]]
    inputs: Callable[[range], dict[str, np.ndarray]]
    is_calibrated: bool = True


def add_parser(subcommands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``export-onnx`` to the subcommands of the ``recon`` command."""
    parser = subcommands.add_parser(
        "export-onnx",
        help="write a trained network as ONNX",
        description="Write a trained network as one ONNX file, check that onnxruntime gives the same, and print its speed. "
        "The file takes the checkpoint's place: recon reconstruct --method regress --checkpoint FILE.onnx, "
        "recon landmarks --checkpoint FILE.onnx, recon pose --method sixd --checkpoint FILE.onnx, or recon depth --network FILE.onnx.",
    )
    parser.add_argument("out", type=Path, metavar="OUT.onnx")
    parser.add_argument(
        "--checkpoint",
        type=Path,
        metavar="FILE",
        help="a .safetensors checkpoint of a regressor, a lifting, landmark, pose or depth network [the network of the package for --method regress]",
    )
    parser.add_argument("--model", default="open", help="face model of the package's checkpoint [open]")
    parser.add_argument(
        "--precision",
        choices=("fp32", "fp16", "int8"),
        default="fp32",
        help="fp16 keeps weights with 16 bits: half the size; int8 computes convolutions with 8: faster, less exact (docs/training.md) [fp32]",
    )
    parser.add_argument("--overwrite", action="store_true")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Carry out the command. Returns 0, 1 for a failure, 2 for wrong usage."""
    if arguments.out.suffix.lower() != ".onnx":
        return complain("recon export-onnx", f"{arguments.out} should end in .onnx", 2)
    from recon.io.extras import pip_hint

    try:
        # Said now: without onnxruntime the file would be written and could not be checked.
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
    except ImportError as error:
        return complain("recon export-onnx", pip_hint(error) or str(error), 1)
    from recon.inference.regress import default_checkpoint
    from recon.io.files import write_file
    from recon.networks.depth.onnx import is_depth_network
    from recon.networks.landmark_checkpoint import is_landmark_network
    from recon.networks.lifting_checkpoint import is_lifting_network
    from recon.networks.network_file import CheckpointError
    from recon.networks.pose.checkpoint import is_pose_network

    try:
        path = arguments.checkpoint or default_checkpoint(arguments.model)
        kinds = (
            (is_landmark_network, _landmark_network),
            (is_lifting_network, _lifting_network),
            (is_pose_network, _pose_network),
            (is_depth_network, _depth_network),
        )
        export = next((make for is_kind, make in kinds if is_kind(path)), _regressor)(path)
    except CheckpointError as error:
        return complain("recon export-onnx", str(error), 2)
    try:
        with tempfile.TemporaryDirectory() as folder:
            full = Path(folder) / "network.onnx"
            difference, seconds = export.write(full, False)
            content = full.read_bytes()
        said = f"largest relative difference from torch {difference:.1e}"
        if arguments.precision != "fp32":
            reduced, loss, seconds = _reduced(content, arguments.precision, export)
            said += f", of {arguments.precision} from that on drawn faces {loss:.1e}"
            content = reduced
        write_file(arguments.out, content, overwrite=arguments.overwrite)
    except OSError as error:
        return complain("recon export-onnx", str(error), 1)
    megabytes = arguments.out.stat().st_size / 1e6
    sys.stdout.write(
        f"wrote {arguments.out}, {megabytes:.1f} MB; {said}; {1e3 * seconds:.1f} ms a crop on one thread\n"
    )
    return 0


def _reduced(content: bytes, precision: Precision, export: _Export) -> tuple[bytes, float, float]:
    """The file with fewer bits, by how much its answers differ on faces that it was not calibrated with, and its time in seconds."""
    from recon.networks.onnx_precision import compare_files, in_precision

    batches = [range(k, k + _BATCH) for k in range(0, _N_CALIBRATION, _BATCH)]
    calibration = [export.inputs(numbers) for numbers in batches] if export.is_calibrated else []
    reduced = in_precision(content, precision, calibration)
    return reduced, *compare_files(content, reduced, export.inputs(range(_N_CALIBRATION, _N_CALIBRATION + _BATCH)))


def _drawn_faces(numbers: range, side: int) -> dict[str, np.ndarray]:
    """Drawn faces framed as for a network, and their cameras."""
    import bfm
    from recon.synthesis import FaceSampler, SynthesisConfig

    faces = FaceSampler(bfm.load("open"), SynthesisConfig(), _SEED, (side, side)).batch(numbers)
    return {"pictures": faces.image.numpy(), "intrinsics": faces.intrinsics.numpy()}


def _drawn_crops(side: int) -> Callable[[range], dict[str, np.ndarray]]:
    return lambda numbers: {"crops": _drawn_faces(numbers, side)["pictures"]}


def _regressor(checkpoint: Path) -> _Export:
    from recon.networks.checkpoint import load_regressor
    from recon.networks.onnx_export import compare_with_torch, export_onnx

    regressor, _ = load_regressor(checkpoint)

    def write(out: Path, overwrite: bool) -> tuple[float, float]:
        export_onnx(regressor, out, overwrite=overwrite)
        return compare_with_torch(regressor, out)

    return _Export(write, lambda numbers: _drawn_faces(numbers, regressor.config.size))


def _landmark_network(checkpoint: Path) -> _Export:
    from recon.networks.landmark_checkpoint import load_landmark_network
    from recon.networks.landmark_onnx import compare_landmarks_with_torch, export_landmark_onnx

    network, header = load_landmark_network(checkpoint)

    def write(out: Path, overwrite: bool) -> tuple[float, float]:
        export_landmark_onnx(network, header.get("landmarks", ""), out, overwrite=overwrite)
        return compare_landmarks_with_torch(network, out)

    return _Export(write, _drawn_crops(network.config.size))


def _lifting_network(checkpoint: Path) -> _Export:
    from recon.networks.lifting_checkpoint import load_lifting_network
    from recon.networks.lifting_onnx import compare_lifting_with_torch, example_inputs, export_lifting_onnx

    network, header = load_lifting_network(checkpoint)

    def write(out: Path, overwrite: bool) -> tuple[float, float]:
        export_lifting_onnx(network, header.get("landmarks", ""), out, overwrite=overwrite)
        return compare_lifting_with_torch(network, out)

    return _Export(write, lambda numbers: example_inputs(network, len(numbers)), is_calibrated=False)


def _pose_network(checkpoint: Path) -> _Export:
    from recon.networks.pose.checkpoint import load_pose_network
    from recon.networks.pose.onnx import compare_pose_with_torch, export_pose_onnx

    network, _ = load_pose_network(checkpoint)

    def write(out: Path, overwrite: bool) -> tuple[float, float]:
        export_pose_onnx(network, out, overwrite=overwrite)
        return compare_pose_with_torch(network, out)

    return _Export(write, _drawn_crops(network.config.size))


def _depth_network(checkpoint: Path) -> _Export:
    from recon.networks.depth.checkpoint import load_depth_network
    from recon.networks.depth.crop_depth import CropDepthNetwork
    from recon.networks.depth.onnx import compare_depth_with_torch, export_depth_onnx
    from recon.networks.network_file import CheckpointError

    network, _ = load_depth_network(checkpoint)
    if not isinstance(network, CropDepthNetwork):
        raise CheckpointError(
            f"{checkpoint} is the published network {network.config.architecture}; only our own depth network is written as ONNX"
        )

    def write(out: Path, overwrite: bool) -> tuple[float, float]:
        export_depth_onnx(network, out, overwrite=overwrite)
        return compare_depth_with_torch(network, out)

    return _Export(write, _drawn_crops(network.config.size))
