"""What a network remembers of the face model it was trained for: enough to tell another model from a rebuilt one.

A hash will not do: the open model is built on each machine, and its last bits differ between processors. A sketch keeps
a few sums over all vertices with pseudo-random signs. The difference of two sketches, squared and averaged, estimates the
squared distance of the models themselves (Johnson and Lindenstrauss 1984), so it can be named in millimetres and
compared with a tolerance.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from bfm.data import ModelData

_SUMS = 8
_MOST_VALUES = 100_000
_DIGITS = 4

_CHANGED = 0.25
"""A component that has moved by more than this share of itself is another one."""
# For each part: its name in ModelData, its unit, and the difference (root mean square over the vertices) that a network
# does not notice: for a mean, far below its own error; for a component, at one standard deviation or full weight. Teeth and
# gums coloured anew (mean albedo by 0.056) left the shipped network's landmark error at 3.80 % and its pose at 3.45 degrees.
_PARTS = {
    "mean shape": ("mean_shape", " mm", 0.5),
    "identity": ("identity_basis", " mm", 0.05),
    "expressions": ("expression_basis", " mm", 0.05),
    "mean albedo": ("mean_albedo", "", 0.08),
    "albedo": ("albedo_basis", "", 0.01),
}


class SketchError(ValueError):
    """No sketch of a face model."""


@dataclasses.dataclass(frozen=True)
class ModelSketch:
    """Sums over the vertices of a face model.

    Attributes:
        sums: for each part of the model, one row of sums a component; divided by the root of the number of vertices, so
            that the root mean square of a row's difference is that of the displacement of vertices (mm; albedo in [0, 1]).
    """

    sums: Mapping[str, tuple[tuple[float, ...], ...]]

    @classmethod
    def of(cls, data: ModelData) -> ModelSketch:
        """The sketch of a model."""
        n_vertices = len(data.mean_shape)
        signs = (_signs(n_vertices) / math.sqrt(max(n_vertices, 1))).astype(np.float32)
        sums = {}
        for name, (field, _, _) in _PARTS.items():
            values = np.asarray(getattr(data, field), dtype=np.float32)
            columns = values.reshape(3 * n_vertices, values.size // (3 * n_vertices) if n_vertices else 0)
            rows = np.round((signs @ columns).T.astype(np.float64), _DIGITS) + 0.0  # no minus zero
            sums[name] = tuple(tuple(row) for row in rows.tolist())
        return cls(sums)

    def difference(self, other: ModelSketch) -> str:
        """In words, in what the other model differs so much that a network notices; empty if in nothing."""
        words = []
        for name, (field, unit, unnoticed) in _PARTS.items():
            here, there = (np.array(sketch.sums[name], dtype=np.float64) for sketch in (self, other))
            if here.shape != there.shape:
                words.append(f"{name} ({len(here)} and {len(there)} components)")
                continue
            gaps, sizes = _root_mean_square(here - there), _root_mean_square(here)
            allowed = np.maximum(unnoticed, 0.0 if field.startswith("mean") else _CHANGED * sizes)
            if (gaps > allowed).any():
                worst = int(np.argmax(gaps - allowed))
                which = "" if field.startswith("mean") else f", component {worst}"
                words.append(f"{name} (by {gaps[worst]:.2g}{unit}{which})")
        return ", ".join(words)

    def to_json(self) -> dict[str, list[list[float]]]:
        """For a header."""
        return {name: [list(row) for row in rows] for name, rows in self.sums.items()}

    @classmethod
    def of_json(cls, content: object) -> ModelSketch:
        """Back from :meth:`to_json`.

        Raises:
            SketchError: the content is something else.
        """
        if not isinstance(content, dict) or set(content) != set(_PARTS):
            raise SketchError("a sketch of a face model must have the parts " + ", ".join(_PARTS))
        count = 0
        for name, rows in content.items():
            if not isinstance(rows, list) or not all(isinstance(row, list) and len(row) == _SUMS for row in rows):
                raise SketchError(f"the sketch of the {name} must be rows of {_SUMS} numbers")
            count += len(rows)
            if not all(type(x) in (int, float) and abs(x) < 1e9 for row in rows for x in row):
                raise SketchError(f"the sketch of the {name} must hold plain numbers")
        if count * _SUMS > _MOST_VALUES:
            raise SketchError(f"a sketch of {count} components")
        return cls({name: tuple(tuple(float(x) for x in row) for row in rows) for name, rows in content.items()})


def _root_mean_square(rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.asarray(np.sqrt(np.square(rows).mean(axis=-1)))


def _signs(n_vertices: int) -> npt.NDArray[np.float64]:
    """``(_SUMS, 3 V)`` of -1 and 1: the same on every machine and in every version of numpy (splitmix64)."""
    number = np.arange(1, 3 * n_vertices * _SUMS + 1, dtype=np.uint64)
    with np.errstate(over="ignore"):
        mixed = number * np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed ^= mixed >> np.uint64(31)
    return np.where(mixed >> np.uint64(63) == 1, 1.0, -1.0).reshape(_SUMS, 3 * n_vertices)
