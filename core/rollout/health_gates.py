"""Gates on how a challenger answers: errors, latency, and scores that are scores at all."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from core.rollout.counters import LATENCY_EDGES_MS, LATENCY_STEP
from core.rollout.evidence import (
    Array,
    log_e_above,
    log_e_outside,
    log_mean,
    share_of,
)
from core.rollout.limits import Limits
from core.rollout.tallies import Arms, Tally
from core.rollout.verdicts import Observation, nothing_to_compare

TAIL_SHARE = 0.01
_ROUNDING = 1e-9
_EDGES = np.array(LATENCY_EDGES_MS)


def errors_log_e(arms: Arms, limits: Limits) -> Array:
    """Evidence that the challenger's error share is above ``error_share``."""
    challenger = arms.challenger
    return log_e_outside(challenger.errors, challenger.requests, highest=limits.error_share)


def errors_observed(arms: Arms, limits: Limits) -> Observation:
    """Error share of the challenger beside the limit."""
    n, share = float(arms.challenger.requests), _share(arms.challenger)
    if not n:
        return nothing_to_compare("no challenger request to compare")
    return Observation(
        f"{share:.2%} of {n:.0f} challenger requests failed, the limit is {limits.error_share:.2%}",
        is_beyond=share > limits.error_share,
        numbers={"share": share, "n": n, "limit": limits.error_share},
    )


def errors_against_champion_log_e(arms: Arms, limits: Limits) -> Array:
    """Evidence that the challenger fails more than the champion, by more than the margin."""
    challenger, champion = arms.challenger, arms.champion
    return log_e_above(
        challenger.errors,
        challenger.requests,
        champion.errors,
        champion.requests,
        margin=limits.error_margin_share,
    )


def errors_against_champion_observed(arms: Arms, limits: Limits) -> Observation:
    """Error shares of both arms beside each other."""
    share, reference = _share(arms.challenger), _share(arms.champion)
    n, n_reference = float(arms.challenger.requests), float(arms.champion.requests)
    if not (n and n_reference):
        return nothing_to_compare("no requests of both arms to compare")
    limit = reference + limits.error_margin_share
    return Observation(
        f"{share:.2%} of {n:.0f} challenger requests failed and {reference:.2%} of "
        f"{n_reference:.0f} of the champion's, up to {limits.error_margin_share:.2%} more is "
        "allowed",
        is_beyond=share > limit,
        numbers={"share": share, "n": n, "champion_share": reference, "champion_n": n_reference},
    )


def _share(tally: Tally) -> float:
    return float(share_of(tally.errors, tally.requests))


def latency_log_e(arms: Arms, limits: Limits) -> Array:
    """Evidence that more than 1 % took longer than ``p99_ms``, so that p99 is above it.

    A limit between two edges counts as the next edge above.
    """
    total = arms.challenger.latencies.sum(axis=-1)
    return log_e_outside(_over_limit(arms.challenger, limits), total, highest=TAIL_SHARE)


def _over_limit(tally: Tally, limits: Limits) -> Array:
    edge = int(np.searchsorted(_EDGES, limits.p99_ms * (1 - _ROUNDING)))
    return np.asarray(_longer(tally)[..., edge])


def latency_against_champion_log_e(arms: Arms, limits: Limits) -> Array:
    """Evidence that the challenger's p99 is above ``p99_ratio`` times the champion's.

    It is, exactly if for some latency ``x`` more than 1 % of the challenger's requests take
    longer than ``x`` and at most 1 % of the champion's take longer than ``x / p99_ratio``. For
    each edge ``x`` both halves need proof: the lesser of two e-values is one for "one half is
    untrue". Then the mean over ``x``. This is two quantile confidence sequences read the other
    way round (Howard & Ramdas 2022, "Sequential estimation of quantiles", Bernoulli 28(3),
    1704-1728). A ratio between two edges counts as the next one above.

    The champion's half needs about 1,500 of its requests, however slow the challenger is.
    """
    steps = math.ceil(math.log(limits.p99_ratio) / math.log(LATENCY_STEP) - _ROUNDING)
    challenger = _longer(arms.challenger)[..., steps:]
    champion = _longer(arms.champion)[..., : challenger.shape[-1]]
    at, times = _distinct(challenger, champion)
    n = arms.challenger.latencies.sum(axis=-1)[..., np.newaxis]
    n_champion = arms.champion.latencies.sum(axis=-1)[..., np.newaxis]
    slower = log_e_outside(challenger[..., at], n, highest=TAIL_SHARE)
    faster = log_e_outside(champion[..., at], n_champion, lowest=TAIL_SHARE)
    return log_mean(np.minimum(slower, faster) + np.log(times * len(times) / times.sum()))


def _distinct(one: Array, other: Array) -> tuple[NDArray[np.intp], Array]:
    """Places on the last axis where either array changes, and how often each repeats."""
    changes = [
        (np.diff(counts, axis=-1) != 0).reshape(-1, counts.shape[-1] - 1).any(axis=0)
        for counts in (one, other)
    ]
    at = np.concatenate([[0], 1 + np.flatnonzero(changes[0] | changes[1])])
    return at, np.diff(at, append=one.shape[-1]).astype(np.float64)


def _longer(tally: Tally) -> Array:
    """Requests that took longer than each edge."""
    counts = tally.latencies
    return np.asarray(counts[..., ::-1].cumsum(axis=-1)[..., ::-1][..., 1:], dtype=np.float64)


def p99_ms(tally: Tally) -> float:
    """Least edge that at most 1 % took longer than; 0 when nothing was timed.

    Rounded up to an edge (at most 4.7 %), and never above the last, 59 s.
    """
    return _latency_ms(tally, TAIL_SHARE)


def p50_ms(tally: Tally) -> float:
    """Least edge that at most half took longer than; 0 when nothing was timed."""
    return _latency_ms(tally, 0.5)


def _latency_ms(tally: Tally, tail_share: float) -> float:
    total = float(tally.latencies.sum())
    if total == 0:
        return 0.0
    fast_enough = np.flatnonzero(_longer(tally) <= tail_share * total)
    return float(_EDGES[fast_enough[0]] if len(fast_enough) else _EDGES[-1])


def latency_observed(arms: Arms, limits: Limits) -> Observation:
    """Challenger's 99th percentile beside the limit."""
    value, n = p99_ms(arms.challenger), float(arms.challenger.latencies.sum())
    if not n:
        return nothing_to_compare("no latency of the challenger to compare")
    over = float(_over_limit(arms.challenger, limits))
    return Observation(
        f"p99 of {n:.0f} challenger requests is {value:.1f} ms, the limit is {limits.p99_ms:g} ms",
        is_beyond=over > TAIL_SHARE * n,
        numbers={"p99_ms": value, "n": n, "over_limit": over, "limit_ms": limits.p99_ms},
    )


def latency_against_champion_observed(arms: Arms, limits: Limits) -> Observation:
    """99th percentiles of both arms beside each other."""
    value, reference = p99_ms(arms.challenger), p99_ms(arms.champion)
    if not (value and reference):
        return nothing_to_compare("no latencies of both arms to compare")
    return Observation(
        f"p99 is {value:.1f} ms against the champion's {reference:.1f} ms, "
        f"{limits.p99_ratio:g} times is allowed",
        is_beyond=value > limits.p99_ratio * reference * (1 + _ROUNDING),
        numbers={"p99_ms": value, "champion_p99_ms": reference, "ratio": limits.p99_ratio},
    )


def soundness_log_e(arms: Arms, limits: Limits) -> Array:
    """Evidence that scores are no numbers, or one and the same number.

    The mean of two e-processes. The first is of the share that is NaN or infinite, above
    ``nonfinite_share``. The second bets everything on the next score being equal to the first:
    while no score is more common than ``m = repeated_share``, that pays ``1 / m`` each time, so
    ``e = m ** -(n - 1)`` while all ``n`` are equal, and 0 from the first other one on.
    """
    challenger = arms.challenger
    finite = challenger.n_scores
    broken = log_e_outside(
        challenger.nonfinite, challenger.nonfinite + finite, highest=limits.nonfinite_share
    )
    same = (np.maximum(finite, 1.0) - 1.0) * -math.log(limits.repeated_share)
    is_lost = (finite > 1) & ~challenger.is_constant
    return np.logaddexp(broken, np.where(is_lost, -np.inf, same)) - math.log(2)


def soundness_observed(arms: Arms, limits: Limits) -> Observation:
    """Scores that were no numbers, and whether all others were one number."""
    challenger = arms.challenger
    nonfinite, finite = float(challenger.nonfinite), float(challenger.n_scores)
    if not nonfinite + finite:
        return nothing_to_compare("no challenger score to compare")
    share = float(share_of(challenger.nonfinite, challenger.nonfinite + challenger.n_scores))
    is_constant = bool(challenger.is_constant)
    equal = ", and all the others are equal" if is_constant else ""
    return Observation(
        f"{nonfinite:.0f} of {nonfinite + finite:.0f} challenger scores are not finite{equal}",
        is_beyond=is_constant or share > limits.nonfinite_share,
        numbers={"nonfinite": nonfinite, "finite": finite, "is_constant": float(is_constant)},
    )
