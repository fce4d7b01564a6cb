"""``torch.compile`` for networks: off unless asked for, and refused where it could not work."""

from __future__ import annotations

import importlib.util
import os
import shutil

from torch import nn

_COMPILERS = ("g++", "clang++", "c++", "cl")


class CompilerMissing(RuntimeError):
    """``torch.compile`` was asked for on a machine that lacks what it needs."""


def require_compiler(device_type: str) -> None:
    """Check for what ``torch.compile`` needs: a C++ compiler for a CPU, Triton for a GPU.

    Raises:
        CompilerMissing: it is not there; the message says what to do.
    """
    if device_type == "cpu":
        wanted = os.environ.get("CXX")
        found = shutil.which(wanted) if wanted else next(filter(None, map(shutil.which, _COMPILERS)), None)
        if found is None:
            tried = (
                f"CXX names {wanted!r}, which is not there" if wanted else f"none of {', '.join(_COMPILERS)} is there"
            )
            raise CompilerMissing(
                f"torch.compile needs a C++ compiler on the CPU, and {tried}; install one (apt-get install g++), or leave "
                "model.init_args.run.compile off"
            )
    elif importlib.util.find_spec("triton") is None:
        raise CompilerMissing(
            f"torch.compile needs the package triton on {device_type!r}, which is not installed; pip install triton, or leave "
            "model.init_args.run.compile off"
        )


def compile_network(network: nn.Module, device_type: str) -> None:
    """Let calls of a network run compiled. Its parameters keep their names, so checkpoints stay the same.

    The first steps take minutes for a large network; every new batch size compiles anew.

    Raises:
        CompilerMissing: see :func:`require_compiler`.
    """
    require_compiler(device_type)
    network.compile()
