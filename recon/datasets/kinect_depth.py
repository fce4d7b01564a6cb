"""BIWI and Pandora as pairs of a colour picture and depth, as Pini et al. 2018 train with: seen by the depth camera, with the head's crop.

The sets keep both pictures as their cameras took them. Here colour is carried over to the depth camera's pixels through the depth; what
the colour camera does not see is black.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from recon.datasets.biwi import BiwiReader, read_calibration, sequence_of
from recon.datasets.kinect import CameraPair, head_box, head_mask
from recon.datasets.pandora import FOCAL_PX, JOINT_NAMES, PandoraReader
from recon.datasets.record import DamagedSample, FaceReader, FaceRecord

BIWI_FOCAL_PX = 370.0
"""With which Pini et al. 2018 crop BIWI's pictures (Section 3.2). Its depth camera has 576 px, by which their box is 206 mm wide instead of
320; the intrinsics of its calibration files are used for all else."""
KINECT_ONE = CameraPair(
    np.array([[FOCAL_PX, 0.0, 256.0], [0.0, FOCAL_PX, 212.0], [0.0, 0.0, 1.0]]),
    np.array([[1060.0, 0.0, 960.0], [0.0, 1060.0, 540.0], [0.0, 0.0, 1.0]]),
    np.eye(3),
    np.array([52.0, 0.0, 0.0]),
)
"""Round numbers of the second Kinect: 512 x 424 px with the focal length of Pini et al. 2018, 1920 x 1080 px seen over 84 degrees, the
cameras 52 mm apart. Pictures are taken to be mirrored, as Microsoft's program gives them, by which x grows towards the colour camera's
left; of unmirrored ones the sign of 52 mm is the other. Pandora's own calibration is not public and no picture of it was at hand, so
colour may lie beside depth: give ``cameras`` where more is known."""
_MOST_TURN = 1e-2


class BiwiDepthReader(FaceReader):
    """Frames of BIWI that have depth. ``mask`` is the head in the dynamic crop; ``labels["head_box"]`` is this.

    Args:
        root: folder of the sequences; each has ``depth.cal`` and ``rgb.cal``.
        sequences: numbers of those to read; ``None`` reads all. Pini et al. do not say which they test on.

    Raises:
        FileNotFoundError: no such folder, or no frame of these sequences in it.
    """

    def __init__(self, root: str | Path, sequences: Sequence[int] | None = None) -> None:
        super().__init__()
        self._reader = BiwiReader(root)
        self.root = self._reader.root
        self._frames = [
            k for k, path in enumerate(self._reader.poses) if sequences is None or sequence_of(path) in set(sequences)
        ]
        if not self._frames:
            raise FileNotFoundError(f"{self.root} holds no frames of the sequences {sequences}")

    def __len__(self) -> int:
        return len(self._frames)

    def name(self, index: int) -> str:
        """Of a sample: sequence and frame."""
        path = self._reader.poses[self._frames[index]]
        return path.relative_to(self.root).as_posix().removesuffix("_pose.txt")

    def files(self, index: int) -> tuple[Path, ...]:
        """The files of a sample that are there."""
        path = self._reader.poses[self._frames[index]]
        stem = path.name.removesuffix("_pose.txt")
        beside = [path.with_name(f"{stem}_{end}") for end in ("rgb.png", "depth.bin")]
        return tuple(each for each in (path, *beside, *(path.with_name(n) for n in _CALIBRATIONS)) if each.exists())

    def __getitem__(self, index: int) -> FaceRecord:
        record, path = self._reader[self._frames[index]], self._reader.poses[self._frames[index]]
        depth_mm = _depth_of(record)
        depth, colour = (read_calibration(path.with_name(name), record.name) for name in _CALIBRATIONS)
        if np.abs(depth.rotation - np.eye(3)).max() > _MOST_TURN or np.abs(depth.translation_mm).max() > _MOST_TURN:
            raise DamagedSample(
                record.name, "depth.cal moves its own camera; rotation 1 and translation 0 are expected"
            )
        for camera, calibration, picture in (("depth", depth, depth_mm), ("colour", colour, record.image)):
            if calibration.size != picture.shape[:2]:
                raise DamagedSample(
                    record.name,
                    f"the {camera} picture has {picture.shape[:2]} px, its calibration is of {calibration.size}",
                )
        pair = CameraPair(depth.matrix, colour.matrix, colour.rotation, colour.translation_mm)
        assert record.translation_mm is not None, "of every pose"
        centre = depth.matrix @ (record.translation_mm * [1.0, -1.0, -1.0])
        if not centre[2] > 0.0:
            raise DamagedSample(record.name, f"the head lies {-centre[2]:.0f} mm behind the camera")
        return _seen_by_depth(record, depth_mm, pair, centre[:2] / centre[2], BIWI_FOCAL_PX)


_CALIBRATIONS = ("depth.cal", "rgb.cal")


class PandoraDepthReader(FaceReader):
    """Frames of Pandora that have depth. ``mask`` is the head in the dynamic crop; ``labels["head_box"]`` is this.

    Args:
        root: folder of the subjects.
        subjects: numbers of those to read; ``None`` reads all. :data:`recon.datasets.pandora.TEST_SUBJECTS` are tested on.
        cameras: how the two cameras of the set stand.
        without: subjects that are left out.

    Raises:
        FileNotFoundError: no such folder, or no frames of these subjects in it.
    """

    def __init__(
        self,
        root: str | Path,
        subjects: tuple[int, ...] | None = None,
        cameras: CameraPair = KINECT_ONE,
        *,
        without: tuple[int, ...] = (),
    ) -> None:
        super().__init__()
        self._reader = PandoraReader(root, subjects, without=without)
        self.root, self.cameras = self._reader.root, cameras

    def __len__(self) -> int:
        return len(self._reader)

    def name(self, index: int) -> str:
        """Of a sample: subject, sequence and frame."""
        path = self._reader.pictures[index]
        return f"{path.parent.parent.relative_to(self.root).as_posix()}/{path.name[:6]}"

    def files(self, index: int) -> tuple[Path, ...]:
        """The files of a sample that are there."""
        path = self._reader.pictures[index]
        depth = path.parent.parent / "DEPTH" / f"{path.name[:6]}_DEPTH.png"
        told = (path.parent.parent / name for name in ("data.json", "data.txt"))
        return tuple(each for each in (path, depth, *told) if each.exists())

    def __getitem__(self, index: int) -> FaceRecord:
        record = self._reader[index]
        depth_mm = _depth_of(record)
        joints = record.labels.get("joints")
        if joints is None:
            raise DamagedSample(record.name, "no joints tell where the head is")
        centre_px = joints[JOINT_NAMES.index("Head"), :2]
        return _seen_by_depth(record, depth_mm, self.cameras, centre_px, FOCAL_PX)


def _depth_of(record: FaceRecord) -> np.ndarray:
    depth_mm = record.labels.get("depth_camera_mm")
    if depth_mm is None:
        raise DamagedSample(record.name, "no depth picture")
    return depth_mm


def _seen_by_depth(
    record: FaceRecord, depth_mm: np.ndarray, pair: CameraPair, centre_px: np.ndarray, focal_px: float
) -> FaceRecord:
    """A record with its colour at the pixels of its depth."""
    found = head_box(depth_mm, centre_px, (focal_px, focal_px)) if np.isfinite(centre_px).all() else None
    if found is None:
        raise DamagedSample(record.name, f"no depth around the head at {np.round(centre_px).tolist()} px")
    box, mean_mm = found
    image, seen = pair.colour_at_depth(record.image, depth_mm)
    return FaceRecord(
        name=record.name,
        image=image,
        depth_mm=depth_mm.astype(np.float32),
        mask=head_mask(depth_mm, box, mean_mm) & seen,
        translation_mm=record.translation_mm,
        intrinsics=pair.depth_matrix,
        published_angles_deg=record.published_angles_deg,
        identity_number=record.identity_number,
        labels={"head_box": box},
    )
