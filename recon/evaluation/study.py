"""The subjective study (Table 3 of the reconstruction paper): a questionnaire in one HTML file, and mean opinion scores.

Participants see a picture at a time, in an order of their own, and never a method's name: each picture carries a random
token, and which method it belongs to stands only in the key file. They answer four questions on a scale of 1 to 5 and
save their answers as a JSON file.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import io
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from recon.evaluation import published
from recon.evaluation.result import Cell, Table
from recon.evaluation.study_page import PAGE

QUESTIONS = ("realism", "texture", "shape", "occlusion")
SCHEMA = "facerecon-study/1"
_PICTURES = (".png", ".jpg", ".jpeg")
_IN_FOLDER = ("render.png", "overview.png")
_LONGEST_PX = 1200


class StudyError(ValueError):
    """A study that cannot be made or read; the message names the file."""


@dataclasses.dataclass(frozen=True)
class Study:
    """The two files of a study.

    Attributes:
        page: the HTML file.
        key: the JSON file that says which token is which method. Participants must not see it.
        n_pictures: shown to each participant.
    """

    page: bytes
    key: bytes
    n_pictures: int


def make_study(results: Sequence[Path], seed: int = 0) -> Study:
    """A study of several methods on the pictures that all of them have.

    Args:
        results: a folder a method; its name is the method's. It holds ``NAME.png|jpg``, or folders ``NAME/`` with a
            ``render.png`` or, as ``recon reconstruct`` writes, an ``overview.png``.
        seed: of the tokens.

    Raises:
        StudyError: missing folders, two of one name, no shared picture, or an unreadable picture.
    """
    names = [path.resolve().name for path in results]
    if len(set(names)) != len(names):
        raise StudyError(f"methods need folders of different names, got {', '.join(names)}")
    found = [_pictures(path) for path in results]
    shared = sorted(set.intersection(*(set(pictures) for pictures in found))) if found else []
    if not shared:
        counts = ", ".join(f"{name}: {len(pictures)}" for name, pictures in zip(names, found, strict=True))
        raise StudyError(f"the result folders share no picture ({counts or 'no folders'})")
    rng = np.random.default_rng(seed)
    entries, key = [], {}
    for item in shared:
        for method, pictures in zip(names, found, strict=True):
            token = rng.bytes(6).hex()
            entries.append({"token": token, "picture": _data_uri(pictures[item])})
            key[token] = {"method": method, "item": item}
    # The order in the file must not give methods away either; each participant gets an order of their own on top.
    entries = [entries[k] for k in rng.permutation(len(entries))]
    study_id = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:12]
    content = json.dumps({"schema": SCHEMA, "study": study_id, "entries": entries})
    # "</" inside a script element would end it.
    page = PAGE.replace("%CONTENT%", content.replace("</", "<\\/"))
    return Study(page.encode(), _json({"schema": SCHEMA, "study": study_id, "tokens": key}), len(entries))


def opinion_scores(key_file: Path, answer_files: Sequence[Path]) -> Table:
    """Mean opinion scores with standard deviations over all answers, and the paper's Table 3.

    Raises:
        StudyError: unreadable files, answers of another study, or scores off the scale.
    """
    key = _read(key_file)
    if "tokens" not in key:
        raise StudyError(f"{key_file}: this is no key file; pass the .key.json that was written beside the page")
    if not answer_files:
        raise StudyError("no answer files were given")
    scores: dict[str, dict[str, list[float]]] = {}
    for path in answer_files:
        answers = _read(path)
        if answers.get("study") != key["study"]:
            raise StudyError(f"{path}: belongs to the study {answers.get('study')!r}, the key to {key['study']!r}")
        for token, given in answers.get("answers", {}).items():
            if token not in key["tokens"]:
                raise StudyError(f"{path}: unknown token {token!r}")
            method = scores.setdefault(key["tokens"][token]["method"], {question: [] for question in QUESTIONS})
            for question in QUESTIONS:
                value = given.get(question)
                if value is None:
                    continue
                if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 5:
                    raise StudyError(f"{path}: the score for {question} is {value!r}; it must be 1 to 5")
                method[question].append(float(value))
    rows: list[tuple[Cell, ...]] = [*published.OPINION_SCORES]
    for method_name, per_question in sorted(scores.items()):
        counts = [len(values) for values in per_question.values()]
        rows.append((f"{method_name}, {max(counts)} answers", *(_mean_std(v) for v in per_question.values())))
    return Table(
        "Mean opinion scores, 1 (bad) to 5 (good)",
        ("method", *QUESTIONS),
        tuple(rows),
        f"Rows above ours are Table 3 of the reconstruction paper. {len(answer_files)} participants; mean ± standard deviation "
        "over answers.",
    )


def _pictures(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise StudyError(f"no such folder: {folder}")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.suffix.lower() in _PICTURES:
            found[path.stem] = path
        elif path.is_dir():
            inside = [path / name for name in _IN_FOLDER if (path / name).is_file()]
            if inside:
                found[path.name] = inside[0]
    return found


def _data_uri(path: Path) -> str:
    """A JPEG without the file's own metadata, which could name the method."""
    try:
        with Image.open(path) as opened:
            # From bare pixels: Pillow would carry comments and profiles over.
            picture = Image.fromarray(np.asarray(opened.convert("RGB")))
    except (OSError, UnidentifiedImageError, ValueError) as error:
        raise StudyError(f"{path}: cannot be read as a picture ({error})") from None
    picture.thumbnail((_LONGEST_PX, _LONGEST_PX))
    buffer = io.BytesIO()
    picture.save(buffer, format="JPEG", quality=90)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StudyError(f"{path}: cannot be read as JSON ({error})") from None
    if not isinstance(content, dict) or content.get("schema") != SCHEMA or "study" not in content:
        raise StudyError(f"{path}: is no file of a study of schema {SCHEMA!r}")
    return content


def _mean_std(values: list[float]) -> str:
    if not values:
        return "–"
    mean = sum(values) / len(values)
    return f"{mean:.2f} ± {math.sqrt(sum((v - mean) ** 2 for v in values) / len(values)):.2f}"


def _json(value: object) -> bytes:
    return (json.dumps(value, indent=1) + "\n").encode()
