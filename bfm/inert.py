"""Objects whose classes must not be loaded."""

from __future__ import annotations


class Inert:
    """What is left of an object whose class must not be loaded: its name, its arguments and its state.

    Attributes:
        kind: module and name of the class.
        arguments: with which it was made.
        state: what it was given afterwards, usually a dict; None if nothing.
    """

    kind = ""

    arguments: tuple[object, ...]
    state: object

    def __new__(cls, *arguments: object, **_keywords: object) -> Inert:
        record = super().__new__(cls)
        record.arguments, record.state = arguments, None  # here, because pickles may leave __init__ out
        return record

    def __init__(self, *_arguments: object, **_keywords: object) -> None:
        """Takes what the foreign class would take."""

    def __setstate__(self, state: object) -> None:
        self.state = state

    def __hash__(self) -> int:
        return id(self)


def inert_class(module: str, name: str) -> type[Inert]:
    """A new class for one foreign class, so that a pickle can change nothing that outlives its reading."""
    return type(name, (Inert,), {"kind": f"{module}.{name}"})


def inert_record(kind: str, arguments: tuple[object, ...], state: object) -> Inert:
    """A record made from its parts."""
    record = type(kind.rpartition(".")[2], (Inert,), {"kind": kind})(*arguments)
    record.state = state
    return record
