"""The meaning of a feature, written to be believed at sight.

Slow on purpose: for one point it looks at every row, and for every feature at every row
again. All engines are proved against it; none of them imports it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from core.features import hll, sums
from core.features.plan import AttributeFeature, ViewPlan, WindowFeature
from core.features.values import RawValue, Value, cast_value
from core.features.windows import window_start_ms

Answer = int | float | None


@dataclass(frozen=True)
class Row:
    """One event of a source, as far as features look at it.

    ``entity`` is the key of `core.features.keys.entity_key`; instants are epoch
    milliseconds; ``values`` holds the source's columns, instants among them as milliseconds.
    """

    event_id: str
    entity: bytes
    event_ms: int
    available_ms: int
    position: int
    values: Mapping[str, RawValue]


@dataclass(frozen=True)
class KnownAt:
    """Rows available by this instant are known."""

    ms: int


@dataclass(frozen=True)
class SeenUpTo:
    """Rows up to this position of the log, itself included, are known."""

    position: int


def is_known(row: Row, known: KnownAt | SeenUpTo) -> bool:
    """Whether a decision could have used ``row``."""
    if isinstance(known, KnownAt):
        return row.available_ms <= known.ms
    return row.position <= known.position


def view_values(
    view: ViewPlan,
    rows: Sequence[Row],
    entity: bytes,
    at_ms: int,
    known: KnownAt | SeenUpTo,
) -> dict[str, Answer]:
    """Values of all features of ``view`` for one point, in declared order.

    Examples
    --------
    >>> view = ViewPlan(name="v", entity="card", join_keys=("card",), source="s",
    ...     columns={"x": "int64"}, windows=(WindowFeature(name="x_sum_1m", function="sum",
    ...     column="x", window_ms=60_000, grid_ms=10_000),))
    >>> rows = [Row("a", b"c", 0, 0, 0, {"x": 2}), Row("b", b"c", 5, 5, 1, {"x": 3})]
    >>> view_values(view, rows, b"c", 5, KnownAt(5)), view_values(view, rows, b"c", 6, KnownAt(6))
    ({'x_sum_1m': 2}, {'x_sum_1m': 5})
    """
    seen = [row for row in rows if row.entity == entity and is_known(row, known)]
    answers: dict[str, Answer] = {}
    for window in view.windows:
        answers[window.name] = _window_value(view, window, seen, at_ms)
    for attribute in view.attributes:
        answers[attribute.name] = _attribute_value(view, attribute, seen, at_ms)
    return answers


def _recency(row: Row) -> tuple[int, int, bytes]:
    """Later is greater; ties by availability, then by the bytes of the id."""
    return (row.event_ms, row.available_ms, row.event_id.encode())


def _window_value(view: ViewPlan, window: WindowFeature, seen: Sequence[Row], at_ms: int) -> Answer:
    start_ms = window_start_ms(at_ms, window.window_ms, window.grid_ms)
    inside = [row for row in seen if start_ms <= row.event_ms < at_ms]
    values: list[Value] = []
    for row in sorted(inside, key=_recency):
        value = cast_value(row.values.get(window.column), view.columns[window.column])
        if value is not None:
            values.append(value)
    if window.function == "count":
        return len(values)
    if window.function == "count_distinct":
        return _distinct(values)
    return _of_numbers(window, [value for value in values if isinstance(value, int | float)])


def _of_numbers(window: WindowFeature, values: Sequence[int | float]) -> Answer:
    if window.function == "sum":
        return _total(values)
    if not values:
        return None
    if window.function == "mean":
        return float(_total(values)) / len(values)
    if window.function == "min":
        return min(values)
    if window.function == "max":
        return max(values)
    if window.function == "last":
        return values[-1]
    return _deviation(values, window.centre)


def _total(values: Sequence[int | float]) -> int | float:
    """Exact for integers, correctly rounded for floats."""
    if all(isinstance(value, int) for value in values):
        return sum(values)
    return math.fsum(values)


def _distinct(values: Sequence[Value]) -> float:
    registers = hll.empty_registers()
    for value in values:
        if value is not None:
            hll.update(registers, hll.hash_value(value))
    return hll.estimate(registers)


def _deviation(values: Sequence[int | float], centre: float) -> float:
    """Population standard deviation of the distances from the centre, in exact arithmetic."""
    distances = [Fraction(float(value) - centre) for value in values]
    scaled_squares = len(values) * sum(d * d for d in distances)
    numerator = scaled_squares - sum(distances) ** 2
    if numerator <= Fraction(sums.SMALLEST_SPREAD) * scaled_squares:
        return 0.0
    return math.sqrt(numerator) / len(values)


def _attribute_value(
    view: ViewPlan, attribute: AttributeFeature, seen: Sequence[Row], at_ms: int
) -> Answer:
    ttl_ms = math.inf if view.ttl_ms is None else view.ttl_ms
    in_force = [row for row in seen if row.event_ms <= at_ms and at_ms - row.event_ms <= ttl_ms]
    if not in_force:
        return None
    row = max(in_force, key=_recency)
    value = cast_value(row.values.get(attribute.column), view.columns[attribute.column])
    if isinstance(value, str):
        known_category = value in attribute.categories
        return attribute.categories.index(value) if known_category else None
    return value
