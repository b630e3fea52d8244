"""What is counted of each arm in a stage: whole numbers that add up exactly, in any order.

Workers count for themselves; whoever looks merges. A request is counted once it is answered, in
the arm and the stage that its channels assigned. Nothing here knows an entity or an instant.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Mapping

from pydantic import Field, NonNegativeInt, model_validator

from core.features.plan import Frozen

# Four steps are a factor of 1.2, the promise against the champion; 100 ms, the promise to
# callers, is an edge. From 0.07 ms to 59 s.
LATENCY_STEP = 1.2**0.25
_STEPS_BELOW, _STEPS_ABOVE = 160, 140
LATENCY_EDGES_MS = tuple(100.0 * 1.2 ** (k / 4) for k in range(-_STEPS_BELOW, _STEPS_ABOVE + 1))
# Log-odds from -9 to 9 by halves: rare events live at the low end, where equal widths are blind.
SCORE_EDGE_LOGITS = tuple(k / 2 for k in range(-18, 19))
SCORE_EDGES = tuple(1.0 / (1.0 + math.exp(-logit)) for logit in SCORE_EDGE_LOGITS)
LATENCY_BINS = len(LATENCY_EDGES_MS) + 1
SCORE_BINS = len(SCORE_EDGES) + 1


def latency_bin(latency_ms: float) -> int:
    """Bin of a latency: bin ``i`` holds ``edge[i - 1] < latency <= edge[i]``.

    So everything in the bins after ``i`` took longer than ``edge[i]``.

    Examples
    --------
    >>> LATENCY_EDGES_MS[latency_bin(100.0)], latency_bin(0.0), latency_bin(1e9)
    (100.0, 0, 301)
    """
    return bisect_left(LATENCY_EDGES_MS, latency_ms)


def score_bin(score: float) -> int:
    """Bin of a finite score: bin ``i`` holds ``edge[i - 1] <= score < edge[i]``.

    Examples
    --------
    >>> score_bin(0.0), score_bin(0.5), score_bin(1.0)
    (0, 19, 37)
    """
    return bisect_right(SCORE_EDGES, score)


class Counters(Frozen):
    """Counts of one arm in one stage. Merging is exact, associative and commutative.

    ``n_errors`` are requests answered by a fault of ours (never by a refusal of bad input); one
    that never ends is counted when its deadline passes.
    A batch request counts once in ``n_requests``, ``n_errors`` and ``latencies``, and each of
    its points in scores and decisions. Degraded answers count in ``n_degraded`` and in no score
    or decision: they say nothing about the model. ``n_entities`` are entities at their first
    request in the whole experiment. ``n_nonfinite`` are scores that were NaN or infinite; all
    others are in ``scores`` by `score_bin`. ``labelled`` and ``positives`` are labels that have
    come for requests of this stage, in the bin of the score that was answered.
    """

    n_requests: NonNegativeInt = 0
    n_errors: NonNegativeInt = 0
    n_degraded: NonNegativeInt = 0
    n_entities: NonNegativeInt = 0
    latencies: tuple[NonNegativeInt, ...] = (0,) * LATENCY_BINS
    n_nonfinite: NonNegativeInt = 0
    scores: tuple[NonNegativeInt, ...] = (0,) * SCORE_BINS
    lowest_score: float | None = Field(default=None, allow_inf_nan=False)
    highest_score: float | None = Field(default=None, allow_inf_nan=False)
    decisions: dict[str, NonNegativeInt] = Field(default_factory=dict)
    labelled: tuple[NonNegativeInt, ...] = (0,) * SCORE_BINS
    positives: tuple[NonNegativeInt, ...] = (0,) * SCORE_BINS

    @model_validator(mode="after")
    def _adds_up(self) -> Counters:
        if len(self.latencies) != LATENCY_BINS:
            raise ValueError(f"latencies has {len(self.latencies)} bins, not {LATENCY_BINS}")
        for name in ("scores", "labelled", "positives"):
            if len(getattr(self, name)) != SCORE_BINS:
                raise ValueError(f"{name} has not {SCORE_BINS} bins")
        if self.n_errors > self.n_requests:
            raise ValueError("there are more errors than requests")
        if any(p > n for p, n in zip(self.positives, self.labelled, strict=True)):
            raise ValueError("a bin has more positives than labels")
        if (self.lowest_score is None) != (sum(self.scores) == 0):
            raise ValueError("lowest_score goes with scores: both or neither")
        if (self.highest_score is None) != (self.lowest_score is None):
            raise ValueError("lowest_score goes with highest_score: both or neither")
        return self

    @property
    def n_scores(self) -> int:
        """Finite scores counted."""
        return sum(self.scores)

    @property
    def n_labels(self) -> int:
        """Labels that have come."""
        return sum(self.labelled)

    def merged(self, other: Counters) -> Counters:
        """Both counted together.

        Examples
        --------
        >>> one, two = Counters(n_requests=2, n_errors=1), Counters(n_requests=3)
        >>> one.merged(two).n_requests, one.merged(two) == two.merged(one)
        (5, True)
        """
        return Counters(
            n_requests=self.n_requests + other.n_requests,
            n_errors=self.n_errors + other.n_errors,
            n_degraded=self.n_degraded + other.n_degraded,
            n_entities=self.n_entities + other.n_entities,
            latencies=_added(self.latencies, other.latencies),
            n_nonfinite=self.n_nonfinite + other.n_nonfinite,
            scores=_added(self.scores, other.scores),
            lowest_score=min(_known(self.lowest_score, other.lowest_score), default=None),
            highest_score=max(_known(self.highest_score, other.highest_score), default=None),
            decisions=_added_by_name(self.decisions, other.decisions),
            labelled=_added(self.labelled, other.labelled),
            positives=_added(self.positives, other.positives),
        )


def _added(one: tuple[int, ...], other: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(a + b for a, b in zip(one, other, strict=True))


def _known(one: float | None, other: float | None) -> list[float]:
    return [value for value in (one, other) if value is not None]


def _added_by_name(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return {name: one.get(name, 0) + other.get(name, 0) for name in sorted({*one, *other})}


class Period(Frozen):
    """Both arms over the same time at one setting. ``weight`` is the challenger's share.

    One period for each stage so far; a stage that was left keeps its last counts.
    """

    stage: NonNegativeInt
    weight: float = Field(gt=0, le=1)
    champion: Counters = Counters()
    challenger: Counters = Counters()
