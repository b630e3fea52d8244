"""May a candidate become a release? The declared rule, answered in numbers and words.

The first release must beat the declared floor. A later one must beat the champion, which
is scored here on the candidate's own test rows: numbers from two periods say nothing
about two models.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from core.features.plan import Frozen, feature_column
from core.use_case import ModelSpec
from stores.bundle import Bundle, Estimate
from training.examples import examples_of
from training.metrics import estimates, ranked
from training.onnx_export import OnnxScorer


class Verdict(Frozen):
    """``limit`` is what the candidate's ``value`` of ``metric`` had to exceed."""

    is_better: bool
    because: str
    metric: str
    value: float
    limit: float
    against: str


def is_better(
    spec: ModelSpec,
    candidate: Mapping[str, Estimate],
    champion: Mapping[str, Estimate] | None = None,
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
        Metrics of the champion on the same rows (``champion_metrics``); None where no
        release is served yet.
    champion_name
        How the words call it.
    """
    mine = candidate[spec.metric]
    against, limit = "the declared floor", spec.floor
    if champion is not None and champion[spec.metric].value >= spec.floor:
        against, limit = champion_name, champion[spec.metric].value
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


def champion_metrics(
    champion: Bundle, spec: ModelSpec, table: pa.Table
) -> dict[str, Estimate] | None:
    """Metrics of a released bundle on the test part of ``table``.

    None where the table lacks a column of the champion's vector: then the two cannot be
    compared on the same rows, and a person has to decide.
    """
    plan = champion.manifest.plan
    missing = {name for name in plan.vector if feature_column(name) not in table.column_names}
    if missing:
        return None
    test = examples_of(plan, table, spec.split).test
    scores = OnnxScorer(champion.model).scores(test.vectors)
    return estimates(ranked(scores.astype(np.float64), test.labels, test.weights), spec.seed)
