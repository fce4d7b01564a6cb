"""The command line's parser of training configs: files may name a base, and errors name the file that holds a wrong key."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, NoReturn

import yaml
from lightning.pytorch.cli import LightningArgumentParser

from recon.io.base_configs import ConfigError, config_files, files_with_key, read_config

_UNKNOWN = re.compile(r"(?:[Oo]ption|[Kk]ey) '([^']+)'")
"""How versions of jsonargparse name a key that they do not know."""


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
        super().__init__(**settings)

    def parse_path(self, path: Any, *settings: Any, **named: Any) -> Any:
        """The keys of a config, merged into those of its base if it has one; they are checked as those of any config."""
        if str(path) == "-":
            return super().parse_path(path, *settings, **named)
        try:
            files = config_files(Path(path))
            merged = read_config(Path(path))
        except ConfigError as error:
            self.error(str(error))
        self._sources.extend(files)
        if len(files) == 1:
            return super().parse_path(path, *settings, **named)
        return self.parse_string(yaml.safe_dump(merged, sort_keys=False), os.path.basename(path), *settings, **named)

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """End with a message; for an unknown key with the files that hold it."""
        keys = _UNKNOWN.findall(message)
        files = [str(file) for key in keys for file in files_with_key(tuple(self._sources), key)]
        if files:
            message = f"{message}\nThe key is in {', '.join(dict.fromkeys(files))}"
        super().error(message, ex)
