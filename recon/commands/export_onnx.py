"""``recon export-onnx``: a trained network as an ONNX file."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from recon.io.faults import complain

_Write = Callable[[Path, bool], tuple[float, float]]
"""Writes a loaded network, and gives its difference from torch and the time of one picture in seconds."""


def add_parser(subcommands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``export-onnx`` to the subcommands of the ``recon`` command."""
    parser = subcommands.add_parser(
        "export-onnx",
        help="write a trained network as ONNX",
        description="Write a trained network as one ONNX file, check that onnxruntime gives the same, and print its speed. "
        "The file takes the checkpoint's place: recon reconstruct --method regress --checkpoint FILE.onnx, "
        "recon landmarks --checkpoint FILE.onnx, or recon pose --method sixd --checkpoint FILE.onnx.",
    )
    parser.add_argument("out", type=Path, metavar="OUT.onnx")
    parser.add_argument(
        "--checkpoint",
        type=Path,
        metavar="FILE",
        help="a .safetensors checkpoint of a regressor, a lifting, landmark or pose network [the network of the package for --method regress]",
    )
    parser.add_argument("--model", default="open", help="face model of the package's checkpoint [open]")
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
    from recon.networks.checkpoint import CheckpointError
    from recon.networks.landmark_checkpoint import is_landmark_network
    from recon.networks.lifting_checkpoint import is_lifting_network
    from recon.networks.pose.checkpoint import is_pose_network

    try:
        path = arguments.checkpoint or default_checkpoint(arguments.model)
        kinds = (
            (is_landmark_network, _landmark_network),
            (is_lifting_network, _lifting_network),
            (is_pose_network, _pose_network),
        )
        write = next((make for is_kind, make in kinds if is_kind(path)), _regressor)(path)
    except CheckpointError as error:
        return complain("recon export-onnx", str(error), 2)
    try:
        difference, seconds = write(arguments.out, arguments.overwrite)
    except OSError as error:
        return complain("recon export-onnx", str(error), 1)
    megabytes = arguments.out.stat().st_size / 1e6
    sys.stdout.write(
        f"wrote {arguments.out}, {megabytes:.1f} MB; largest relative difference from torch {difference:.1e}; "
        f"{1e3 * seconds:.1f} ms a crop on one thread\n"
    )
    return 0


def _regressor(checkpoint: Path) -> _Write:
    from recon.networks.checkpoint import load_regressor
    from recon.networks.onnx_export import compare_with_torch, export_onnx

    regressor, _ = load_regressor(checkpoint)

    def write(out: Path, overwrite: bool) -> tuple[float, float]:
        export_onnx(regressor, out, overwrite=overwrite)
        return compare_with_torch(regressor, out)

    return write


def _landmark_network(checkpoint: Path) -> _Write:
    from recon.networks.landmark_checkpoint import load_landmark_network
    from recon.networks.landmark_onnx import compare_landmarks_with_torch, export_landmark_onnx

    network, header = load_landmark_network(checkpoint)

    def write(out: Path, overwrite: bool) -> tuple[float, float]:
        export_landmark_onnx(network, header.get("landmarks", ""), out, overwrite=overwrite)
        return compare_landmarks_with_torch(network, out)

    return write


def _lifting_network(checkpoint: Path) -> _Write:
    from recon.networks.lifting_checkpoint import load_lifting_network
    from recon.networks.lifting_onnx import compare_lifting_with_torch, export_lifting_onnx

    network, header = load_lifting_network(checkpoint)

    def write(out: Path, overwrite: bool) -> tuple[float, float]:
        export_lifting_onnx(network, header.get("landmarks", ""), out, overwrite=overwrite)
        return compare_lifting_with_torch(network, out)

    return write


def _pose_network(checkpoint: Path) -> _Write:
    from recon.networks.pose.checkpoint import load_pose_network
    from recon.networks.pose.onnx import compare_pose_with_torch, export_pose_onnx

    network, _ = load_pose_network(checkpoint)

    def write(out: Path, overwrite: bool) -> tuple[float, float]:
        export_pose_onnx(network, out, overwrite=overwrite)
        return compare_pose_with_torch(network, out)

    return write
