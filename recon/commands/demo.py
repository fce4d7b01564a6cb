"""``recon demo``: a reconstruction of a photo that comes with scikit-image, offline."""

from __future__ import annotations

import argparse

from recon.commands.photo_batch import PhotoJob
from recon.commands.reconstruct import add_options, options_of, reconstruct_all


def add_parser(subcommands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``demo`` to the subcommands of the ``recon`` command."""
    parser = subcommands.add_parser(
        "demo",
        help="reconstruct a bundled photo",
        description="Reconstruct the portrait of an astronaut that comes with scikit-image (public domain, NASA).",
    )
    add_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Carry out the command; returns as ``recon reconstruct`` does."""
    from skimage.data import astronaut

    return reconstruct_all([PhotoJob("astronaut", astronaut())], options_of(arguments))
