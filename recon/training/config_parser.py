"""The command line's parser of training configs: files may name a base, keys that have moved are read at their old place for a
version more, and errors name the file that holds a wrong key.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import yaml
from lightning.pytorch.cli import LightningArgumentParser

from recon.io.base_configs import ConfigError, config_files, files_with_key, read_config
from recon.training.moved_keys import (
    MovedKeyError,
    Place,
    arguments_with_new_keys,
    classes_in,
    with_new_keys,
)

_UNKNOWN = re.compile(r"(?:[Oo]ption|[Kk]ey) '([^']+)'")
"""How versions of jsonargparse name a key that they do not know."""
_CONFIG = ("-c", "--config")
_NONE = re.compile(r"^(--[\w.]+)=None$")


class TrainingParser(LightningArgumentParser):
    """Reads configs with the key ``base`` (:mod:`recon.io.base_configs`).

    jsonargparse merges several ``--config`` options, but a file cannot name the one it builds on; with it, a recipe stays one
    option: ``--config configs/swin_tiny_fam.yaml``.

    Args:
        sources: a list that the parser fills with the files it reads; the parsers of one command line share it.
        settings: of :class:`lightning.pytorch.cli.LightningArgumentParser`.
    """

    def __init__(self, *, sources: list[Path] | None = None, **settings: Any) -> None:
        self._sources = [] if sources is None else sources
        self._classes: dict[Place, str] = {}
        super().__init__(**settings)

    def parse_args(self, args: Any = None, *settings: Any, **named: Any) -> Any:
        """The values of a command line."""
        # The library hands the null of a key inside an object on as None, which it would read as a text.
        arguments = [_NONE.sub(r"\1=null", value) for value in (sys.argv[1:] if args is None else args)]
        return super().parse_args(arguments_with_new_keys(arguments, _classes_of(arguments)), *settings, **named)

    def parse_path(self, path: Any, *settings: Any, **named: Any) -> Any:
        """The keys of a config, merged into those of its base if it has one; they are checked as those of any config."""
        if str(path) == "-":
            return super().parse_path(path, *settings, **named)
        try:
            files = config_files(Path(path))
            written = read_config(Path(path))
            self._classes |= classes_in(written)
            merged = read_config(Path(path), self._with_new_keys)
        except (ConfigError, MovedKeyError) as error:
            self.error(str(error))
        self._sources.extend(files)
        if len(files) == 1 and merged == written:
            return super().parse_path(path, *settings, **named)
        return self.parse_string(yaml.safe_dump(merged, sort_keys=False), os.path.basename(path), *settings, **named)

    def _with_new_keys(self, content: Mapping[str, Any], file: Path) -> dict[str, Any]:
        return with_new_keys(content, self._classes, str(file))

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """End with a message; for an unknown key with the files that hold it."""
        keys = _UNKNOWN.findall(message)
        files = [str(file) for key in keys for file in files_with_key(tuple(self._sources), key)]
        if files:
            message = f"{message}\nThe key is in {', '.join(dict.fromkeys(files))}"
        super().error(message, ex)


def _classes_of(arguments: Sequence[str]) -> dict[Place, str]:
    """Classes that the configs of a command line name; one that cannot be read is an error when it is parsed."""
    classes: dict[Place, str] = {}
    for number, argument in enumerate(arguments):
        name, equals, value = argument.partition("=")
        if name in _CONFIG:
            file = value if equals else next(iter(arguments[number + 1 :]), "")
            with contextlib.suppress(ConfigError):
                classes |= classes_in(read_config(Path(file)))
    return classes
