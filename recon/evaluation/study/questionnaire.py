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
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from recon.evaluation.reports import published
from recon.evaluation.reports.result import Cell, Table
from recon.evaluation.study.page import PAGE
from recon.io.faults import UsageError
from recon.io.image import ImageError, read_image
from recon.io.names import printable

QUESTIONS = ("realism", "texture", "shape", "occlusion")
SCHEMA = "facerecon-study/1"
_PICTURES = (".png", ".jpg", ".jpeg")
_IN_FOLDER = ("render.png", "overview.png")
_LONGEST_PX = 1200


class StudyError(UsageError):
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


def make_study(results: Sequence[Path], seed: int | None = None) -> Study:
    """A study of several methods on the pictures that all of them have.

    Args:
        results: a folder a method; its name is the method's. It holds ``NAME.png|jpg``, or folders ``NAME/`` with a
            ``render.png`` or, as ``recon reconstruct`` writes, an ``overview.png``.
        seed: of the tokens and their order, 0 or more. None draws one: whoever knows the seed knows which token is which method.
            The key file says it.

    Raises:
        StudyError: a negative seed, missing folders, two of one name, no shared picture, or an unreadable picture.
    """
    seed = secrets.randbits(63) if seed is None else seed
    if seed < 0:
        raise StudyError(f"the seed must be 0 or more, got {seed}")
    names = [printable(path.resolve().name) for path in results]
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
            key[token] = {"method": method, "item": printable(item)}
    # The order in the file must not give methods away either; each participant gets an order of their own on top.
    entries = [entries[k] for k in rng.permutation(len(entries))]
    study_id = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:12]
    content = json.dumps({"schema": SCHEMA, "study": study_id, "entries": entries})
    # "</" inside a script element would end it.
    page = PAGE.replace("%CONTENT%", content.replace("</", "<\\/"))
    return Study(page.encode(), _json({"schema": SCHEMA, "study": study_id, "seed": seed, "tokens": key}), len(entries))


def opinion_scores(key_file: Path, answer_files: Sequence[Path]) -> Table:
    """Mean opinion scores with standard deviations over all answers, and the paper's Table 3.

    Raises:
        StudyError: unreadable files, answers of another study, or scores off the scale.
    """
    study, tokens = _key(key_file)
    if not answer_files:
        raise StudyError("no answer files were given")
    scores: dict[str, dict[str, list[float]]] = {}
    seen: dict[str, Path] = {}
    for path in answer_files:
        content = _read(path)
        if content["study"] != study:
            raise StudyError(f"{path}: belongs to the study {content['study']!r}, the key to {study!r}")
        # One participant's answers count once, under whatever names they were saved.
        same = json.dumps(content, sort_keys=True)
        if same in seen:
            raise StudyError(f"{path}: holds the same answers as {seen[same]}; give each participant's file once")
        seen[same] = path
        for token, given in _answers(content, path).items():
            if token not in tokens:
                raise StudyError(f"{path}: unknown token {token!r}")
            method = scores.setdefault(tokens[token], {question: [] for question in QUESTIONS})
            for question, value in given.items():
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


def _key(path: Path) -> tuple[str, dict[str, str]]:
    """The study's name and the method of each token."""
    content = _read(path)
    tokens = content.get("tokens")
    if not isinstance(tokens, dict):
        raise StudyError(f"{path}: this is no key file; pass the .key.json that was written beside the page")
    for token, entry in tokens.items():
        if not isinstance(entry, dict) or not isinstance(entry.get("method"), str):
            raise StudyError(f"{path}: damaged or edited: the token {token!r} has no method")
    return content["study"], {token: entry["method"] for token, entry in tokens.items()}


def _answers(content: Mapping[str, Any], path: Path) -> dict[str, dict[str, int]]:
    """The scores of each token by question, without questions that were not answered.

    Raises:
        StudyError: another form, unknown questions, or scores off the scale.
    """
    answers = content.get("answers")
    if not isinstance(answers, dict) or not all(isinstance(given, dict) for given in answers.values()):
        raise StudyError(f"{path}: expected 'answers' with the scores of each token; was the file edited?")
    found: dict[str, dict[str, int]] = {}
    for token, given in answers.items():
        unknown = sorted(set(given) - set(QUESTIONS))
        if unknown:
            raise StudyError(f"{path}: unknown question {unknown[0]!r}; known: {', '.join(QUESTIONS)}")
        for question, value in given.items():
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 5):
                raise StudyError(f"{path}: the score for {question} is {value!r}; it must be 1 to 5")
        found[token] = {question: given[question] for question in QUESTIONS if given.get(question) is not None}
    return found


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
        # From bare pixels: Pillow would carry comments and profiles over.
        picture = Image.fromarray(read_image(path).pixels)
    except (ImageError, OSError) as error:
        raise StudyError(f"{path}: cannot be read as a picture ({error})") from None
    picture.thumbnail((_LONGEST_PX, _LONGEST_PX))
    buffer = io.BytesIO()
    picture.save(buffer, format="JPEG", quality=90)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise StudyError(f"{path}: cannot be read as JSON ({error})") from None
    if not isinstance(content, dict) or content.get("schema") != SCHEMA or not isinstance(content.get("study"), str):
        raise StudyError(f"{path}: is no file of a study of schema {SCHEMA!r}")
    return content


def _mean_std(values: list[float]) -> str:
    if not values:
        return "–"
    mean = sum(values) / len(values)
    return f"{mean:.2f} ± {math.sqrt(sum((v - mean) ** 2 for v in values) / len(values)):.2f}"


def _json(value: object) -> bytes:
    return (json.dumps(value, indent=1) + "\n").encode()
