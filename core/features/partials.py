"""Partials: what a tile keeps so that tiles can be added up to a feature.

A view is taken apart into *slots*: a count, a sum, an extreme, a last value, registers or
moments of one column. Features share slots (mean and sum read one sum), and each slot is
one or more *fields*: columns of the tiles table, fixed-width numbers in online bytes.

================  ==========================================================================
slot              fields
================  ==========================================================================
count             values that are there
sum               integers: the sum; floats: a double-double (`core.features.sums`)
min, max          the extreme; the type's own extreme where there is no value
last              event time, availability and id of the row, and its value
distinct          HyperLogLog registers, sparse: pairs of (register, rank), by register
moments           double-doubles of the distances from the centre and of their squares
================  ==========================================================================
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple

from core.errors import ConfigurationError, InvalidInputError
from core.features import hll
from core.features.identity import ByIdentity
from core.features.plan import ViewPlan, WindowFeature
from core.features.values import RawValue, cast_value

Kind = Literal["count", "sum", "min", "max", "last", "distinct", "moments"]
Cell = int | float | None
"""A column's value of one row, as slots see it: text as its hash or its category's index."""

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1
_WORD = 2**64 - 1
NEVER_MS = INT64_MIN
"""Event time of the last value where there is none."""

NEEDS: dict[str, tuple[Kind, ...]] = {
    "count": ("count",),
    "sum": ("sum",),
    "mean": ("count", "sum"),
    "min": ("count", "min"),
    "max": ("count", "max"),
    "last": ("last",),
    "count_distinct": ("distinct",),
    "stddev": ("count", "moments"),
}
"""Slots that each window function is finished from."""


class Field(NamedTuple):
    """One column of the tiles table and its place in online bytes.

    ``code`` is a code of `struct` (``I``, ``q``, ``d``), or ``s`` for bytes of any length;
    ``empty`` is what a tile without a value holds.
    """

    name: str
    code: str
    empty: int | float | bytes

    @property
    def type(self) -> str:
        """Type of the column in the tiles table."""
        return {"I": "int64", "q": "int64", "d": "float64", "s": "binary"}[self.code]


@dataclass(frozen=True)
class Slot:
    """One additive piece of one column.

    ``is_text`` says that the column's cells are hashes already. ``variant`` tells moments
    about several centres apart.
    """

    kind: Kind
    column: str
    is_float: bool = False
    is_text: bool = False
    centre: float = 0.0
    variant: int = 0

    @property
    def fields(self) -> tuple[Field, ...]:
        """Fields in stored order.

        Examples
        --------
        >>> [field.name for field in Slot("sum", "x", is_float=True).fields]
        ['x__sum_hi', 'x__sum_lo']
        """
        code = "d" if self.is_float else "q"
        low, high = (-math.inf, math.inf) if self.is_float else (INT64_MIN, INT64_MAX)
        shapes: dict[Kind, tuple[tuple[str, str, int | float | bytes], ...]] = {
            "count": (("count", "I", 0),),
            "sum": (("sum_hi", "d", 0.0), ("sum_lo", "d", 0.0))
            if self.is_float
            else (("sum", "q", 0),),
            "min": (("min", code, high),),
            "max": (("max", code, low),),
            "last": (
                ("last_event_ms", "q", NEVER_MS),
                ("last_available_ms", "q", NEVER_MS),
                ("last", code, 0),
                ("last_event_id", "s", b""),
            ),
            "distinct": (("registers", "s", b""),),
            "moments": tuple(
                (f"moments_{self.variant}_{part}", "d", 0.0)
                for part in ("first_hi", "first_lo", "second_hi", "second_lo")
            ),
        }
        return tuple(
            Field(f"{self.column}__{name}", field_code, empty)
            for name, field_code, empty in shapes[self.kind]
        )


def slots(view: ViewPlan, grid_ms: int | None = None) -> tuple[Slot, ...]:
    """Slots that the windows of one grid need, or those of all grids; each once, in order.

    Raises
    ------
    ConfigurationError
        If a window asks a number of a text column.
    """
    found = {
        slot: None
        for window in view.windows
        if grid_ms is None or window.grid_ms == grid_ms
        for slot in slots_of_window(view, window)
    }
    return tuple(found)


def slots_of_window(view: ViewPlan, window: WindowFeature) -> tuple[Slot, ...]:
    """Slots that one window feature is finished from, in the order of `NEEDS`."""
    column_type = view.columns[window.column]
    if column_type == "string" and window.function not in ("count", "count_distinct"):
        raise ConfigurationError(
            "a window asks a number of a text column",
            found=f"{window.function} of {window.column!r} in view {view.name!r}",
            remedy="take count or count_distinct, or a column of numbers",
        )
    plain = {"is_float": column_type == "float64", "is_text": column_type == "string"}
    return tuple(
        Slot(kind, window.column, **plain, centre=window.centre, variant=_variant(view, window))
        if kind == "moments"
        else Slot(kind, window.column, **plain)
        for kind in NEEDS[window.function]
    )


def _variant(view: ViewPlan, window: WindowFeature) -> int:
    centres = [
        other.centre
        for other in view.windows
        if other.column == window.column and other.function == "stddev"
    ]
    return list(dict.fromkeys(centres)).index(window.centre)


def keeps_ties(view: ViewPlan) -> bool:
    """Whether a feature of the view reads the order of rows with one event time."""
    return bool(view.attributes) or any(w.function == "last" for w in view.windows)


class RawRow(NamedTuple):
    """One row as online bytes keep it.

    ``available_ms`` and ``event_id`` are zero and empty in views where no feature reads the
    order of ties; ``epoch`` is zero in base values. ``cells`` follow `cell_columns`.
    """

    event_ms: int
    available_ms: int
    event_id: bytes
    epoch: int
    cells: tuple[Cell, ...]

    @property
    def recency(self) -> tuple[int, int, bytes]:
        """Later is greater; ties by availability, then by the bytes of the id."""
        return self[:3]


def cell_columns(view: ViewPlan) -> tuple[str, ...]:
    """Columns of a row's cells: sorted, because equal plans may list theirs in other orders."""
    return _cell_columns(ByIdentity(view))


@lru_cache(maxsize=256)
def _cell_columns(key: ByIdentity[ViewPlan]) -> tuple[str, ...]:
    return tuple(sorted(key.object.columns))


def cells_of(view: ViewPlan, values: Mapping[str, RawValue]) -> tuple[Cell, ...]:
    """Values of one row as slots see them, in the order of `cell_columns`.

    Text becomes its hash in a view of windows, the index of its category in a view of
    attributes; a category that is not declared is missing.

    Raises
    ------
    InvalidInputError
        If an integer does not fit 64 bits.
    """
    return tuple([_cell(view, column, values.get(column)) for column in cell_columns(view)])


def _cell(view: ViewPlan, column: str, raw: RawValue) -> Cell:
    column_type = view.columns[column]
    if type(raw) is int and column_type == "int64" and INT64_MIN <= raw <= INT64_MAX:
        return raw  # what most columns hold
    value = cast_value(raw, column_type)
    if isinstance(value, str):
        return text_cell(view, column, value)
    if isinstance(value, int) and not INT64_MIN <= value <= INT64_MAX:
        raise InvalidInputError(
            "an integer does not fit 64 bits",
            found=f"{value.bit_length()} bits in column {column!r}",
            remedy="bound the column in its source's contract",
        )
    return value


def register_and_rank(slot: Slot, value: int | float) -> tuple[int, int]:
    """Register and rank of a cell that is there, for a slot of kind distinct.

    Examples
    --------
    >>> slot = Slot("distinct", "x")
    >>> register_and_rank(slot, 7) == hll.register_and_rank(hll.hash_value(7))
    True
    """
    hashed = int(value) & _WORD if slot.is_text else hll.hash_value(value)
    return hll.register_and_rank(hashed)


def text_cell(view: ViewPlan, column: str, text: str) -> Cell:
    """Number that stands for a text: its hash (signed), or its declared category's index."""
    if view.windows:
        hashed = hll.hash64(text.encode())
        return hashed - 2**64 if hashed > INT64_MAX else hashed
    return _category_index(_categories(view, column), text)


def _categories(view: ViewPlan, column: str) -> tuple[str, ...]:
    for attribute in view.attributes:
        if attribute.column == column:
            return attribute.categories
    return ()


def _category_index(categories: tuple[str, ...], text: str) -> int | None:
    return categories.index(text) if text in categories else None
