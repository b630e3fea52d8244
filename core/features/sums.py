"""Compensated sums: two floats that together hold about 106 bits.

A double-double is a pair ``(hi, lo)`` with ``hi == fl(hi + lo)``. Adding values to such a
pair, or merging pairs in any grouping, gives the same ``hi`` but for differences near
``2**-104`` of the sum of absolute values: batch and online, which add in other orders, agree
after the cast to float32. Every function is plain arithmetic without calls, so it
works on floats and on numpy arrays alike, element by element.

References
----------
Dekker (1971), "A floating-point technique for extending the available precision",
Numer. Math. 18, 224-242. Knuth, TAOCP vol. 2, 4.2.2, theorem B (the two-sum).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

_SPLIT = 134_217_729.0  # 2**27 + 1: halves a float's 53 bits

SMALLEST_SPREAD = 2.0**-64
"""A variance below this share of the mean square about the centre is taken as zero.

What is left of it after cancellation is rounding, which would differ between hosts. The
standard deviation is then below ``2**-32`` of the distance from the declared centre.
"""


def add(hi: Any, lo: Any, x: Any) -> tuple[Any, Any]:
    """The pair ``(hi, lo)`` plus the plain number ``x``.

    Examples
    --------
    >>> add(1e16, 0.0, 1.0)
    (1e+16, 1.0)
    """
    total = hi + x
    back = total - hi
    error = (hi - (total - back)) + (x - back) + lo
    new_hi = total + error
    return new_hi, error - (new_hi - total)


def merge(hi: Any, lo: Any, other_hi: Any, other_lo: Any) -> tuple[Any, Any]:
    """Sum of two pairs.

    Examples
    --------
    >>> merge(1e16, 1.0, -1e16, 0.5)
    (1.5, 0.0)
    """
    total = hi + other_hi
    back = total - hi
    error = (hi - (total - back)) + (other_hi - back)
    low = lo + other_lo
    back = low - lo
    low_error = (lo - (low - back)) + (other_lo - back)
    error = error + low
    mid = total + error
    error = error - (mid - total) + low_error
    new_hi = mid + error
    return new_hi, error - (new_hi - mid)


def square(x: Any) -> tuple[Any, Any]:
    """Exact square of ``x`` as a pair, for ``1e-140 < |x| < 1e150`` or zero.

    Examples
    --------
    >>> hi, lo = square(1.0 + 2.0**-40)
    >>> hi == 1.0 + 2.0**-39, lo == 2.0**-80
    (True, True)
    """
    big = _SPLIT * x
    head = big - (big - x)
    tail = x - head
    hi = x * x
    return hi, ((head * head - hi) + 2.0 * head * tail) + tail * tail


def product(hi: Any, lo: Any, other_hi: Any, other_lo: Any) -> tuple[Any, Any]:
    """Product of two pairs, to about 104 bits.

    Examples
    --------
    >>> product(2.0, 0.0, 1e16, 1.0)
    (2e+16, 2.0)
    """
    big = _SPLIT * hi
    head = big - (big - hi)
    tail = hi - head
    big = _SPLIT * other_hi
    other_head = big - (big - other_hi)
    other_tail = other_hi - other_head
    total = hi * other_hi
    error = ((head * other_head - total) + head * other_tail + tail * other_head) + (
        tail * other_tail
    )
    error = error + (hi * other_lo + lo * other_hi)
    new_hi = total + error
    return new_hi, error - (new_hi - total)


def spread(count: Any, first: tuple[Any, Any], second: tuple[Any, Any]) -> tuple[Any, Any]:
    """``(n * S2 - S1**2, n * S2)`` as plain floats, from the pairs S1 and S2.

    ``S1`` and ``S2`` are the sums of distances from the centre and of their squares. The
    first number is ``n**2`` times the population variance.

    Examples
    --------
    >>> spread(2.0, (4.0, 0.0), (10.0, 0.0))
    (4.0, 20.0)
    """
    scaled = product(*second, count, 0.0 * count)
    squared = product(*first, *first)
    return merge(*scaled, -squared[0], -squared[1])[0], scaled[0]


def deviation(count: int, first: tuple[float, float], second: tuple[float, float]) -> float | None:
    """Population standard deviation from count and the pairs S1 and S2; None for no rows.

    Parameters
    ----------
    count
        Number of values.
    first, second
        Sums of ``x - centre`` and of ``(x - centre)**2``. The distance is rounded once, the
        square is exact (see `square`).

    Examples
    --------
    >>> deviation(2, (4.0, 0.0), (10.0, 0.0))
    1.0
    >>> deviation(0, (0.0, 0.0), (0.0, 0.0)) is None
    True
    """
    if count == 0:
        return None
    numerator, scale = spread(float(count), first, second)
    return math.sqrt(numerator) / count if numerator > SMALLEST_SPREAD * scale else 0.0


def deviations(
    count: NDArray[np.float64],
    first: tuple[NDArray[np.float64], NDArray[np.float64]],
    second: tuple[NDArray[np.float64], NDArray[np.float64]],
) -> NDArray[np.float64]:
    """`deviation` for arrays; NaN where the count is zero.

    Examples
    --------
    >>> zero = np.zeros(2)
    >>> n, s1, s2 = np.array([2.0, 0.0]), np.array([4.0, 0.0]), np.array([10.0, 0.0])
    >>> deviations(n, (s1, zero), (s2, zero)).tolist()
    [1.0, nan]
    """
    numerator, scale = spread(count, first, second)
    kept = np.where(numerator > SMALLEST_SPREAD * scale, numerator, 0.0)
    out = np.full(count.shape, np.nan)
    np.divide(np.sqrt(kept), count, out=out, where=count > 0)
    return out
