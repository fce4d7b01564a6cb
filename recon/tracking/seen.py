"""What was seen in the frames of a video, in records of fixed size: in memory, and on disk frame by frame."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Int

from recon.detection.error_model import LandmarkErrorModel
from recon.detection.observation import LandmarkObservation

N_POINTS = 478
SIGNATURE_SIZE = (9, 16)

_FRAME = np.dtype(
    [
        ("index", "i8"),
        ("time_s", "f8"),
        ("cut", "?"),
        ("searched_s", "f8"),
        ("looked_s", "f8"),
        ("lost_s", "f8"),
        ("next_track", "i8"),
        ("n_faces", "i8"),
        ("signature", "f4", (*SIGNATURE_SIZE, 3)),
    ]
)


def face_dtype(n_expression: int, n_embedding: int) -> np.dtype:
    """Of a face in a frame.

    Fields: ``frame``, position of the frame's record; ``track``, number of the unbroken track; ``score`` of the box; ``box``;
    ``points5``; ``points`` ``(478, 2)`` and ``sigma`` ``(478,)`` with its mean ``mean_sigma``, px; ``roll_rad``, ``jaw_prior_scale``, ``sharpness``; if ``lifted``,
    what the lifting network says, ``rotvec`` and ``expression``, and the unit vector of the identity
    network, ``embedding``.
    """
    return np.dtype(
        [
            ("frame", "i8"),
            ("track", "i8"),
            ("score", "f4"),
            ("box", "f8", (4,)),
            ("points5", "f8", (5, 2)),
            ("points", "f4", (N_POINTS, 2)),
            ("sigma", "f4", (N_POINTS,)),
            ("roll_rad", "f8"),
            ("jaw_prior_scale", "f8"),
            ("mean_sigma", "f4"),
            ("sharpness", "f4"),
            ("lifted", "?"),
            ("rotvec", "f4", (3,)),
            ("expression", "f4", (n_expression,)),
            ("embedding", "f4", (n_embedding,)),
        ]
    )


def without_points(faces: np.ndarray, positions: Int[np.ndarray, " n"]) -> np.ndarray:
    """Some faces without their points, which take most of the memory."""
    assert faces.dtype.names is not None, "records"
    names = [name for name in faces.dtype.names if name not in ("points", "sigma")]
    found = np.zeros(len(positions), [(name, faces.dtype[name]) for name in names])
    for name in names:
        found[name] = faces[name][positions]
    return found


@dataclasses.dataclass(frozen=True, eq=False)
class SeenFrame:
    """One frame: all that the frame after it depends on.

    Attributes:
        record: of :data:`_FRAME`'s fields: ``index`` in the video, ``time_s``, whether a ``cut`` lies before it, when all of a frame
            was last ``searched_s``, faces were last ``looked_s`` at by the lifting network and one was last ``lost_s``, ``next_track``,
            the ``signature``.
        faces: records of :func:`face_dtype`.
    """

    record: np.void
    faces: np.ndarray


def frame_record(**values: object) -> np.void:
    """A frame's record by the names of its fields."""
    record = np.zeros(1, _FRAME)
    for name, value in values.items():
        record[name] = value
    found: np.void = record[0]
    return found


def observation(face: np.void, errors: LandmarkErrorModel) -> LandmarkObservation:
    """A face's landmarks as a fit takes them."""
    return errors.observe(face["points"].astype(np.float64), face["sigma"].astype(np.float64), float(face["roll_rad"]))


class SeenFile:
    """Frames on disk, appended one by one; a process that is killed loses the frame it was at.

    Args:
        folder: is made; files of an earlier run are gone on from.
        faces: of :func:`face_dtype`.
    """

    def __init__(self, folder: Path, faces: np.dtype) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._dtype = faces
        self._frames_path, self._faces_path = folder / "frames.bin", folder / "faces.bin"
        for path in (self._frames_path, self._faces_path):
            path.touch()
        n_frames = self._frames_path.stat().st_size // _FRAME.itemsize
        os.truncate(self._frames_path, n_frames * _FRAME.itemsize)
        frames = np.fromfile(self._frames_path, _FRAME)
        self._first_face = [0, *np.cumsum(frames["n_faces"]).tolist()]
        # Faces are written before their frame.
        os.truncate(self._faces_path, self._first_face[-1] * faces.itemsize)

    def __len__(self) -> int:
        return len(self._first_face) - 1

    def append(self, frame: SeenFrame) -> None:
        """One frame more."""
        for path, data in ((self._faces_path, frame.faces.tobytes()), (self._frames_path, frame.record.tobytes())):
            with open(path, "ab") as file:
                file.write(data)
        self._first_face.append(self._first_face[-1] + len(frame.faces))

    def __getitem__(self, position: int) -> SeenFrame:
        frames, faces = self.frames, self.faces
        first, last = self._first_face[position : position + 2]
        return SeenFrame(frames[position].copy(), np.array(faces[first:last]))

    def __iter__(self) -> Iterator[SeenFrame]:
        return (self[position] for position in range(len(self)))

    @property
    def frames(self) -> np.ndarray:
        """The records of all frames."""
        return _mapped(self._frames_path, _FRAME)

    @property
    def faces(self) -> np.ndarray:
        """The records of all faces, in the order of frames."""
        return _mapped(self._faces_path, self._dtype)


def _mapped(path: Path, dtype: np.dtype) -> np.ndarray:
    if path.stat().st_size == 0:
        return np.zeros(0, dtype)
    return np.memmap(path, dtype, mode="r")
