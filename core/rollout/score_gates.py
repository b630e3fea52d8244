"""Gates on what a challenger says, against the champion over the same period, without labels.

That scores moved is all that can be seen without labels. Whether they moved for the better
cannot: a miscalibrated challenger shows here only as a shift, and one whose scores are wrong in
the same proportions as the champion's does not show at all until labels come.
"""

from __future__ import annotations

import numpy as np

from core.rollout.counters import SCORE_EDGES
from core.rollout.evidence import Array, log_e_above, log_mean
from core.rollout.limits import Limits
from core.rollout.tallies import Arms
from core.rollout.verdicts import Observation, nothing_to_compare
from core.stats.distances import population_stability_index


def scores_log_e(arms: Arms, limits: Limits) -> Array:
    """Evidence that the score distributions differ by more than ``score_shift_share``.

    The effect is Kolmogorov's distance on the edges of the bins: the greatest difference, over
    scores ``x``, of the shares of scores below ``x``. If it is at most the limit, so is each
    difference; the evidence is the mean over edges and both directions.
    """
    challenger, champion = _below(arms.challenger.scores), _below(arms.champion.scores)
    n, n_champion = arms.challenger.n_scores, arms.champion.n_scores
    return _log_e_apart(
        challenger, n, champion, n_champion, ratio=1.0, margin=limits.score_shift_share
    )


def _below(scores: Array) -> Array:
    return np.asarray(scores.cumsum(axis=-1)[..., :-1], dtype=np.float64)


def _log_e_apart(
    counts: Array, n: Array, reference: Array, n_reference: Array, *, ratio: float, margin: float
) -> Array:
    """Mean evidence, over the last axis and both directions, that shares are too far apart."""
    n, n_reference = n[..., np.newaxis], n_reference[..., np.newaxis]
    more = log_e_above(counts, n, reference, n_reference, ratio=ratio, margin=margin)
    less = log_e_above(reference, n_reference, counts, n, ratio=ratio, margin=margin)
    return log_mean(np.concatenate([more, less], axis=-1))


def scores_observed(arms: Arms, limits: Limits) -> Observation:
    """Kolmogorov's distance and the population stability index of both arms' scores."""
    n, n_champion = float(arms.challenger.n_scores), float(arms.champion.n_scores)
    if not (n and n_champion):
        return nothing_to_compare("no scores of both arms to compare")
    below = _below(arms.challenger.scores) / n
    reference = _below(arms.champion.scores) / n_champion
    distances = np.abs(below - reference)
    at = int(distances.argmax())
    distance = float(distances[at])
    psi = float(population_stability_index(arms.champion.scores, arms.challenger.scores))
    return Observation(
        f"{below[at]:.1%} of {n:.0f} challenger scores are below {SCORE_EDGES[at]:.4f} and "
        f"{reference[at]:.1%} of {n_champion:.0f} of the champion's, "
        f"{limits.score_shift_share:.1%} apart is allowed (PSI {psi:.3f})",
        is_beyond=distance > limits.score_shift_share,
        numbers={"distance": distance, "at_score": SCORE_EDGES[at], "psi": psi, "n": n},
    )


def decisions_log_e(arms: Arms, limits: Limits) -> Array:
    """Evidence that some decision's share differs from the champion's by more than allowed.

    Neither arm's share may be above ``decision_ratio`` times the other's plus
    ``decision_margin_share``. The mean over decisions and both directions; 0 without decisions.
    """
    challenger, champion = arms.challenger.decisions, arms.champion.decisions
    if challenger.shape[-1] == 0:
        return np.zeros(challenger.shape[:-1])
    return _log_e_apart(
        challenger,
        challenger.sum(axis=-1),
        champion,
        champion.sum(axis=-1),
        ratio=limits.decision_ratio,
        margin=limits.decision_margin_share,
    )


def decisions_observed(arms: Arms, limits: Limits) -> Observation:
    """Shares of the decision that differs most from the champion's."""
    counts, reference_counts = arms.challenger.decisions, arms.champion.decisions
    n, n_champion = float(counts.sum()), float(reference_counts.sum())
    if not (n and n_champion):
        return nothing_to_compare("no decisions of both arms to compare")
    share, reference = counts / n, reference_counts / n_champion
    ratio, margin = limits.decision_ratio, limits.decision_margin_share
    excess = np.maximum(share - ratio * reference, reference - ratio * share) - margin
    at = int(excess.argmax())
    return Observation(
        f"the decision that differs most is {share[at]:.2%} of {n:.0f} challenger decisions and "
        f"{reference[at]:.2%} of the champion's, {ratio:g} times and {margin:.2%} is allowed",
        is_beyond=bool(excess[at] > 0),
        numbers={"share": float(share[at]), "champion_share": float(reference[at]), "n": n},
    )
