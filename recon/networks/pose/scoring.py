"""FSA-Net's fine-grained structure mapping: how much each place of the feature maps matters, and the few features that stand for all.

After Yang et al. 2019 ("FSA-Net: Learning fine-grained structure aggregation for head pose estimation from a single
image"), Section 3.4. Of each stage n the map U_n has h w places of c numbers. A score says how much a place matters,
A_n (h w); the scores choose n' combinations of the places of *all* stages, S_n = C M_n with M_n of A_n alone and C of all
scores; and U~_n = S_n U are the stage's fine-grained features.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

Scoring = Literal["variance", "convolution", "uniform"]
SCORINGS: tuple[Scoring, ...] = ("variance", "convolution", "uniform")


class PlaceScores(nn.Module):
    """Scores of the places of one feature map.

    Args:
        scoring: ``variance`` over the channels of a place, without weights (the choice of the head pose paper, VII-A.1);
            ``convolution``: a learnt 1x1 convolution and a sigmoid (the choice of its released network); ``uniform``: every
            place scores 1, so that the mapping is the same for all pictures.
        channels: of the map.
    """

    def __init__(self, scoring: Scoring, channels: int) -> None:
        super().__init__()
        self.scoring = scoring
        self.weigh = nn.Conv2d(channels, 1, 1) if scoring == "convolution" else None

    def forward(self, features: Float[Tensor, "b c h w"]) -> Float[Tensor, "b hw"]:
        """One number a place, row by row."""
        if self.weigh is not None:
            scores: Tensor = torch.sigmoid(self.weigh(features))
            return scores.flatten(1)
        if self.scoring == "variance":
            return features.var(dim=1, correction=0).flatten(1)
        return torch.ones_like(features[:, 0]).flatten(1)


class StructureMapping(nn.Module):
    """Feature maps of several stages to their fine-grained features.

    Args:
        scoring: of places, see :class:`PlaceScores`.
        channels: of every map.
        places: h w of every map.
        n_stages: maps.
        combinations: features a stage, n'.
        inner: m, the size between C and M_n.
    """

    def __init__(
        self, scoring: Scoring, channels: int, places: int, n_stages: int, combinations: int, inner: int
    ) -> None:
        super().__init__()
        self.combinations, self.inner = combinations, inner
        self.scores = nn.ModuleList(PlaceScores(scoring, channels) for _ in range(n_stages))
        self.shared = nn.Linear(n_stages * places, combinations * inner)
        self.own = nn.ModuleList(nn.Linear(places, inner * n_stages * places) for _ in range(n_stages))

    def forward(self, maps: list[Tensor]) -> Float[Tensor, "b n c"]:
        """``(B, n_stages n', C)`` of maps ``(B, C, h, w)``, the stages one after the other."""
        everything = torch.cat([features.flatten(2) for features in maps], dim=2).transpose(1, 2)
        return torch.cat([matrix @ everything for matrix in self.matrices(maps)], dim=1)

    def matrices(self, maps: list[Tensor]) -> list[Float[Tensor, "b n places"]]:
        """S_n of every stage: positive, and every row sums to 1, so that a feature is a mean of places."""
        scores = [score(features) for score, features in zip(self.scores, maps, strict=True)]
        shared = torch.sigmoid(self.shared(torch.cat(scores, dim=1))).unflatten(1, (self.combinations, self.inner))
        found = []
        for own, score in zip(self.own, scores, strict=True):
            weights = shared @ torch.sigmoid(own(score)).unflatten(1, (self.inner, -1))
            found.append(weights / weights.sum(dim=-1, keepdim=True))
        return found
