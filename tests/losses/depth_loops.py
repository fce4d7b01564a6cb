"""The depth losses once more, one picture and one pixel after the other, as their formulas stand on paper."""

import math

import numpy as np
from depth_inputs import FOCAL_PX, PRINCIPAL_PX


def pixels(mask):
    return [(r, c) for r in range(mask.shape[0]) for c in range(mask.shape[1]) if mask[r, c]]


def mean(values):
    values = list(values)
    return sum(values) / len(values) if values else 0.0


def errors(v, y, mask):
    return [y[p] - v[p] for p in pixels(mask)]


def logs(v, y, mask):
    return [math.log(y[p]) - math.log(v[p]) for p in pixels(mask)]


def l1(v, y, mask):
    return mean(abs(e) for e in errors(v, y, mask))


def l2(v, y, mask):
    return mean(e * e for e in errors(v, y, mask))


def berhu(v, y, mask):
    found = errors(v, y, mask)
    c = 0.2 * max(abs(e) for e in found)
    return mean(abs(e) if abs(e) <= c else (e * e + c * c) / (2.0 * c) for e in found)


def huber_of(e, c):
    return 0.5 * e * e if abs(e) <= c else c * (abs(e) - 0.5 * c)


def huber(v, y, mask):
    return mean(huber_of(e, 10.0) for e in errors(v, y, mask))


def scale_invariant_log(v, y, mask):
    found = logs(v, y, mask)
    return mean(d * d for d in found) - 0.5 * mean(found) ** 2


def silog(v, y, mask):
    return 10.0 * math.sqrt(scale_invariant_log(v, y, mask))


def global_mean_removed(v, y, mask):
    found_v, found_y = mean(v[p] for p in pixels(mask)), mean(y[p] for p in pixels(mask))
    return mean(abs((y[p] - found_y) - (v[p] - found_v)) for p in pixels(mask))


def local_mean_removed(v, y, mask, reach=7):
    total = []
    for r, c in pixels(mask):
        near = [(i, j) for i, j in pixels(mask) if abs(i - r) <= reach and abs(j - c) <= reach]
        total.append(abs((y[r, c] - mean(y[p] for p in near)) - (v[r, c] - mean(v[p] for p in near))))
    return mean(total)


def scale_invariant(v, y, mask):
    s = sum(v[p] * y[p] for p in pixels(mask)) / sum(v[p] ** 2 for p in pixels(mask))
    return 0.5 * mean(abs(y[p] - s * v[p]) for p in pixels(mask))


def scale_and_shift_invariant(v, y, mask):
    s, t = np.polyfit([v[p] for p in pixels(mask)], [y[p] for p in pixels(mask)], 1)
    return 0.5 * mean(abs(y[p] - s * v[p] - t) for p in pixels(mask))


def ssim_at(a, b, mask, at, data_range):
    weights, first, second = [], [], []
    for r, c in pixels(mask):
        across, down = c - at[1], r - at[0]
        if abs(across) <= 5 and abs(down) <= 5:
            weights.append(math.exp(-0.5 * (across**2 + down**2) / 1.5**2))
            first.append(a[r, c])
            second.append(b[r, c])
    w, x, z = (np.asarray(part) for part in (weights, first, second))
    w = w / w.sum()
    mx, mz = (w * x).sum(), (w * z).sum()
    vx, vz, vxz = (w * (x - mx) ** 2).sum(), (w * (z - mz) ** 2).sum(), (w * (x - mx) * (z - mz)).sum()
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    return (2 * mx * mz + c1) / (mx**2 + mz**2 + c1) * (2 * vxz + c2) / (vx + vz + c2)


def ssim(v, y, mask):
    return mean(1.0 - ssim_at(v, y, mask, p, 200.0) for p in pixels(mask))


def sobel_at(a, mask, r, c):
    """Derivatives across and down, or None where the window is not whole."""
    if not (0 < r < mask.shape[0] - 1 and 0 < c < mask.shape[1] - 1) or not mask[r - 1 : r + 2, c - 1 : c + 2].all():
        return None
    across = sum(k * (a[r + i, c + 1] - a[r + i, c - 1]) for i, k in ((-1, 1), (0, 2), (1, 1))) / 8.0
    down = sum(k * (a[r + 1, c + j] - a[r - 1, c + j]) for j, k in ((-1, 1), (0, 2), (1, 1))) / 8.0
    return across, down


def gradient_l1(v, y, mask):
    found = [sobel_at(y - v, mask, *p) for p in pixels(mask)]
    return mean(abs(g[0]) + abs(g[1]) for g in found if g)


def surface_normal(v, y, mask, *, pixel_size):
    total = []
    for p in pixels(mask):
        slopes = [sobel_at(a, mask, *p) for a in (v, y)]
        if slopes[0] is None:
            continue
        first, second = (np.array([-g[0] / pixel_size, -g[1] / pixel_size, 1.0]) for g in slopes)
        total.append(1.0 - first @ second / (np.linalg.norm(first) * np.linalg.norm(second)))
    return mean(total)


def gradient_matching(v, y, mask):
    total = 0.0
    for step in (1, 2, 4, 8):
        e, m = (y - v)[::step, ::step], mask[::step, ::step]
        across = [abs(e[r, c + 1] - e[r, c]) for r, c in pixels(m) if c + 1 < m.shape[1] and m[r, c + 1]]
        down = [abs(e[r + 1, c] - e[r, c]) for r, c in pixels(m) if r + 1 < m.shape[0] and m[r + 1, c]]
        total += mean(across) + mean(down)
    return total


def relative_inverse(v, mask):
    return 1.0 / v / mean(1.0 / v[p] for p in pixels(mask))


def edge_aware_smoothness(v, y, mask, *, image):
    q, total = relative_inverse(v, mask), 0.0
    for dr, dc in ((1, 0), (0, 1)):
        found = []
        for r, c in pixels(mask):
            i, j = r + dr, c + dc
            if i < mask.shape[0] and j < mask.shape[1] and mask[i, j]:
                found.append(abs(q[i, j] - q[r, c]) * math.exp(-np.abs(image[:, i, j] - image[:, r, c]).mean()))
        total += mean(found)
    return total


def second_order_smoothness(v, mask, image):
    q, total = relative_inverse(v, mask), 0.0
    for dr, dc in ((1, 0), (0, 1)):
        found = []
        for r, c in pixels(mask):
            p, n = (r - dr, c - dc), (r + dr, c + dc)
            if min(p) < 0 or n[0] >= mask.shape[0] or n[1] >= mask.shape[1] or not (mask[p] and mask[n]):
                continue
            bend = abs(q[p] - 2.0 * q[r, c] + q[n])
            edge = np.abs(image[:, p[0], p[1]] - 2.0 * image[:, r, c] + image[:, n[0], n[1]]).mean()
            found.append(bend * math.exp(-edge))
        total += mean(found)
    return total


def point(d, r, c):
    return np.array([(c + 0.5 - PRINCIPAL_PX[0]) / FOCAL_PX[0] * d, -(r + 0.5 - PRINCIPAL_PX[1]) / FOCAL_PX[1] * d, -d])


def source_errors(v, mask, views, error_of):
    """A source after the other: each seen pixel's error."""
    image, found = views.image[0].numpy(), []
    for source, camera in zip(views.sources, views.source_cameras, strict=True):
        pixel, made, seen = source[0].numpy(), np.zeros_like(image), np.zeros_like(mask)
        for r, c in pixels(mask):
            x, y, z = point(v[r, c], r, c) + camera.translation_mm[0].numpy()
            u = PRINCIPAL_PX[0] + FOCAL_PX[0] * x / -z - 0.5
            w = PRINCIPAL_PX[1] - FOCAL_PX[1] * y / -z - 0.5
            if not (-1e-3 <= u <= pixel.shape[2] - 0.999 and -1e-3 <= w <= pixel.shape[1] - 0.999):
                continue
            u, w = np.clip(u, 0.0, pixel.shape[2] - 1.0), np.clip(w, 0.0, pixel.shape[1] - 1.0)
            left, top = min(int(u), pixel.shape[2] - 2), min(int(w), pixel.shape[1] - 2)
            a, b = u - left, w - top
            upper = (1 - a) * pixel[:, top, left] + a * pixel[:, top, left + 1]
            lower = (1 - a) * pixel[:, top + 1, left] + a * pixel[:, top + 1, left + 1]
            made[:, r, c], seen[r, c] = (1 - b) * upper + b * lower, True
        found.append(
            {
                p: mean(
                    0.15 * error_of(image[k][p] - made[k][p])
                    + 0.85 * (1.0 - ssim_at(image[k], made[k], seen, p, 1.0)) / 2
                    for k in range(3)
                )
                for p in pixels(seen)
            }
        )
    return found


def photometric(v, y, mask, *, views):
    return mean(mean(found.values()) for found in source_errors(v, mask, views, abs))


def reconstruction(v, y, mask, *, views):
    return mean(mean(found.values()) for found in source_errors(v, mask, views, lambda e: huber_of(e, 0.1)))


def prior_reconstruction(v, y, mask, *, views):
    found = source_errors(v, mask, views, lambda e: huber_of(e, 0.1))
    anywhere = {p for one in found for p in one}
    least = mean(min(one[p] for one in found if p in one) for p in anywhere)
    return least + 1e-3 * second_order_smoothness(v, mask, views.image[0].numpy())


def perceptual(v, y, mask, *, features):
    import torch

    middle, maps = mean(y[p] for p in pixels(mask)), []
    for depth in (v, y):
        shown = np.zeros((1, 3, *mask.shape))
        for r, c in pixels(mask):
            shown[0, :, r, c] = (depth[r, c] - middle) / 50.0
        maps.append([one.detach().numpy() for one in features(torch.from_numpy(shown))])
    return mean(
        mean((float(a) - float(b)) ** 2 for a, b in zip(*map(np.ravel, two), strict=True))
        for two in zip(*maps, strict=True)
    )


def structure_guided_ranking(v, y, mask, *, pairs):
    found = []
    for a, b in pairs:
        if a < 0:
            continue
        p, q = divmod(int(a), mask.shape[1]), divmod(int(b), mask.shape[1])
        if not (mask[p] and mask[q]):
            continue
        step = v[p] - v[q]
        if y[p] >= 1.005 * y[q]:
            found.append(math.log1p(math.exp(-step)) if step > -500 else -step)
        elif y[p] <= y[q] / 1.005:
            found.append(math.log1p(math.exp(step)) if step < 500 else step)
        else:
            found.append(step**2)
    return mean(found) + gradient_l1(v, y, mask)


def both_ways(first, second):
    there = mean(min(float(((a - b) ** 2).sum()) for b in second) for a in first)
    return there + mean(min(float(((a - b) ** 2).sum()) for a in first) for b in second)


def chamfer(v, y, mask, *, camera):
    return both_ways(*([point(depth[p], *p) for p in pixels(mask)] for depth in (v, y)))


def bin_centre_density(v, y, mask, *, bin_centres):
    return both_ways([np.array([b]) for b in bin_centres], [np.array([y[p]]) for p in pixels(mask)])


def pairwise_distillation(v, y, mask, *, student, teacher):
    """The features are 5 x 7 over 9 x 13 pixels; cells overlap as adaptive pooling makes them."""
    cells = []
    for r in range(5):
        for c in range(7):
            part = mask[r * 9 // 5 : -((r + 1) * 9 // -5), c * 13 // 7 : -((c + 1) * 13 // -7)]
            if part.mean() >= 0.5:
                cells.append((r, c))
    total = []
    for a in cells:
        for b in cells:
            both = []
            for maps in (student, teacher):
                p, q = maps[:, a[0], a[1]], maps[:, b[0], b[1]]
                both.append(p @ q / (np.linalg.norm(p) * np.linalg.norm(q)))
            total.append((both[0] - both[1]) ** 2)
    return mean(total)
