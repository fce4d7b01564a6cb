"""Draws docs/pose_signs.png: a head turned by each angle, and what each data set's convention writes for it.

python tools/pose_signs.py docs/pose_signs.png
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from recon.io.drawing import write_drawing

import bfm
from recon.camera import PerspectiveCamera
from recon.color import encode_srgb
from recon.datasets.pose_conventions import CONVENTIONS, matrix_to_angles
from recon.detection.face import Face
from recon.face_pose import FacePose
from recon.render import Mesh, Topology, render
from recon.rotation import euler_to_matrix
from recon.visualize.model_sheet import studio_lighting
from recon.visualize.pose_axes import pose_axes

_SIDE_PX, _STRIP_PX = 260, 112
_HEIGHT_MM, _DISTANCE_MM = 330.0, 2000.0
_TURNS = (("yaw +40", (0, 40, 0)), ("pitch +30", (30, 0, 0)), ("roll +25", (0, 0, 25)), ("all three", (30, 40, 25)))


def tile(model: bfm.MorphableModel, name: str, pitch_yaw_roll_deg: tuple[int, int, int]) -> Image.Image:
    """One head with its axes, and below it yaw, pitch and roll by every convention."""
    rotation = euler_to_matrix(torch.deg2rad(torch.tensor([pitch_yaw_roll_deg], dtype=torch.float32)))
    focal_px = _SIDE_PX * _DISTANCE_MM / _HEIGHT_MM
    camera = PerspectiveCamera.at(
        rotation,
        torch.tensor([[0.0, 20.0, -_DISTANCE_MM]]),
        size=(_SIDE_PX, _SIDE_PX),
        focal_px=torch.full((1, 2), focal_px),
    )
    mesh = Mesh.of(model.shape(), Topology.of(model.faces, model.n_vertices), model.albedo())
    ground = torch.full((1, 3, 1, 1), 0.75)
    with torch.no_grad():
        drawn = render(mesh, camera, studio_lighting(), (_SIDE_PX, _SIDE_PX), ground).image
    pixels = (255.0 * encode_srgb(drawn, model.albedo_space)[0].permute(1, 2, 0)).round().to(torch.uint8).numpy()
    begin = camera.to_pixels(camera.to_camera(torch.zeros(1, 1, 3)))[0, 0].double().numpy()
    box = np.array([begin[0] - 60.0, begin[1] - 60.0, begin[0] + 60.0, begin[1] + 60.0])
    matrix = rotation[0].double().numpy()
    face = Face(box, np.tile(begin, (5, 1)), 1.0, "drawn")
    pose = FacePose(face, "drawn", matrix, np.array([0.0, 0.0, -1.0]), focal_px, True)
    sheet = Image.new("RGB", (_SIDE_PX, _SIDE_PX + _STRIP_PX), "white")
    sheet.paste(Image.fromarray(pose_axes(pixels, [pose])), (0, 0))
    text = ImageDraw.Draw(sheet)
    lines = [name] + [
        f"{convention:10} " + " ".join(f"{angle:+4.0f}" for angle in matrix_to_angles(matrix, convention).round() + 0.0)
        for convention in CONVENTIONS
    ]
    for number, line in enumerate(lines):
        text.text((8, _SIDE_PX + 6 + 17 * number), line, fill="black", font=ImageFont.load_default(size=13))
    return sheet


def main() -> None:
    model = bfm.load("open")
    tiles = [tile(model, name, angles) for name, angles in _TURNS]
    sheet = Image.new("RGB", (sum(part.width for part in tiles), tiles[0].height), "white")
    for number, part in enumerate(tiles):
        sheet.paste(part, (number * _SIDE_PX, 0))
    write_drawing(Path(sys.argv[1]), np.asarray(sheet))
    print(f"wrote {sys.argv[1]}")


if __name__ == "__main__":
    main()
