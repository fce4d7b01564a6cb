"""The ``recon`` command: one subcommand a module of :mod:`recon.commands`."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

_COMMANDS = (
    "reconstruct",
    "demo",
    "models",
    "render",
    "synthesize",
    "evaluate",
    "export_onnx",
    "complexity",
)


def parser() -> argparse.ArgumentParser:
    """The command's parser with all its subcommands."""
    top = argparse.ArgumentParser(
        prog="recon", description="A photo goes in, a head comes out: geometry in mm, albedo, expression, pose, light."
    )
    subcommands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name in _COMMANDS:
        importlib.import_module(f"recon.commands.{name}").add_parser(subcommands)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line. Returns 0, 1 for a run that failed, 2 for wrong usage, 130 when interrupted."""
    arguments = parser().parse_args(argv)
    try:
        return int(arguments.run(arguments))
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; finished work is kept\n")
        return 130


if __name__ == "__main__":
    sys.exit(main())
