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


_WINDOW, _BESIDE, _WINDOW_PLACES = 6.0, -4.0, 1.5
"""Windows that features begin with, before the sigmoid: height in the middle and level beside them, and their radius."""
_MIXED = 2.0
"""Standard deviation, before the sigmoid, of the shares of windows in a feature at the beginning."""


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
        size: h and w of every map.
        n_stages: maps.
        combinations: features a stage, n'.
        inner: m, the size between C and M_n.
    """

    def __init__(
        self, scoring: Scoring, channels: int, size: tuple[int, int], n_stages: int, combinations: int, inner: int
    ) -> None:
        super().__init__()
        places = size[0] * size[1]
        self.combinations, self.inner = combinations, inner
        self.scores = nn.ModuleList(PlaceScores(scoring, channels) for _ in range(n_stages))
        self.shared = nn.Linear(n_stages * places, combinations * inner)
        own = [nn.Linear(places, inner * n_stages * places) for _ in range(n_stages)]
        self.own = nn.ModuleList(own)
        self._look_at_windows(own, size, n_stages)

    @torch.no_grad()
    def _look_at_windows(self, own: list[nn.Linear], size: tuple[int, int], n_stages: int) -> None:
        """Let the features begin as means over different parts of the maps, in different mixtures.

        With usual weights and scores that are small at first, every row of every S_n is nearly uniform: all features are one mean of
        the whole picture, which does not tell where anything is, and pitch is then learnt very slowly.
        """
        down, across = (torch.arange(length, dtype=torch.float32) for length in size)
        for layer in own:
            middle = torch.rand(self.inner, 2) * (torch.tensor(size) - 1.0)
            away = (down[:, None] - middle[:, :1, None]).square() + (across - middle[:, 1:, None]).square()
            window = _WINDOW * torch.exp(-0.5 * away / _WINDOW_PLACES**2) + _BESIDE
            layer.bias.copy_(window.flatten(1)[:, None].expand(-1, n_stages, -1).flatten())
        nn.init.normal_(self.shared.bias, std=_MIXED)

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
