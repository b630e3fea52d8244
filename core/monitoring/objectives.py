"""Objectives: what a use case promises those who ask it, and what is left of a month's room.

Two promises, each about a share of requests. *p99*: of a hundred requests for one prediction that
are answered, ninety-nine are within ``p99_ms``. *Availability*: of all requests, lists of points
among them, ``availability_share`` are answered. What breaks its contract, or comes with a key that
opens nothing or has spent its rate, is the caller's: it counts in neither. Nor do synthetic
requests.

The *error budget* is how many may miss a promise that is kept: one in a hundred, one in a
thousand. It is counted over `WINDOW_DAYS`. All of it left is 1; below 0 the promise is broken.
"""

from __future__ import annotations

from itertools import accumulate
from typing import Literal, NamedTuple

from pydantic import Field, NonNegativeInt

from core.features.plan import Frozen
from core.rollout.counters import LATENCY_EDGES_MS

Objective = Literal["p99", "availability"]

WINDOW_DAYS = 30
IN_TIME_SHARE = 0.99
_ROUNDING = 1e-9


class Objectives(Frozen):
    """What the service promises for this use case: milliseconds, and a share of requests.

    Without room for a single miss there is nothing to measure by, so the share is below 1.

    Examples
    --------
    >>> Objectives(p99_ms=50).shares
    {'p99': 0.99, 'availability': 0.999}
    """

    p99_ms: float = Field(default=100.0, gt=0, le=50_000)
    availability_share: float = Field(default=0.999, gt=0, lt=1)

    @property
    def shares(self) -> dict[Objective, float]:
        """The share of requests that is promised, by objective."""
        return {"p99": IN_TIME_SHARE, "availability": self.availability_share}


class Measured(Frozen):
    """Requests of one use case by what became of them: whole numbers, which add up in any order.

    ``n_failed`` of the ``n_asked`` were not answered. ``n_late`` of the ``n_timed``, those for one
    prediction that were answered, took longer than was promised then. ``latencies`` counts the
    timed ones by `core.rollout.counters.latency_bin`; bins that hold none are left out.
    """

    n_asked: NonNegativeInt = 0
    n_failed: NonNegativeInt = 0
    n_timed: NonNegativeInt = 0
    n_late: NonNegativeInt = 0
    latencies: dict[int, NonNegativeInt] = Field(default_factory=dict)

    def merged(self, other: Measured) -> Measured:
        """Both counted together.

        Examples
        --------
        >>> Measured(n_asked=2, n_failed=1).merged(Measured(n_asked=3)).n_asked
        5
        """
        return self._with(other, sign=1)

    def since(self, before: Measured) -> Measured:
        """What was counted after ``before``, an earlier word of the same counter.

        Examples
        --------
        >>> Measured(n_asked=5).since(Measured(n_asked=2)).n_asked
        3
        """
        return self._with(before, sign=-1)

    def _with(self, other: Measured, *, sign: int) -> Measured:
        bins = sorted(self.latencies.keys() | other.latencies.keys())
        counts = {n: self.latencies.get(n, 0) + sign * other.latencies.get(n, 0) for n in bins}
        return Measured(
            n_asked=self.n_asked + sign * other.n_asked,
            n_failed=self.n_failed + sign * other.n_failed,
            n_timed=self.n_timed + sign * other.n_timed,
            n_late=self.n_late + sign * other.n_late,
            latencies={place: n for place, n in counts.items() if n},
        )

    @property
    def p99_ms(self) -> float | None:
        """Least edge of a bin that at most 1 % took longer than; None where none was timed.

        At most 4.7 % above the exact one, and never above the last edge, 59 s.

        Examples
        --------
        >>> Measured(n_timed=100, latencies={160: 99, 200: 1}).p99_ms
        100.0
        >>> Measured().p99_ms is None
        True
        """
        places = sorted(self.latencies)
        reached = list(accumulate(self.latencies[place] for place in places))
        for place, n in zip(places, reached, strict=True):
            if reached[-1] - n <= (1 - IN_TIME_SHARE) * reached[-1] + _ROUNDING:
                return float(LATENCY_EDGES_MS[min(place, len(LATENCY_EDGES_MS) - 1)])
        return None


class Standing(NamedTuple):
    """One objective beside what was measured: ``n_missed`` of ``n`` requests missed it."""

    objective: Objective
    promised_share: float
    n: int
    n_missed: int

    @property
    def kept_share(self) -> float | None:
        """Share of the requests that kept it; None where there were none."""
        return 1 - self.n_missed / self.n if self.n else None

    @property
    def left_share(self) -> float:
        """What is left of the error budget: 1 all of it, 0 nothing, less where it is broken.

        Examples
        --------
        >>> round(Standing("availability", 0.999, 10_000, 4).left_share, 9)
        0.6
        """
        return 1 - self.n_missed / (self.n * (1 - self.promised_share)) if self.n else 1.0


def standings(objectives: Objectives, measured: Measured) -> tuple[Standing, Standing]:
    """Both objectives beside what was measured.

    Examples
    --------
    >>> each = standings(Objectives(), Measured(n_asked=2_000, n_failed=1, n_timed=1_999))
    >>> [(one.objective, round(one.left_share, 3)) for one in each]
    [('p99', 1.0), ('availability', 0.5)]
    """
    shares = objectives.shares
    return (
        Standing("p99", shares["p99"], measured.n_timed, measured.n_late),
        Standing("availability", shares["availability"], measured.n_asked, measured.n_failed),
    )
