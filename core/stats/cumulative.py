"""Detectors that add up small departures: a shift too small for one point shows in the sum.

Both take one value at a time, or an array with one value of each of many streams that run side
by side. Both start afresh after an alarm. Values must be about independent: for values that
follow each other (hourly means of a day's curve) take the residuals of a forecast instead.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.errors import InvalidInputError

Array = NDArray[np.float64]


class Cusum:
    """Tabular CUSUM, both sides: for a target and a spread that are known.

    ``up = max(0, up + z - allowance)``, ``down = max(0, down - z - allowance)`` with ``z`` the
    distance from the target in spreads; an alarm when either exceeds ``limit``. Quickest to
    find a lasting shift of twice the allowance. With allowance 0.5 a false alarm comes every
    465 values for limit 5 and every 168 for limit 4, a shift of one spread after 10.4 and 8.4.
    It says that a mean moved, not for how long yet: a single value of 6 spreads alarms too.

    Parameters
    ----------
    target, spread
        Mean and standard deviation while all is well, from a reference period.
    allowance, limit
        In spreads.

    References
    ----------
    Page (1954), "Continuous inspection schemes", Biometrika 41, 100-115; Montgomery (2009),
    Introduction to Statistical Quality Control, 6th ed., table 9.3 (the run lengths).

    Examples
    --------
    >>> cusum = Cusum(target=10.0, spread=2.0)
    >>> [place for place, value in enumerate([10.0] * 20 + [12.0] * 20) if cusum.update(value)]
    [30]
    """

    def __init__(
        self, target: ArrayLike, spread: ArrayLike, *, allowance: float = 0.5, limit: float = 5.0
    ) -> None:
        self._target = np.asarray(target, dtype=np.float64)
        self._spread = np.asarray(spread, dtype=np.float64)
        if not (self._spread > 0).all():
            raise InvalidInputError(
                "a spread must be positive",
                found=f"{self._spread.min():g}",
                remedy="take a reference period in which values differ",
            )
        self._allowance, self._limit = allowance, limit
        self.up: Array = np.zeros(())
        self.down: Array = np.zeros(())

    def update(self, value: ArrayLike) -> NDArray[np.bool_]:
        """Take in one value (of each stream); whether it raised the alarm."""
        z = (np.asarray(value, dtype=np.float64) - self._target) / self._spread
        up = np.maximum(self.up + z - self._allowance, 0.0)
        down = np.maximum(self.down - z - self._allowance, 0.0)
        is_alarm = np.maximum(up, down) > self._limit
        self.up, self.down = np.where(is_alarm, 0.0, up), np.where(is_alarm, 0.0, down)
        return np.asarray(is_alarm)


class PageHinkley:
    """Page-Hinkley: a CUSUM about the running mean, where no target is known.

    Sums the departures from the mean so far, less ``allowance``, and alarms when the sum has
    risen more than ``limit`` above its least value; likewise downwards. The mean follows the
    stream, so a slow drift is learnt and never found: use a CUSUM where a target is known.

    Parameters
    ----------
    allowance, limit
        In the unit of the values: for errors of 0 and 1, 0.005 and 50 wait for some fifty
        errors more than expected.
    least
        Values before the first alarm.
    memory
        Share of the sum that is kept from one value to the next.

    References
    ----------
    Page (1954), Biometrika 41, 100-115; Hinkley (1971), "Inference about the change-point from
    cumulative sum tests", Biometrika 58(3), 509-523.

    Examples
    --------
    >>> detector = PageHinkley(limit=20.0)
    >>> [place for place, value in enumerate([0.0] * 200 + [1.0] * 60) if detector.update(value)]
    [221]
    """

    def __init__(
        self,
        *,
        allowance: float = 0.005,
        limit: float = 50.0,
        least: int = 30,
        memory: float = 0.9999,
    ) -> None:
        self._allowance, self._limit, self._least, self._memory = allowance, limit, least, memory
        zero = np.zeros(())
        self.n = self.mean = self._up = self._down = zero
        self._lowest, self._highest = zero + np.inf, zero - np.inf

    def update(self, value: ArrayLike) -> NDArray[np.bool_]:
        """Take in one value (of each stream); whether it raised the alarm."""
        x = np.asarray(value, dtype=np.float64)
        self.n = self.n + np.ones(x.shape)
        self.mean = self.mean + (x - self.mean) / self.n
        departure = x - self.mean
        self._up = self._memory * self._up + departure - self._allowance
        self._down = self._memory * self._down + departure + self._allowance
        self._lowest = np.minimum(self._lowest, self._up)
        self._highest = np.maximum(self._highest, self._down)
        risen = np.maximum(self._up - self._lowest, self._highest - self._down)
        is_alarm = (risen > self._limit) & (self.n >= self._least)
        self._forget(is_alarm)
        return np.asarray(is_alarm)

    def _forget(self, is_alarm: NDArray[np.bool_]) -> None:
        self.n, self.mean, self._up, self._down = (
            np.where(is_alarm, 0.0, kept) for kept in (self.n, self.mean, self._up, self._down)
        )
        self._lowest = np.where(is_alarm, np.inf, self._lowest)
        self._highest = np.where(is_alarm, -np.inf, self._highest)
