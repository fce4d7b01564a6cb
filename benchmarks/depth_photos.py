"""Depth of real photos, which have no truth: sheets to look at, and the order of landmarks in depth against a fit's.

The folder holds photos named PERSON_NUMBER.jpg; one photo a person is taken. The network takes the focal length that the fit found.
Of the 68 landmarks those count that the fitted head shows (its surface is there within 5 mm of the landmark) where the network has
depth, too. "order" is the share of pairs, more than --apart mm apart in depth by the fit, that the network puts in the same order;
"rank" is Spearman's correlation of the depths. Beside it stand the mean head that faces the camera, which knows nothing of the
photo, and the mean head in the fit's pose. "relief" is the network's spread of depth over the fit's, of the inner 51 points after
their own planes were taken off, and "tilt" by how much those planes differ (pitch: positive where the network's chin is farther
back; yaw: where its right side, as the viewer sees it, is farther back).

--drawn takes heads of `recon evaluate synthetic` instead, as a measure of how far fit and network differ where both were made for it.

python benchmarks/depth_photos.py --data FOLDER -o sheets --people 49 --also p067 p089
python benchmarks/depth_photos.py --drawn 60 -o sheets
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from _report import print_header, print_table
from PIL import Image
from scipy.ndimage import distance_transform_edt
from scipy.stats import spearmanr

from recon import NoFaceError, Reconstructor
from recon.depth.geometry import depth_points, point_normals
from recon.evaluation.depth_cases import drawn_heads
from recon.export import write_file
from recon.inference.depth import DepthEstimator, FaceDepth
from recon.io.image import Photo, read_image
from recon.io.png import encode_png
from recon.lighting import ambient
from recon.reconstruction import Reconstruction
from recon.render import Mesh, render
from recon.rotation import turn_to_ray
from recon.visualize.depth_picture import colours_of
from recon.visualize.label import with_label

_INNER = slice(17, 68)
_SEEN_MM = 5.0
_RIM_MM = 3.0
"""Depth is read so far from a landmark at most, where it lies beside the head that the network saw."""
_TILE_PX, _LABEL_PX = 160, 16
_COLUMNS, _ROWS = 3, 5
_LAMP = (-0.62, 0.35, 0.70)


@dataclasses.dataclass(frozen=True)
class Order:
    """What is measured of one photo.

    Attributes:
        name: of the photo.
        yaw_deg: of the fitted head against the ray to it.
        n_points: landmarks that count.
        order, order_inner: share of pairs in the fit's order: all landmarks, and without the jaw; 0 to 1.
        order_facing, order_mean: the same of the mean head, facing the camera and in the fit's pose.
        rank: Spearman's correlation.
        size: the network's size of the head over the fit's.
        relief: see above.
        tilt_deg: pitch and yaw.
    """

    name: str
    yaw_deg: float
    n_points: int
    order: float
    order_inner: float
    order_facing: float
    order_mean: float
    rank: float
    size: float
    relief: float
    tilt_deg: tuple[float, float]


def same_order(told_mm: np.ndarray, fit_mm: np.ndarray, apart_mm: float) -> float:
    """Share of pairs of points in the fit's order, of those that are farther apart than ``apart_mm`` in it; nan if none is."""
    first, second = np.triu_indices(len(fit_mm), 1)
    wanted = fit_mm[first] - fit_mm[second]
    counts = np.abs(wanted) > apart_mm
    if not counts.any():
        return float("nan")
    found = told_mm[first] - told_mm[second]
    return float((np.sign(found) == np.sign(wanted))[counts].mean())


def without_plane(v_mm: np.ndarray, depth_mm: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Depth less the plane through it, and the plane's slopes to the right and down.

    Args:
        v_mm: ``(N, 2)`` x and y of the camera frame.
        depth_mm: ``(N,)``.
    """
    columns = np.stack((np.ones(len(v_mm)), v_mm[:, 0], -v_mm[:, 1]), axis=1)
    plane, *_ = np.linalg.lstsq(columns, depth_mm, rcond=None)
    return depth_mm - columns @ plane, plane[1:]


@torch.no_grad()
def order_of(head: Reconstruction, found: FaceDepth, name: str, apart_mm: float) -> Order:
    """The numbers of one photo.

    Raises:
        ValueError: fewer than 20 landmarks are seen by both.
    """
    model = head.model
    marks = head.camera.to_camera(torch.as_tensor(head.landmarks_mm("68"))[None])
    px = head.camera.to_pixels(marks)[0].double().numpy()
    fit_mm = -marks[0, :, 2].double().numpy()
    size = (int(head.photo.pixels.shape[0]), int(head.photo.pixels.shape[1]))
    seen = render(
        Mesh.of(torch.as_tensor(head.vertices)[None], model.faces), head.camera, ambient(torch.ones(1, 3)), size
    )
    front_mm = np.where(seen.covered[0, 0].numpy(), seen.depth_mm[0, 0].numpy(), np.inf)
    whole = found.depth_map()
    away, nearest = distance_transform_edt(~np.isfinite(whole), return_indices=True)
    inside = ((px >= 0) & (px < size[::-1])).all(axis=1)
    column, row = px.clip(0, (size[1] - 1, size[0] - 1)).astype(int).T
    per_px_mm = float(np.median(fit_mm)) / float(head.camera.focal_px[0, 0])
    near = np.min([_rolled(front_mm, dy, dx)[row, column] for dy in (-1, 0, 1) for dx in (-1, 0, 1)], axis=0)
    counts = inside & (fit_mm < near + _SEEN_MM) & (away[row, column] * per_px_mm < _RIM_MM)
    if counts.sum() < 20:
        raise ValueError(f"only {int(counts.sum())} landmarks are seen by fit and network")
    told_mm = whole[tuple(nearest[:, row, column])].astype(np.float64)
    inner = np.zeros(68, dtype=bool)
    inner[_INNER] = True
    inner &= counts
    neutral = model.landmarks(model.shape(), "68")
    facing = head.camera.with_pose(turn_to_ray(head.camera.translation_mm), head.camera.translation_mm)
    mean_mm, facing_mm = (-c.to_camera(neutral)[0, :, 2].double().numpy() for c in (head.camera, facing))
    size_ratio = float(np.median(told_mm[inner]) / np.median(fit_mm[inner]))
    x_y = marks[0, :, :2].double().numpy()[inner]
    (told_left, told_plane), (fit_left, fit_plane) = (
        without_plane(x_y, values[inner]) for values in (told_mm / size_ratio, fit_mm)
    )
    turn = np.degrees(np.arctan(told_plane) - np.arctan(fit_plane))
    return Order(
        name,
        head.pose_ray.yaw,
        int(counts.sum()),
        same_order(told_mm[counts], fit_mm[counts], apart_mm),
        same_order(told_mm[inner], fit_mm[inner], apart_mm),
        same_order(facing_mm[counts], fit_mm[counts], apart_mm),
        same_order(mean_mm[counts], fit_mm[counts], apart_mm),
        float(spearmanr(told_mm[counts], fit_mm[counts]).statistic),
        size_ratio,
        float((told_left @ fit_left) / (fit_left @ fit_left)),
        (float(turn[1]), float(turn[0])),
    )


def _rolled(values: np.ndarray, down: int, right: int) -> np.ndarray:
    return np.roll(values, (down, right), axis=(0, 1))


def tiles(found: FaceDepth, label: str) -> np.ndarray:
    """Photo, depth in colours, normals, and the relief of the depth alone in a light from the left."""
    depth_mm, photo = found.depth_mm, found.photo.pixels[found.part]
    known = np.isfinite(depth_mm)
    near, far = np.percentile(depth_mm[known], (0.5, 95.0)) if known.any() else (0.0, 1.0)
    normals = np.where(known[..., None], 127.5 + 127.5 * np.nan_to_num(found.normals), 255.0).round().astype(np.uint8)
    camera = found.camera.cropped(float(found.corner_px[0]), float(found.corner_px[1]))
    mask = torch.from_numpy(known)[None, None]
    points = depth_points(torch.from_numpy(np.where(known, depth_mm, far))[None, None].float(), camera)
    sides, inside = point_normals(points, mask)
    lamp = torch.tensor(_LAMP).view(1, 3, 1, 1)
    light = (0.15 + 0.85 * (sides * lamp).sum(dim=1, keepdim=True).clamp_min(0.0))[0, 0].numpy()
    relief = np.where(inside[0, 0].numpy(), 255.0 * light**0.8, 255.0).round().astype(np.uint8)
    pictures = (
        photo,
        colours_of(depth_mm, float(near), max(float(far), near + 1.0)),
        normals,
        np.repeat(relief[..., None], 3, 2),
    )
    row = np.concatenate([_square(picture) for picture in pictures], axis=1)
    return with_label(row, label, _LABEL_PX)


def _square(picture: np.ndarray) -> np.ndarray:
    height, width = picture.shape[:2]
    scale = _TILE_PX / max(height, width)
    small = Image.fromarray(picture).resize(
        (max(1, round(scale * width)), max(1, round(scale * height))), Image.Resampling.BICUBIC
    )
    sheet = Image.new("RGB", (_TILE_PX, _TILE_PX), "white")
    sheet.paste(small, ((_TILE_PX - small.width) // 2, (_TILE_PX - small.height) // 2))
    return np.asarray(sheet)


def sheet(rows: list[np.ndarray]) -> np.ndarray:
    """Up to fifteen photos in three columns."""
    blank = np.full_like(rows[0], 255)
    padded = rows + [blank] * (-len(rows) % _COLUMNS)
    lines = [padded[k : k + _COLUMNS] for k in range(0, len(padded), _COLUMNS)]
    return np.concatenate([np.concatenate(line, axis=1) for line in lines])


def photos_of(folder: Path, people: int, also: list[str]) -> Iterator[tuple[str, Photo]]:
    """Name and the first photo of each of the first so many people and of those named.

    Raises:
        SystemExit: nobody, or somebody who is named is not there.
    """
    first: dict[str, Path] = {}
    for path in sorted(folder.glob("*_*.jpg")):
        first.setdefault(path.stem.split("_")[0], path)
    unknown = sorted(set(also) - set(first))
    if unknown or not first:
        raise SystemExit(f"{folder} holds no photo of {', '.join(unknown) or 'anybody'}")
    for name in dict.fromkeys([*list(first)[:people], *also]):
        yield first[name].stem, read_image(first[name])


def drawn(count: int) -> Iterator[tuple[str, Photo]]:
    """Name and picture of drawn heads of which something is seen."""
    source = drawn_heads("open", count)
    for name in source.names:
        try:
            yield name, source.load(name).photo
        except ValueError as error:
            print(f"  {name}: {error}")


def report(rows: list[Order]) -> None:
    """Tables: by photo, and medians by thirds of yaw."""
    heads = [
        "photo",
        "yaw",
        "points",
        "order, %",
        "inner, %",
        "rank",
        "facing, %",
        "mean head, %",
        "size",
        "relief",
        "tilt p, y",
    ]

    def cells(name: str, part: list[Order]) -> tuple[str, ...]:
        def median(field: str, factor: float = 1.0, digits: int = 1) -> str:
            return f"{factor * np.nanmedian([getattr(row, field) for row in part]):.{digits}f}"

        tilt = np.median([row.tilt_deg for row in part], axis=0)
        yaw = f"{np.median([abs(row.yaw_deg) for row in part]):.0f}"
        order = (median("order", 100.0), median("order_inner", 100.0), median("rank", 1.0, 3))
        means = (median("order_facing", 100.0), median("order_mean", 100.0))
        return (
            name,
            yaw,
            median("n_points", 1.0, 0),
            *order,
            *means,
            median("size", 1.0, 3),
            median("relief", 1.0, 2),
            (f"{tilt[0]:+.1f} {tilt[1]:+.1f}"),
        )

    print_table("photos", heads, [cells(row.name, [row]) for row in rows])
    by_yaw = sorted(rows, key=lambda row: abs(row.yaw_deg))
    thirds = [[by_yaw[k] for k in part] for part in np.array_split(np.arange(len(by_yaw)), 3)]
    summary = [cells("all", rows)] + [
        cells(f"yaw {abs(part[0].yaw_deg):.0f} to {abs(part[-1].yaw_deg):.0f}", part) for part in thirds if part
    ]
    print_table("medians", heads, summary)
    orders = np.array([row.order for row in rows])
    print(
        f"  least order {100 * np.nanmin(orders):.1f} %, tenth of photos below {100 * np.nanpercentile(orders, 10):.1f} %"
    )
    spread = np.std([row.tilt_deg for row in rows], axis=0)
    print(
        f"  spread of tilt, deg: pitch {spread[0]:.1f}, yaw {spread[1]:.1f}; of size {np.std([row.size for row in rows]):.3f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--data", type=Path, help="folder of photos")
    source.add_argument("--drawn", type=int, metavar="N", help="the first so many drawn heads instead")
    parser.add_argument("-o", "--out", type=Path, required=True, help="where sheets go")
    parser.add_argument("--people", type=int, default=60, help="the first so many [60]")
    parser.add_argument("--also", nargs="*", default=[], help="more people")
    parser.add_argument("--quality", default="fast", help="of the fit [fast]")
    parser.add_argument("--apart", type=float, default=5.0, help="mm between the points of a pair, at least [5]")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    print_header(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    reconstruct, estimate = Reconstructor(quality=options.quality), DepthEstimator()
    rows: list[Order] = []
    pictures: list[np.ndarray] = []
    photos = drawn(options.drawn) if options.data is None else photos_of(options.data, options.people, options.also)
    for name, photo in photos:
        try:
            head = reconstruct.fit_face(photo, reconstruct.detect(photo)[0])
        except NoFaceError as error:
            print(f"  {name}: {error}")
            continue
        found = estimate(photo, head.face, float(head.camera.focal_px[0, 0]))
        label = f"{name}: no order"
        try:
            rows.append(order_of(head, found, name, options.apart))
            label = f"{name}: yaw {rows[-1].yaw_deg:+.0f}, order {100 * rows[-1].order:.0f} %"
        except ValueError as error:
            print(f"  {name}: {error}")
        pictures.append(tiles(found, label))
    per_sheet = _COLUMNS * _ROWS
    for k in range(0, len(pictures), per_sheet):
        place = options.out / f"depth_{k // per_sheet + 1}.png"
        write_file(place, encode_png(sheet(pictures[k : k + per_sheet])), overwrite=True)
    report(rows)


if __name__ == "__main__":
    main()
