"""How people are told that some files of a folder were left out."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence

from recon.io.names import printable


def warn_left_out(
    logger: logging.Logger, what: str, place: str | os.PathLike[str], total: int, faults: Sequence[str]
) -> None:
    """One warning that says how many of ``total`` were left out, and why the first was; none if ``faults`` is empty.

    Args:
        logger: of the calling module.
        what: plural noun, such as "background pictures".
        place: the folder.
        total: files, those left out included.
        faults: a sentence for each file that was left out.
    """
    if faults:
        logger.warning(
            "%d of %d %s in %s were left out; the first: %s",
            len(faults),
            total,
            what,
            printable(place),
            printable(faults[0]),
        )
