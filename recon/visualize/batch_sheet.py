"""A contact sheet: pictures with their labels drawn on top."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from recon.synthesis.sample import FaceBatch

_COLUMNS = 8


def batch_sheet(batch: FaceBatch, *, labels: bool = True) -> np.ndarray:
    """uint8 ``(rows * H, columns * W, 3)``: landmarks (hidden ones red), the outline of the face, angles in degrees."""
    height, width = batch.size
    count = len(batch)
    columns = min(_COLUMNS, count)
    rows = -(-count // columns)
    sheet = np.zeros((rows * height, columns * width, 3), np.uint8)
    angles = np.degrees(batch.angles_rad.cpu().numpy()).round().astype(int)
    pictures = (batch.image.permute(0, 2, 3, 1).clamp(0.0, 1.0) * 255.0).round().byte().cpu().numpy()
    for k in range(count):
        picture = pictures[k].copy()
        if labels:
            inside = batch.face_mask[k, 0].cpu().numpy()
            edge = inside ^ (inside & np.roll(inside, 1, 0) & np.roll(inside, 1, 1))
            picture[edge] = (255, 220, 0)
            image = Image.fromarray(picture)
            draw = ImageDraw.Draw(image)
            seen = batch.landmarks68_visible[k].tolist()
            for (x, y), visible in zip(batch.landmarks68_px[k].tolist(), seen, strict=True):
                draw.ellipse((x - 1, y - 1, x + 1, y + 1), fill=(0, 255, 90) if visible else (255, 40, 40))
            draw.text((3, 2), "yaw {} pitch {} roll {}".format(*angles[k]), fill=(255, 255, 255))
            picture = np.asarray(image)
        row, column = divmod(k, columns)
        sheet[row * height : (row + 1) * height, column * width : (column + 1) * width] = picture
    return sheet
