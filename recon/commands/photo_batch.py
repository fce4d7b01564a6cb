"""Photos to folders of results, one by one: what is finished is kept, and what fails is a row of the table."""

from __future__ import annotations

import dataclasses
import hashlib
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, runtime_checkable

import numpy as np

from recon.io.faults import ends_the_run, reason
from recon.io.fingerprint import Fingerprint, stream_hash
from recon.io.names import printable
from recon.io.output_folder import Claim, OutputFolder, Record, candidate_names, distinct_names
from recon.io.regular_files import open_regular

if TYPE_CHECKING:
    from recon.detection.face import Face
    from recon.io.image import Photo

Row = dict[str, Any]
Result = TypeVar("Result")

_MOST_OF_ONE_NAME = 1000


class BatchStopped(OSError):
    """A batch cannot go on: what failed would fail for every other photo, too."""


@runtime_checkable
class DepthOfPhoto(Protocol):
    """Depth that is given with a photo; whatever it raises is the photo's failure."""

    def facts(self) -> Mapping[str, Any]:
        """What decides a result."""
        ...

    def with_photo(self, photo: Photo) -> Photo:
        """The photo with this depth."""
        ...

    def check(self, photo: Photo, faces: Sequence[Face]) -> None:
        """Refuse what is no depth of these faces."""
        ...


@dataclasses.dataclass(frozen=True)
class PhotoJob:
    """One photo to do: a name for its results, and a path or an array."""

    stem: str
    source: Path | np.ndarray
    depth: DepthOfPhoto | None = None
    """Measured with it, where that is not in the photo's own file."""

    @property
    def label(self) -> str:
        """Where it lies, for records."""
        return str(self.source.absolute()) if isinstance(self.source, Path) else self.stem

    def sha256(self) -> str:
        """Of the file or of the array's shape and bytes.

        Raises:
            FileKindError: it is no regular file, empty or too large for a picture.
            OSError: it cannot be read.
        """
        if not isinstance(self.source, Path):
            head = f"{self.source.dtype} {self.source.shape}".encode()
            return hashlib.sha256(head + np.ascontiguousarray(self.source).tobytes()).hexdigest()
        with open_regular(self.source)[0] as file:
            return stream_hash(file)


@runtime_checkable
class FaceWork(Protocol[Result]):
    """What is done with the faces of a photo."""

    @property
    def kind(self) -> str | None:
        """Of the results: those of one kind never take the place of another's. None for heads."""
        ...

    def detect(self, photo: Photo) -> list[Face]:
        """The faces to work on, the largest first, at least one; whatever it raises is the photo's failure."""
        ...

    def make(self, photo: Photo, face: Face) -> Result:
        """The result of one face."""
        ...

    def save(self, result: Result, folder: Path) -> object:
        """Write the files of a result into an empty folder."""
        ...

    def row(self, name: str, result: Result) -> Row:
        """The row of the table of a result that was made, ``status`` ``"done"``."""
        ...


class PhotoBatch(Generic[Result]):
    """Makes the results of photos, each face's in a folder of its own.

    Args:
        work: what is done with faces.
        output: where to write.
        facts: what decides a result beside its photo: settings, and versions of code, model and network.
        faces: ``"all"`` or ``"largest"``.
        overwrite: make finished results again.

    Attributes:
        rows: of the table, one a face or a photo that failed; complete at any time.
    """

    def __init__(
        self,
        work: FaceWork[Result],
        output: OutputFolder,
        facts: Mapping[str, Any],
        faces: str = "largest",
        overwrite: bool = False,
    ) -> None:
        self.rows: list[Row] = []
        self._work, self._output = work, output
        self._facts, self._all_faces, self._overwrite = dict(facts), faces == "all", overwrite

    def run(self, jobs: Sequence[PhotoJob], progress: Callable[[str], object] = lambda name: None) -> None:
        """Do the photos in turn; those that another process is at work on come last.

        Raises:
            BatchStopped: the disk is full or was taken away.
        """
        names = distinct_names([job.stem for job in jobs])
        busy = []
        for job, name in zip(jobs, names, strict=True):
            if not self._photo(job, name, wait=False):
                busy.append((job, name))
                continue
            progress(name)
        for job, name in busy:
            self._photo(job, name, wait=True)
            progress(name)

    def _photo(self, job: PhotoJob, name: str, *, wait: bool) -> bool:
        """Whether the photo was dealt with, well or not; False if another process is at work on it."""
        try:
            sha256 = job.sha256()
            claim = self._claim(job, sha256, name, wait)
            if claim is None:
                return False
            with claim:
                given = {} if job.depth is None else job.depth.facts()
                self._faces_of(claim, job, Fingerprint({**self._facts, **given, "photo": sha256}))
        except BatchStopped:
            raise
        except Exception as error:  # whatever is wrong with one photo must not end the others
            self._fail(name, error)
        return True

    def _claim(self, job: PhotoJob, sha256: str, name: str, wait: bool) -> Claim | None:
        names = dict.fromkeys((name, *candidate_names(job.stem, _MOST_OF_ONE_NAME)))
        owner = {"source": printable(job.label), "sha256": sha256}
        if self._work.kind is not None:
            owner["kind"] = self._work.kind
        return self._output.claim(list(names), owner, wait=wait)

    def _faces_of(self, claim: Claim, job: PhotoJob, facts: Fingerprint) -> None:
        if self._settled(claim, facts):
            return
        photo, faces = self._detected(job)
        for part, face in enumerate(faces if self._all_faces else faces[:1]):
            name = claim.part_name(part)
            try:
                record = claim.finished(part)
                if record is not None and not self._overwrite:
                    self._keep(name, record, facts)
                    continue
                claim.check_replaceable(part)
                result = self._work.make(photo, face)
                self._write(claim, part, facts, result, {"faces": len(faces) if self._all_faces else 1})
            except Exception as error:  # one face must not end those after it
                self._fail(name, error)

    def _settled(self, claim: Claim, facts: Fingerprint) -> bool:
        """Whether all is there already, or is there and may not be replaced; the rows say which."""
        first = claim.finished(0)
        if first is None or self._overwrite:
            return False
        if facts.difference(first.facts):
            self._keep(claim.name, first, facts)
            return True
        records = [claim.finished(part) for part in range(int(first.values.get("faces", 1)))]
        if any(record is None for record in records):
            return False
        for part, record in enumerate(records):
            assert record is not None
            self._keep(claim.part_name(part), record, facts)
        return True

    def _detected(self, job: PhotoJob) -> tuple[Photo, list[Face]]:
        from recon.io.image import read_image

        photo = read_image(job.source)
        if job.depth is None:
            return photo, self._work.detect(photo)
        photo = job.depth.with_photo(photo)
        faces = self._work.detect(photo)
        job.depth.check(photo, faces)
        return photo, faces

    def _write(self, claim: Claim, part: int, facts: Fingerprint, result: Result, values: Mapping[str, Any]) -> None:
        row = self._work.row(claim.part_name(part), result)
        claim.write(part, facts, lambda folder: self._work.save(result, folder), values)
        self.rows.append(row)

    def _keep(self, name: str, record: Record, facts: Fingerprint) -> None:
        difference = facts.difference(record.facts)
        if not difference:
            self.rows.append({"name": printable(name), "status": "kept"})
            return
        why = f"there is one made from something else ({difference}); --overwrite makes it again"
        self.rows.append({"name": printable(name), "status": "refused", "reason": why})

    def _fail(self, name: str, error: Exception) -> None:
        self.rows.append({"name": printable(name), "status": "failed", "reason": reason(error)})
        if ends_the_run(error):
            raise BatchStopped(f"{reason(error)}; the photos after it were not tried") from error


def with_progress(batch: PhotoBatch[Any], jobs: Sequence[PhotoJob]) -> None:
    """:meth:`PhotoBatch.run` with a bar on the standard error, if there is more than one photo."""
    from tqdm import tqdm

    with tqdm(total=len(jobs), unit="photo", disable=len(jobs) < 2) as bar:
        batch.run(jobs, lambda name: (bar.set_postfix_str(printable(name)), bar.update()))


def carry_out(
    batch: PhotoBatch[Any], work: Callable[[], object], report: Callable[[list[Row]], object], kept: str
) -> int:
    """Run a batch to its end and report its rows. Returns 0, or 1 if something failed or was refused.

    Args:
        batch: whose rows are reported.
        work: runs it.
        report: prints the rows.
        kept: what is left when the work is interrupted, after its number: "finished heads are kept in heads".

    Raises:
        KeyboardInterrupt: with a message of what is kept.
    """
    stopped = ""
    try:
        work()
    except BatchStopped as error:
        stopped = str(error)
    except KeyboardInterrupt:
        report(batch.rows)
        n_there = sum(row["status"] in ("done", "kept") for row in batch.rows)
        raise KeyboardInterrupt(f"{n_there} {kept}; the same command goes on from there") from None
    report(batch.rows)
    if stopped:
        sys.stderr.write(f"recon: stopped: {stopped}\n")
    return 1 if stopped or any(row["status"] in ("failed", "refused") for row in batch.rows) else 0


def outcome_text(row: Row) -> str:
    """What a table says of a face that was not made now."""
    return str(row.get("reason", "finished before"))
