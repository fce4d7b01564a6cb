"""Tensors on the CPU as the arrays that compiled kernels take."""

from __future__ import annotations

from typing import Any, TypeVar

_Group = TypeVar("_Group", bound=tuple[Any, ...])


def as_arrays(group: _Group) -> _Group:
    """A named tuple of tensors as one of NumPy arrays that share their memory."""
    return type(group)(*(tensor.detach().numpy() for tensor in group))


def contiguous_arrays(group: _Group) -> _Group:
    """As :func:`as_arrays`, with copies of tensors that are not contiguous: for what a kernel reads in vector instructions."""
    return type(group)(*(tensor.detach().contiguous().numpy() for tensor in group))
