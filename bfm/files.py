"""Where a face model's files are looked for, and what is said when they are missing or damaged."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bfm.places import MODELS_VARIABLE as MODELS_VARIABLE
from bfm.places import models_root as models_root
from bfm.text import printable

if TYPE_CHECKING:
    from bfm.data import ModelData


class MissingModelFiles(FileNotFoundError):
    """A model's files are not where they are looked for."""


class ModelFileError(ValueError):
    """A file does not hold what its published layout says: damaged, cut off, of another kind, or made to do harm.

    Attributes:
        path: the file.
        fault: what is wrong with it; the message is one printable line of both.
    """

    def __init__(self, path: Path, fault: str) -> None:
        super().__init__(printable(f"{path}: {' '.join(fault.split())}"))
        self.path, self.fault = path, fault


class Sizes(NamedTuple):
    """Vertices and components of a model as published; what is loaded may differ between variants."""

    vertices: int
    identity: int
    expression: int
    albedo: int


@dataclasses.dataclass(frozen=True)
class ModelSource:
    """What is known of a face model before any of its files is opened.

    Attributes:
        name: the name :func:`bfm.load` takes.
        title: one line for people.
        licence: one or two sentences: what is allowed.
        how_to_get: where the files come from.
        layouts: each a complete set of file names relative to the model's folder; any one set is enough. Empty for a
            model that needs no files.
        load: ``load(folder_or_file, **options) -> ModelData``.
        sizes: as published.
        options: names of the keyword arguments that ``load`` takes.
    """

    name: str
    title: str
    licence: str
    how_to_get: str
    layouts: tuple[tuple[str, ...], ...]
    load: Callable[..., ModelData]
    sizes: Sizes
    options: tuple[str, ...] = ()


def default_folder(name: str) -> Path:
    """Where the files of the model ``name`` are looked for when no path is given.

    Raises:
        HomeError: see :func:`bfm.places.models_root`.
    """
    return models_root() / name


def missing_files(source: ModelSource, path: Path) -> tuple[str, ...]:
    """Names of the files that keep ``path`` from being usable; empty when it is ready.

    A file instead of a folder counts as ready: opening it will tell. Of several possible layouts the one that is most
    nearly there is reported, the smallest if none has begun.
    """
    return () if not source.layouts or path.is_file() else _gap(source, path)


def _gap(source: ModelSource, path: Path) -> tuple[str, ...]:
    gaps = [tuple(name for name in layout if not (path / name).is_file()) for layout in source.layouts]
    nearness = [(1 - len(gap) / len(layout), -len(gap)) for gap, layout in zip(gaps, source.layouts, strict=True)]
    return gaps[nearness.index(max(nearness))]


def find_layout(source: ModelSource, folder: Path) -> tuple[Path, ...]:
    """Paths of the first complete layout in ``folder``, in the order in which the source names them.

    Raises:
        MissingModelFiles: no layout is complete; the message names the files, the folder and where to get them.
    """
    for layout in source.layouts:
        paths = tuple(folder / name for name in layout)
        if all(path.is_file() for path in paths):
            return paths
    raise MissingModelFiles(_missing_message(source, folder))


def _missing_message(source: ModelSource, folder: Path) -> str:
    missing = _gap(source, folder)
    names = ", ".join(missing[:4]) + (f" and {len(missing) - 4} more" if len(missing) > 4 else "")
    state = "is a file; expected a folder with" if folder.is_file() else "does not exist; it should hold"
    state = "lacks" if folder.is_dir() else state
    lines = [f"face model {source.name!r}: {folder} {state} {names}."]
    if len(source.layouts) > 1:
        lines.append(
            "Any one of these sets is enough: " + " | ".join(" + ".join(files) for files in source.layouts) + "."
        )
    lines.append(f"How to get it: {source.how_to_get}")
    lines.append(
        f"Then pass path=..., or put the files there, or set {MODELS_VARIABLE} to the folder of model folders."
    )
    return "\n".join(lines)
