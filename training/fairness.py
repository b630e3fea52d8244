"""The fairness gate's figures, by Fairlearn: rates of each declared group on the test part."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from fairlearn.metrics import (  # type: ignore[import-untyped]
    MetricFrame,
    false_negative_rate,
    false_positive_rate,
    selection_rate,
)
from numpy.typing import NDArray

from core.decisions import Decider
from core.fairness import (
    RATES,
    FairnessReport,
    GroupRate,
    Rate,
    rate_verdict,
)
from core.features.plan import Plan
from core.rules.binding import known_names
from core.use_case import UseCase
from training.examples import Part

FUNCTIONS: dict[Rate, Callable[..., float]] = {
    "selected": selection_rate,
    "false_positive": false_positive_rate,
    "false_negative": false_negative_rate,
}
OF_LABEL: dict[Rate, tuple[int, ...]] = {
    "selected": (0, 1),
    "false_positive": (0,),
    "false_negative": (1,),
}
"""Labels of the rows that a rate is about."""


def fairness_of(
    use_case: UseCase, plan: Plan, part: Part, scores: NDArray[np.floating]
) -> FairnessReport | None:
    """Every declared rate on rows with ``scores``; None where no fairness is declared.

    ``part.values`` holds what decision rules and groups read.
    """
    declared = use_case.fairness
    if declared is None:
        return None
    decider = Decider.of(use_case.decisions, plan)
    names = np.asarray([outcome.decision for outcome in decider.outcomes])
    is_adverse = np.isin(names[decider.fired(scores, part.values)], declared.adverse)
    known = known_names(plan)
    verdicts = []
    for groups in declared.groups:
        members = groups.names_of(part.values[groups.qualified], known[groups.qualified])
        for rate in RATES:
            rates = _rates(rate, part, is_adverse, members)
            verdicts.append(rate_verdict(declared, groups.reads, rate, rates))
    return FairnessReport(
        adverse=declared.adverse, verdicts=tuple(each for each in verdicts if each is not None)
    )


def _rates(
    rate: Rate, part: Part, is_adverse: NDArray[np.bool_], members: NDArray[np.str_]
) -> list[GroupRate]:
    """A rate of each group that has rows which it is about."""
    is_about = np.isin(part.labels, OF_LABEL[rate])
    if not is_about.any():
        return []
    weights, groups = part.weights[is_about], members[is_about]
    frame: Any = MetricFrame(
        metrics=FUNCTIONS[rate],
        y_true=part.labels[is_about],
        y_pred=is_adverse[is_about].astype(np.int64),
        sensitive_features=groups,
        sample_params={"sample_weight": weights},
    )
    return [
        GroupRate(
            group=str(group),
            value=float(value),
            n_rows=int((groups == group).sum()),
            n_effective=_effective(weights[groups == group]),
        )
        for group, value in frame.by_group.items()
    ]


def _effective(weights: NDArray[np.float64]) -> float:
    """Rows of equal weight that would say as much (Kish)."""
    return float(weights.sum() ** 2 / np.sum(weights**2))
