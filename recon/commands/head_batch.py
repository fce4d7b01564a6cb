"""Photos to folders of heads, one by one: what is finished is kept, and what fails is a row of the table."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recon.io.faults import ends_the_run, reason
from recon.io.fingerprint import Fingerprint, stream_hash
from recon.io.names import printable
from recon.io.output_folder import Claim, OutputFolder, Record, candidate_names, distinct_names
from recon.io.regular_files import open_regular

if TYPE_CHECKING:
    from recon.detection.face import Face
    from recon.io.image import Photo
    from recon.reconstruction import Reconstruction
    from recon.reconstructor import Reconstructor

Row = dict[str, Any]
SaveHead = Callable[["Reconstruction", Path], object]
"""Writes the files of a head into an empty folder."""

_MOST_OF_ONE_NAME = 1000
_OTHERS_S = 0.5


class BatchStopped(OSError):
    """A batch cannot go on: what failed would fail for every other photo, too."""


@dataclasses.dataclass(frozen=True)
class PhotoJob:
    """One photo to do: a name for its results, and a path or an array."""

    stem: str
    source: Path | np.ndarray

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


class HeadBatch:
    """Makes the heads of photos, each in a folder of its own.

    Args:
        reconstructor: with an opened detector.
        output: where to write.
        save: writes one head.
        facts: what decides a head beside its photo: settings, and versions of code and model.
        faces: ``"all"`` or ``"largest"``.
        overwrite: make finished heads again.

    Attributes:
        rows: of the table, one a face or a photo that failed; complete at any time.
    """

    def __init__(
        self,
        reconstructor: Reconstructor,
        output: OutputFolder,
        save: SaveHead,
        facts: Mapping[str, Any],
        faces: str = "largest",
        overwrite: bool = False,
    ) -> None:
        self.rows: list[Row] = []
        self._reconstructor, self._output, self._save = reconstructor, output, save
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

    def run_person(self, jobs: Sequence[PhotoJob]) -> None:
        """Fit one identity to the largest face of every photo; photos without a usable face are rows that failed.

        Raises:
            BatchStopped: the disk is full or was taken away.
        """
        names = distinct_names([job.stem for job in jobs])
        usable, hashes = [], []
        for job, name in zip(jobs, names, strict=True):
            try:
                hashes.append(job.sha256())
                usable.append((job, name))
            except Exception as error:  # whatever is wrong with one photo must not end the others
                self._fail(name, error)
        claims = self._claim_all(usable, hashes)
        try:
            if claims is not None:
                self._person(usable, hashes, claims)
        finally:
            for claim in claims or ():
                claim.release()

    def _photo(self, job: PhotoJob, name: str, *, wait: bool) -> bool:
        """Whether the photo was dealt with, well or not; False if another process is at work on it."""
        try:
            sha256 = job.sha256()
            claim = self._claim(job, sha256, name, wait)
            if claim is None:
                return False
            with claim:
                self._faces_of(claim, job, Fingerprint({**self._facts, "photo": sha256}))
        except BatchStopped:
            raise
        except Exception as error:  # whatever is wrong with one photo must not end the others
            self._fail(name, error)
        return True

    def _claim(self, job: PhotoJob, sha256: str, name: str, wait: bool) -> Claim | None:
        names = dict.fromkeys((name, *candidate_names(job.stem, _MOST_OF_ONE_NAME)))
        return self._output.claim(list(names), {"source": printable(job.label), "sha256": sha256}, wait=wait)

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
                head = self._reconstructor.fit_face(photo, face)
                self._write(claim, part, facts, head, {"faces": len(faces) if self._all_faces else 1})
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

    def _person(self, jobs: Sequence[tuple[PhotoJob, str]], hashes: Sequence[str], claims: Sequence[Claim]) -> None:
        facts = [Fingerprint({**self._facts, "photo": sha256, "person": list(hashes)}) for sha256 in hashes]
        if not self._overwrite and self._person_settled(hashes, claims, facts):
            return
        writable = [self._is_replaceable(claim) for claim in claims]
        if not any(writable):
            return
        found: list[tuple[Claim, Photo, Face]] = []
        left_out: dict[str, str] = {}
        for (job, _), sha256, claim in zip(jobs, hashes, claims, strict=True):
            try:
                photo, faces = self._detected(job)
                found.append((claim, photo, faces[0]))
            except Exception as error:  # the person is fitted to the other photos
                self._fail(claim.name, error)
                left_out[sha256] = reason(error)
        if not found:
            return
        try:
            heads = self._reconstructor.fit_person([photo for _, photo, _ in found], [face for *_, face in found])
        except Exception as error:  # said of every photo that took part
            for claim, *_ in found:
                self._fail(claim.name, error)
            return
        made = {claim.name: head for (claim, *_), head in zip(found, heads, strict=True)}
        for claim, fact, can_be_written in zip(claims, facts, writable, strict=True):
            if not can_be_written or claim.name not in made:
                continue
            try:
                self._write(claim, 0, fact, made[claim.name], {"faces": 1, "left_out": left_out})
            except Exception as error:
                self._fail(claim.name, error)

    def _is_replaceable(self, claim: Claim) -> bool:
        """Whether a result can be written; the rows say if not. The photo takes part in the fit of the person all the same."""
        try:
            claim.check_replaceable(0)
        except OSError as error:
            self._fail(claim.name, error)
            return False
        return True

    def _person_settled(self, hashes: Sequence[str], claims: Sequence[Claim], facts: Sequence[Fingerprint]) -> bool:
        records = [claim.finished(0) for claim in claims]
        known = [record for record in records if record is not None]
        if not known:
            return False
        left_out = dict(known[0].values.get("left_out", {}))
        refused = any(r is not None and f.difference(r.facts) for r, f in zip(records, facts, strict=True))
        if not refused and any(r is None and sha not in left_out for r, sha in zip(records, hashes, strict=True)):
            return False
        for claim, record, fact, sha256 in zip(claims, records, facts, hashes, strict=True):
            if record is not None:
                self._keep(claim.name, record, fact)
            else:
                why = left_out.get(sha256, "another photo of the person was fitted with other settings or photos")
                self.rows.append({"name": printable(claim.name), "status": "failed", "reason": why})
        return True

    def _claim_all(self, jobs: Sequence[tuple[PhotoJob, str]], hashes: Sequence[str]) -> list[Claim] | None:
        """All names at once; processes that want the same ones in another order do not wait for each other for ever."""
        while True:
            claims: list[Claim] = []
            try:
                for (job, name), sha256 in zip(jobs, hashes, strict=True):
                    claim = self._claim(job, sha256, name, wait=False)
                    if claim is None:
                        break
                    claims.append(claim)
                else:
                    return claims
            except OSError as error:
                for claim in claims:
                    claim.release()
                for _, name in jobs:
                    self._fail(name, error)
                return None
            for claim in claims:
                claim.release()
            time.sleep(_OTHERS_S)

    def _detected(self, job: PhotoJob) -> tuple[Photo, list[Face]]:
        from recon.io.image import read_image

        photo = read_image(job.source)
        return photo, self._reconstructor.detect(photo)

    def _write(
        self, claim: Claim, part: int, facts: Fingerprint, head: Reconstruction, values: Mapping[str, Any]
    ) -> None:
        row = done_row(claim.part_name(part), head)
        claim.write(part, facts, lambda folder: self._save(head, folder), values)
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


def done_row(name: str, head: Reconstruction) -> Row:
    """The row of a head that was made."""
    pose, error_percent = head.pose, head.quality.landmark_error_percent
    return {
        "name": printable(name),
        "status": "done",
        "yaw_deg": round(pose.yaw, 1),
        "pitch_deg": round(pose.pitch, 1),
        "roll_deg": round(pose.roll, 1),
        # JSON knows no nan.
        "landmark_error_percent": None if math.isnan(error_percent) else round(error_percent, 2),
        "warnings": [printable(warning) for warning in head.quality.warnings],
    }


def rows_text(rows: Sequence[Row]) -> str:
    """The table of a batch for a terminal."""
    width = max((len(row["name"]) for row in rows), default=4)
    lines = [f"{'face':{width}}  status     yaw  pitch   roll  landmarks %"]
    for row in rows:
        if "yaw_deg" in row:
            numbers = f"{row['yaw_deg']:6.1f} {row['pitch_deg']:6.1f} {row['roll_deg']:6.1f}"
            error = row["landmark_error_percent"]
            shown = "-" if error is None else f"{error:.2f}"
            lines.append(f"{row['name']:{width}}  {row['status']:7} {numbers}  {shown:>10}")
        else:
            lines.append(f"{row['name']:{width}}  {row['status']:7} {row.get('reason', 'finished before')}")
        lines += [f"{'':{width}}    note: {warning}" for warning in row.get("warnings", [])]
    return "\n".join(lines) + "\n"
