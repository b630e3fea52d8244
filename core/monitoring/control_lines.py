"""Lines of days for control charts, from daily profiles: volume, missing values, decisions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.errors import InvalidInputError
from core.stats.control_charts import Chart, ewma, level_of, shewhart, usual_points
from core.stats.histogram import Categories
from core.stats.profile import TableProfile

DECISION = "decision"
LEAST_NULLS = 0.001
DAYS_OF_WEEK = 7
FEWEST_WEEKS = 2
WIDTH = 3.0  # of Shewhart's limits, in spreads
MEDIAN_VARIANCE = 1.57  # of a median of normal values, in variances of a mean: pi / 2


class Line(NamedTuple):
    """A number a day, NaN where there is none."""

    title: str
    values: NDArray[np.float64]


class Charted(NamedTuple):
    """A line with both of its charts, the limits of which its baseline gave."""

    title: str
    dates: tuple[str, ...]
    shewhart: Chart
    ewma: Chart

    def out(self, dates: Sequence[str]) -> list[str]:
        """Those of ``dates`` on which either chart is outside of its limits."""
        is_out = dict(zip(self.dates, self.shewhart.is_out | self.ewma.is_out, strict=True))
        return [date for date in dates if is_out.get(date)]


def lines_of(
    table: str, profiles: Mapping[str, TableProfile], dates: Sequence[str], default: str = ""
) -> Iterator[Line]:
    """Rows a day, missing shares that are ever worth a look, and the share of other decisions.

    Parameters
    ----------
    default
        The decision that most get, where the table has decisions.
    """
    days = [profiles.get(date) for date in dates]
    yield Line(f"{table}: rows", np.array([np.nan if d is None else d.n for d in days]))
    columns = {name for day in days if day is not None for name in day.columns}
    for name in sorted(columns):
        shares = _shares(days, name)
        if np.nanmax(shares, initial=0.0) >= LEAST_NULLS:
            yield Line(f"{table}: share of {name} that is missing", shares)
    if DECISION in columns and default:
        yield Line(f"{table}: share of decisions other than {default}", _others(days, default))


def _shares(days: Sequence[TableProfile | None], column: str) -> NDArray[np.float64]:
    held = [None if day is None or not day.n else day.columns[column] for day in days]
    return np.array([np.nan if c is None else c.n_null / c.n for c in held])


def _others(days: Sequence[TableProfile | None], default: str) -> NDArray[np.float64]:
    found = []
    for day in days:
        held = day.columns[DECISION] if day is not None and day.n else None
        if isinstance(held, Categories) and default in held.categories:
            found.append(1 - held.counts[held.categories.index(default)] / held.n)
        else:
            found.append(np.nan)
    return np.array(found)


def charted(line: Line, dates: Sequence[str], n_baseline: int) -> Charted | None:
    """A line's charts, by the level of its first ``n_baseline`` days; None where they give none.

    A week's rhythm is taken out where each weekday was there twice: a Sunday is held to Sundays.
    Days of the baseline that are themselves far off (an outage, the beginning of a shift) say
    nothing about what is usual, and the mean that remembers does not remember them.

    Examples
    --------
    >>> values = np.array([10.0, 11.0, 9.0, 10.0, 11.0, 10.0, 9.0, 10.0, 11.0, 30.0])
    >>> dates = [f"2026-01-{day:02}" for day in range(1, 11)]
    >>> charted(Line("rows", values), dates, 9).out(dates)
    ['2026-01-10']
    """
    week = _week(line.values, dates, n_baseline)
    values, wider = (line.values, 1.0) if week is None else (line.values - week[0], week[1])
    is_usual = usual_points(values[:n_baseline], WIDTH * wider)
    try:
        level = level_of(values[:n_baseline][is_usual])
    except InvalidInputError:  # too few days, or all alike: there is no spread to judge by
        return None
    spread = level.spread * wider
    days = shewhart(values, level.centre, spread, WIDTH)
    remembered = values.astype(np.float64)  # counts are whole numbers, which know no NaN
    remembered[:n_baseline][~is_usual] = np.nan
    title = line.title if week is None else f"{line.title}, a week's rhythm taken out"
    return Charted(title, tuple(dates), days, ewma(remembered, level.centre, spread))


def _week(
    values: NDArray[np.float64], dates: Sequence[str], n_baseline: int
) -> tuple[NDArray[np.float64], float] | None:
    """What each day is above or below the others for its weekday, and by how much less sure.

    Medians of ``k`` days take ``1 / k`` of their spread with them and add ``1.57 / k`` to that of
    a new day, by which limits have to be wider.
    """
    weekday = np.array([date.fromisoformat(each).weekday() for each in dates])
    is_held = (np.arange(len(values)) < n_baseline) & ~np.isnan(values)
    k = min(int((is_held & (weekday == day)).sum()) for day in range(DAYS_OF_WEEK))
    if k < FEWEST_WEEKS:
        return None
    middle = float(np.median(values[is_held]))
    usual = [np.median(values[is_held & (weekday == day)]) for day in range(DAYS_OF_WEEK)]
    rhythm: NDArray[np.float64] = np.array(usual)[weekday] - middle
    return rhythm, float(np.sqrt((k + MEDIAN_VARIANCE) / (k - 1)))
