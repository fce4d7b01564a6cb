"""YAML configs that build on another one: ``base: OTHER.yaml`` at the top of a file, relative to that file's folder.

The file's keys take the place of the base's, mapping by mapping. Lists and single values are replaced as a whole, and so is
an object of another class (``class_path``) with all its ``init_args``. A base may itself have a base.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from recon.io.faults import UsageError

_BASE = "base"
_CLASS = "class_path"


class ConfigError(UsageError):
    """A config that cannot be read, or whose base cannot; the message names the file."""


def config_files(path: Path) -> tuple[Path, ...]:
    """The config and its bases, the config first.

    Raises:
        ConfigError: see :func:`read_config`.
    """
    return tuple(found for found, _ in _chain(path))


def read_config(
    path: Path, change: Callable[[Mapping[str, Any], Path], dict[str, Any]] | None = None
) -> dict[str, Any]:
    """The keys of a config merged into those of its bases, without the key ``base``.

    Args:
        path: of the config.
        change: makes of each file's keys, and its path, those that are merged; ``None`` takes them as they are.

    Raises:
        ConfigError: a file that is missing or no YAML mapping, a ``base`` that is no file name, lies outside the folder of
            the config at ``path``, or leads back to a config that builds on it.
    """
    merged: dict[str, Any] = {}
    for file, content in reversed(_chain(path)):
        own = {key: value for key, value in content.items() if key != _BASE}
        merged = _merged(merged, own if change is None else change(own, file))
    return merged


def files_with_key(paths: tuple[Path, ...], key: str) -> tuple[Path, ...]:
    """Those of the configs that hold all parts of a dotted key, at any depth.

    Raises:
        ConfigError: a file that is missing or no YAML mapping.
    """
    parts = set(key.split("."))
    return tuple(path for path in paths if parts <= set(_keys(_load(path, str(path)))))


def _chain(path: Path) -> list[tuple[Path, dict[str, Any]]]:
    """Configs with their contents, each followed by its base."""
    folder = path.parent.resolve()
    content = _load(path, str(path))
    chain = [(path, content)]
    while _BASE in content:
        child = chain[-1][0]
        name = content[_BASE]
        if not isinstance(name, str) or not name:
            raise ConfigError(f"{child}: '{_BASE}' must be the path of a config, relative to this file; found {name!r}")
        base = child.parent / name
        content = _load(base, f"{child}: its {_BASE} {base}")
        files = [file for file, _ in chain]
        if base.resolve() in [file.resolve() for file in files]:
            circle = " -> ".join(str(file) for file in (*files, base))
            raise ConfigError(f"{child}: a config cannot be its own base ({circle}); remove one '{_BASE}'")
        if not base.resolve().is_relative_to(folder):
            raise ConfigError(
                f"{child}: its {_BASE} {name} lies outside {folder}, the folder of the config that was given; copy it there"
            )
        chain.append((base, content))
    return chain


def _load(path: Path, described: str) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{described} does not exist") from None
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise ConfigError(f"{described} cannot be read as YAML ({error})") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"{described} must hold keys with values, found {type(content).__name__}")
    return content


def _merged(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for key, value in own.items():
        former = result.get(key)
        result[key] = value
        if isinstance(former, Mapping) and isinstance(value, Mapping):
            if value.get(_CLASS, former.get(_CLASS)) == former.get(_CLASS):
                result[key] = _merged(former, value)
    return result


def _keys(value: Any) -> Iterator[str]:
    """Names of all mappings' keys in a value, at any depth, with the parts of dotted ones."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from str(key).split(".")
            yield from _keys(item)
    elif isinstance(value, list):
        for item in value:
            yield from _keys(item)
