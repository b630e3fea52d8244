"""A candidate beside the champion: both on the same recent rows, over all and slice by slice.

Both are measured on the candidate's test part. Split by time, neither was fitted to it, as the
champion is older; split at random, the champion may have seen some of it, which favours it. Rows
are drawn again for both alike (a paired bootstrap), so the interval of the difference is that of
the models and not of the rows.
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import NormalDist

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from core.features.plan import Frozen, Plan, feature_column
from core.stats.metrics import METRICS, RESAMPLES, Estimate, Ranked, estimates, ranked
from core.stats.slices import MIN_POSITIVE, MIN_ROWS, Mask
from core.use_case import ModelSpec
from stores.shelf.bundle import Bundle
from training.examples import Part, examples_of
from training.onnx_export import OnnxScorer
from training.slices import slice_masks

SLICE_RESAMPLES = 100
ALPHA = 0.05
SAME_ROWS = "the same rows"

Scores = Callable[[NDArray[np.float32]], NDArray[np.floating]]
Array = NDArray[np.float64]


class SliceComparison(Frozen):
    """One slice: the metric of both, candidate minus champion with its 95 % interval.

    ``is_worse``: the candidate is surely worse by more than is tolerated, with the chance of one
    false word over all slices held at 5 %.
    """

    name: str
    n_rows: int
    n_positive: int
    candidate: float
    champion: float
    difference: Estimate
    is_worse: bool


class Comparison(Frozen):
    """What the champion gives where the candidate is measured; ``difference`` is of ``metric``.

    Where the declaration has changed and the rows lack a column of the champion's vector, its
    metrics are those of its own release, and ``difference`` and ``slices`` are not known.
    """

    champion: int
    metric: str
    measured_on: str
    n_rows: int = 0
    metrics: dict[str, Estimate]
    difference: Estimate | None = None
    slices: tuple[SliceComparison, ...] = ()

    @property
    def worse(self) -> tuple[SliceComparison, ...]:
        """Slices in which the candidate is surely worse than is tolerated."""
        return tuple(part for part in self.slices if part.is_worse)


def compared(
    spec: ModelSpec, plan: Plan, candidate: Scores, champion: Bundle, table: pa.Table
) -> Comparison:
    """Comparison on the test part of ``table``.

    Parameters
    ----------
    spec
        Declares the metric, and what is tolerated in a slice.
    plan
        The candidate's, whose declaration the slices come from.
    candidate
        Scores of its vectors.
    champion
        The release that serves.
    table
        The candidate's training set.
    """
    manifest = champion.manifest
    missing = [n for n in manifest.plan.vector if feature_column(n) not in table.column_names]
    if missing:
        return Comparison(
            champion=manifest.release,
            metric=spec.metric,
            measured_on=f"its own test rows (this snapshot lacks {', '.join(missing)})",
            metrics=manifest.metrics,
        )
    mine = examples_of(plan, table, spec.split).test
    theirs = examples_of(manifest.plan, table, spec.split).test
    scores = OnnxScorer(champion.model).scores(theirs.vectors)
    pair = _Pair(mine, candidate(mine.vectors), scores, spec)
    return Comparison(
        champion=manifest.release,
        metric=spec.metric,
        measured_on=SAME_ROWS,
        n_rows=len(mine),
        metrics=estimates(ranked(scores, mine.labels, mine.weights), spec.seed),
        difference=_estimate(*pair.differences(np.ones(len(mine), dtype=bool), RESAMPLES)[:2]),
        slices=pair.slices(slice_masks(plan, mine)),
    )


class _Pair:
    """Two models' scores of the same rows, measured on any of them."""

    def __init__(
        self,
        part: Part,
        candidate: NDArray[np.floating],
        champion: NDArray[np.floating],
        spec: ModelSpec,
    ) -> None:
        self._part = part
        self._scores = (np.asarray(candidate), np.asarray(champion))
        self._metric = METRICS[spec.metric]
        self._spec = spec

    def differences(self, mask: Mask, resamples: int) -> tuple[float, Array, tuple[float, float]]:
        """Difference on some rows, those of rows drawn again, and both values."""
        generator = np.random.default_rng(self._spec.seed)
        sides = [_Side(scores[mask], self._part, mask) for scores in self._scores]
        values = [self._metric(side.rows) for side in sides]
        drawn: list[float] = []
        for _ in range(resamples):
            counts = generator.poisson(1.0, int(mask.sum())).astype(np.float64)
            both = [side.drawn(counts) for side in sides]
            if _has_both_classes(both[0]):
                drawn.append(self._metric(both[0]) - self._metric(both[1]))
        return values[0] - values[1], np.asarray(drawn), (values[0], values[1])

    def slices(self, masks: list[tuple[str, Mask]]) -> tuple[SliceComparison, ...]:
        """Every slice that is large enough."""
        labels = self._part.labels
        large = [
            (name, mask)
            for name, mask in masks
            if mask.sum() >= MIN_ROWS
            and MIN_POSITIVE <= labels[mask].sum() <= mask.sum() - MIN_POSITIVE
        ]
        z = NormalDist().inv_cdf(1 - ALPHA / max(len(large), 1))
        return tuple(self._slice(name, mask, z) for name, mask in large)

    def _slice(self, name: str, mask: Mask, z: float) -> SliceComparison:
        difference, drawn, (candidate, champion) = self.differences(mask, SLICE_RESAMPLES)
        most = difference + z * float(np.std(drawn)) if len(drawn) else np.inf
        return SliceComparison(
            name=name,
            n_rows=int(mask.sum()),
            n_positive=int(self._part.labels[mask].sum()),
            candidate=candidate,
            champion=champion,
            difference=_estimate(difference, drawn),
            is_worse=bool(most < -self._spec.slice_tolerance),
        )


class _Side:
    """One model's scores, ranked once; ``drawn`` counts rows in the order that they came in."""

    def __init__(self, scores: NDArray[np.floating], part: Part, mask: Mask) -> None:
        exact = np.asarray(scores, dtype=np.float64)
        self._order = np.argsort(-exact, kind="stable")
        self.rows = ranked(exact, part.labels[mask], part.weights[mask])

    def drawn(self, counts: Array) -> Ranked:
        return self.rows.reweighted(counts[self._order])


def _has_both_classes(rows: Ranked) -> bool:
    positive = float(np.sum(rows.weights * rows.labels))
    return 0 < positive < float(np.sum(rows.weights))


def _estimate(value: float, drawn: Array) -> Estimate:
    if not len(drawn):
        return Estimate(value=value, low=value, high=value)
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Estimate(value=value, low=float(low), high=float(high))
