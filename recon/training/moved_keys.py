"""Keys of training configs that have moved: old ones are read for one version more, with a warning that names both.

Keys are those of a class's ``init_args``, with dots between levels. They are looked up by class, because another class may
have a key of its own under an old name.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from recon.io.faults import UsageError

_Moves = Mapping[str, tuple[str, ...]]
_PLAN: _Moves = {"batch_size": ("plan.batch_size",), "seed": ("plan.seed",)}
_HELD_OUT: _Moves = {"validation": ("held_out.synthesis",), "n_validation": ("held_out.count",)}
_REGRESSOR: _Moves = {
    "average": ("run.average",),
    "picture_every": ("run.picture_every",),
    "compile": ("run.compile",),
    "initial_weights": ("run.initial_weights",),
    "backbone_options": ("regressor.backbone_options",),
}

MOVED_KEYS: dict[str, _Moves] = {
    "recon.training.module.RegressorModule": _REGRESSOR,
    "recon.training.mixed.MixedModule": {**_REGRESSOR, "clip": ("critic.regressor_clip",)},
    "recon.training.synthetic_data.SyntheticData": {
        **_PLAN,
        **_HELD_OUT,
        "replay": ("plan.replay",),
        "window": ("plan.window",),
    },
    "recon.training.photo_data.PhotoData": {
        **_PLAN,
        **_HELD_OUT,
        "mirror": ("samples.mirror",),
        "landmarks": ("samples.landmarks",),
    },
    "recon.training.labelled_photos.LabelledPhotoData": {
        **_PLAN,
        **_HELD_OUT,
        "held_out_share": ("held_out.share",),
    },
    "recon.training.landmark_data.LandmarkData": {
        "synthesis": ("drawing.synthesis",),
        "count": ("drawing.count",),
        "picture_size": ("drawing.side_px",),
        "block": ("drawing.block",),
        "drawing_workers": ("drawing.workers",),
        "seed": ("drawing.seed", "plan.seed"),
        "batch_size": ("plan.batch_size",),
        "jitter": ("crops.jitter",),
        "degradation": ("crops.degradation",),
        "device": ("crops.device",),
        "workers": ("crops.workers",),
        "n_validation": ("held_out.count",),
    },
}
"""By class: each old key, and the one or more that have its value now."""

_CLASS, _ARGUMENTS = "class_path", "init_args"
Place = tuple[str, ...]
"""Names of the mappings around a value, without ``init_args``."""


class MovedKeyError(UsageError):
    """A config that has a key at its old and at its new place."""


def classes_in(content: Mapping[str, Any]) -> dict[Place, str]:
    """Classes of the objects in a config, by their place."""
    return dict(_classes(content, ()))


def with_new_keys(content: Mapping[str, Any], classes: Mapping[Place, str], source: str) -> dict[str, Any]:
    """A config with its old keys moved; each is a warning.

    Args:
        content: of one file.
        classes: of objects whose class another file names.
        source: the file's name, for warnings and errors.

    Raises:
        MovedKeyError: a key is there at its old and at its new place.
    """
    return _moved(content, (), (), classes, source)


def arguments_with_new_keys(arguments: Sequence[str], classes: Mapping[Place, str]) -> list[str]:
    """A command line with its old keys moved; each is a warning.

    Args:
        arguments: ``--data.init_args.batch_size=4``, or the key and the value one after the other.
        classes: of the objects in the configs; those that the command line names come on top.
    """
    known, result, rest = dict(classes), [], list(arguments)
    while rest:
        argument = rest.pop(0)
        key, equals, value = argument.partition("=")
        if not key.startswith("--"):
            result.append(argument)
            continue
        given = value if equals else next(iter(rest), "")
        names = tuple(key[2:].split("."))
        known[tuple(name for name in names if name not in (_CLASS, _ARGUMENTS))] = given
        new = _new_names(names, known)
        if not new:
            result.append(argument)
            continue
        _warn(key[2:], new, "command line")
        if not equals and rest:
            rest.pop(0)
        result += [f"--{name}={given}" for name in new]
    return result


def _new_names(names: Place, classes: Mapping[Place, str]) -> list[str]:
    """Where a key of the command line is now; nothing if it has not moved."""
    for end in range(1, len(names)):
        moves = _moves(classes.get(tuple(name for name in names[:end] if name != _ARGUMENTS)))
        if names[end] in moves:
            return [".".join((*names[:end], new, *names[end + 1 :])) for new in moves[names[end]]]
    return []


def _moves(class_path: str | None) -> _Moves:
    """Old and new keys of a class, named by its path or, as on the command line, by its name alone."""
    for known, moves in MOVED_KEYS.items():
        if class_path in (known, known.rpartition(".")[2]):
            return moves
    return {}


def _classes(content: Mapping[str, Any], place: Place) -> Iterator[tuple[Place, str]]:
    if isinstance(content.get(_CLASS), str):
        yield place, content[_CLASS]
    for name, value in content.items():
        inner = place if name == _ARGUMENTS else (*place, str(name))
        if isinstance(value, Mapping):
            yield from _classes(value, inner)
        elif isinstance(value, str) and name != _CLASS and _moves(value):
            yield inner, value  # a class without arguments


def _moved(
    content: Mapping[str, Any], path: Place, place: Place, classes: Mapping[Place, str], source: str
) -> dict[str, Any]:
    result = {}
    for name, value in content.items():
        name = str(name)
        if isinstance(value, Mapping):
            inner = place if name == _ARGUMENTS else (*place, name)
            value = _moved(value, (*path, name), inner, classes, source)
        result[name] = value
    own = result.get(_CLASS)
    moves = _moves(own if isinstance(own, str) else classes.get(place))
    arguments = result.get(_ARGUMENTS)
    if isinstance(arguments, dict):
        prefix = ".".join((*path, _ARGUMENTS))
        for old in [name for name in arguments if name in moves]:
            value = arguments.pop(old)
            _warn(f"{prefix}.{old}", [f"{prefix}.{new}" for new in moves[old]], source)
            for new in moves[old]:
                _put(arguments, new.split("."), value, f"{source}: {prefix}.{old} is now {prefix}.{new}")
    return result


def _put(arguments: dict[str, Any], names: list[str], value: Any, told: str) -> None:
    for name in names[:-1]:
        if arguments.get(name) is None:
            arguments[name] = {}
        arguments = arguments[name]
        if not isinstance(arguments, dict):
            raise MovedKeyError(
                f"{told}, and {name} holds {arguments!r} there instead of keys; write the key at its new place"
            )
    if names[-1] in arguments:
        raise MovedKeyError(f"{told}, and the config has both; remove the old one")
    arguments[names[-1]] = value


def _warn(old: str, new: list[str], source: str) -> None:
    # In the name of the program that runs, which Python shows: whoever wrote the config can change it.
    warnings.warn_explicit(
        f"the key {old} is now {' and '.join(new)}; the next version reads it there only",
        DeprecationWarning,
        source,
        0,
        module="__main__",
    )
