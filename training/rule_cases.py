"""Golden cases of a policy: values at and beside everything that its rules compare with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from core.decisions import Decider, DecisionPolicy
from core.features.plan import Plan
from core.rules.binding import bound, known_names
from core.rules.condition import MARGIN, SCORE, Comparison, Name, Number, atoms_of
from stores.shelf.golden import RuleCases

CASES = 256
MISSING_SHARE = 0.1
_ALWAYS = (0.0, 1.0, -1.0, 1e3, 1e6)
"""Tried of every value, also of one that is compared with no constant."""


def rule_cases(policy: DecisionPolicy, plan: Plan, seed: int) -> RuleCases:
    """Cases that ask every comparison on both of its sides, drawn by ``seed``.

    Half of the values lie at a constant that a rule compares them with, or one beside it,
    the others at one of a few; every tenth is missing. Half of the scores lie at a line, the
    others anywhere.
    """
    rng = np.random.default_rng(seed)
    decider, constants = Decider.of(policy, plan), _constants(policy, plan)
    values = {name: _drawn(rng, constants.get(name, [0.0])) for name in decider.reads}
    scores = _scores(rng, constants.get(SCORE, [0.5]))
    decided = decider.decide(scores, values)
    return RuleCases(
        scores=tuple(scores.tolist()),
        values={
            name: tuple(None if np.isnan(value) else float(value) for value in column)
            for name, column in values.items()
        },
        rules=tuple(each.rule for each in decided),
    )


def _constants(policy: DecisionPolicy, plan: Plan) -> dict[str, list[float]]:
    """Constants that rules compare each name with."""
    found: dict[str, list[float]] = {}
    known = known_names(plan)
    for rule in policy.rules:
        for atom in atoms_of(bound(rule.condition, known)):
            match atom:
                case Comparison(left=Name(qualified), right=Number(value)):
                    found.setdefault(qualified, []).append(value)
    return found


def _drawn(rng: np.random.Generator, constants: Sequence[float]) -> NDArray[np.float64]:
    near = rng.choice(constants, CASES) + rng.choice([-1.0, 0.0, 0.0, 1.0], CASES)
    values = np.where(rng.random(CASES) < 0.5, near, rng.choice(_ALWAYS, CASES))
    return np.where(rng.random(CASES) < MISSING_SHARE, np.nan, values)


def _scores(rng: np.random.Generator, lines: Sequence[float]) -> NDArray[np.float64]:
    at_line = rng.choice(lines, CASES) + rng.choice([-2, -1, 0, 1, 2], CASES) * MARGIN
    scores = np.where(rng.random(CASES) < 0.5, at_line, rng.random(CASES))
    return np.asarray(np.clip(scores, 0.0, 1.0))
