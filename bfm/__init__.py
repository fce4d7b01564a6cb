"""Linear face models of any origin behind one class; the Basel Face Models, which it is named after, are some of them.

``bfm.load("open")`` gives a model that anybody may use; ``recon models`` lists the others. Names are imported on first
use, because torch takes seconds to import and a list of models does not need it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bfm.data import ModelData as ModelData
    from bfm.data import ModelDataError as ModelDataError
    from bfm.data import SurfacePoints as SurfacePoints
    from bfm.files import MissingModelFiles as MissingModelFiles
    from bfm.files import ModelFileError as ModelFileError
    from bfm.files import ModelSource as ModelSource
    from bfm.model import CoefficientError as CoefficientError
    from bfm.model import MorphableModel as MorphableModel
    from bfm.registry import ModelStatus as ModelStatus
    from bfm.registry import UnknownModelError as UnknownModelError
    from bfm.registry import available_models as available_models
    from bfm.registry import load as load
    from bfm.registry import model_source as model_source
    from bfm.safe_pickle import UnsafePickleError as UnsafePickleError

_HOMES = {
    "CoefficientError": "bfm.model",
    "MissingModelFiles": "bfm.files",
    "ModelData": "bfm.data",
    "ModelDataError": "bfm.data",
    "ModelFileError": "bfm.files",
    "ModelSource": "bfm.files",
    "ModelStatus": "bfm.registry",
    "MorphableModel": "bfm.model",
    "SurfacePoints": "bfm.data",
    "UnknownModelError": "bfm.registry",
    "UnsafePickleError": "bfm.safe_pickle",
    "available_models": "bfm.registry",
    "load": "bfm.registry",
    "model_source": "bfm.registry",
}
__all__ = list(_HOMES)


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'bfm' has no attribute {name!r}; it has: {', '.join(_HOMES)}")
    return getattr(importlib.import_module(_HOMES[name]), name)
