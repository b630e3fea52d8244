"""What a model's metrics would be if its scores were right: an estimate that needs no label.

A calibrated score of 0.2 says that one such row in five is positive. So the expected confusion
at every threshold follows from the scores alone, and with it AUC, average precision and the rest
on rows whose labels have not come yet.

What it cannot see, whatever the number says: *concept drift*. It assumes that scores still mean
what they meant; where the world has changed behind the features it goes on reporting yesterday's
skill. It is for changes of the mix of rows (covariate drift) between the maturity of two labels,
and it is replaced by labels as they come. A model that was never calibrated gets nonsense, and
where labels show that it is off by a factor, so is the estimate.

References
----------
Guillory et al. (2021), "Predicting with confidence on unseen distributions", ICCV; Bialek et al.
(2024), "Estimating model performance under covariate shift without labels", arXiv:2401.08348.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from core.stats.metrics import (
    Estimate,
    area_under_roc,
    average_precision,
    brier_score,
    log_loss,
    ranked,
)

ESTIMATED = {
    "auc": area_under_roc,
    "average_precision": average_precision,
    "brier": brier_score,
    "log_loss": log_loss,
}
DRAWS = 60
FEWEST_EXPECTED = 5.0


def confidence_estimates(
    scores: NDArray[np.floating], seed: int, draws: int = DRAWS
) -> dict[str, Estimate]:
    """Expected metrics of rows by their scores alone, with the 95 % interval of drawn labels.

    The interval is that of chance, given that scores are right. Empty where fewer than five
    positives, or negatives, are expected.

    Parameters
    ----------
    scores
        Shape ``(n,)``, calibrated probabilities.
    seed
        Of the draws.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> scores = rng.beta(1, 4, 4_000)
    >>> found = confidence_estimates(scores, seed=1)["auc"]
    >>> labels = (rng.random(4_000) < scores).astype(int)
    >>> bool(found.low < area_under_roc(ranked(scores, labels)) < found.high)
    True
    """
    p = np.clip(np.asarray(scores, dtype=np.float64), 0.0, 1.0)
    if min(p.sum(), (1 - p).sum()) < FEWEST_EXPECTED:
        return {}
    is_positive = np.repeat([1, 0], len(p))
    both = ranked(np.tile(p, 2), is_positive, np.concatenate([p, 1 - p]))
    rng = np.random.default_rng(seed)
    drawn: dict[str, list[float]] = {name: [] for name in ESTIMATED}
    for _ in range(draws):
        labels = (rng.random(len(p)) < p).astype(np.int64)
        if 0 < labels.sum() < len(labels):
            rows = ranked(p, labels)
            for name, metric in ESTIMATED.items():
                drawn[name].append(metric(rows))
    return {
        name: Estimate(value=metric(both), low=low, high=high)
        for name, metric in ESTIMATED.items()
        for low, high in [np.percentile(drawn[name], [2.5, 97.5]).tolist()]
    }
