"""One run of a protocol: items one after the other, each measured once, and what is finished kept."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from recon.evaluation.journal import Journal
from recon.evaluation.outcome import Outcome, failed, left_out
from recon.evaluation.reports.provenance import Provenance, fingerprint, provenance, software
from recon.evaluation.reports.result import Sample, Skipped
from recon.io.fingerprint import code_hash, file_hash
from recon.io.names import printable

UNREADABLE = ""
"""Stands for the hash of a file that cannot be read."""


class Run:
    """Gathers what became of the items of a data set.

    Args:
        facts: what the run is made from besides the items' files, see :func:`run_facts`.
        n_items: how many items there will be.
        journal: where finished items are kept; None keeps nothing.
        dropped: items that the protocol leaves out from the start.

    Attributes:
        samples, failures, dropped: so far, in the order of the items.

    Raises:
        UsageError, OutputError: see :meth:`recon.evaluation.journal.Journal.begin`.
    """

    def __init__(
        self, facts: Mapping[str, Any], n_items: int, journal: Journal | None = None, dropped: Sequence[Skipped] = ()
    ) -> None:
        self._started = time.perf_counter()
        self._journal = journal
        self._hashes: dict[Path, str] = {}
        self._names: set[str] = set()
        self._restored_seconds = 0.0
        self.samples: list[Sample] = []
        self.failures: list[Skipped] = []
        self.dropped: list[Skipped] = list(dropped)
        if journal is not None:
            journal.begin(facts, n_items)

    def outcome(
        self,
        name: str,
        files: Sequence[Path],
        measure: Callable[[], Outcome],
        *,
        wanted: Sequence[str] = (),
        apart: bool = False,
    ) -> Outcome:
        """What became of an item: as it was kept, or measured now.

        Whatever ``measure`` raises is a failure of the item. Only what would come again for every item ends the run.

        Args:
            name: of the item; a second one of the same name is left out.
            files: all it is made from.
            measure: makes the outcome.
            wanted: keys that :attr:`Outcome.kept` of a sample must have; a sample kept without them is measured again.
            apart: this is no sample, but what several samples share.
        """
        shown = printable(name)
        if shown in self._names:
            return self._add(left_out(shown, "an item before it has the same name"))
        self._names.add(shown)
        inputs = hashlib.sha256(" ".join(self._hash_of(path) or "-" for path in files).encode()).hexdigest()
        restored = self._restored(shown, inputs, wanted)
        if restored is not None:
            return self._add(restored)
        started = time.perf_counter()
        try:
            found = measure()
        # An item whose numbers cannot be measured must not end a run of hours; it is counted and listed.
        except Exception as error:
            found = failed(shown, error)
        seconds = round(time.perf_counter() - started, 3)
        record = found.to_record()
        if self._journal is not None:
            self._journal.add({"name": shown, "inputs": inputs, "apart": apart, "seconds": seconds, "outcome": record})
        # By way of the record, so that a run that was interrupted and one that was not see the same.
        return self._add(Outcome.of_record(record))

    def provenance(self, method: str, weights: str, folder: Path, files: Sequence[Path]) -> Provenance:
        """The record of the run. Files are not read again: they count with what they held when their item was measured."""
        found = fingerprint(files, folder, self._hash_of)
        return provenance(method, weights, folder.name, (found, len(files)), self.seconds)

    @property
    def seconds(self) -> float:
        """Wall time so far, with that of the items that an interrupted run had finished."""
        return time.perf_counter() - self._started + self._restored_seconds

    def _restored(self, name: str, inputs: str, wanted: Sequence[str]) -> Outcome | None:
        record = None if self._journal is None else self._journal.find(name, inputs)
        if record is None:
            return None
        try:
            found = Outcome.of_record(record["outcome"])
            seconds = float(record["seconds"])
        except (KeyError, TypeError, ValueError, AttributeError):
            return None  # a damaged record costs its item, which is measured again
        if found.sample is not None and not all(key in found.kept for key in wanted):
            return None
        self._restored_seconds += seconds
        return found

    def _add(self, found: Outcome) -> Outcome:
        if found.sample is not None:
            self.samples.append(found.sample)
        if found.failure is not None:
            self.failures.append(found.failure)
        if found.dropped is not None:
            self.dropped.append(found.dropped)
        return found

    def _hash_of(self, path: Path) -> str:
        if path not in self._hashes:
            try:
                self._hashes[path] = file_hash(path)
            except OSError:
                self._hashes[path] = UNREADABLE
        return self._hashes[path]


def run_facts(protocol: str, method: Mapping[str, Any], **options: Any) -> dict[str, Any]:
    """What figures of a run depend on, besides the files of its items.

    Args:
        protocol: its name.
        method: how predictions are made.
        options: of the protocol, as JSON keeps them.
    """
    return {"protocol": protocol, **method, **options, "code": code_hash(), "software": software()}
