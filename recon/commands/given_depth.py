"""Measured depth that is given with a photo on the command line."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from recon.commands.photo_batch import PhotoJob
from recon.io.faults import UsageError
from recon.io.fingerprint import file_hash

if TYPE_CHECKING:
    from recon.detection.face import Face
    from recon.io.image import Photo

# Written out, because importing them takes a second that no other command should wait for.
_UNITS = ("mm", "0.1mm", "cm", "m")


def add_depth_options(parser: argparse.ArgumentParser) -> None:
    """``--depth`` and what its file means."""
    parser.add_argument(
        "--depth",
        type=Path,
        metavar="FILE",
        help="depth that was measured with the one photo: 16-bit PNG, EXR or NPY [that in the photo's file, of HEIC]",
    )
    parser.add_argument("--depth-unit", choices=_UNITS, help="of the numbers in FILE [0.1mm for PNG, else mm]")
    parser.add_argument(
        "--depth-rays", action="store_true", help="FILE holds distances from the camera, not along its axis"
    )


@dataclasses.dataclass(frozen=True)
class GivenDepth:
    """A file of depth and what its numbers are.

    Attributes:
        path: of the file.
        unit: of its numbers; None for the usual one of its suffix.
        rays: they are lengths of rays.
    """

    path: Path
    unit: str | None = None
    rays: bool = False

    def facts(self) -> dict[str, str | bool | None]:
        """What decides a result, for its record."""
        return {"measured_depth": file_hash(self.path), "depth_unit": self.unit, "depth_rays": self.rays}

    def with_photo(self, photo: Photo) -> Photo:
        """The photo with this depth instead of its file's own.

        Raises:
            MeasuredDepthError: a file that cannot be read or is of another shape, or rays of a photo without a focal length.
        """
        from recon.io.measured_depth import MeasuredDepthError, planar_of_rays, read_measured_depth

        depth = read_measured_depth(self.path, self.unit)
        height, width = photo.pixels.shape[:2]
        depth.check_shape((height, width))
        if self.rays:
            if photo.focal_px is None:
                raise MeasuredDepthError(
                    f"{self.path}: lengths of rays become depth by the photo's focal length, which its file does not tell"
                )
            depth = planar_of_rays(depth, photo.focal_px / max(height, width))
        return dataclasses.replace(photo, measured_depth=depth)

    def check(self, photo: Photo, faces: Sequence[Face]) -> None:
        """Whether the largest face has the depth of a face.

        Raises:
            MeasuredDepthError: see :meth:`recon.io.measured_depth.MeasuredDepth.check_face`.
        """
        left, top, right, bottom = (float(value) for value in faces[0].box)
        assert photo.measured_depth is not None, "given before"
        photo.measured_depth.check_face((left, top, right, bottom), (photo.pixels.shape[0], photo.pixels.shape[1]))


def given_depth(arguments: argparse.Namespace, jobs: Sequence[PhotoJob]) -> GivenDepth | None:
    """What :func:`add_depth_options` added; None without ``--depth``.

    Raises:
        UsageError: options that mean nothing, several photos, or a file that is not there or of another kind.
    """
    if arguments.depth is None:
        if arguments.depth_unit is not None or arguments.depth_rays:
            raise UsageError("--depth-unit and --depth-rays say what the file of --depth holds: give it")
        return None
    from recon.io.measured_depth import MeasuredDepthError, depth_unit

    if len(jobs) != 1:
        raise UsageError(f"--depth is of one photo, got {len(jobs)}")
    if not arguments.depth.is_file():
        raise UsageError(f"no such file of depth: {arguments.depth}")
    try:
        depth_unit(arguments.depth, arguments.depth_unit)
    except MeasuredDepthError as error:
        raise UsageError(str(error)) from error
    return GivenDepth(arguments.depth, arguments.depth_unit, arguments.depth_rays)
