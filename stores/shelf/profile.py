"""What the inputs and the score looked like in training: histograms by declared edges.

Drift checks count current values into the same bins. Edges are written down, never
derived again from data, so that a bin means the same for ever.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from core.features.plan import Frozen
from core.stats.histogram import Histogram, edges_of, histogram_of

SCORE_EDGES = tuple(round(step / 20, 2) for step in range(21))


class Profile(Frozen):
    """Histograms of each feature of the vector and of the score, on the training part.

    ``decisions`` counts what the policy decided on the same rows.
    """

    n: int
    features: dict[str, Histogram]
    score: Histogram
    decisions: dict[str, int]


def profile_of(
    vectors: NDArray[np.float32],
    names: Sequence[str],
    scores: NDArray[np.floating],
    decisions: Mapping[str, int],
) -> Profile:
    """Profile of ``vectors`` (shape ``(n, d)``, columns called ``names``) and their scores."""
    features = {
        name: histogram_of(vectors[:, index], edges_of(vectors[:, index]))
        for index, name in enumerate(names)
    }
    return Profile(
        n=len(vectors),
        features=features,
        score=histogram_of(scores, SCORE_EDGES),
        decisions=dict(decisions),
    )
