"""What a build of the open model depends on, besides the code and the data."""

from __future__ import annotations

import dataclasses

MAX_IDENTITY = 200
MAX_ALBEDO = 80
DEFAULT_IDENTITY = 80


@dataclasses.dataclass(frozen=True)
class BuildOptions:
    """Options of a build.

    Attributes:
        levels: subdivision steps: 0 (5 k vertices), 1 (20 k), 2 (80 k).
        n_identity: identity components kept on disk, up to 200.
        n_albedo: albedo components kept on disk, up to 80.

    Raises:
        ValueError: a value outside its range.
    """

    levels: int = 1
    n_identity: int = MAX_IDENTITY
    n_albedo: int = MAX_ALBEDO

    def __post_init__(self) -> None:
        for name, value, least, most in (
            ("levels", self.levels, 0, 2),
            ("n_identity", self.n_identity, 1, MAX_IDENTITY),
            ("n_albedo", self.n_albedo, 2, MAX_ALBEDO),
        ):
            if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
                raise ValueError(f"{name} of the open model must be a whole number in {least}..{most}, got {value!r}")
