"""Gates on what turned out to be true, where labels have come.

Labels come late and not for every request: what is decided can change whether a label ever
comes (a blocked payment has no chargeback). Arms are compared over what was labelled in each;
where a decision hides labels, these gates see the decisions' difference too.
"""

from __future__ import annotations

import numpy as np

from core.rollout.counters import SCORE_EDGE_LOGITS
from core.rollout.evidence import Array, log_e_above, log_mean
from core.rollout.limits import Limits
from core.rollout.tallies import Arms, Tally
from core.rollout.verdicts import Observation, nothing_to_compare

# A rate of fewer labels than this is noise to look at; the evidence needs no such limit.
FEWEST_LABELS = 100
TILTS = (0.25, 0.5, 1.0, 2.0)  # log-odds; what lies between loses little
BIN_LOGITS = SCORE_EDGE_LOGITS[1] - SCORE_EDGE_LOGITS[0]
_LOGITS = np.array(SCORE_EDGE_LOGITS)
_MIDDLES = np.append(_LOGITS - BIN_LOGITS / 2, _LOGITS[-1] + BIN_LOGITS / 2)
_FARTHEST_TILT, _HALVINGS = 20.0, 40


def _probability(logits: Array) -> Array:
    return np.asarray(1.0 / (1.0 + np.exp(-logits)), dtype=np.float64)


def calibration_log_e(arms: Arms, limits: Limits) -> Array:
    """Evidence that positives come at other rates than the scores say, and the champion's not.

    A bin of scores allows rates within its own bounds, widened by ``calibration_logits`` of
    log-odds. Positives come too often if in some bin the challenger's rate is above the bound
    while in some bin the champion's is below it; too seldom the other way round. So a world
    that drifts under both arms is not the challenger's fault, and a challenger that mends the
    champion's scores is welcome. Both halves need proof (the lesser of two e-values); then the
    mean of both directions.
    """
    upper = _LOGITS + limits.calibration_logits
    lower = _LOGITS - limits.calibration_logits
    # The last bin has no upper bound below 1, the first no lower one above 0.
    ours, theirs = (
        _binned(arms.challenger, slice(None, -1)),
        _binned(arms.champion, slice(None, -1)),
    )
    often = np.minimum(log_e_tilted(*ours, upper, sign=1), log_e_tilted(*theirs, upper, sign=-1))
    ours, theirs = _binned(arms.challenger, slice(1, None)), _binned(arms.champion, slice(1, None))
    seldom = np.minimum(log_e_tilted(*ours, lower, sign=-1), log_e_tilted(*theirs, lower, sign=1))
    return log_mean(np.stack([often, seldom], axis=-1))


def _binned(tally: Tally, bins: slice) -> tuple[Array, Array]:
    return tally.positives[..., bins], tally.labelled[..., bins]


def log_e_tilted(positives: Array, labelled: Array, bound_logits: Array, *, sign: int) -> Array:
    """Evidence that some bin's rate is above its bound (``sign`` 1) or below it (-1).

    The likelihood ratio of "every bin's log-odds are ``tilt`` beyond its bound" against the
    bounds themselves, averaged over `TILTS`. Each factor is greatest in expectation where the
    rate equals the bound, so it is a supermartingale while every bin keeps its bound.

    Parameters
    ----------
    positives, labelled
        Shape ``(..., bins)``.
    bound_logits
        Shape ``(bins,)``: log-odds of the bounds.
    """
    negatives = labelled - positives
    at_bound = _log_odds_likelihood(positives, negatives, bound_logits)
    tilted = [
        _log_odds_likelihood(positives, negatives, bound_logits + sign * tilt) for tilt in TILTS
    ]
    return log_mean(np.stack(tilted, axis=-1) - at_bound[..., np.newaxis])


def _log_odds_likelihood(positives: Array, negatives: Array, logits: Array) -> Array:
    """Sum over bins of ``p log sigmoid(logit) + n log sigmoid(-logit)``."""
    losses = positives * np.logaddexp(0.0, -logits) + negatives * np.logaddexp(0.0, logits)
    return np.asarray(-losses.sum(axis=-1), dtype=np.float64)


def calibration_observed(arms: Arms, limits: Limits) -> Observation:
    """Positives of each arm per positive that its scores foretold, beside what is allowed."""
    n, n_champion = float(arms.challenger.labelled.sum()), float(arms.champion.labelled.sum())
    if min(n, n_champion) < FEWEST_LABELS:
        return nothing_to_compare(
            "miscalibration can only show as a shift of the scores: "
            f"{n:.0f} challenger and {n_champion:.0f} champion labels, too few to compare",
            n_labels=n,
        )
    tilt, reference = _tilt(arms.challenger), _tilt(arms.champion)
    allowed = limits.calibration_logits + BIN_LOGITS / 2
    return Observation(
        f"positives come at {tilt:+.2f} log-odds from what {n:.0f} challenger scores say, "
        f"{reference:+.2f} from what the champion's say, {allowed:.2f} is allowed",
        is_beyond=abs(tilt) > allowed and abs(tilt) > abs(reference),
        numbers={"tilt_logits": tilt, "champion_tilt_logits": reference, "n_labels": n},
    )


def _tilt(tally: Tally) -> float:
    """Log-odds to add to every bin's middle so that it foretells as many positives as came."""
    positives = float(tally.positives.sum())
    low, high = -_FARTHEST_TILT, _FARTHEST_TILT
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        foretold = float((tally.labelled * _probability(_MIDDLES + middle)).sum())
        low, high = (middle, high) if foretold < positives else (low, middle)
    return (low + high) / 2


def outcome_log_e(arms: Arms, limits: Limits) -> Array:
    """Evidence that the challenger's Brier score is above ``outcome_ratio`` times the champion's.

    The loss of a label is ``(score - label) ** 2`` with the score at the middle of its bin: a
    value in [0, 1], for which the test of shares holds, though it spends more than it must.
    """
    challenger, champion = arms.challenger, arms.champion
    return log_e_above(
        brier_sum(challenger),
        challenger.labelled.sum(axis=-1),
        brier_sum(champion),
        champion.labelled.sum(axis=-1),
        ratio=limits.outcome_ratio,
    )


def brier_sum(tally: Tally) -> Array:
    """Sum over labels of the squared distance from the middle of the score's bin."""
    middle = _probability(_MIDDLES)
    negatives = tally.labelled - tally.positives
    loss = tally.positives * (1 - middle) ** 2 + negatives * middle**2
    return np.asarray(loss.sum(axis=-1), dtype=np.float64)


def outcome_observed(arms: Arms, limits: Limits) -> Observation:
    """Brier scores of both arms beside each other."""
    n, n_champion = float(arms.challenger.labelled.sum()), float(arms.champion.labelled.sum())
    if min(n, n_champion) < FEWEST_LABELS:
        return nothing_to_compare(
            f"{n:.0f} challenger and {n_champion:.0f} champion labels, too few to compare",
            n_labels=n,
        )
    brier = float(brier_sum(arms.challenger)) / n
    reference = float(brier_sum(arms.champion)) / n_champion
    return Observation(
        f"Brier score {brier:.5f} over {n:.0f} labels against the champion's {reference:.5f}, "
        f"{limits.outcome_ratio:g} times is allowed",
        is_beyond=brier > limits.outcome_ratio * reference,
        numbers={"brier": brier, "champion_brier": reference, "n_labels": n},
    )
