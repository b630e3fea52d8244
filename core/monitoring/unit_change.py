"""Whether a column came in another unit: cents for euros, seconds for milliseconds.

A change of unit moves every value by one factor, and the factors that people change units by are
few. So the one factor is looked for that explains what moved best. If it is such a factor, within
a tenth, that is a change of unit; if it is another one, values grew. Where no factor explains
all rows, some part of them (one sender of several) may have come in another unit: then a large
factor on a share of the rows must explain what moved.

All from counts between fixed edges, which do not know where in a bin a value lay, and know only
a share below the first edge and above the last one: a factor is found within some percent. A
column of zeros has no unit, and one whose values all fell beyond the edges has lost its shape.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.stats.histogram import Histogram
from core.stats.tails import kolmogorov_limit

Array = NDArray[np.float64]

FACTORS = np.array([10.0, 60.0, 100.0, 1_000.0, 3_600.0, 86_400.0, 1e6])
"""Powers of ten (currency, mass, milliseconds), and what time is counted in."""

PART_FACTORS = (100.0, 1_000.0, 1e6)
PART_SHARES = np.linspace(0.2, 0.95, 76)
ANY_FACTORS = np.geomspace(1e-7, 1e7, 1_401)
NEAR = 0.1
LARGE = 7.0
LEAST_EFFECT = 0.1
ALPHA = 0.001
SLACK = 0.02
"""What may be left unexplained beside chance, because places within a bin are not known."""


class UnitChange(NamedTuple):
    """A factor that explains what moved, and the share of rows that it is true of.

    Not ``is_exact`` where values fell beyond the edges: then it is the least that explains it.
    """

    factor: float
    share: float
    is_exact: bool = True

    def sentence(self) -> str:
        """``100 times what it was in 50% of rows``."""
        least = "" if self.is_exact else "at least " if self.factor > 1 else "at most "
        return f"{least}{self.factor:g} times what it was in {self.share:.0%} of rows"


def unit_change(reference: Histogram, current: Histogram) -> UnitChange | None:
    """The factor by which values were multiplied; None when no factor explains what moved.

    Parameters
    ----------
    reference, current
        Counts by the same edges; missing values play no part.

    Examples
    --------
    >>> rng = np.random.default_rng(7)
    >>> from core.stats.histogram import fine_edges_of, histogram_of
    >>> euros = rng.lognormal(3.0, 1.0, 20_000)
    >>> edges = fine_edges_of(euros)
    >>> as_cents = histogram_of(rng.lognormal(3.0, 1.0, 2_000) * 100, edges)
    >>> unit_change(histogram_of(euros, edges), as_cents).factor
    100.0
    >>> dearer = histogram_of(rng.lognormal(3.0, 1.0, 2_000) * 2, edges)
    >>> unit_change(histogram_of(euros, edges), dearer) is None
    True
    """
    edges = np.asarray(reference.edges, dtype=np.float64)
    before, now = _below(reference), _below(current)
    if before is None or now is None or not np.any(edges):
        return None
    effect = float(np.max(np.abs(before - now)))
    if effect < LEAST_EFFECT:
        return None
    chance = kolmogorov_limit(ALPHA, sum(reference.counts), sum(current.counts))
    most = min(chance + SLACK, effect / 2)
    left = np.array([np.max(np.abs(_scaled(edges, before, f) - now)) for f in ANY_FACTORS])
    if left.min() <= most:
        return _whole(left, most)
    parts = [
        _part(edges, before, now, factor) for base in PART_FACTORS for factor in (base, 1 / base)
    ]
    least, change = min(parts, key=lambda pair: pair[0])
    return change if least <= most else None


def _whole(left: Array, most: float) -> UnitChange | None:
    """A change of unit if one of their factors explains all rows as well as the best one does.

    And if the best is near it, or no small factor does: values that fell beyond the edges say
    only that they were multiplied by much, which the world does not do.
    """
    units = np.concatenate([FACTORS, 1 / FACTORS])
    fitting = np.log(ANY_FACTORS[left <= min(most, left.min() + SLACK / 2)])
    best = np.log(ANY_FACTORS[int(np.argmin(left))])
    apart = np.abs(np.log(units)[:, None] - fitting).min(axis=1)
    fit = units[apart <= NEAR]
    if not len(fit):
        return None
    is_near = np.abs(np.log(fit) - best).min() <= NEAR
    is_large = np.abs(fitting).min() >= np.log(LARGE)
    least = float(fit[int(np.argmin(np.abs(np.log(fit))))])
    return UnitChange(least, 1.0, len(fit) == 1) if is_near or is_large else None


def _part(edges: Array, before: Array, now: Array, factor: float) -> tuple[float, UnitChange]:
    """What is left when the best share of the reference is scaled, and that share."""
    scaled = _scaled(edges, before, factor)
    mixed = before + PART_SHARES[:, None] * (scaled - before)
    left = np.max(np.abs(mixed - now), axis=1)
    best = int(np.argmin(left))
    return float(left[best]), UnitChange(factor, round(float(PART_SHARES[best]), 2))


def _scaled(edges: Array, before: Array, factor: float) -> Array:
    """Share below each edge once all values are multiplied."""
    return np.interp(edges / factor, edges, before, left=0.0, right=1.0)


def _below(counts: Histogram) -> Array | None:
    """Share of values below each edge; None when there are none."""
    found = np.asarray(counts.counts, dtype=np.float64)
    total = found.sum()
    return np.cumsum(found)[:-1] / total if total else None
