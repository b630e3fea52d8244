"""What two arms of a rollout counted, and what the gates say of it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.rollout.counters import (
    LATENCY_BINS,
    SCORE_BINS,
    Counters,
    Period,
    latency_bin,
    score_bin,
)
from core.rollout.gates import GATES, judged
from core.rollout.limits import Limits
from core.rollout.verdicts import Verdict

LIMITS = Limits()
BY_NAME = {gate.name: gate for gate in GATES}


def binned(bins: int, **counts: int) -> tuple[int, ...]:
    """Counts by bin, each named ``_<bin>``."""
    values = [0] * bins
    for index, count in counts.items():
        values[int(index[1:])] += count
    return tuple(values)


def latencies(*pairs: tuple[float, int]) -> tuple[int, ...]:
    """Counts by bin of pairs of milliseconds and how many requests took them."""
    return binned(LATENCY_BINS, **{f"_{latency_bin(ms)}": count for ms, count in pairs})


def scored(*pairs: tuple[float, int], **fields: Any) -> Counters:
    """What an arm counted that gave these scores, each so many times."""
    scores = binned(SCORE_BINS, **{f"_{score_bin(score)}": count for score, count in pairs})
    values = [score for score, _ in pairs]
    ends = {"lowest_score": min(values), "highest_score": max(values)} if values else {}
    return Counters(scores=scores, **ends, **fields)


def with_labels(rate: float, n: int = 4_000, score: float = 0.1) -> Counters:
    """What an arm counted that gave one score ``n`` times and was right by ``rate``."""
    bins = f"_{score_bin(score)}"
    return Counters(
        labelled=binned(SCORE_BINS, **{bins: n}),
        positives=binned(SCORE_BINS, **{bins: round(n * rate)}),
    )


def verdict_of(
    name: str, challenger: Counters, champion: Counters | None = None, weight: float = 0.05
) -> Verdict:
    """What one gate says in the first of six stages."""
    period = Period(stage=0, weight=weight, challenger=challenger, champion=champion or Counters())
    verdicts = {verdict.gate: verdict for verdict in judged([period], LIMITS, n_stages=6)}
    return verdicts[name]


def states_of(challenger: Counters, champion: Counters | None = None) -> dict[str, str]:
    """What every gate says in the first of six stages, at half the requests."""
    period = Period(stage=0, weight=0.5, challenger=challenger, champion=champion or Counters())
    return {verdict.gate: verdict.state for verdict in judged([period], LIMITS, n_stages=6)}


def number(value: float) -> NDArray[np.float64]:
    """A number as the array that evidence is computed from."""
    return np.array(float(value))
