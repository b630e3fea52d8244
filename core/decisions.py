"""Decisions: the declared policy that turns a score into an action with reasons."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from core.errors import IntegrityError
from core.features.plan import Frozen

# Half a unit of the fifth decimal. Two right executions of one model (training and serving,
# CPU and GPU, one row and a batch) differ by about 1e-6 in float32; a score that sits on a
# threshold must not be decided by that. A margin on one side moves the line to where no
# declared threshold, and so no plateau of scores at one, can be.
MARGIN = 5e-6


class Rule(Frozen):
    """``decision`` when the score is strictly above ``above``."""

    decision: str = Field(min_length=1)
    above: float = Field(ge=0, lt=1, allow_inf_nan=False)
    reason: str = Field(min_length=1)


class DecisionPolicy(Frozen):
    """Ordered rules; the first that holds decides, else ``default``."""

    rules: tuple[Rule, ...]
    default: str
    default_reason: str

    @property
    def decisions(self) -> tuple[str, ...]:
        """Every decision that can be made, in order of the rules, the default last."""
        return tuple(dict.fromkeys([rule.decision for rule in self.rules] + [self.default]))

    @property
    def thresholds(self) -> tuple[float, ...]:
        """Thresholds of the rules, in their order."""
        return tuple(rule.above for rule in self.rules)


def decide(policy: DecisionPolicy, score: float) -> tuple[str, str]:
    """Decision and reason for one score.

    A score is above a threshold when it exceeds it by more than ``MARGIN`` (5e-6), so
    that float noise at the threshold never turns a decision.

    Raises
    ------
    IntegrityError
        If the score is not a finite number: no model of ours answers that.

    Examples
    --------
    >>> block = Rule(decision="BLOCK", above=0.9, reason="fraud_very_likely")
    >>> policy = DecisionPolicy(rules=(block,), default="APPROVE", default_reason="no_sign")
    >>> decide(policy, 0.95), decide(policy, 0.9000001)
    (('BLOCK', 'fraud_very_likely'), ('APPROVE', 'no_sign'))
    """
    if not math.isfinite(score):
        raise IntegrityError(
            "a score is not a number",
            found=repr(float(score)),
            remedy="roll back to a release that answers its golden points",
            code="score_not_finite",
        )
    for rule in policy.rules:
        if float(score) > rule.above + MARGIN:
            return rule.decision, rule.reason
    return policy.default, policy.default_reason


def rule_index(policy: DecisionPolicy, scores: NDArray[np.floating]) -> NDArray[np.int64]:
    """Index of the rule that decides each score; ``len(policy.rules)`` is the default.

    The vectorised form of ``decide``, with the same arithmetic in float64. Scores must be
    finite; a NaN counts as the default here.

    Parameters
    ----------
    policy
        Declared policy.
    scores
        Shape ``(n,)``.

    Returns
    -------
    NDArray
        Shape ``(n,)``.

    Examples
    --------
    >>> review = Rule(decision="REVIEW", above=0.5, reason="r")
    >>> policy = DecisionPolicy(rules=(review,), default="APPROVE", default_reason="d")
    >>> rule_index(policy, np.array([0.2, 0.7])).tolist()
    [1, 0]
    """
    exact = np.asarray(scores, dtype=np.float64)
    index = np.full(exact.shape, len(policy.rules), dtype=np.int64)
    for position in reversed(range(len(policy.rules))):
        index[exact > policy.rules[position].above + MARGIN] = position
    return index
