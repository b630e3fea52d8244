"""All columns of a table, counted by the bins of one reference.

A profile is as large as its bins, whatever was counted: a day, a month and a year of one
table can be added and compared without reading a row again.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce

from pydantic import Field

from core.errors import InvalidInputError
from core.features.plan import Frozen
from core.stats.histogram import Categories, Histogram
from core.stats.shift import Shift, shift_of


class TableProfile(Frozen):
    """Profiles by column. The reference's own, emptied, is the shape that others are counted by."""

    columns: dict[str, Histogram | Categories] = Field(min_length=1)

    @property
    def n(self) -> int:
        """Rows counted."""
        return next((column.n for column in self.columns.values()), 0)

    def emptied(self) -> TableProfile:
        """The bins alone: the neutral element of `merged`."""
        return _profile({name: column.emptied() for name, column in self.columns.items()})

    def merged(self, other: TableProfile) -> TableProfile:
        """Both counted together.

        Raises
        ------
        InvalidInputError
            If columns or bins differ.
        """
        if set(self.columns) != set(other.columns):
            raise InvalidInputError(
                "profiles of unlike columns cannot be put together",
                found=", ".join(sorted(set(self.columns) ^ set(other.columns))[:10]),
                remedy="count both by one reference",
                code="unlike_bins",
            )
        merged = {name: own.merged(other.columns[name]) for name, own in self.columns.items()}
        return _profile(merged)

    def shifts_from(self, reference: TableProfile) -> dict[str, Shift]:
        """How far each column moved from ``reference``; InvalidInputError for unlike bins."""
        reference.emptied().merged(self.emptied())
        return {name: shift_of(reference.columns[name], own) for name, own in self.columns.items()}


def merged_profile(profiles: Iterable[TableProfile]) -> TableProfile:
    """All of one or more profiles counted together, in any order.

    Examples
    --------
    >>> day = TableProfile(columns={"x": Histogram(edges=(0.0,), counts=(1, 2), n_null=0)})
    >>> merged_profile([day, day, day]).columns["x"].counts
    (3, 6)
    """
    return reduce(TableProfile.merged, profiles)


def _profile(columns: dict[str, Histogram | Categories]) -> TableProfile:
    return TableProfile.model_construct(columns=columns)
