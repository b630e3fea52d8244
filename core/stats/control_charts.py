"""Control charts: whether this day is like the days when all was well.

A chart is a line of numbers (a day each: a share, a mean, a metric) between limits that a
reference period gives. Shewhart's finds a large jump at once; the EWMA chart, whose points
remember the days before, finds a small lasting one. Both assume days that do not follow each
other; a week's rhythm has to be taken out first, or it will be what the chart shows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.errors import InvalidInputError

Array = NDArray[np.float64]

MOVING_RANGE = 1.128379167095513  # 2 / sqrt(pi): mean distance of two normal values, in spreads
FEWEST_POINTS = 8


@dataclass(frozen=True)
class Chart:
    """A chart's points and limits, all of one shape with time on the last axis."""

    points: Array
    centre: Array
    lower: Array
    upper: Array

    @property
    def is_out(self) -> NDArray[np.bool_]:
        """Points outside of the limits; a missing one (NaN) is not."""
        return np.asarray((self.points < self.lower) | (self.points > self.upper))


@dataclass(frozen=True)
class Level:
    """Mean and standard deviation of a line while all is well."""

    centre: float
    spread: float


def level_of(reference: ArrayLike) -> Level:
    """Level of a reference period: its mean, and the spread from day to day.

    The spread is the mean step between neighbours over 1.128, so that a slow drift within the
    reference does not widen the limits as the standard deviation would.

    Parameters
    ----------
    reference
        Shape ``(n,)``, eight points or more; NaN is left out.

    Raises
    ------
    InvalidInputError
        If there are fewer, or all are equal: then there is no spread to judge by.

    References
    ----------
    Montgomery (2009), Introduction to Statistical Quality Control, 6th ed., section 6.4.

    Examples
    --------
    >>> level_of([10.0, 12.0] * 6)
    Level(centre=11.0, spread=1.7724538509055154)
    """
    values = np.asarray(reference, dtype=np.float64)
    values = values[~np.isnan(values)]
    spread = _spread(values)
    if len(values) < FEWEST_POINTS or not spread > 0:
        raise InvalidInputError(
            "a reference period must hold eight points that differ",
            found=f"{len(values)} points, mean step {spread * MOVING_RANGE:g}",
            remedy="take a longer one",
        )
    return Level(float(values.mean()), spread)


def usual_points(reference: ArrayLike, width: float = 3.0) -> NDArray[np.bool_]:
    """Points of a reference that may say what is usual: those without a special cause.

    A reference may hold a day of an outage, or the first days of the very shift that a chart is to
    find; limits that such days widen find nothing. So points beyond ``width`` spreads of the
    median are left out and the spread is taken anew, until none is left out. Medians and steps
    between neighbours hardly follow a few points far away, but half of a reference cannot be told
    from the other half: of 28 points up to four alone, or ten in a row, are.

    Nothing is left out where fewer than eight points would stay, or equal ones. A missing point
    (NaN) is not usual.

    Parameters
    ----------
    reference
        Shape ``(n,)``.

    References
    ----------
    Montgomery (2009), Introduction to Statistical Quality Control, 6th ed., section 6.2 (trial
    control limits, revised without points that are out of control).

    Examples
    --------
    >>> usual_points([10.0, 12.0, 11.0, 10.0, 60.0, 12.0, 11.0, 10.0, 12.0]).tolist().index(False)
    4
    """
    values = np.asarray(reference, dtype=np.float64)
    is_usual = ~np.isnan(values)
    while True:
        kept = values[is_usual]
        spread = _spread(kept)
        is_near = np.abs(values - np.median(kept)) <= width * spread if len(kept) else is_usual
        left = is_usual & is_near
        if left.sum() == is_usual.sum() or left.sum() < FEWEST_POINTS or not _spread(values[left]):
            return is_usual
        is_usual = left


def _spread(values: Array) -> float:
    """Mean step between neighbours, as a standard deviation of normal values."""
    return float(np.abs(np.diff(values)).mean()) / MOVING_RANGE if len(values) > 1 else 0.0


def shewhart(values: ArrayLike, centre: ArrayLike, spread: ArrayLike, width: float = 3.0) -> Chart:
    """Shewhart's chart: each point by itself, ``centre +- width * spread``.

    With width 3 a false alarm comes every 370 points; a shift of one spread is found after 44,
    of three after 2.

    Parameters
    ----------
    values
        Shape ``(..., n)``.
    centre, spread
        Level of the reference; broadcast against ``values``.

    References
    ----------
    Shewhart (1931), Economic Control of Quality of Manufactured Product.

    Examples
    --------
    >>> shewhart([1.0, 5.0, -4.0], centre=0.0, spread=1.0).is_out.tolist()
    [False, True, True]
    """
    points, middle, half = np.broadcast_arrays(
        np.asarray(values, dtype=np.float64),
        np.asarray(centre, dtype=np.float64),
        width * np.asarray(spread, dtype=np.float64),
    )
    return Chart(points, middle, middle - half, middle + half)


def ewma(
    values: ArrayLike,
    centre: ArrayLike,
    spread: ArrayLike,
    *,
    weight: float = 0.1,
    width: float = 2.814,
) -> Chart:
    """EWMA chart: ``point = weight * value + (1 - weight) * point before``, from the centre on.

    The limits widen with time to those of the point's own spread. With weight 0.1 and width
    2.814 a false alarm comes about every 490 points (500 with the final limits from the start);
    a shift of one spread is found after about 8. A missing value leaves the point as it was.

    Parameters
    ----------
    values
        Shape ``(..., n)``; NaN is missing.
    centre, spread
        Level of the reference; broadcast against ``values``.
    weight
        Of the newest value, in ``(0, 1]``.

    References
    ----------
    Roberts (1959), Technometrics 1(3), 239-250; Lucas & Saccucci (1990), Technometrics 32(1),
    1-12 (weights, widths and run lengths).

    Examples
    --------
    >>> ewma([1.5] * 9, centre=0.0, spread=1.0).is_out.tolist().index(True)
    3
    """
    given, middle, spreads = np.broadcast_arrays(
        np.asarray(values, dtype=np.float64),
        np.asarray(centre, dtype=np.float64),
        np.asarray(spread, dtype=np.float64),
    )
    points = np.empty(given.shape)
    point = np.array(middle[..., :1].squeeze(-1)) if given.shape[-1] else np.zeros(())
    for place in range(given.shape[-1]):
        value = given[..., place]
        point = np.where(np.isnan(value), point, weight * value + (1 - weight) * point)
        points[..., place] = point
    ages = np.arange(1, given.shape[-1] + 1)
    growing = 1 - (1 - weight) ** (2 * ages)
    half = width * spreads * np.sqrt(weight / (2 - weight) * growing)
    return Chart(points, middle, middle - half, middle + half)
