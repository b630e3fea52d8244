"""May a candidate become a release? The declared rule, answered in numbers and words.

The first release must beat the declared floor. A later one must beat the champion on the
candidate's own test rows (numbers from two periods say nothing about two models), and in no
slice of them be surely worse by more than is tolerated. No release may be surely unfair to a
declared group.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from core.fairness import FairnessReport
from core.features.plan import Frozen
from core.interface import Compatibility
from core.stats.metrics import Estimate
from core.use_case import ModelSpec
from training.comparison import Comparison
from training.evaluation import Evaluation

SHOWN = 3


class Verdict(Frozen):
    """``limit`` is what the candidate's ``value`` of ``metric`` had to exceed."""

    is_better: bool
    because: str
    metric: str
    value: float
    limit: float
    against: str
    evaluation: Evaluation = Evaluation()
    contract: Compatibility | None = None

    def held_to(self, contract: Compatibility | None) -> Verdict:
        """The same where callers of what serves now are answered by the candidate; else refused."""
        if contract is None or contract.word == "same":
            return self
        return self._joined(contract).model_copy(update={"contract": contract})

    def held_to_events(self, found: Sequence[Compatibility]) -> Verdict:
        """The same where senders of events are taken by the candidate's sources; else refused."""
        verdict = self
        for each in found:
            verdict = verdict if each.word == "same" else verdict._joined(each)
        return verdict

    def _joined(self, contract: Compatibility) -> Verdict:
        joined = "; " if contract.is_allowed else "; but "
        return self.model_copy(
            update={
                "is_better": self.is_better and contract.is_allowed,
                "because": f"{self.because}{joined}{contract.sentence()}",
            }
        )


def is_better(
    spec: ModelSpec, candidate: Mapping[str, Estimate], evaluation: Evaluation | None = None
) -> Verdict:
    """Verdict on a candidate.

    Parameters
    ----------
    spec
        Declares the metric (larger is better), the floor and what is tolerated in a slice.
    candidate
        Test metrics of the candidate.
    evaluation
        What was found beside the champion, and by groups; None for neither.
    """
    found = evaluation or Evaluation()
    comparison, mine = found.comparison, candidate[spec.metric]
    against, limit = "the declared floor", spec.floor
    if comparison is not None and comparison.metrics[spec.metric].value >= spec.floor:
        against = f"release {comparison.champion} on {comparison.measured_on}"
        limit = comparison.metrics[spec.metric].value
    passed = mine.value > limit
    verb = "beats" if passed else "does not beat"
    words = [
        f"{spec.metric} {mine.value:.4f} (95 % interval {mine.low:.4f} to {mine.high:.4f}) "
        f"{verb} {limit:.4f} of {against}{_difference(comparison)}"
    ]
    faults = [*_worse(spec, comparison), *_unfair(found.fairness)]
    return Verdict(
        is_better=passed and not faults,
        because="; but ".join(words + faults) if passed else "; ".join(words + faults),
        metric=spec.metric,
        value=mine.value,
        limit=limit,
        against=against,
        evaluation=found,
    )


def _difference(comparison: Comparison | None) -> str:
    if comparison is None or comparison.difference is None:
        return ""
    found = comparison.difference
    return f", a difference of {found.value:+.4f} ({found.low:+.4f} to {found.high:+.4f})"


def _worse(spec: ModelSpec, comparison: Comparison | None) -> list[str]:
    slices = comparison.worse if comparison is not None else ()
    if not slices:
        return []
    named = ", ".join(
        f"{part.name} ({part.candidate:.4f} after {part.champion:.4f})" for part in slices[:SHOWN]
    )
    return [
        f"is surely worse by more than {spec.slice_tolerance:g} in {len(slices)} slices: {named}"
    ]


def _unfair(fairness: FairnessReport | None) -> list[str]:
    verdicts = fairness.unfair if fairness is not None else ()
    return [f"is unfair: {verdict.sentence()}" for verdict in verdicts[:SHOWN]]
