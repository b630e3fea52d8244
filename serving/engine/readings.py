"""Readings: what was read of a plan's views for the points of a pass, as columns.

Who asks about a pass asks for columns: the model, the records, the answers. What is known of one
point by itself is put together when somebody looks at it.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.degradation import EXPIRED, UNAVAILABLE, WITHHELD
from core.features.plan import Plan
from stores.merging import STATUSES as MERGED

STATUSES: tuple[str, ...] = (*MERGED, UNAVAILABLE, EXPIRED, WITHHELD)
"""What a number in `Readings.statuses` stands for, by its place."""

NONE = -1
"""Stands in `Readings` for an age or a position that nobody knows; those that are known are not
negative."""

Numbers = NDArray[np.int64]


class ViewValues(NamedTuple):
    """What was read of one view for one point.

    ``values`` has NaN for null. ``age_ms`` is that of the source for windows, of the row in force
    for attributes; ``source_age_ms`` is that of the source for both; None when unknown. ``seen``:
    the read knew exactly the entity's rows up to that position, be it from its values or from how
    far the folder had come for everybody; None when nobody knows.
    """

    values: Sequence[float]
    status: str
    age_ms: int | None
    seen: int | None
    source_age_ms: int | None


Reading = dict[str, ViewValues]


class ViewRows:
    """Views of a plan by name, in its order, and which rows their values have in `Readings`.

    Examples
    --------
    >>> plan = Plan(service="s", views=(), transforms=(), request_fields=(), vector=("at_ms",))
    >>> rows = ViewRows(plan)
    >>> rows.names, rows.n_values
    ((), 0)
    """

    def __init__(self, plan: Plan) -> None:
        self.names = tuple(view.name for view in plan.views)
        self.places = {name: place for place, name in enumerate(self.names)}
        self.of_values: list[slice] = []
        self.n_values = 0
        for view in plan.views:
            end = self.n_values + len(view.feature_names)
            self.of_values.append(slice(self.n_values, end))
            self.n_values = end


class Readings(Sequence[Reading]):
    """Readings of points in order; each as views by name where it is looked at by itself.

    Columns are shared with whoever was given them: nobody writes into them.

    Parameters
    ----------
    numbers
        Values, shape ``(values, n)``, in the order of the plan's views; NaN for null.
    statuses
        Places in `STATUSES`, shape ``(views, n)``, as all that follow.
    ages_ms, source_ages_ms, seen
        As `ViewValues` has them; `NONE` when unknown.
    asked
        Alike where two points were told the same of a view, as of the entity that they share.
    """

    __slots__ = (
        "_known", "ages_ms", "asked", "numbers", "rows", "seen", "source_ages_ms", "statuses"
    )  # fmt: skip

    def __init__(
        self,
        rows: ViewRows,
        numbers: NDArray[np.float64],
        statuses: NDArray[np.uint8],
        *,
        ages_ms: Numbers,
        seen: Numbers,
        source_ages_ms: Numbers,
        asked: Numbers,
    ) -> None:
        self.rows = rows
        self.numbers = numbers
        self.statuses = statuses
        self.ages_ms = ages_ms
        self.seen = seen
        self.source_ages_ms = source_ages_ms
        self.asked = asked
        self._known: dict[tuple[int, int], ViewValues] = {}

    @classmethod
    def nothing(cls, rows: ViewRows, n_points: int) -> Readings:
        """Where nothing could be read: every value null, every view unavailable."""
        shape = len(rows.names), n_points
        unknown = np.full(shape, NONE, dtype=np.int64)
        return cls(
            rows,
            np.full((rows.n_values, n_points), math.nan),
            np.full(shape, STATUSES.index(UNAVAILABLE), dtype=np.uint8),
            ages_ms=unknown,
            seen=unknown,
            source_ages_ms=unknown,
            asked=np.zeros(shape, dtype=np.int64),
        )

    def __len__(self) -> int:
        """How many points there are."""
        n_points: int = self.numbers.shape[1]
        return n_points

    def __getitem__(self, place: int) -> Reading:  # type: ignore[override]
        """What was read for one point."""
        return {name: self._view(n, place) for n, name in enumerate(self.rows.names)}

    def __iter__(self) -> Iterator[Reading]:
        """What was read for each point."""
        return map(self.__getitem__, range(len(self)))

    def some(self, places: Sequence[int]) -> Readings:
        """Those of some of the points, in that order."""
        return Readings(
            self.rows,
            self.numbers.take(places, axis=1),
            self.statuses.take(places, axis=1),
            ages_ms=self.ages_ms.take(places, axis=1),
            seen=self.seen.take(places, axis=1),
            source_ages_ms=self.source_ages_ms.take(places, axis=1),
            asked=self.asked.take(places, axis=1),
        )

    def without(self, views: Sequence[Collection[str]], status: str) -> Readings:
        """The same without some views of points: their values null, their status another.

        Parameters
        ----------
        views
            Of each point those that are taken away.
        """
        numbers, statuses, asked = self.numbers.copy(), self.statuses.copy(), self.asked.copy()
        number, beyond = STATUSES.index(status), int(asked.max(initial=0)) + 1
        for place, names in enumerate(views):
            for name in names:
                view = self.rows.places[name]
                numbers[self.rows.of_values[view], place] = math.nan
                statuses[view, place] = number
                asked[view, place] += beyond
        return Readings(
            self.rows,
            numbers,
            statuses,
            ages_ms=self.ages_ms,
            seen=self.seen,
            source_ages_ms=self.source_ages_ms,
            asked=asked,
        )

    def _view(self, view: int, place: int) -> ViewValues:
        key = view, int(self.asked[view, place])
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = ViewValues(
                self.numbers[self.rows.of_values[view], place].tolist(),
                STATUSES[self.statuses[view, place]],
                _known(self.ages_ms[view, place]),
                _known(self.seen[view, place]),
                _known(self.source_ages_ms[view, place]),
            )
        return found


def _known(number: np.int64) -> int | None:
    return None if number == NONE else int(number)
