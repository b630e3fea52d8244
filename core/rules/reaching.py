"""Which rules can never fire: a contradiction, or an earlier rule that always fires first.

What is found is found surely: each comparison is a range of one quantity, and one range
lies in another or does not. Not all is found: two earlier rules that only together cover a
third, or an equation between features, pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from core.rules.condition import (
    NEGATED,
    SCORE,
    Comparison,
    Condition,
    Every,
    Name,
    Number,
    Presence,
    Relation,
    Some,
    names_in,
    quantities_of,
)

Atom = Comparison | Presence

_SCORE_IS_A_SHARE: tuple[tuple[Relation, float], ...] = ((">=", 0.0), ("<=", 1.0))


def covering(conditions: Sequence[Condition], position: int) -> int | None:
    """First earlier condition that is true whenever the one at ``position`` is, or None.

    Examples
    --------
    >>> above = [Comparison(">", Name("score"), Number(limit)) for limit in (0.5, 0.9)]
    >>> covering(above, 1), covering(above[::-1], 1)
    (0, None)
    """
    for earlier in range(position):
        if implies(conditions[position], conditions[earlier]):
            return earlier
    return None


@lru_cache(maxsize=100_000)  # trees of `and` in `or` in `and` would be walked again and again
def implies(one: Condition, other: Condition) -> bool:
    """Whether ``other`` is surely true wherever ``one`` is; a score lies from 0 to 1."""
    if one == other:
        return True
    if isinstance(one, Some):
        return all(implies(part, other) for part in one.parts)
    if isinstance(other, Every):
        return all(implies(one, part) for part in other.parts)
    if isinstance(other, Some) and any(implies(one, part) for part in other.parts):
        return True
    if isinstance(one, Every):
        return any(implies(part, other) for part in one.parts)
    if isinstance(other, Some):
        return False
    return _is_of_any_score(other) or _atom_implies(one, other)


def is_impossible(condition: Condition) -> bool:
    """Whether a condition is surely never true; a score lies from 0 to 1."""
    if isinstance(condition, Some):
        return all(is_impossible(part) for part in condition.parts)
    if not isinstance(condition, Every):
        return _is_out_of_range(condition)
    if any(is_impossible(part) for part in condition.parts):
        return True
    atoms = [part for part in condition.parts if isinstance(part, Atom)]
    return any(_contradict(one, other) for one in atoms for other in atoms)


def _is_out_of_range(atom: Atom) -> bool:
    """Whether no score makes it true."""
    if isinstance(atom, Presence):
        return _is_of_any_score(Presence(atom.operand, not atom.is_missing))
    return _is_of_any_score(Comparison(NEGATED[atom.relation], atom.left, atom.right))


def _is_of_any_score(atom: Atom) -> bool:
    """Whether every score makes it true."""
    if isinstance(atom, Presence):
        return not atom.is_missing and atom.operand == Name(SCORE)
    if atom.left != Name(SCORE) or not isinstance(atom.bound, Number):
        return False
    bound = atom.bound.value
    return any(_lies_in(*share, atom.relation, bound) for share in _SCORE_IS_A_SHARE)


def _contradict(one: Atom, other: Atom) -> bool:
    if isinstance(one, Presence):
        return isinstance(other, Presence) and (
            one.operand == other.operand and one.is_missing != other.is_missing
        )
    if isinstance(other, Presence):
        return other.is_missing and _needs(one, other)
    if one.left != other.left or not _has_numbers(one, other):
        return False
    return _lies_in(one.relation, _bound(one), NEGATED[other.relation], _bound(other))


def _atom_implies(one: Atom, other: Atom) -> bool:
    if isinstance(other, Presence):
        return isinstance(one, Comparison) and not other.is_missing and _needs(one, other)
    if isinstance(one, Presence) or one.left != other.left or not _has_numbers(one, other):
        return one == other
    return _lies_in(one.relation, _bound(one), other.relation, _bound(other))


def _needs(comparison: Comparison, presence: Presence) -> bool:
    """Whether a true comparison shows that a value is there."""
    if presence.operand in quantities_of(comparison):
        return True
    read = {name for side in quantities_of(comparison) for name in names_in(side)}
    return isinstance(presence.operand, Name) and presence.operand.qualified in read


def _has_numbers(one: Comparison, other: Comparison) -> bool:
    return isinstance(one.bound, Number) and isinstance(other.bound, Number)


def _bound(comparison: Comparison) -> float:
    assert isinstance(comparison.bound, Number)  # noqa: S101 - tells the type checker
    return comparison.bound.value


def _lies_in(relation: Relation, bound: float, other: Relation, limit: float) -> bool:
    """Whether every value that keeps the first relation keeps the second.

    Examples
    --------
    >>> _lies_in(">", 3.0, ">=", 3.0), _lies_in(">=", 3.0, ">", 3.0), _lies_in("==", 3, "!=", 4)
    (True, False, True)
    """
    if relation == "==":
        return {
            "<": bound < limit,
            "<=": bound <= limit,
            ">": bound > limit,
            ">=": bound >= limit,
            "==": bound == limit,
            "!=": bound != limit,
        }[other]
    if relation in (">", ">="):
        is_beyond = bound > limit or (bound == limit and relation == ">")
        return (other == ">=" and bound >= limit) or (other in (">", "!=") and is_beyond)
    if relation in ("<", "<="):
        is_beyond = bound < limit or (bound == limit and relation == "<")
        return (other == "<=" and bound <= limit) or (other in ("<", "!=") and is_beyond)
    return other == "!=" and bound == limit
