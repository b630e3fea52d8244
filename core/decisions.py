"""Decisions: the declared policy that turns a score into an action with reasons."""

from __future__ import annotations

from core.features.plan import Frozen


class Rule(Frozen):
    """``decision`` when the score is strictly above ``above``."""

    decision: str
    above: float
    reason: str


class DecisionPolicy(Frozen):
    """Ordered rules; the first that holds decides, else ``default``."""

    rules: tuple[Rule, ...]
    default: str
    default_reason: str
