"""ADWIN: a window over a stream that grows while nothing changes and drops what has gone old.

The window is held as buckets of 1, 2, 4, ... values: a row of at most five of each size, merged
two by two when there are more, so memory grows with the logarithm of the window. Now and then
every cut between two buckets is tried: if the means of the two sides differ by more than chance
allows, the oldest bucket is dropped and the cuts are tried again. What is left afterwards is
the present, and its mean is the estimate of it.

Use it where nobody can say how large a change will be or how long the past is good for: the
errors of a model as labels come. It answers whether the *mean* of values in about [0, 1] moved;
a change of spread alone it does not see, and values of one entity that come in bursts look like
a change.

References
----------
Bifet & Gavalda (2007), "Learning from time-changing data with adaptive windowing", Proc. SIAM
Int. Conf. Data Mining, 443-448.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

from core.errors import InvalidInputError

BUCKETS_OF_A_SIZE = 5
TRY_EVERY = 32
LEAST_WINDOW = 10
LEAST_SIDE = 5


@dataclass(slots=True)
class _Bucket:
    """Sum of some values, and the sum of their squared distances from their mean."""

    total: float
    spread: float


class Adwin:
    """The window, and whether the last value made it shorter.

    Parameters
    ----------
    delta
        How readily chance is taken for a change, in ``(0, 1)``: the bound on the chance that a
        cut of a window without change is taken for one. Smaller is slower and surer.
    try_every
        Values between two looks at the cuts.

    Examples
    --------
    >>> adwin = Adwin()
    >>> stream = [0.0, 0.0, 0.0, 0.0, 1.0] * 100 + [1.0, 0.0, 1.0, 1.0, 0.0] * 40
    >>> [place for place, value in enumerate(stream) if adwin.update(value)]
    [575, 607]
    >>> round(adwin.mean, 2), adwin.n
    (0.48, 284)
    """

    def __init__(self, delta: float = 0.002, *, try_every: int = TRY_EVERY) -> None:
        if not 0 < delta < 1 or try_every < 1:
            raise InvalidInputError(
                "ADWIN needs a delta in (0, 1) and a positive number of values between looks",
                found=f"{delta} and {try_every}",
                remedy="0.002 and 32 do for error rates",
            )
        self._delta, self._try_every = delta, try_every
        self._sizes: list[deque[_Bucket]] = [deque()]
        self._ticks = 0
        self.n = 0
        self._total = self._spread = 0.0

    @property
    def mean(self) -> float:
        """Mean of the values that are taken for the present; 0 before the first."""
        return self._total / self.n if self.n else 0.0

    @property
    def variance(self) -> float:
        """Their variance."""
        return self._spread / self.n if self.n else 0.0

    def update(self, value: float) -> bool:
        """Take in one value; whether the window was cut, so that the mean has changed.

        Raises
        ------
        InvalidInputError
            If the value is not finite: it would stay in every sum for good.
        """
        if not math.isfinite(value):
            raise InvalidInputError(
                "a detector takes finite values", found=str(value), remedy="leave missing ones out"
            )
        self._ticks += 1
        self._insert(value)
        if self._ticks % self._try_every or self.n <= LEAST_WINDOW:
            return False
        is_cut = False
        while self._has_changed():
            self._drop_oldest()
            is_cut = True
        return is_cut

    def _insert(self, value: float) -> None:
        if self.n:
            self._spread += self.n / (self.n + 1) * (value - self.mean) ** 2
        self.n += 1
        self._total += value
        self._sizes[0].append(_Bucket(value, 0.0))
        for power, row in enumerate(self._sizes):
            if len(row) <= BUCKETS_OF_A_SIZE:
                break
            if power + 1 == len(self._sizes):
                self._sizes.append(deque())
            size = 2.0**power
            one, two = row.popleft(), row.popleft()
            apart = (one.total - two.total) ** 2 / (2 * size)
            merged = _Bucket(one.total + two.total, one.spread + two.spread + apart)
            self._sizes[power + 1].append(merged)

    def _drop_oldest(self) -> None:
        size = 2 ** (len(self._sizes) - 1)
        oldest = self._sizes[-1].popleft()
        self.n -= size
        self._total -= oldest.total
        between = (oldest.total / size - self.mean) ** 2 * size * self.n / (size + self.n)
        self._spread = max(self._spread - oldest.spread - between, 0.0)
        while len(self._sizes) > 1 and not self._sizes[-1]:
            self._sizes.pop()

    def _has_changed(self) -> bool:
        """Whether the means on the two sides of some cut differ by more than chance allows."""
        n_old, total_old = 0, 0.0
        for power in range(len(self._sizes) - 1, -1, -1):
            for bucket in self._sizes[power]:
                n_old += 2**power
                total_old += bucket.total
                n_new = self.n - n_old
                if n_new < LEAST_SIDE:
                    return False
                if n_old < LEAST_SIDE:
                    continue
                difference = total_old / n_old - (self._total - total_old) / n_new
                if abs(difference) > self._limit(n_old, n_new):
                    return True
        return False

    def _limit(self, n_old: int, n_new: int) -> float:
        """Bernstein's bound on the difference of two means, shared out over the cuts."""
        nats = math.log(2 * math.log(self.n) / self._delta)
        inverse = 1 / (n_old - LEAST_SIDE + 1) + 1 / (n_new - LEAST_SIDE + 1)
        return math.sqrt(2 * inverse * self.variance * nats) + 2 / 3 * inverse * nats
