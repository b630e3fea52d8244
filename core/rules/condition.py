"""What a condition of a rule is: a small typed tree, made of text by ``core.rules.reading``.

Values are float64; a value that is not a finite number is *missing*. A comparison with a
missing value is unknown, and ``and``, ``or``, ``not`` treat unknown as SQL does; a rule
fires when its condition is true, not when it is unknown.

There is no node for ``not``: reading pushes it down to the comparisons (``not (a > b or
c)`` is ``a <= b and not c``). In such a tree, to let every unknown comparison be false gives
true exactly where three-valued logic does, so two values are enough to evaluate it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

# Half a unit of the fifth decimal. Two right executions of one model (training and serving,
# CPU and GPU, one row and a batch) differ by about 1e-6 in float32; a score that sits on a
# threshold must not be decided by that. A margin on one side moves the line to where no
# declared threshold, and so no plateau of scores at one, can be.
MARGIN = 5e-6
SCORE = "score"

Relation = Literal["<", "<=", ">", ">=", "==", "!="]
Sign = Literal["+", "-", "*", "/"]

NEGATED: dict[Relation, Relation] = {
    "<": ">=",
    "<=": ">",
    ">": "<=",
    ">=": "<",
    "==": "!=",
    "!=": "==",
}
FLIPPED: dict[Relation, Relation] = {
    "<": ">",
    "<=": ">=",
    ">": "<",
    ">=": "<=",
    "==": "==",
    "!=": "!=",
}


@dataclass(frozen=True, slots=True)
class Number:
    """A constant."""

    value: float


@dataclass(frozen=True, slots=True)
class Text:
    """A category, by name; binding to a plan turns it into its index."""

    value: str


@dataclass(frozen=True, slots=True)
class Name:
    """A value by qualified name: ``score``, ``request:field`` or ``view:feature``."""

    qualified: str


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """Two quantities combined; missing when the result is not a finite number."""

    sign: Sign
    left: Quantity
    right: Quantity


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two quantities compared; a constant stands on the right."""

    relation: Relation
    left: Quantity
    right: Quantity

    @property
    def bound(self) -> Quantity:
        """What the left side is really compared with.

        The score against a constant keeps a margin of 5e-6: above means by more than it,
        at least means short of it by no more. All else is compared as it stands.
        """
        if self.left != Name(SCORE) or not isinstance(self.right, Number):
            return self.right
        is_above = self.relation in (">", "<=")
        return Number(self.right.value + MARGIN if is_above else self.right.value - MARGIN)


@dataclass(frozen=True, slots=True)
class Presence:
    """Whether a quantity is there, or is missing. Never unknown."""

    operand: Quantity
    is_missing: bool


@dataclass(frozen=True, slots=True)
class Every:
    """All parts hold."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Some:
    """At least one part holds."""

    parts: tuple[Condition, ...]


Quantity = Number | Text | Name | Arithmetic
Condition = Comparison | Presence | Every | Some


def atoms_of(condition: Condition) -> Iterator[Comparison | Presence]:
    """Comparisons and questions of presence in a condition, left to right."""
    if isinstance(condition, Every | Some):
        for part in condition.parts:
            yield from atoms_of(part)
    else:
        yield condition


def quantities_of(atom: Comparison | Presence) -> tuple[Quantity, ...]:
    """Both sides of a comparison, or what is asked for."""
    return (atom.left, atom.right) if isinstance(atom, Comparison) else (atom.operand,)


def names_of(condition: Condition) -> tuple[str, ...]:
    """Qualified names that a condition reads, each once, in order of first use."""
    names: dict[str, None] = {}
    for atom in atoms_of(condition):
        for quantity in quantities_of(atom):
            names.update(dict.fromkeys(names_in(quantity)))
    return tuple(names)


def names_in(quantity: Quantity) -> Iterator[str]:
    """Qualified names in a quantity."""
    if isinstance(quantity, Name):
        yield quantity.qualified
    elif isinstance(quantity, Arithmetic):
        yield from names_in(quantity.left)
        yield from names_in(quantity.right)


def spelled(qualified: str) -> str:
    """A qualified name as a rule spells it.

    Examples
    --------
    >>> spelled("card_activity_v1:amount_minor_mean_30d"), spelled("score")
    ('card_activity_v1.amount_minor_mean_30d', 'score')
    """
    return qualified.replace(":", ".", 1)
