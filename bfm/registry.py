"""The models that :func:`load` knows, where their files are looked for, and whether they are there."""

from __future__ import annotations

import dataclasses
import importlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bfm.files import ModelFileError, ModelSource, default_folder, missing_files
from bfm.isolated import ReaderProcessError

if TYPE_CHECKING:
    import bfm.model

# Modules are imported when they are asked for: the open model's takes part of a second that others need not wait.
_HOMES = {
    "open": ("bfm.open", "SOURCE"),
    "ict": ("bfm.loaders.ict", "SOURCE"),
    "gnm": ("bfm.loaders.gnm", "SOURCE"),
    "flame": ("bfm.loaders.flame", "SOURCE"),
    "bfm2009": ("bfm.loaders.bfm2009", "SOURCE"),
    "bfm2017": ("bfm.loaders.bfm_h5", "SOURCE_2017"),
    "bfm2019": ("bfm.loaders.bfm_h5", "SOURCE_2019"),
    "300wlp": ("bfm.loaders.w300lp", "SOURCE"),
}
MODEL_NAMES = tuple(_HOMES)


class UnknownModelError(ValueError):
    """No model has that name, or the model does not take that option."""


@dataclasses.dataclass(frozen=True)
class ModelStatus:
    """Whether a model can be loaded now.

    Attributes:
        source: what is known of the model.
        folder: where its files are looked for; None if it needs none.
        missing: names of the files that are not there.
    """

    source: ModelSource
    folder: Path | None
    missing: tuple[str, ...]

    @property
    def ready(self) -> bool:
        return not self.missing


def model_source(name: str) -> ModelSource:
    """What is known of one model.

    Raises:
        UnknownModelError: no such model; the message lists the names.
    """
    if name not in _HOMES:
        raise UnknownModelError(
            f"unknown face model {name!r}; known: {', '.join(MODEL_NAMES)}, or the path of a .safetensors file"
        )
    module, attribute = _HOMES[name]
    source = getattr(importlib.import_module(module), attribute)
    assert isinstance(source, ModelSource)
    return source


def model_status(name: str, path: str | os.PathLike[str] | None = None) -> ModelStatus:
    """Whether the model's files are in ``path`` or, without one, in its default folder. Opens none of them."""
    source = model_source(name)
    if not source.layouts:
        return ModelStatus(source, None if path is None else Path(path), ())
    folder = default_folder(name) if path is None else Path(path)
    return ModelStatus(source, folder, missing_files(source, folder))


def available_models() -> tuple[ModelStatus, ...]:
    """The state of every known model, the open one first."""
    return tuple(model_status(name) for name in MODEL_NAMES)


def load(
    name: str | os.PathLike[str], path: str | os.PathLike[str] | None = None, **options: Any
) -> bfm.model.MorphableModel:
    """A face model, ready to use, on the CPU in float32.

    Args:
        name: one of :data:`MODEL_NAMES`, or the path of a ``.safetensors`` file that ``bfm.storage`` wrote.
        path: folder or file with the model's data; by default ``$FACERECON_MODELS/<name>``, or
            ``models/<name>`` in the user's data directory.
        **options: as the model takes them; ``"open"``: ``levels``, ``n_identity``, ``n_albedo``;
            ``"bfm2017"`` and ``"bfm2019"``: ``expression_mean``.

    Raises:
        UnknownModelError: unknown name or option.
        MissingModelFiles: the model's files are not there; the message says where they come from.
        ModelFileError: a file is damaged or of another format.
    """
    from bfm.model import MorphableModel

    text = os.fspath(name)
    if text.endswith(".safetensors"):
        if path is not None or options:
            raise UnknownModelError(f"{text} is a finished model: it takes neither a path nor options")
        storage = importlib.import_module("bfm.storage")
        return MorphableModel(storage.read_model(Path(text)))
    source = model_source(text)
    unknown = sorted(set(options) - set(source.options))
    if unknown:
        raise UnknownModelError(
            f"face model {text!r} takes no option {', '.join(unknown)}; it takes: {', '.join(source.options) or 'none'}"
        )
    folder = model_status(text, path).folder
    if folder is None or not source.layouts:
        return MorphableModel(source.load(folder, **options))
    try:
        return MorphableModel(source.load(folder, **options))
    except (OSError, ImportError, ReaderProcessError, ModelFileError):
        raise
    # Loaders check what they read, but what passes may still not make a model (a basis with nan, say).
    except Exception as error:
        raise ModelFileError(folder, f"its files make no face model ({type(error).__name__}: {error})") from error
