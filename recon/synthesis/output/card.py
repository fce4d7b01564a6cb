"""The card of a data set: what it was made from, so that no run ever adds samples of another kind."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

from bfm.model import MorphableModel
from recon.io.fingerprint import Fingerprint, code_hash, folder_hash, model_hash
from recon.io.locks import locked
from recon.io.names import printable
from recon.io.parts import write_new
from recon.synthesis.config import FORMER_NAMES
from recon.synthesis.output.plan import WORK_FOLDER, DatasetError, DatasetPlan
from recon.synthesis.sample import SEGMENT_NAMES

CARD = "dataset.json"
_README = "README.md"
_FOLDERS = ("background_folder", "environment_folder")
"""Settings that name folders: their contents are compared, because each machine may have them in a place of its own."""


def make_card(plan: DatasetPlan, model: MorphableModel) -> dict[str, Any]:
    """Everything that decides the samples of a data set.

    The entry ``made_with`` holds hashes of the code, of the model's arrays, and of the pictures that samples are made from.
    """
    config = dataclasses.asdict(plan.config)
    traced = {"engine": plan.engine, "paths": plan.paths} if plan.engine == "cycles" else {}
    made_with: dict[str, str] = {"code": code_hash(), "face_model": model_hash(model)}
    for name in _FOLDERS:
        if config[name] is not None:
            made_with[f"contents_of_{name}"] = folder_hash(Path(config[name]))
    return {
        "kind": "synthetic faces",
        "layout": plan.layout,
        "count": plan.count,
        "size": list(plan.size),
        "seed": plan.seed,
        "model": plan.model,
        "block": plan.block,
        "segments": list(SEGMENT_NAMES),
        "config": json.loads(json.dumps(config)),
        **traced,
        "made_with": made_with,
    }


def lay_card(plan: DatasetPlan, model: MorphableModel) -> None:
    """Make the folder with its card, or check that the card there is of the same data set.

    Of several runs that begin at once the first to write the card decides, and the others compare theirs.

    Raises:
        DatasetError: the folder holds another data set or files of the user's.
        OSError: it cannot be written.
    """
    card = make_card(plan, model)
    plan.folder.mkdir(parents=True, exist_ok=True)
    readme = _readme(card).encode()
    if not (plan.folder / CARD).exists():
        _check_empty(plan, readme)
    with locked(plan.work / "card.lock"):
        write_new(plan.folder / CARD, json.dumps(card, indent=1).encode(), plan.work)
        _compare(plan, card)
        # After the card, which says whose folder this is; a run that was killed between the two is made good here.
        if not os.path.lexists(plan.folder / _README):
            write_new(plan.folder / _README, readme, plan.work)


def _check_empty(plan: DatasetPlan, readme: bytes) -> None:
    """Refuse a folder with anything in it that was not written by a run of this plan."""
    names = set(os.listdir(plan.folder)) - {WORK_FOLDER}
    if names == {_README} and (plan.folder / _README).read_bytes() == readme:
        return
    # Another run may have written its card since the caller looked.
    if names and not (plan.folder / CARD).exists():
        raise DatasetError(f"{printable(plan.folder)} is not empty and holds no {CARD}: choose an empty folder")


def _compare(plan: DatasetPlan, card: dict[str, Any]) -> None:
    path = plan.folder / CARD
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{printable(path)} is no data set card ({error}): choose another folder") from error
    if not isinstance(found, dict) or found.get("kind") != card["kind"]:
        raise DatasetError(f"{printable(path)} is no card of synthetic faces: choose another folder")
    if not isinstance(found.get("made_with"), dict):
        raise DatasetError(
            f"{printable(plan.folder)} was begun by an earlier version of recon, which did not note with which code and "
            "model: go on with that version, or choose another folder"
        )
    other = Fingerprint(_facts(card)).difference(_facts(found))
    if other:
        raise DatasetError(
            f"{printable(plan.folder)} holds another data set ({printable(other)}): choose another folder, or go on with "
            "the settings, the version of recon and the files that it was begun with"
        )


def _facts(card: dict[str, Any]) -> dict[str, Any]:
    """What must be equal, in one level, so that a difference can be named."""
    config = card.get("config")
    if isinstance(config, dict):  # earlier versions' cards
        config = {FORMER_NAMES.get(name, name): value for name, value in config.items()}
    nested = [config, card.get("made_with")]
    facts = {name: value for name, value in card.items() if name not in ("config", "made_with")}
    for part in nested:
        if isinstance(part, dict):
            facts.update({name: value for name, value in part.items() if name not in _FOLDERS})
    return facts


def _readme(card: dict[str, Any]) -> str:
    rows = "\n".join(f"| {name} | {value} |" for name, value in card["config"].items())
    how = f"with Cycles, {card['paths']} paths a pixel, " if "engine" in card else ""
    return (
        f"# Synthetic faces\n\n{card['count']} pictures of {card['size']} px (height, width) made with "
        f"`recon synthesize` {how}from the face model `{card['model']}`, seed {card['seed']}, layout `{card['layout']}`.\n"
        "No person is shown: every face is drawn from random numbers. Sample i can be made again from the seed and i.\n\n"
        "Units: millimetres (EXR depth of the c3i layout: metres along the ray), pixels with centres at +0.5. Frames and "
        "signs of angles are those of `docs/conventions.md`; the c3i text files use the published Z-up world,\n"
        "and the names of its scene folders are those of the published set, though the backgrounds are not its scenes.\n\n"
        f"| setting | value |\n|---|---|\n{rows}\n"
    )
