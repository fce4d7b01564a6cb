"""``recon export-onnx``: a trained network as an ONNX file."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from recon.io.faults import complain


def add_parser(subcommands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``export-onnx`` to the subcommands of the ``recon`` command."""
    parser = subcommands.add_parser(
        "export-onnx",
        help="write a trained network as ONNX",
        description="Write a trained network as one ONNX file, check that onnxruntime gives the same, and print its speed. "
        "recon reconstruct --method regress --checkpoint FILE.onnx then needs no torch weights.",
    )
    parser.add_argument("out", type=Path, metavar="OUT.onnx")
    parser.add_argument("--checkpoint", type=Path, metavar="FILE", help="a .safetensors checkpoint [the package's]")
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
    from recon.networks.checkpoint import CheckpointError, load_regressor
    from recon.networks.onnx_export import compare_with_torch, export_onnx

    try:
        path = arguments.checkpoint or default_checkpoint(arguments.model)
        regressor, _ = load_regressor(path)
    except CheckpointError as error:
        return complain("recon export-onnx", str(error), 2)
    try:
        export_onnx(regressor, arguments.out, overwrite=arguments.overwrite)
        gap, seconds = compare_with_torch(regressor, arguments.out)
    except OSError as error:
        return complain("recon export-onnx", str(error), 1)
    megabytes = arguments.out.stat().st_size / 1e6
    sys.stdout.write(
        f"wrote {arguments.out}, {megabytes:.1f} MB; largest relative difference from torch {gap:.1e}; "
        f"{1e3 * seconds:.1f} ms a crop on one thread\n"
    )
    return 0
