"""May a candidate become a release? The declared rule, answered in numbers and words.

The first release must beat the declared floor. A later one must beat the champion, which
is scored here on the candidate's own test rows: numbers from two periods say nothing
about two models.
"""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from core.features.plan import Frozen, feature_column
from core.stats.metrics import Estimate, estimates, ranked
from core.use_case import ModelSpec
from stores.bundle import Bundle
from training.examples import examples_of
from training.onnx_export import OnnxScorer


class Verdict(Frozen):
    """``limit`` is what the candidate's ``value`` of ``metric`` had to exceed."""

    is_better: bool
    because: str
    metric: str
    value: float
    limit: float
    against: str


class ChampionMetrics(Frozen):
    """Metrics of the champion, and in words which rows they were measured on."""

    metrics: dict[str, Estimate]
    measured_on: str


def is_better(
    spec: ModelSpec,
    candidate: Mapping[str, Estimate],
    champion: ChampionMetrics | None = None,
    *,
    champion_name: str = "the champion",
) -> Verdict:
    """Verdict on a candidate.

    Parameters
    ----------
    spec
        Declares the metric (larger is better) and the floor.
    candidate
        Test metrics of the candidate.
    champion
        What ``champion_metrics`` found; None where no release is served yet.
    champion_name
        How the words call it.
    """
    mine = candidate[spec.metric]
    against, limit = "the declared floor", spec.floor
    if champion is not None and champion.metrics[spec.metric].value >= spec.floor:
        against = f"{champion_name} on {champion.measured_on}"
        limit = champion.metrics[spec.metric].value
    passed = mine.value > limit
    verb = "beats" if passed else "does not beat"
    because = (
        f"{spec.metric} {mine.value:.4f} (95 % interval {mine.low:.4f} to {mine.high:.4f}) "
        f"{verb} {limit:.4f} of {against}"
    )
    return Verdict(
        is_better=passed,
        because=because,
        metric=spec.metric,
        value=mine.value,
        limit=limit,
        against=against,
    )


def champion_metrics(champion: Bundle, spec: ModelSpec, table: pa.Table) -> ChampionMetrics:
    """Metrics of a released bundle on the test part of ``table``.

    Where the declaration has changed and the table lacks a column of the champion's
    vector, the metrics of its own release are the best there is, and the words say so.
    """
    plan = champion.manifest.plan
    missing = [name for name in plan.vector if feature_column(name) not in table.column_names]
    if missing:
        words = f"its own test rows (this snapshot lacks {', '.join(missing)})"
        return ChampionMetrics(metrics=champion.manifest.metrics, measured_on=words)
    test = examples_of(plan, table, spec.split).test
    scores = OnnxScorer(champion.model).scores(test.vectors)
    found = estimates(ranked(scores, test.labels, test.weights), spec.seed)
    return ChampionMetrics(metrics=found, measured_on="the same rows")
