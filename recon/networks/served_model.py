"""Whether a network gives the coefficients of the face model in use."""

from __future__ import annotations

import logging
import os

from recon.networks.head import FaceBlocks
from recon.networks.network_file import CheckpointError

logger = logging.getLogger(__name__)


def check_serves(path: str | os.PathLike[str], found: FaceBlocks, blocks: FaceBlocks) -> None:
    """Refuse a network of another face model; warn if only the bases differ from those it was trained for.

    Raises:
        CheckpointError: the face model differs in name, sizes or pivot.
    """
    if not found.serves(blocks):
        raise CheckpointError(
            f"{path} was trained for the face model {found.model!r} with {found.n_vertices} vertices and "
            f"{found.n_identity}/{found.n_expression}/{found.n_albedo} components, pivot {found.pivot_mm}; the model in "
            f"use is {blocks.model!r} with {blocks.n_vertices} vertices and "
            f"{blocks.n_identity}/{blocks.n_expression}/{blocks.n_albedo} components, pivot {blocks.pivot_mm}"
        )
    difference = found.difference(blocks)
    if difference:
        logger.warning(
            "%s was trained for another version of the face model %r than the one in use, which differs in %s. Its heads "
            "may be off by as much; train it again for the model in use, or take the version that it was trained for",
            *(path, blocks.model, difference),
        )
