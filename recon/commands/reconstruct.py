"""``recon reconstruct``: photos to heads."""

from __future__ import annotations

import argparse
import json
import math
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bfm.registry import MODEL_NAMES

if TYPE_CHECKING:
    from recon.reconstruction import Reconstruction
    from recon.reconstructor import Reconstructor

EXAMPLES = """examples:
  recon reconstruct photo.jpg -o heads
  recon reconstruct holiday/ -o heads --format glb,obj --faces all --quality best
  recon reconstruct a.jpg b.jpg c.jpg -o heads --same-person
"""
_PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif")
_DONE = "face.json"


def add_parser(subcommands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``reconstruct`` to the subcommands of the ``recon`` command."""
    parser = subcommands.add_parser(
        "reconstruct",
        help="photos to heads",
        description="Reconstruct the heads in photos. Each face gets a folder with the head and an overview.png.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("photos", type=Path, nargs="+", metavar="PHOTO_OR_FOLDER")
    add_options(parser)
    parser.add_argument(
        "--faces", choices=("all", "largest"), default="largest", help="which faces of a photo [largest]"
    )
    parser.add_argument("--same-person", action="store_true", help="fit one head to the largest face of every photo")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON on the standard output")
    parser.set_defaults(run=run)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options shared with ``recon demo``."""
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="DIR", help="where to write")
    parser.add_argument(
        "--model", default="open", help=f"one of {', '.join(MODEL_NAMES)}, or a .safetensors file [open]"
    )
    parser.add_argument("--format", default="glb", metavar="LIST", help="mesh formats: glb, obj, ply, stl [glb]")
    parser.add_argument(
        "--method",
        choices=("fit", "regress", "hybrid"),
        default="fit",
        help="fitting, a trained network, or both [fit]",
    )
    parser.add_argument(
        "--checkpoint", type=Path, metavar="FILE", help="network for regress and hybrid [the package's]"
    )
    parser.add_argument("--quality", choices=("fast", "default", "best"), default="default")
    parser.add_argument("--texture-size", type=int, default=1024, metavar="PX", help="side of the texture [1024]")
    parser.add_argument("--detector", default="mediapipe", help="mediapipe or insightface [mediapipe]")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda [auto]")
    parser.add_argument("--overwrite", action="store_true", help="do finished faces again")


def run(arguments: argparse.Namespace) -> int:
    """Carry out the command. Returns 0, 1 if a photo failed, 2 for wrong usage."""
    photos, missing = _collect(arguments.photos)
    if missing:
        return _complain(f"no such photo or folder: {missing[0]}", 2)
    if not photos:
        return _complain(f"no pictures in {', '.join(map(str, arguments.photos))}; known: {' '.join(_PICTURES)}", 2)
    return reconstruct_all([(path.stem, path) for path in photos], arguments)


def reconstruct_all(photos: list[tuple[str, Any]], arguments: argparse.Namespace) -> int:
    """Reconstruct named photos (paths or arrays) into ``arguments.out``; used by ``recon demo`` too."""
    from recon.reconstruction import FORMATS
    from recon.reconstructor import Reconstructor

    formats = tuple(name.strip() for name in arguments.format.split(",") if name.strip())
    unknown = [name for name in formats if name not in FORMATS]
    if unknown:
        return _complain(f"unknown mesh format {unknown[0]!r}; known: {', '.join(FORMATS)}", 2)
    if not 0 <= arguments.texture_size <= 8192:
        return _complain(f"--texture-size must lie in 0..8192, got {arguments.texture_size}", 2)
    if getattr(arguments, "same_person", False) and arguments.method != "fit":
        return _complain(f"--same-person needs --method fit, not {arguments.method}", 2)
    problem = _unwritable(arguments.out)
    if problem:
        return _complain(problem, 1)
    try:
        reconstructor = Reconstructor(
            arguments.model,
            method=arguments.method,
            device=arguments.device,
            quality=arguments.quality,
            detector=arguments.detector,
            checkpoint=arguments.checkpoint,
        )
    except (ValueError, OSError) as error:
        return _complain(str(error), 2)
    rows = _work(photos, reconstructor, formats, arguments)
    _report(rows, as_json=getattr(arguments, "json", False))
    return 1 if any(row["status"] == "failed" for row in rows) else 0


def _work(
    photos: list[tuple[str, Any]], reconstructor: Reconstructor, formats: tuple[str, ...], arguments: argparse.Namespace
) -> list[dict[str, Any]]:
    from tqdm import tqdm

    from recon.faces import ImageError
    from recon.faces.face import DetectorUnavailable
    from recon.reconstructor import NoFaceError

    names = _unique([name for name, _ in photos])
    if getattr(arguments, "same_person", False) and len(photos) > 1:
        results = reconstructor.same_person([source for _, source in photos])
        for name, result in zip(names, results, strict=True):
            _save(result, arguments.out / name, formats, arguments)
        return [_row(name, result, "done") for name, result in zip(names, results, strict=True)]
    rows: list[dict[str, Any]] = []
    bar = tqdm(list(zip(names, (source for _, source in photos), strict=True)), unit="photo", disable=len(photos) < 2)
    for name, source in bar:
        bar.set_postfix_str(name)
        if not arguments.overwrite and (arguments.out / name / _DONE).is_file():
            rows.append({"name": name, "status": "kept"})
            continue
        try:
            results = reconstructor.reconstruct(source, faces=getattr(arguments, "faces", "largest"))
            for number, result in enumerate(results):
                label = name if number == 0 else f"{name}.face{number + 1}"
                _save(result, arguments.out / label, formats, arguments)
                rows.append(_row(label, result, "done"))
        except (NoFaceError, ImageError, DetectorUnavailable, OSError) as error:
            rows.append({"name": name, "status": "failed", "reason": str(error)})
    return rows


def _save(result: Reconstruction, folder: Path, formats: tuple[str, ...], arguments: argparse.Namespace) -> None:
    """Write into a folder of another name and rename it: a folder that is there is a whole one."""
    from recon.export import write_file
    from recon.export.png import encode_png
    from recon.overview import overview

    part = folder.with_name(f".{folder.name}.part")
    if part.exists():
        shutil.rmtree(part)
    try:
        part.mkdir(parents=True)
        write_file(part / "overview.png", encode_png(overview(result)))
        result.save(part, formats, texture_size=arguments.texture_size)
        if folder.exists():
            shutil.rmtree(folder)
        part.rename(folder)
    finally:
        if part.exists():
            shutil.rmtree(part)


def _row(name: str, result: Reconstruction, status: str) -> dict[str, Any]:
    pose, error_percent = result.pose, result.quality.landmark_error_percent
    return {
        "name": name,
        "status": status,
        "yaw_deg": round(pose.yaw, 1),
        "pitch_deg": round(pose.pitch, 1),
        "roll_deg": round(pose.roll, 1),
        # JSON knows no nan.
        "landmark_error_percent": None if math.isnan(error_percent) else round(error_percent, 2),
        "warnings": list(result.quality.warnings),
    }


def _report(rows: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(rows, indent=1) + "\n")
        return
    width = max(len(row["name"]) for row in rows)
    sys.stdout.write(f"{'face':{width}}  status    yaw  pitch   roll  landmarks %\n")
    for row in rows:
        if "yaw_deg" in row:
            numbers = f"{row['yaw_deg']:6.1f} {row['pitch_deg']:6.1f} {row['roll_deg']:6.1f}"
            error = row["landmark_error_percent"]
            shown = "-" if error is None else f"{error:.2f}"
            sys.stdout.write(f"{row['name']:{width}}  {row['status']:6} {numbers}  {shown:>10}\n")
        else:
            sys.stdout.write(f"{row['name']:{width}}  {row['status']:6} {row.get('reason', 'finished before')}\n")
        for warning in row.get("warnings", []):
            sys.stdout.write(f"{'':{width}}    note: {warning}\n")


def _collect(given: list[Path]) -> tuple[list[Path], list[Path]]:
    """Pictures of all files and folders, and what does not exist."""
    found: list[Path] = []
    missing = [path for path in given if not path.exists()]
    for path in given:
        if path.is_dir():
            found += sorted(p for p in path.iterdir() if p.suffix.lower() in _PICTURES and p.is_file())
        elif path.exists():
            found.append(path)
    return found, missing


def _unique(names: list[str]) -> list[str]:
    """The names, with a number where one comes again."""
    seen: dict[str, int] = {}
    result = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        result.append(name if seen[name] == 1 else f"{name}-{seen[name]}")
    return result


def _unwritable(folder: Path) -> str | None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".probe"
        probe.touch()
        probe.unlink()
    except OSError as error:
        return f"cannot write to {folder}: {error}; choose another folder with -o"
    return None


def _complain(text: str, code: int) -> int:
    sys.stderr.write(f"recon: {text}\n")
    return code
