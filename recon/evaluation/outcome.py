"""What became of one item of a data set, and its form in files."""

from __future__ import annotations

import base64
import dataclasses
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from bfm.isolated import ReaderProcessError
from recon.evaluation.reports.result import Sample, Skipped
from recon.io.faults import ends_the_run, reason


@dataclasses.dataclass(frozen=True)
class Outcome:
    """A measured sample, or why there is none.

    Attributes:
        sample: its values.
        failure: there is no prediction, or none that can be measured.
        dropped: the item cannot be used.
        kept: what tables and pictures need besides, as JSON keeps it; see :func:`pack`.
    """

    sample: Sample | None = None
    failure: Skipped | None = None
    dropped: Skipped | None = None
    kept: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def to_record(self) -> dict[str, Any]:
        """As JSON keeps it. Numbers come back exactly; nan and infinite values as Python's ``json`` writes them."""
        record: dict[str, Any] = {"kept": dict(self.kept)}
        if self.sample is not None:
            found = self.sample
            record["sample"] = {
                "name": found.name,
                "group": found.group,
                "values": {key: float(value) for key, value in found.values.items()},
                "labels": dict(found.labels),
            }
        for key, left in (("failure", self.failure), ("dropped", self.dropped)):
            if left is not None:
                record[key] = {"name": left.name, "reason": left.reason}
        return record

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> Outcome:
        """The outcome that :meth:`to_record` wrote.

        Raises:
            KeyError, TypeError: it did not.
        """
        return cls(
            Sample(**record["sample"]) if "sample" in record else None,
            Skipped(**record["failure"]) if "failure" in record else None,
            Skipped(**record["dropped"]) if "dropped" in record else None,
            dict(record["kept"]),
        )


def failed(name: str, why: str | Exception, **kept: Any) -> Outcome:
    """The outcome of an item that has no usable prediction.

    Raises:
        Exception: ``why`` itself, if it would come again for every other item: a full disk, or a helper process that cannot
            be started, is no failure of a photo.
    """
    return Outcome(failure=Skipped(name, _words(why)), kept=kept)


def left_out(name: str, why: str | Exception) -> Outcome:
    """The outcome of an item that cannot be used. Raises as :func:`failed` does."""
    return Outcome(dropped=Skipped(name, _words(why)))


def pack(array: np.ndarray) -> dict[str, Any]:
    """An array as JSON keeps it, exactly."""
    whole = np.ascontiguousarray(array)
    data = base64.b64encode(zlib.compress(whole.tobytes(), 1)).decode()
    return {"dtype": whole.dtype.str, "shape": list(whole.shape), "data": data}


def unpack(packed: Mapping[str, Any]) -> np.ndarray:
    """The array that :func:`pack` packed."""
    data = zlib.decompress(base64.b64decode(packed["data"]))
    return np.frombuffer(data, dtype=np.dtype(packed["dtype"])).reshape(packed["shape"]).copy()


def _words(why: str | Exception) -> str:
    if isinstance(why, str):
        return why
    if ends_the_run(why) or isinstance(why, ReaderProcessError):
        raise why
    return reason(why)
