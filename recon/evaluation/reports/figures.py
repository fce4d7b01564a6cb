"""Pictures of reports: curves and contact sheets, as PNG bytes."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont

from recon.evaluation.metrics.statistics import cumulative_curve
from recon.io.names import printable
from recon.io.png import encode_png

_TRUE = (255, 255, 255)
_FOUND = (40, 220, 90)
_LINK = (255, 170, 0)
_INK = (30, 30, 30)


def curves_png(
    curves: Mapping[str, tuple[Sequence[float], int]],
    axis_title: str,
    limit: float,
    percent_of: str = "percent of samples",
) -> bytes:
    """Cumulative error curves: for each name the errors of the samples and how many more samples failed."""
    # Without pyplot there is no global state and no window system.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.2), dpi=120, layout="constrained")
    axes = figure.subplots()
    limits = np.linspace(0.0, limit, 401)
    for name, (values, n_failed) in curves.items():
        axes.plot(limits, cumulative_curve(values, limits, n_failed), label=name, linewidth=1.8)
    axes.set_xlabel(axis_title)
    axes.set_ylabel(percent_of)
    axes.set_xlim(0.0, limit)
    axes.set_ylim(0.0, 102.0)
    axes.grid(True, color="0.9")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.legend(loc="lower right", frameon=False, fontsize=9)
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)
    return buffer.getvalue()


def landmark_tile(
    pixels: UInt8[np.ndarray, "h w 3"],
    found: Float[np.ndarray, "n 2"],
    true: Float[np.ndarray, "n 2"],
    label: str,
    side_px: int = 260,
) -> UInt8[np.ndarray, "a b 3"]:
    """The face with its true points in white, the found ones in green and the gaps between in orange."""
    both = np.concatenate([found, true])
    middle = 0.5 * (both.min(axis=0) + both.max(axis=0))
    half = 0.62 * float(np.ptp(both, axis=0).max())
    scale = side_px / (2.0 * half)
    box = (middle[0] - half, middle[1] - half, middle[0] + half, middle[1] + half)
    picture = Image.fromarray(pixels).transform(
        (side_px, side_px), Image.Transform.EXTENT, box, Image.Resampling.BICUBIC
    )
    draw = ImageDraw.Draw(picture)
    place = [(points - (middle - half)) * scale for points in (found, true)]
    for a, b in zip(*place, strict=True):
        draw.line((*a, *b), fill=_LINK, width=1)
    for points, colour in zip(place, (_FOUND, _TRUE), strict=True):
        for x, y in points:
            draw.ellipse((x - 1.7, y - 1.7, x + 1.7, y + 1.7), fill=colour)
    return labelled(np.asarray(picture), label)


def labelled(picture: UInt8[np.ndarray, "h w 3"], label: str) -> UInt8[np.ndarray, "a w 3"]:
    """A picture under a line of text."""
    height, width, _ = picture.shape
    sheet = Image.new("RGB", (width, height + 18), "white")
    sheet.paste(Image.fromarray(np.ascontiguousarray(picture)), (0, 18))
    ImageDraw.Draw(sheet).text((4, 3), printable(label), fill=_INK, font=ImageFont.load_default())
    return np.asarray(sheet)


def sheet_png(tiles: Sequence[UInt8[np.ndarray, "h w 3"]], columns: int) -> bytes:
    """Tiles of one size in rows, as a PNG.

    Raises:
        ValueError: no tiles.
    """
    if not tiles:
        raise ValueError("a sheet needs at least one tile")
    blank = np.full_like(tiles[0], 255)
    gap = np.full((tiles[0].shape[0], 6, 3), 255, dtype=np.uint8)
    rows = []
    for first in range(0, len(tiles), columns):
        row = [*tiles[first : first + columns]]
        row += [blank] * (min(columns, len(tiles)) - len(row))
        rows.append(np.concatenate([part for tile in row for part in (tile, gap)], axis=1))
    return encode_png(np.ascontiguousarray(np.concatenate(rows)))
