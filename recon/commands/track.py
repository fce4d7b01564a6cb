"""``recon track``: videos to moving heads."""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recon.commands.photo_batch import Row, outcome_text
from recon.io.extras import pip_hint
from recon.io.faults import UsageError, complain, ends_the_run, reason
from recon.io.fingerprint import Fingerprint, code_hash, file_hash
from recon.io.names import printable
from recon.io.output_folder import Claim, OutputFolder, candidate_names, distinct_names

if TYPE_CHECKING:
    from recon.io.video import Video
    from recon.tracking.head_track import HeadTrack
    from recon.tracking.tracker import Tracker

EXAMPLES = """examples:
  recon track talk.mp4 -o tracks
  recon track a.mov b.gif frames/ -o tracks --people all
  recon track talk.mp4 -o tracks --quality fast --causal --fps 15
"""
_KIND = "track"
_MOST_OF_ONE_NAME = 1000


def add_parser(subcommands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``track`` to the subcommands of the ``recon`` command."""
    parser = subcommands.add_parser(
        "track",
        help="videos to moving heads",
        description="Follow the heads in videos: one shape, albedo and focal length a person, pose, expression and light a frame. Each "
        "person gets a folder with head.glb (animated), with --usdz head.usdz, coverage.png, weights.csv, track.json, transforms.json, targets.json and overlay.mp4. A run "
        "that was killed goes on where it was when the same command is given again.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "videos",
        type=Path,
        nargs="+",
        metavar="VIDEO",
        help="a file that FFmpeg reads, or a folder of numbered pictures",
    )
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="DIR", help="where to write")
    parser.add_argument("--causal", action="store_true", help="no frame knows of those after it: filter, do not smooth")
    parser.add_argument("--fps", type=float, metavar="N", help="frames a second to look at; of a folder, those it has")
    parser.add_argument("--focal-px", type=float, metavar="PX", help="focal length of the camera, if it is known")
    parser.add_argument(
        "--quality", choices=("fast", "default"), default="default", help="effort on who it is [default]"
    )
    parser.add_argument("--people", choices=("all", "main"), default="main", help="whom to follow [main]")
    parser.add_argument(
        "--texture-size", type=int, default=1024, metavar="PX", help="side of the texture, 0 for none [1024]"
    )
    parser.add_argument(
        "--pictures",
        action="store_true",
        help="also write the pictures and masks that transforms.json names, about 1 MB a frame at 720p",
    )
    parser.add_argument("--usdz", action="store_true", help="also write head.usdz (extra usd)")
    parser.add_argument("--overwrite", action="store_true", help="make finished tracks again")
    parser.add_argument(
        "--json", dest="as_json", action="store_true", help="print the summary as JSON on the standard output"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Carry out the command. Returns 0, or 1 if a video failed.

    Raises:
        UsageError: a video that is not there or options that mean nothing; nothing was begun.
        OutputError: the folder cannot be written to.
        KeyboardInterrupt: with a message of what is kept.
    """
    _check(arguments)
    try:
        import av  # noqa: F401

        if arguments.usdz:
            import pxr  # noqa: F401
    except ImportError as error:
        return complain("recon track", pip_hint(error) or str(error), 1)
    from recon.tracking.tracker import Tracker

    tracker = Tracker(
        quality=arguments.quality, people=arguments.people, causal=arguments.causal, focal_px=arguments.focal_px
    )
    batch = _TrackBatch(arguments, tracker)
    try:
        batch.run()
    except KeyboardInterrupt:
        raise KeyboardInterrupt("the same command goes on from there") from None
    finally:
        batch.output.close()
        sys.stdout.write(json.dumps(batch.rows, indent=1) + "\n" if arguments.as_json else rows_text(batch.rows))
    return 1 if any(row["status"] in ("failed", "refused") for row in batch.rows) else 0


def _check(arguments: argparse.Namespace) -> None:
    missing = [path for path in arguments.videos if not path.exists()]
    if missing:
        raise UsageError(f"no such video: {printable(missing[0])}")
    for name in ("fps", "focal_px"):
        value = getattr(arguments, name)
        if value is not None and not 0.0 < value < float("inf"):
            raise UsageError(f"--{name.replace('_', '-')} must be a positive number, got {value}")
    if not 0 <= arguments.texture_size <= 8192:
        raise UsageError(f"--texture-size must lie in [0, 8192], got {arguments.texture_size}")


class _TrackBatch:
    """Videos one after the other; what fails is a row of the table."""

    def __init__(self, arguments: argparse.Namespace, tracker: Tracker) -> None:
        self.rows: list[Row] = []
        self.output = OutputFolder(arguments.out)
        self._arguments, self._tracker = arguments, tracker
        names = ("causal", "fps", "focal_px", "quality", "people", "texture_size", "pictures", "usdz")
        settings = {key: getattr(arguments, key) for key in names}
        self._facts = {**settings, "model": tracker.model.name, "code": code_hash()}

    def run(self) -> None:
        paths: list[Path] = self._arguments.videos
        for path, name in zip(paths, distinct_names([path.stem for path in paths]), strict=True):
            try:
                self._do(path, name)
            except Exception as error:  # the boundary between videos
                self.rows.append({"name": name, "status": "failed", "reason": reason(error)})
                if ends_the_run(error):
                    return

    def _do(self, path: Path, name: str) -> None:
        from recon.detection.face import NoFaceError
        from recon.io.video import VideoError, open_video

        sha256 = _content_hash(path)
        owner = {"source": str(path.absolute()), "sha256": sha256, "kind": _KIND}
        facts = Fingerprint({**self._facts, "video": sha256})
        names = list(dict.fromkeys((name, *candidate_names(path.stem, _MOST_OF_ONE_NAME))))
        claim = self.output.claim(names, owner, wait=True)
        assert claim is not None, "waited for"
        with claim:
            if not self._arguments.overwrite and self._settled(claim, facts):
                return
            claim.check_replaceable(0)
            # Named after all that decides the numbers, so that what is found there can be gone on from.
            video = open_video(path, fps=self._arguments.fps)
            work = self.output.work / f"{facts.digest}.track"
            work.mkdir(exist_ok=True)
            try:
                with _Bar(path.name) as bar:
                    tracks = self._tracker(video, work, bar)
            except (NoFaceError, VideoError):  # would come again
                shutil.rmtree(work)
                raise
            for part, track in enumerate(tracks):
                self._write(claim, part, facts, track, video, len(tracks))
            shutil.rmtree(work)

    def _settled(self, claim: Claim, facts: Fingerprint) -> bool:
        """Whether all is there already, or is there and may not be replaced; the rows say which."""
        first = claim.finished(0)
        if first is None:
            return False
        if difference := facts.difference(first.facts):
            why = f"there is one made from something else ({difference}); --overwrite makes it again"
            self.rows.append({"name": claim.name, "status": "refused", "reason": why})
            return True
        records = [claim.finished(part) for part in range(int(first.values.get("people", 1)))]
        if any(record is None for record in records):
            return False
        self.rows += [
            {"name": claim.part_name(part), "status": "kept", **(record.values if record else {})}
            for part, record in enumerate(records)
        ]
        return True

    def _write(
        self, claim: Claim, part: int, facts: Fingerprint, track: HeadTrack, video: Video, n_people: int
    ) -> None:
        from recon.tracking.output import write_track

        chosen = {name: getattr(self._arguments, name) for name in ("texture_size", "pictures", "usdz")}
        values = {"people": n_people, **_told(track)}
        claim.write(
            part,
            facts,
            lambda folder: write_track(folder, track, video, **chosen),
            values,
        )
        self.rows.append({"name": claim.part_name(part), "status": "done", **values})


def _told(track: HeadTrack) -> Mapping[str, Any]:
    missing = [text for text in track.reason if text]
    return {
        "frames": len(track),
        "frames_with_result": int(track.found.sum()),
        "cuts": len(track.cuts),
        "missing": {text: missing.count(text) for text in dict.fromkeys(missing)},
        "notes": [printable(note) for note in track.notes],
    }


def _content_hash(path: Path) -> str:
    """SHA-256 of a file, or of the names and contents of a folder's pictures."""
    if not path.is_dir():
        return file_hash(path)
    from recon.io.video import PICTURE_SUFFIXES

    digest = hashlib.sha256()
    for picture in sorted(one for one in path.iterdir() if one.suffix.lower() in PICTURE_SUFFIXES):
        digest.update(f"{picture.name}\0{file_hash(picture)}\0".encode("utf-8", errors="surrogateescape"))
    return digest.hexdigest()


@dataclasses.dataclass
class _Bar:
    """Progress on the standard error, where that is a terminal."""

    name: str

    def __enter__(self) -> _Bar:
        from tqdm import tqdm

        self._bar: Any = tqdm(desc=printable(self.name), unit="frame", disable=None)
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def __call__(self, stage: str, done: int, total: int | None) -> None:
        self._bar.total = total
        self._bar.n = done
        self._bar.set_postfix_str(stage)


def rows_text(rows: list[Row]) -> str:
    """The table for a terminal."""
    width = max((len(row["name"]) for row in rows), default=5)
    lines = [f"{'track':{width}}  status   frames  with head  cuts"]
    for row in rows:
        name = f"{printable(row['name']):{width}}  {row['status']:7}"
        if "frames" not in row:
            lines.append(f"{name} {outcome_text(row)}")
            continue
        lines.append(f"{name} {row['frames']:7d}  {row['frames_with_result']:9d}  {row['cuts']:4d}")
        lines += [f"{'':{width}}  {count} frames: {text}" for text, count in row["missing"].items()]
        lines += [f"{'':{width}}  {note}" for note in row["notes"]]
    return "\n".join(lines) + "\n"
