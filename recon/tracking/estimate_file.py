"""Estimates of single frames on disk, appended one by one, and read as the filter wants them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import overload

import numpy as np

from recon.tracking.motion import N_POSE, FrameEstimate


class EstimateFile(Sequence[FrameEstimate]):
    """Estimates of one person's frames, in the order of time.

    What is read back is what everything after works with, in a run that was interrupted and in one that was not: precisions are
    rounded to float32.

    Args:
        path: is made; one of an earlier run is gone on from.
        n_expression: Ke.
    """

    def __init__(self, path: Path, n_expression: int) -> None:
        self._path, self._size = path, N_POSE + n_expression
        self._upper = np.triu_indices(self._size)
        self._dtype = np.dtype(
            [
                ("time_s", "f8"),
                ("rotation", "f8", (3, 3)),
                ("translation_mm", "f8", (3,)),
                ("expression", "f8", (n_expression,)),
                ("evidence", "f4", (len(self._upper[0]),)),
                ("prior", "f4", (self._size,)),
            ]
        )
        path.touch()
        os.truncate(path, path.stat().st_size // self._dtype.itemsize * self._dtype.itemsize)

    def __len__(self) -> int:
        return self._path.stat().st_size // self._dtype.itemsize

    def keep(self, count: int) -> None:
        """Forget all but the first so many.

        Raises:
            ValueError: there are fewer.
        """
        if len(self) < count:
            raise ValueError(f"{self._path} holds {len(self)} estimates, {count} were made")
        os.truncate(self._path, count * self._dtype.itemsize)

    def append(self, frame: FrameEstimate) -> None:
        """One estimate more. Its prior is independent of number to number."""
        record = np.zeros((), self._dtype)
        for name in ("time_s", "rotation", "translation_mm", "expression"):
            record[name] = getattr(frame, name)
        record["evidence"] = frame.evidence[self._upper]
        record["prior"] = np.diagonal(frame.precision - frame.evidence)
        with open(self._path, "ab") as file:
            file.write(record.tobytes())

    @overload
    def __getitem__(self, index: int) -> FrameEstimate: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[FrameEstimate]: ...

    def __getitem__(self, index: int | slice) -> FrameEstimate | Sequence[FrameEstimate]:
        if isinstance(index, slice):
            return _Stretch(self, range(*index.indices(len(self))))
        record = self._records[index]
        evidence = np.zeros((self._size, self._size))
        evidence[self._upper] = record["evidence"]
        evidence = evidence + np.triu(evidence, 1).T
        return FrameEstimate(
            float(record["time_s"]),
            np.array(record["rotation"]),
            np.array(record["translation_mm"]),
            np.array(record["expression"]),
            evidence + np.diag(record["prior"].astype(np.float64)),
            evidence,
        )

    def __iter__(self) -> Iterator[FrameEstimate]:
        return (self[position] for position in range(len(self)))

    @property
    def _records(self) -> np.ndarray:
        return np.memmap(self._path, self._dtype, mode="r")


class _Stretch(Sequence[FrameEstimate]):
    """Some neighbours of a file."""

    def __init__(self, file: EstimateFile, positions: range) -> None:
        self._file, self._positions = file, positions

    def __len__(self) -> int:
        return len(self._positions)

    @overload
    def __getitem__(self, index: int) -> FrameEstimate: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[FrameEstimate]: ...

    def __getitem__(self, index: int | slice) -> FrameEstimate | Sequence[FrameEstimate]:
        if isinstance(index, slice):
            return _Stretch(self._file, self._positions[index])
        return self._file[self._positions[index]]
