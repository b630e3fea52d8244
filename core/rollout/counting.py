"""Counters while they grow: one writer adds to them in a few hundred nanoseconds a request."""

from __future__ import annotations

import math
from collections import Counter

from core.rollout.counters import LATENCY_BINS, SCORE_BINS, Counters, latency_bin, score_bin


class ArmCount:
    """Counts of one arm in one stage, of one worker.

    Examples
    --------
    >>> count = ArmCount()
    >>> count.requested(12.5)
    >>> count.answered(0.02, "APPROVE")
    >>> count.counters().n_requests, count.counters().decisions
    (1, {'APPROVE': 1})
    """

    __slots__ = (
        "_decisions",
        "_highest",
        "_latencies",
        "_lowest",
        "_scores",
        "n_degraded",
        "n_entities",
        "n_errors",
        "n_nonfinite",
        "n_requests",
    )

    def __init__(self) -> None:
        self.n_requests = self.n_errors = self.n_degraded = 0
        self.n_entities = self.n_nonfinite = 0
        self._latencies = [0] * LATENCY_BINS
        self._scores = [0] * SCORE_BINS
        self._decisions: Counter[str] = Counter()
        self._lowest, self._highest = math.inf, -math.inf

    def requested(self, latency_ms: float, *, is_error: bool = False) -> None:
        """Count one request, when it has ended; ``is_error`` by a fault of ours."""
        self.n_requests += 1
        self.n_errors += is_error
        self._latencies[latency_bin(latency_ms)] += 1

    def answered(self, score: float, decision: str) -> None:
        """Count one whole answer: not a degraded one, which says nothing about the model."""
        if not math.isfinite(score):
            self.n_nonfinite += 1
            return
        self._scores[score_bin(score)] += 1
        self._decisions[decision] += 1
        self._lowest, self._highest = min(self._lowest, score), max(self._highest, score)

    def counters(self) -> Counters:
        """What was counted so far."""
        has_scores = self._lowest <= self._highest
        return Counters(
            n_requests=self.n_requests,
            n_errors=self.n_errors,
            n_degraded=self.n_degraded,
            n_entities=self.n_entities,
            latencies=tuple(self._latencies),
            n_nonfinite=self.n_nonfinite,
            scores=tuple(self._scores),
            lowest_score=self._lowest if has_scores else None,
            highest_score=self._highest if has_scores else None,
            decisions=dict(self._decisions),
        )
