"""Photos to folders of heads, one by one or as one person: what is finished is kept, and what fails is a row of the table."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recon.commands.photo_batch import PhotoBatch, PhotoJob, Row, outcome_text
from recon.io.faults import reason
from recon.io.fingerprint import Fingerprint
from recon.io.names import printable
from recon.io.output_folder import Claim, OutputFolder, distinct_names

if TYPE_CHECKING:
    from recon.detection.face import Face
    from recon.io.image import Photo
    from recon.reconstruction import Reconstruction
    from recon.reconstructor import Reconstructor

SaveHead = Callable[["Reconstruction", Path], object]
"""Writes the files of a head into an empty folder."""

_OTHERS_S = 0.5


class _HeadWork:
    """Heads of faces, as a batch makes them."""

    kind = None

    def __init__(self, reconstructor: Reconstructor, save: SaveHead) -> None:
        self._reconstructor, self._save = reconstructor, save

    def detect(self, photo: Photo) -> list[Face]:
        return self._reconstructor.detect(photo)

    def make(self, photo: Photo, face: Face) -> Reconstruction:
        return self._reconstructor.fit_face(photo, face)

    def save(self, result: Reconstruction, folder: Path) -> object:
        return self._save(result, folder)

    def row(self, name: str, result: Reconstruction) -> Row:
        return done_row(name, result)


class HeadBatch(PhotoBatch["Reconstruction"]):
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
        super().__init__(_HeadWork(reconstructor, save), output, facts, faces, overwrite)
        self._reconstructor = reconstructor

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


def done_row(name: str, head: Reconstruction) -> Row:
    """The row of a head that was made."""
    pose, error_percent = head.pose, head.fit_report.landmark_error_percent
    return {
        "name": printable(name),
        "status": "done",
        "yaw_deg": round(pose.yaw, 1),
        "pitch_deg": round(pose.pitch, 1),
        "roll_deg": round(pose.roll, 1),
        # JSON knows no nan.
        "landmark_error_percent": None if math.isnan(error_percent) else round(error_percent, 2),
        "warnings": [printable(warning) for warning in head.fit_report.warnings],
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
            lines.append(f"{row['name']:{width}}  {row['status']:7} {outcome_text(row)}")
        lines += [f"{'':{width}}    note: {warning}" for warning in row.get("warnings", [])]
    return "\n".join(lines) + "\n"
