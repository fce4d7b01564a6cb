"""Which of two points is nearer: structure-guided ranking (Xian et al. 2020)."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from losses.depth.gradients import gradient_l1
from losses.depth.masked import masked_pair


def structure_guided_ranking(
    predicted: Float[Tensor, "b 1 h w"],
    true: Float[Tensor, "b 1 h w"],
    mask: Bool[Tensor, "b 1 h w"],
    *,
    pairs: Int[Tensor, "b p 2"],
    tolerance: float = 0.005,
    margin: float = 1.0,
    gradient: float = 1.0,
) -> Float[Tensor, " b"]:
    """Mean over pairs of a ranking loss + weight x :func:`losses.depth.gradients.gradient_l1`: the review's Eq. 19.

    The review does not print the pair's loss; this is that of Xian et al.: with the difference v of the predicted depths of a pair
    in units of ``margin``, ln(1 + exp(-v)) if the first is truly farther, ln(1 + exp(v)) if it is nearer, and v^2 if both are as
    far. It has no zero: it falls as the pairs that truly differ are ordered ever more clearly. It does not change with an offset.

    Args:
        predicted, true: depth, true positive on the mask.
        mask: a pair with an end off it does not count.
        pairs: two pixels each, as row x W + column; see :func:`segment_pairs`. Negative numbers are no pair.
        tolerance: two points are as far if their true depths differ by less than this share. Xian et al. take 0.03, which at
            600 mm is 18 mm: most of a face would be asked to be flat.
        margin: in the unit of the maps.
        gradient: weight of the gradient term, in 1 / the unit.

    Raises:
        ValueError: a tolerance or a weight below 0, or a margin that is not positive.
    """
    if not (tolerance >= 0.0 and margin > 0.0 and gradient >= 0.0):
        raise ValueError(
            "ranking needs a tolerance and a gradient weight of at least 0 and a positive margin, got "
            f"{tolerance}, {gradient} and {margin}"
        )
    depth, truth = (maps.flatten(1) for maps in masked_pair(predicted, true, mask, fill=1.0))
    given = (pairs >= 0).all(dim=-1)
    first, second = pairs.clamp_min(0).unbind(dim=-1)
    inside = mask.flatten(1)
    counts = given & inside.gather(1, first) & inside.gather(1, second)
    ratio = truth.gather(1, first) / truth.gather(1, second)
    step = (depth.gather(1, first) - depth.gather(1, second)) / margin
    softplus = torch.nn.functional.softplus
    ordered = torch.where(ratio > 1.0, softplus(-step), softplus(step))
    as_far = (ratio < 1.0 + tolerance) & (ratio > 1.0 / (1.0 + tolerance)) | (ratio == 1.0)
    cost = torch.where(as_far, step.square(), ordered).masked_fill(~counts, 0.0)
    ranking = cost.sum(dim=1) / counts.sum(dim=1).clamp_min(1)
    return ranking + gradient * gradient_l1(predicted, true, mask)


def segment_pairs(
    segments: Int[Tensor, "b 1 h w"],
    mask: Bool[Tensor, "b 1 h w"],
    n_pairs: int,
    generator: torch.Generator | None = None,
) -> Int[Tensor, "b p 2"]:
    """Random pairs of pixels of two different segments of a picture; of one, where it has no other. -1 for empty masks.

    Args:
        segments: what each pixel shows (skin, hair, background, ...), as numbers.
        mask: pixels that may be drawn.
        n_pairs: P, pairs a picture.
        generator: of the draws; on the device of the segments.
    """
    batch = len(segments)
    pairs = torch.full((batch, n_pairs, 2), -1, dtype=torch.int64, device=segments.device)
    for picture in range(batch):
        pixels = torch.nonzero(mask[picture].flatten()).squeeze(1)
        if len(pixels) == 0:
            continue
        # In order of their segments, those of a pixel's own segment are one run, which the second draw leaps over.
        pixels = pixels[torch.argsort(segments[picture].flatten()[pixels], stable=True)]
        _, sizes = torch.unique_consecutive(segments[picture].flatten()[pixels], return_counts=True)
        ends = torch.cumsum(sizes, dim=0)
        share = torch.rand(2, n_pairs, generator=generator, device=segments.device, dtype=torch.float64)
        first = (share[0] * len(pixels)).long()
        run = torch.searchsorted(ends, first, right=True)
        others = len(pixels) - sizes[run]
        second = (share[1] * others).long()
        second = second + torch.where(second >= ends[run] - sizes[run], sizes[run], 0)
        second = torch.where(others > 0, second, (share[1] * len(pixels)).long())
        pairs[picture] = torch.stack([pixels[first], pixels[second]], dim=-1)
    return pairs
