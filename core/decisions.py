"""Decisions: the declared policy that turns a score into an action with reasons.

A policy is data: it is declared with a use case, stands in every bundle's manifest, and is
decided by the same `Decider` in the service, in batch, in replay and in training. What a
condition may say is in ``core.rules.reading``, what it means in ``core.rules.condition``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from core.errors import ConfigurationError, IntegrityError
from core.features.plan import Frozen, Plan
from core.rules.arithmetic import Floats
from core.rules.binding import Known, bound, known_names
from core.rules.compiling import Row, array_test, row_test
from core.rules.condition import (
    MARGIN,
    SCORE,
    Comparison,
    Condition,
    Name,
    Number,
    atoms_of,
    names_of,
)
from core.rules.reaching import covering, is_impossible
from core.rules.reading import condition_of

__all__ = [
    "MARGIN",
    "Decided",
    "Decider",
    "DecisionPolicy",
    "Rule",
    "check_policy",
    "read_beside",
]

MAX_RULES = 100
MAX_COMPARISONS = 500
"""In all rules together: each is held against each that stands before it."""
ROWS_ONE_BY_ONE = 12
"""Up to so many rows are decided one by one; more are quicker as arrays (measured)."""


def _is_absent(value: object) -> bool:
    return value is None


class Rule(Frozen):
    """``decision`` when the score is above ``above``, or when the condition ``when`` is true.

    Exactly one of the two is given, and written: the bytes of a manifest are signed, so one
    from before ``when`` was there keeps its digest. ``above=0.9`` and ``when="score > 0.9"``
    mean the same.

    Examples
    --------
    >>> Rule(decision="BLOCK", above=0.9, reason="fraud_very_likely").text
    'score > 0.9'
    """

    decision: str = Field(min_length=1)
    above: float | None = Field(
        default=None, ge=0, lt=1, allow_inf_nan=False, exclude_if=_is_absent
    )
    when: str | None = Field(default=None, min_length=1, exclude_if=_is_absent)
    reason: str = Field(min_length=1)

    @model_validator(mode="after")
    def _says_one_thing(self) -> Rule:
        if (self.above is None) == (self.when is None):
            raise ValueError("a rule needs either above or when")
        return self

    @property
    def text(self) -> str:
        """The condition in words of the rule language."""
        return self.when if self.when is not None else f"score > {self.above!r}"

    @property
    def condition(self) -> Condition:
        """The condition as a tree; ConfigurationError when the text has no meaning."""
        if self.above is not None:
            return Comparison(">", Name(SCORE), Number(self.above))
        return condition_of(self.text)


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
        """Constants that the score is compared with, each once, in order of the rules."""
        return tuple(dict.fromkeys(constant for _, constant in self._score_comparisons()))

    def sides(self, scores: NDArray[np.floating]) -> NDArray[np.bool_]:
        """On which side of every line each score lies, shape ``(n, lines)``.

        A line is where a comparison of the score with a constant turns. Two scores of one
        row of sides are decided alike, whatever the other values; rules that calculate
        with the score or compare it with another value are not covered.
        """
        exact = np.asarray(scores, dtype=np.float64)
        sides = [
            exact > comparison.bound.value
            if comparison.relation in (">", "<=")
            else exact >= comparison.bound.value
            for comparison, _ in self._score_comparisons()
            if isinstance(comparison.bound, Number)
        ]
        return np.stack(sides, axis=1) if sides else np.zeros((len(exact), 0), dtype=np.bool_)

    def _score_comparisons(self) -> Iterator[tuple[Comparison, float]]:
        for rule in self.rules:
            for atom in atoms_of(rule.condition):
                if (
                    isinstance(atom, Comparison)
                    and atom.left == Name(SCORE)
                    and isinstance(atom.right, Number)
                ):
                    yield atom, atom.right.value


class Decided(NamedTuple):
    """A decision, its reason, and the place of the rule that fired: from 0; None is the default."""

    rule: int | None
    decision: str
    reason: str


class Decider:
    """A policy made ready for a plan: its conditions compiled, its names found.

    Not to be pickled; a policy and a plan are, and make it again in well under a millisecond.

    Parameters
    ----------
    policy
        Declared policy.
    known
        Names that it may read, as ``core.rules.binding.known_names`` gives them.

    Raises
    ------
    ConfigurationError
        If a rule cannot be read, or reads what is not known.

    Examples
    --------
    >>> rules = (
    ...     Rule(decision="BLOCK", above=0.9, reason="fraud_very_likely"),
    ...     Rule(decision="REVIEW", when="request.amount > 500", reason="large"),
    ... )
    >>> policy = DecisionPolicy(rules=rules, default="APPROVE", default_reason="no_sign")
    >>> decider = Decider(policy, {"score": (), "request:amount": ()})
    >>> amounts = {"request:amount": np.array([501.0, 501.0, np.nan])}
    >>> [decided.decision for decided in decider.decide(np.array([0.95, 0.1, 0.1]), amounts)]
    ['BLOCK', 'REVIEW', 'APPROVE']
    """

    def __init__(self, policy: DecisionPolicy, known: Known) -> None:
        conditions = [
            _of_rule(policy, n, lambda rule: bound(rule.condition, known))
            for n in range(len(policy.rules))
        ]
        read = dict.fromkeys(name for each in conditions for name in names_of(each))
        self.policy = policy
        self.reads = tuple(name for name in read if name != SCORE)
        self.reads_score = SCORE in read
        places = {name: place for place, name in enumerate((SCORE, *self.reads))}
        self._row_tests = [row_test(each, places) for each in conditions]
        self._array_tests = [array_test(each, places) for each in conditions]
        self.outcomes = (
            *(Decided(n, rule.decision, rule.reason) for n, rule in enumerate(policy.rules)),
            Decided(None, policy.default, policy.default_reason),
        )

    @classmethod
    def of(cls, policy: DecisionPolicy, plan: Plan) -> Decider:
        """Decider of a policy for what a plan yields."""
        return cls(policy, known_names(plan))

    def decide(
        self, scores: NDArray[np.floating], values: Mapping[str, NDArray[np.float64]]
    ) -> list[Decided]:
        """Decision on each row.

        Parameters
        ----------
        scores
            Shape ``(n,)``, finite.
        values
            Arrays of shape ``(n,)`` by qualified name, at least those in ``reads``. What
            is not a finite number is missing.

        Raises
        ------
        IntegrityError
            If a score is not a finite number: no model of ours answers that.
        KeyError
            If a value that a rule reads is not among ``values``.
        """
        exact = np.asarray(scores, dtype=np.float64)
        rows = exact.tolist()
        for score in rows:
            if not math.isfinite(score):
                raise _no_score(score)
        if len(rows) > ROWS_ONE_BY_ONE:
            return [self.outcomes[fired] for fired in self.fired(exact, values).tolist()]
        columns = [_finite(values[name].tolist()) for name in self.reads]
        return [self._of_row(row) for row in zip(rows, *columns, strict=True)]

    def decide_unscored(
        self, values: Mapping[str, NDArray[np.float64]], n_rows: int
    ) -> list[Decided]:
        """Decision on each row where there is no score; for policies that do not read it.

        Raises
        ------
        IntegrityError
            If a rule reads the score: it would take one for true that nobody gave.
        """
        if self.reads_score:
            raise IntegrityError(
                "rules that read the score cannot decide without one",
                found=", ".join(f"`{rule.text}`" for rule in self.policy.rules)[:200],
                remedy="decide by the rules declared for answers without a score",
            )
        return self.decide(np.zeros(n_rows), values)

    def fired(
        self, scores: NDArray[np.floating], values: Mapping[str, NDArray[np.float64]]
    ) -> NDArray[np.int64]:
        """Place in ``outcomes`` of the rule that decides each row; the last is the default.

        Scores must be finite; a row whose score is NaN counts as the default here. The rest
        is as for ``decide``.
        """
        exact = np.asarray(scores, dtype=np.float64)
        arrays = [exact, *(_finite_array(values[name]) for name in self.reads)]
        default = len(self._array_tests)
        fired = np.full(exact.shape, default, dtype=np.int64)
        for place in reversed(range(default)):
            fired[self._array_tests[place](arrays)] = place
        fired[np.isnan(exact)] = default
        return fired

    def _of_row(self, row: Row) -> Decided:
        for test, outcome in zip(self._row_tests, self.outcomes, strict=False):
            if test(row):
                return outcome
        return self.outcomes[-1]


def read_beside(policy: DecisionPolicy, plan: Plan) -> tuple[str, ...]:
    """Names that rules read and the model's vector lacks: training sets carry them beside it.

    Raises
    ------
    ConfigurationError
        If a rule cannot be read, or reads what the plan does not yield.
    """
    return tuple(name for name in Decider.of(policy, plan).reads if name not in plan.vector)


def check_policy(policy: DecisionPolicy) -> None:
    """Refuse a policy that can be seen to be wrong before its names are looked up.

    Raises
    ------
    ConfigurationError
        If a rule cannot be read, or can never fire; or there are more than 100, or more than
        500 comparisons in them.
    """
    places = range(len(policy.rules))
    conditions = [_of_rule(policy, n, lambda rule: rule.condition) for n in places]
    n_comparisons = sum(1 for condition in conditions for _ in atoms_of(condition))
    if len(policy.rules) > MAX_RULES or n_comparisons > MAX_COMPARISONS:
        raise ConfigurationError(
            "there are too many decision rules",
            found=f"{len(policy.rules)} with {n_comparisons} comparisons",
            remedy=f"use at most {MAX_RULES} and {MAX_COMPARISONS}",
        )
    for n, condition in enumerate(conditions):
        earlier = covering(conditions, n)
        if earlier is None and not is_impossible(condition):
            continue
        because = "nothing keeps all of it"
        if earlier is not None:
            because = f"where it holds, rule {earlier + 1} held: `{policy.rules[earlier].text}`"
        raise ConfigurationError(
            f"decision rule {n + 1} can never fire",
            found=f"`{policy.rules[n].text}`; {because}",
            remedy="remove it, or put it before the rule that is wider",
        )


def _of_rule(policy: DecisionPolicy, n: int, read: Callable[[Rule], Condition]) -> Condition:
    """What ``read`` makes of a rule; an error says which rule it is about."""
    try:
        return read(policy.rules[n])
    except ConfigurationError as error:
        raise ConfigurationError(
            f"decision rule {n + 1}: {error.wrong}", found=error.found, remedy=error.remedy
        ) from None


def _finite(column: Sequence[float]) -> list[float]:
    return [value if math.isfinite(value) else math.nan for value in column]


def _finite_array(array: NDArray[np.float64]) -> Floats:
    return np.where(np.isfinite(array), array, np.nan)


def _no_score(score: float) -> IntegrityError:
    return IntegrityError(
        "a score is not a number",
        found=repr(score),
        remedy="roll back to a release that answers its golden points",
        code="score_not_finite",
    )
