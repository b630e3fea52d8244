"""From names to values of a plan: which names there are, and what a category is worth."""

from __future__ import annotations

from collections.abc import Mapping

from core.errors import ConfigurationError
from core.features.plan import Plan
from core.nearest import nearest
from core.rules.condition import (
    SCORE,
    Comparison,
    Condition,
    Every,
    Name,
    Number,
    Presence,
    Some,
    Text,
    names_in,
    names_of,
    quantities_of,
    spelled,
)

Known = Mapping[str, tuple[str, ...]]
"""Qualified names that rules may read, each with the categories of its text, if it is text."""


def known_names(plan: Plan) -> dict[str, tuple[str, ...]]:
    """What the rules of a use case may read: the score, features and request fields.

    Features are those of every view that the plan reads, in the model's vector or not, and
    the outputs of its request-time functions.
    """
    known: dict[str, tuple[str, ...]] = {SCORE: ()}
    known |= {f"request:{field.name}": () for field in plan.request_fields}
    for view in plan.views:
        known |= {f"{view.name}:{window.name}": () for window in view.windows}
        known |= {f"{view.name}:{a.name}": a.categories for a in view.attributes}
    for transform in plan.transforms:
        known |= {f"{transform.name}:{output}": () for output in transform.outputs}
    return known


def bound(condition: Condition, known: Known) -> Condition:
    """The condition with every name found, and every category as its index.

    Raises
    ------
    ConfigurationError
        If a name or a category is not known, or a category is taken for a number.
    """
    for name in names_of(condition):
        if name not in known:
            raise _unknown(name, known)
    return _bound(condition, known)


def _bound(condition: Condition, known: Known) -> Condition:
    if isinstance(condition, Every):
        return Every(tuple(_bound(part, known) for part in condition.parts))
    if isinstance(condition, Some):
        return Some(tuple(_bound(part, known) for part in condition.parts))
    if isinstance(condition, Comparison) and isinstance(condition.right, Text):
        return _category(condition, condition.right, known)
    if isinstance(condition, Presence) and isinstance(condition.operand, Name):
        return condition
    for quantity in quantities_of(condition):
        for name in names_in(quantity):
            if known[name]:
                raise ConfigurationError(
                    f"a rule takes the category {spelled(name)} for a number",
                    found=f"categories {', '.join(known[name])[:80]}",
                    remedy=f'compare it with one of them: `{spelled(name)} == "{known[name][0]}"`',
                )
    return condition


def _category(comparison: Comparison, text: Text, known: Known) -> Comparison:
    (name,) = names_in(comparison.left)
    if not known[name]:
        raise ConfigurationError(
            f"a rule compares the number {spelled(name)} with text",
            found=repr(text.value),
            remedy="compare it with a number",
        )
    if text.value not in known[name]:
        raise ConfigurationError(
            f"a rule names a category that {spelled(name)} has not",
            found=repr(text.value),
            remedy=f"take one of {', '.join(known[name])}",
        )
    index = float(known[name].index(text.value))
    return Comparison(comparison.relation, comparison.left, Number(index))


def _unknown(name: str, known: Known) -> ConfigurationError:
    near = nearest(spelled(name), map(spelled, known))
    hint = f"; {near} is near" if near else ""
    return ConfigurationError(
        "a rule reads a name that the use case's features do not have",
        found=f"`{spelled(name)}`{hint}",
        remedy="read score, request.<field>, or a feature of a view that the service reads",
    )
