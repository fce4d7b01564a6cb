"""Do embeddings tell people apart: all pairs of pictures, the area under the curve, the equal error rate."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float, Int


@dataclasses.dataclass(frozen=True, eq=False)
class PairSimilarities:
    """Cosines of all pairs of pictures.

    Attributes:
        same: ``(S,)`` of pairs of one person, ascending.
        other: ``(O,)`` of pairs of two, ascending.
    """

    same: Float[np.ndarray, " s"]
    other: Float[np.ndarray, " o"]

    @classmethod
    def of(cls, embeddings: Float[np.ndarray, "n d"], person: Int[np.ndarray, " n"]) -> PairSimilarities:
        """Of pictures and whom they show.

        Raises:
            ValueError: no pair of one person, or none of two, or embeddings that are not finite.
        """
        if not np.isfinite(embeddings).all():
            bad = int((~np.isfinite(embeddings)).any(axis=1).sum())
            raise ValueError(f"embeddings of {bad} of {len(embeddings)} pictures are not finite")
        unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True).clip(1e-12)
        first, second = np.triu_indices(len(unit), 1)
        cosines, alike = (unit @ unit.T)[first, second], person[first] == person[second]
        if not alike.any() or alike.all():
            raise ValueError(
                f"pairs of one person and of two are needed, got {len(person)} pictures of {len(np.unique(person))} people"
            )
        return cls(np.sort(cosines[alike]), np.sort(cosines[~alike]))

    def auc(self) -> float:
        """Share of pairs of pairs in the right order; equal ones count half."""
        below = np.searchsorted(self.other, self.same, side="left") + np.searchsorted(
            self.other, self.same, side="right"
        )
        return float(0.5 * below.mean() / len(self.other))

    def equal_error_rate(self) -> float:
        """Share of pairs told wrong at the threshold where both kinds are told wrong equally often, between thresholds linear."""
        thresholds = np.append(np.unique(np.concatenate((self.same, self.other))), np.inf)
        refused = np.searchsorted(self.same, thresholds, side="left") / len(self.same)
        taken = 1.0 - np.searchsorted(self.other, thresholds, side="left") / len(self.other)
        after = int(np.argmax(refused >= taken))  # from all taken to all refused
        apart = (taken - refused)[after - 1 : after + 1]
        share = apart[0] / (apart[0] - apart[1])
        return float(refused[after - 1] + share * (refused[after] - refused[after - 1]))

    def accepted(self, false_share: float) -> tuple[float, float]:
        """The share of pairs of one person that is found where this share of pairs of two is taken for one, and the threshold.

        Raises:
            ValueError: a share beyond (0, 1).
        """
        if not 0.0 < false_share < 1.0:
            raise ValueError(f"the share of false pairs must lie in (0, 1), got {false_share}")
        threshold = float(np.quantile(self.other, 1.0 - false_share))
        return float((self.same > threshold).mean()), threshold
