"""Simulated traffic of two arms, many runs at once, in the counts that the gates see."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from core.rollout.counters import (
    LATENCY_EDGES_MS,
    SCORE_BINS,
    SCORE_EDGE_LOGITS,
    Counters,
    Period,
)
from core.rollout.stages import Stage
from core.rollout.tallies import Arms, Tally

Array = NDArray[np.float64]
DECISIONS = ("APPROVE", "BLOCK", "REVIEW")
REVIEW_FROM, BLOCK_FROM = 0.0, 2.0  # log-odds
NEW_ENTITY_SHARE = 0.3
_LOGITS = np.array(SCORE_EDGE_LOGITS)
_MIDDLES = np.concatenate([[-9.25], (_LOGITS[1:] + _LOGITS[:-1]) / 2, [9.25]])
_BIN_DECISIONS = np.stack(
    [
        _MIDDLES < REVIEW_FROM,
        _MIDDLES > BLOCK_FROM,
        (_MIDDLES > REVIEW_FROM) & (_MIDDLES < BLOCK_FROM),
    ],
    axis=1,
).astype(np.float64)


def _normal_cdf(x: Array) -> Array:
    return np.array([0.5 * math.erfc(-value / math.sqrt(2)) for value in x.tolist()])


def _between(cdf: Array) -> Array:
    probabilities: Array = np.diff(np.concatenate([[0.0], cdf, [1.0]]))
    return probabilities


@dataclass(frozen=True)
class World:
    """How one arm behaves. Scores are normal in log-odds, latencies log-normal plus a delay.

    ``truth_logits`` is added to a score's log-odds to give those of its label: 0 is calibrated.
    """

    error_share: float = 0.002
    median_ms: float = 8.0
    delay_ms: float = 0.0
    latency_sigma: float = 0.5
    logit_mean: float = -3.0
    logit_sd: float = 1.5
    nonfinite_share: float = 0.0
    is_constant: bool = False
    labelled_share: float = 0.0
    truth_logits: float = 0.0

    @lru_cache(maxsize=64)  # noqa: B019 - worlds are few and small
    def latencies(self) -> Array:
        """Probability of each latency bin."""
        edges = np.maximum(np.array(LATENCY_EDGES_MS) - self.delay_ms, 1e-300)
        probabilities = _between(_normal_cdf(np.log(edges / self.median_ms) / self.latency_sigma))
        probabilities[probabilities < 1e-9] = 0.0
        shares: Array = probabilities / probabilities.sum()
        return shares

    @lru_cache(maxsize=64)  # noqa: B019 - as above
    def scores(self) -> Array:
        """Probability of each score bin."""
        if self.is_constant:
            at = int(np.searchsorted(_LOGITS, self.logit_mean))
            return np.asarray(np.arange(SCORE_BINS) == at, dtype=np.float64)
        return _between(_normal_cdf((_LOGITS - self.logit_mean) / self.logit_sd))

    def rates(self) -> Array:
        """Probability of a positive in each score bin."""
        return np.asarray(1.0 / (1.0 + np.exp(-_MIDDLES - self.truth_logits)))


def champion() -> World:
    """An ordinary fraud model: 0.2 % errors, p99 26 ms, a tenth of its scores above 0.25."""
    return World()


def harmful() -> dict[str, World]:
    """Challengers that must be rolled back."""
    return {
        "5 % errors": replace(champion(), error_share=0.05),
        "+50 ms": replace(champion(), delay_ms=50.0),
        "NaN scores": replace(champion(), nonfinite_share=1.0),
        "1 % NaN scores": replace(champion(), nonfinite_share=0.01),
        "constant score": replace(champion(), is_constant=True),
        "scores +1 in log-odds": replace(champion(), logit_mean=-2.0),
        "scores -1 in log-odds": replace(champion(), logit_mean=-4.0),
    }


def better() -> World:
    """A sharper, faster, sounder model of the same base rate."""
    return World(error_share=0.001, median_ms=7.0, logit_mean=-3.13, logit_sd=1.65)


def _draw(rng: np.random.Generator, n: NDArray[np.int64], probabilities: Array) -> Array:
    """Multinomial counts of shape ``(runs, bins)``, drawn over the bins that can be hit."""
    hit = np.flatnonzero(probabilities > 0)
    counts = np.zeros((len(n), len(probabilities)))
    counts[:, hit] = rng.multinomial(n, probabilities[hit] / probabilities[hit].sum())
    return counts


def drawn(rng: np.random.Generator, world: World, n: NDArray[np.int64]) -> Tally:
    """Counts of ``n`` requests (one number a run) of an arm."""
    errors = rng.binomial(n, world.error_share)
    nonfinite = rng.binomial(n - errors, world.nonfinite_share)
    scores = _draw(rng, n - errors - nonfinite, world.scores())
    labelled = rng.binomial(scores.astype(np.int64), world.labelled_share)
    return Tally(
        requests=n.astype(np.float64),
        errors=errors.astype(np.float64),
        entities=rng.binomial(n, NEW_ENTITY_SHARE).astype(np.float64),
        latencies=_draw(rng, n, world.latencies()),
        nonfinite=nonfinite.astype(np.float64),
        scores=scores,
        is_constant=np.full(n.shape, world.is_constant),
        decisions=scores @ _BIN_DECISIONS,
        labelled=labelled.astype(np.float64),
        positives=rng.binomial(labelled, world.rates()).astype(np.float64),
    )


def added(one: Tally, other: Tally) -> Tally:
    """Both counted together, run by run."""
    sums = {
        name: getattr(one, name) + getattr(other, name)
        for name in Tally.__dataclass_fields__
        if name != "is_constant"
    }
    return Tally(**sums, is_constant=one.is_constant & other.is_constant)


@dataclass(frozen=True)
class Traffic:
    """Two worlds, many runs at once.

    ``actual_share`` is what the challenger really gets. ``repeats`` has an entity send each of
    its requests so many times with the same end: less evidence than the counts pretend.
    """

    champion: World
    challenger: World
    runs: int
    actual_share: float | None = None
    repeats: int = 1

    def arms(self, rng: np.random.Generator, stage: Stage, total: int) -> Arms:
        """Counts of ``total`` requests to both arms in a stage."""
        share = stage.weight if self.actual_share is None else self.actual_share
        total = total // self.repeats
        n = rng.binomial(total, share, size=self.runs)
        challenger = repeated(drawn(rng, self.challenger, n), self.repeats)
        reference = repeated(drawn(rng, self.champion, total - n), self.repeats)
        return Arms(reference, challenger, stage.weight)

    def watched(self, rng: np.random.Generator, stage: Stage, looks: int) -> Iterator[Arms]:
        """Counts so far at each of ``looks``; the stage lasts for its minimum of requests."""
        total = round(stage.minimum_requests / stage.weight / looks)
        present: Arms | None = None
        for _ in range(looks):
            new = self.arms(rng, stage, total)
            present = new if present is None else together(present, new)
            yield present


def repeated(tally: Tally, times: int) -> Tally:
    """Every request so many times; entities once."""
    counts = {
        name: getattr(tally, name) * times
        for name in Tally.__dataclass_fields__
        if name not in {"is_constant", "entities"}
    }
    return replace(tally, **counts)


def together(one: Arms, other: Arms) -> Arms:
    """Both counted together, arm by arm."""
    return Arms(
        added(one.champion, other.champion), added(one.challenger, other.challenger), one.weight
    )


def period_of(arms: Arms, stage: int, run: int) -> Period:
    """Counters of one run, as the controller would be given them."""
    return Period(
        stage=stage,
        weight=arms.weight,
        champion=_counters(arms.champion, run),
        challenger=_counters(arms.challenger, run),
    )


def _counters(tally: Tally, run: int) -> Counters:
    scores = tally.scores[run].astype(int).tolist()
    lowest = highest = None
    if sum(scores):
        lowest, highest = 0.25, 0.25 if tally.is_constant[run] else 0.75
    return Counters(
        n_requests=int(tally.requests[run]),
        n_errors=int(tally.errors[run]),
        n_entities=int(tally.entities[run]),
        latencies=tuple(tally.latencies[run].astype(int).tolist()),
        n_nonfinite=int(tally.nonfinite[run]),
        scores=tuple(scores),
        lowest_score=lowest,
        highest_score=highest,
        decisions=dict(zip(DECISIONS, tally.decisions[run].astype(int).tolist(), strict=True)),
        labelled=tuple(tally.labelled[run].astype(int).tolist()),
        positives=tuple(tally.positives[run].astype(int).tolist()),
    )
