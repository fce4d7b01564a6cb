"""Tracks of heads as tables and JSON: ``weights.csv``, ``track.json``, ``transforms.json`` and ``targets.json``.

A frame without a result has empty cells, or ``null``, and a reason.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int

from recon.export.json_layout import json_text
from recon.io.names import printable
from recon.rotation import matrix_to_euler

PICTURES_FOLDER, MASKS_FOLDER = "images", "fg_masks"
TRACK_SCHEMA = "facerecon-track/1"
POSE_COLUMNS = ("yaw_deg", "pitch_deg", "roll_deg", "x_mm", "y_mm", "z_mm")


@dataclasses.dataclass(frozen=True, eq=False)
class TrackTable:
    """One person's frames, as the files have them.

    Attributes:
        index: ``(T,)`` numbers of the frames in the video.
        time_s: ``(T,)``.
        reason: ``(T,)`` empty where there is a result.
        rotation: ``(T, 3, 3)``, nan without a result; so are those that follow.
        translation_mm: ``(T, 3)``.
        weights: ``(T, M)`` of the expressions.
        names: M names of the expressions.
        lighting: ``(T, 9, 3)``.
        sigma_rad, sigma_mm: ``(T, 3)`` of rotation vector and translation.
    """

    index: Int[np.ndarray, " t"]
    time_s: Float[np.ndarray, " t"]
    reason: Sequence[str]
    rotation: Float[np.ndarray, "t 3 3"]
    translation_mm: Float[np.ndarray, "t 3"]
    weights: Float[np.ndarray, "t m"]
    names: Sequence[str]
    lighting: Float[np.ndarray, "t 9 3"]
    sigma_rad: Float[np.ndarray, "t 3"]
    sigma_mm: Float[np.ndarray, "t 3"]

    @property
    def pose(self) -> Float[np.ndarray, "t 6"]:
        """Columns :data:`POSE_COLUMNS`."""
        pitch, yaw, roll = torch.rad2deg(matrix_to_euler(torch.from_numpy(self.rotation))).unbind(-1)
        return np.column_stack([yaw.numpy(), pitch.numpy(), roll.numpy(), self.translation_mm])


def weights_csv(table: TrackTable) -> str:
    """A line a frame: frame, time_s, pose, one column an expression, reason."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["frame", "time_s", *POSE_COLUMNS, *table.names, "reason"])
    for k, pose in enumerate(table.pose):
        values = np.concatenate([pose, table.weights[k]])
        cells = ["" if np.isnan(value) else f"{value:.6g}" for value in values]
        writer.writerow([int(table.index[k]), f"{table.time_s[k]:.6f}", *cells, table.reason[k]])
    return text.getvalue()


def track_json(table: TrackTable, facts: dict[str, Any]) -> bytes:
    """All of a track.

    Args:
        table: the frames.
        facts: of the video, the person and the camera, as plain values; they come first.
    """
    frames = []
    for k in range(len(table.time_s)):
        frame: dict[str, Any] = {"frame": int(table.index[k]), "time_s": round(float(table.time_s[k]), 6)}
        if table.reason[k]:
            frames.append({**frame, "reason": table.reason[k]})
            continue
        frame["rotation"] = np.round(table.rotation[k], 7).tolist()
        frame["translation_mm"] = np.round(table.translation_mm[k], 4).tolist()
        frame["expression"] = np.round(table.weights[k], 5).tolist()
        frame["lighting"] = np.round(table.lighting[k], 5).tolist()
        frame["sigma_deg"] = np.round(np.rad2deg(table.sigma_rad[k]), 4).tolist()
        frame["sigma_mm"] = np.round(table.sigma_mm[k], 4).tolist()
        frames.append(frame)
    head = {"schema": TRACK_SCHEMA, **facts, "expression_names": list(table.names)}
    # A frame a line: files of minutes stay readable.
    text = json_text(head)[:-2] + ',\n  "frames": [\n'
    lines = (f"    {json.dumps(frame, ensure_ascii=False, allow_nan=False)}" for frame in frames)
    return (text + ",\n".join(lines) + "\n  ]\n}\n").encode()


def transforms_json(table: TrackTable, camera: dict[str, float], size: tuple[int, int]) -> bytes:
    """Cameras about the head, as trainers of head avatars read them (the layout of NeRF's synthetic scenes, with what VHAP adds).

    The world is the head's frame in metres; ``transform_matrix`` leads from the camera (x right, y up, looking along -z) to it.
    Frames without a result are left out. ``file_path`` is the name under which a frame of that number is looked for.

    Args:
        table: the frames.
        camera: ``focal_px``, ``principal_x_px`` and ``principal_y_px``.
        size: (H, W) of the frames, px.
    """
    height, width = size
    lens = {
        "fl_x": camera["focal_px"],
        "fl_y": camera["focal_px"],
        "cx": camera["principal_x_px"],
        "cy": camera["principal_y_px"],
        "w": width,
        "h": height,
        "camera_angle_x": 2.0 * float(np.arctan(0.5 * width / camera["focal_px"])),
        "camera_angle_y": 2.0 * float(np.arctan(0.5 * height / camera["focal_px"])),
    }
    frames = []
    for k in np.flatnonzero([not reason for reason in table.reason]):
        world = np.eye(4)
        world[:3, :3] = table.rotation[k].T
        world[:3, 3] = -table.rotation[k].T @ table.translation_mm[k] / 1000.0
        name = frame_name(int(table.index[k]))
        frames.append(
            {
                "timestep_index": int(k),
                "camera_index": 0,
                "time": round(float(table.time_s[k]), 6),
                "file_path": f"{PICTURES_FOLDER}/{name}",
                "fg_mask_path": f"{MASKS_FOLDER}/{name}",
                "transform_matrix": np.round(world, 8).tolist(),
                "expression": np.round(table.weights[k], 5).tolist(),
                **lens,
            }
        )
    content = {**lens, "expression_names": list(table.names), "frames": frames}
    return (json.dumps(content, indent=1, allow_nan=False) + "\n").encode()


def frame_name(index: int) -> str:
    """Of the picture of a frame, by its number in the video."""
    return f"{index:06d}.png"


def targets_json(names: Sequence[str]) -> bytes:
    """Names of the morph targets of ``head.glb`` in their order, for importers that drop ``mesh.extras``."""
    return (json.dumps({"mesh": "head", "targetNames": [printable(name) for name in names]}, indent=1) + "\n").encode()
