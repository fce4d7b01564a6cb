"""What varies in synthetic faces, and how strongly. Every strength at 0 gives the clean render."""

from __future__ import annotations

import dataclasses
import math
import typing
import warnings
from collections.abc import Mapping
from dataclasses import InitVar
from pathlib import Path
from typing import Any, Literal

PoseDistribution = Literal["uniform", "biwi", "300w-lp"]
Framing = Literal["aligned", "free"]
Capture = Literal["c3i"]
Expressions = Literal["all", "basic"]
Background = Literal["procedural", "plain", "folder"]
HeadMesh = Literal["fine", "coarse"]


class SynthesisConfigError(ValueError):
    """A setting that is unknown or impossible."""


@dataclasses.dataclass(frozen=True)
class SynthesisConfig:
    """Settings of a :class:`recon.synthesis.sampler.FaceSampler`.

    Strengths lie in [0, 1]: 0 switches something off, 1 gives the range seen in photos. For things that are there or
    not (glasses, hands, blur, ...) the strength is the share of pictures that have it.

    Attributes:
        framing: ``"aligned"`` frames the face as :mod:`recon.detection.align` crops photos; ``"free"`` leaves it where the
            camera sees it.
        pose: ``"uniform"`` in steps of 3 degrees (the published synthetic head-pose set), ``"biwi"`` centred on the
            front, ``"300w-lp"`` with many large yaws.
        yaw_deg, pitch_deg, roll_deg: largest angles, up to 90, 70 and 55.
        distance_mm: nearest and farthest head, camera to the middle of the head.
        head_share: least and largest height of the head in the picture, in free framing.
        field_of_view_deg: horizontal; ``None`` follows from the head's share of the picture.
        scale_jitter, shift_jitter, turn_jitter_deg: spread of aligned framing: relative size, shift in shares of the
            side, turn.
        crop_margin: what aligned framing shows beyond the crop on every side, in shares of the crop's side: room for
            training to frame faces anew.
        upright: aligned framing turns faces upright.
        capture: ``"c3i"`` takes pose and camera from the three capture modes of the published depth set, at
            0.3 m; ``None`` from the settings above.
        expressions: ``"all"``, or ``"basic"`` for the five of the published set, one at a time.
        mesh: ``"fine"`` renders all of the head's triangles; ``"coarse"`` three of ten, in two thirds to four fifths of the time at 128 px,
            for pictures of up to about 160 px, in which they are hardly larger than pixels.
        identities: number of different people; 0 makes everyone a new person.
        looks: in how many ways each person is seen dressed up: hairstyle, beard, make-up and glasses; 0 gives each picture its own.
        identity, albedo, expression, gaze, eyelids: strengths of shape, colour, expression, eye movement, closed eyes.
        lighting: strength of coloured, directed light; 0 is even white light.
        environment_folder: equirectangular maps (``.hdr``, ``.exr``, ``.jpg``, ``.png``) to take the light from; ``None``
            invents it.
        exposure: variation of brightness.
        shadows: cast by lamps.
        ambient_occlusion: how much darker places are that little of the surroundings reaches.
        specular: highlights and mirrored surroundings.
        subsurface: light that scatters below the skin and softens its shading.
        skin_detail, make_up, beard: pores, spots and wrinkles; make-up; stubble to full beards.
        hair, clothes, glasses, occluders: shares of heads with them.
        background: ``"procedural"``, ``"plain"`` (grey of 0.5) or ``"folder"``.
        background_folder: pictures for ``"folder"``.
        noise, blur, motion_blur, low_resolution, jpeg, colour_cast, contrast, gray: of the camera.
        occlusion, shine, softness: former names of ambient_occlusion, specular and subsurface, read until version 0.2 with
            a FutureWarning. They can be given, but are not kept.
    """

    framing: Framing = "aligned"
    pose: PoseDistribution = "300w-lp"
    yaw_deg: float = 90.0
    pitch_deg: float = 70.0
    roll_deg: float = 55.0
    distance_mm: tuple[float, float] = (300.0, 2000.0)
    head_share: tuple[float, float] = (0.35, 0.9)
    field_of_view_deg: float | None = None
    scale_jitter: float = 0.06
    shift_jitter: float = 0.03
    turn_jitter_deg: float = 0.0
    crop_margin: float = 0.0
    upright: bool = False
    capture: Capture | None = None
    expressions: Expressions = "all"
    mesh: HeadMesh = "fine"
    identities: int = 0
    looks: int = 1
    identity: float = 1.0
    albedo: float = 1.0
    expression: float = 1.0
    gaze: float = 1.0
    eyelids: float = 1.0
    lighting: float = 1.0
    environment_folder: str | None = None
    exposure: float = 1.0
    shadows: float = 1.0
    ambient_occlusion: float = 1.0
    specular: float = 1.0
    subsurface: float = 1.0
    skin_detail: float = 1.0
    make_up: float = 0.25
    beard: float = 0.6
    hair: float = 0.93
    clothes: float = 1.0
    glasses: float = 0.15
    occluders: float = 0.08
    background: Background = "procedural"
    background_folder: str | None = None
    noise: float = 0.5
    blur: float = 0.25
    motion_blur: float = 0.08
    low_resolution: float = 0.15
    jpeg: float = 0.5
    colour_cast: float = 0.6
    contrast: float = 0.7
    gray: float = 0.03
    # Fields for the initialiser only, so that train.py's configs, whose keys are checked against it, take them too.
    occlusion: InitVar[float | None] = None
    shine: InitVar[float | None] = None
    softness: InitVar[float | None] = None

    def __post_init__(self, occlusion: float | None, shine: float | None, softness: float | None) -> None:
        for former, value in (("occlusion", occlusion), ("shine", shine), ("softness", softness)):
            if value is not None:
                self._take_former(former, value)
        for field in dataclasses.fields(self):
            object.__setattr__(self, field.name, _typed(field.name, str(field.type), getattr(self, field.name)))
        for name in STRENGTHS:
            self._within(name, 0.0, 1.0)
        for name, most in (("yaw_deg", 90.0), ("pitch_deg", 70.0), ("roll_deg", 55.0)):
            self._within(name, 0.0, most)
        self._within("scale_jitter", 0.0, 0.5)
        self._within("shift_jitter", 0.0, 0.5)
        self._within("turn_jitter_deg", 0.0, 180.0)
        self._within("crop_margin", 0.0, 2.0)
        for name, least, most in (("distance_mm", 250.0, 10_000.0), ("head_share", 0.05, 2.0)):
            low, high = getattr(self, name)
            if not least <= low <= high <= most:
                raise SynthesisConfigError(
                    f"{name} must be two numbers with {least:g} <= first <= second <= {most:g}, got {(low, high)}"
                )
        if self.capture is not None and self.framing != "free":
            raise SynthesisConfigError("capture 'c3i' leaves pictures as the camera sees them: set framing to 'free'")
        if self.looks > 1 and not self.identities:
            raise SynthesisConfigError(
                f"nobody comes twice while identities is 0, so that nobody has {self.looks} looks: set identities, or looks to 1"
            )
        if self.field_of_view_deg is not None:
            self._within("field_of_view_deg", 5.0, 120.0)
        for name in ("identities", "looks"):
            if getattr(self, name) < 0:
                raise SynthesisConfigError(f"{name} must be a whole number, 0 or more, got {getattr(self, name)}")
        if (self.background == "folder") != (self.background_folder is not None):
            raise SynthesisConfigError(
                f"background 'folder' and background_folder go together, got background {self.background!r} and "
                f"background_folder {self.background_folder!r}"
            )

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> SynthesisConfig:
        """A config from plain values, as a YAML or JSON file holds them.

        Raises:
            SynthesisConfigError: an unknown key, or a value that cannot be.
        """
        settings = with_current_names(settings)
        known = {field.name: str(field.type) for field in dataclasses.fields(cls)}
        unknown = sorted(set(settings) - set(known), key=repr)
        if unknown:
            raise SynthesisConfigError(
                f"unknown synthesis settings: {', '.join(map(repr, unknown))}; there are: {', '.join(sorted(known))}"
            )
        return cls(**{name: _typed(name, known[name], value) for name, value in settings.items()})

    @classmethod
    def read(cls, path: Path) -> SynthesisConfig:
        """A config from a YAML (or JSON) file; an empty file is the default.

        Raises:
            SynthesisConfigError: as :meth:`of`, or a file that is no mapping.
            OSError: the file cannot be read.
        """
        import yaml

        try:
            loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
            raise SynthesisConfigError(f"{path} is no YAML file: {error}") from error
        if loaded is None:
            return cls()
        if not isinstance(loaded, dict):
            raise SynthesisConfigError(f"{path} must hold settings by name, found {type(loaded).__name__}")
        return cls.of(loaded)

    @classmethod
    def clean(cls, **changes: Any) -> SynthesisConfig:
        """Shape, colour, expression, pose and light vary; everything that only makes pictures look like photos is off."""
        return cls.of({**dict.fromkeys(_APPEARANCE, 0.0), "background": "plain", **with_current_names(changes)})

    def _take_former(self, former: str, value: float) -> None:
        name = FORMER_NAMES[former]
        default = next(field.default for field in dataclasses.fields(self) if field.name == name)
        if getattr(self, name) != default:
            raise _given_twice(former, name)
        _warn_of_former(former, name, stacklevel=5)  # who called the initialiser
        object.__setattr__(self, name, value)

    def _within(self, name: str, least: float, most: float) -> None:
        value = getattr(self, name)
        if not (math.isfinite(value) and least <= value <= most):
            raise SynthesisConfigError(f"{name} must lie in [{least:g}, {most:g}], got {value}")


FORMER_NAMES = {"occlusion": "ambient_occlusion", "shine": "specular", "softness": "subsurface"}
"""Settings that were renamed; the names before are read until version 0.2."""
_APPEARANCE = (
    *("shadows", "ambient_occlusion", "specular", "subsurface", "skin_detail", "make_up", "beard", "hair", "clothes"),
    *(
        "glasses",
        "occluders",
        "noise",
        "blur",
        "motion_blur",
        "low_resolution",
        "jpeg",
        "colour_cast",
        "contrast",
        "gray",
    ),
)
STRENGTHS = (*_APPEARANCE, "identity", "albedo", "expression", "gaze", "eyelids", "lighting", "exposure")


def with_current_names(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with those of :data:`FORMER_NAMES` under their present names, and a FutureWarning for each.

    Raises:
        SynthesisConfigError: a setting is given under both names.
    """
    current = {name: value for name, value in settings.items() if name not in FORMER_NAMES}
    for former in (name for name in settings if name in FORMER_NAMES):
        name = FORMER_NAMES[former]
        if name in current:
            raise _given_twice(former, name)
        _warn_of_former(former, name, stacklevel=4)
        current[name] = settings[former]
    return current


def _warn_of_former(former: str, name: str, stacklevel: int) -> None:
    message = f"the synthesis setting {former!r} is now called {name!r}, and the former name goes with the next version"
    warnings.warn(message, FutureWarning, stacklevel=stacklevel)


def _given_twice(former: str, name: str) -> SynthesisConfigError:
    return SynthesisConfigError(f"{former!r} is the former name of {name!r} and both are given: leave {former!r} out")


_CHOICES: dict[str, tuple[str, ...]] = {
    "Framing": typing.get_args(Framing),
    "PoseDistribution": typing.get_args(PoseDistribution),
    "Background": typing.get_args(Background),
    "Expressions": typing.get_args(Expressions),
    "HeadMesh": typing.get_args(HeadMesh),
    "Capture | None": typing.get_args(Capture),
}


def _typed(name: str, kind: str, value: Any) -> Any:
    """A value of the kind that a setting is annotated with; whole numbers become floats and lists pairs."""
    if kind.endswith("| None") and value is None:
        return None
    if kind in _CHOICES:
        if value not in _CHOICES[kind]:
            raise SynthesisConfigError(f"{name} must be one of {', '.join(_CHOICES[kind])}, got {value!r}")
        return value
    if kind.startswith("float"):
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise SynthesisConfigError(f"{name} must be a number, got {value!r}")
        return float(value)
    if kind.startswith("tuple"):
        return _pair(name, value)
    wanted = {"int": int, "bool": bool}.get(kind, str)
    if type(value) is not wanted:
        raise SynthesisConfigError(f"{name} must be a {_WORDS[wanted]}, got {value!r}")
    return value


_WORDS = {int: "whole number, 0 or more", bool: "true or false", str: "text"}


def _pair(name: str, value: Any) -> tuple[float, float]:
    try:
        low, high = (float(x) for x in value)
    except (TypeError, ValueError) as error:
        raise SynthesisConfigError(f"{name} must be two numbers, got {value!r}") from error
    return low, high
