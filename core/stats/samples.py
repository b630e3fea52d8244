"""The same distances on the values themselves: exact, for samples that fit into memory.

Profiles are held to these. Missing values (NaN) count as lower than any number in
`kolmogorov_of`, and have no distance in `wasserstein_of`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from core.errors import InvalidInputError

Array = NDArray[np.float64]


def kolmogorov_of(reference: NDArray[np.floating], current: NDArray[np.floating]) -> float:
    """Greatest difference of the shares at or below a value, over all values.

    Parameters
    ----------
    reference, current
        Shape ``(n,)`` and ``(m,)``, one row or more; NaN is missing.

    Returns
    -------
    float
        In ``[0, 1]``; see `core.stats.tails.kolmogorov_tail` for its chance.

    Examples
    --------
    >>> kolmogorov_of(np.array([1.0, 2.0, 3.0, 4.0]), np.array([3.0, 4.0, np.nan, np.nan]))
    0.5
    """
    r, c = (np.sort(np.where(np.isnan(v), -np.inf, v)) for v in _both(reference, current))
    places = np.concatenate([r, c])
    shares = [side.searchsorted(places, side="right") / len(side) for side in (r, c)]
    return float(np.abs(shares[1] - shares[0]).max())


def wasserstein_of(reference: NDArray[np.floating], current: NDArray[np.floating]) -> float:
    """``integral |C(x) - R(x)| dx``: the mean way that a row has to move, in the column's unit.

    Raises
    ------
    InvalidInputError
        If a side holds no value, or an infinite one.

    Examples
    --------
    >>> wasserstein_of(np.array([0.0, 1.0]), np.array([5.0, 6.0, np.nan]))
    5.0
    """
    r, c = (np.sort(side[~np.isnan(side)]) for side in _both(reference, current))
    places = np.sort(np.concatenate([r, c]))
    if not (len(r) and len(c) and np.isfinite(places[[0, -1]]).all()):
        raise InvalidInputError(
            "a distance needs finite values on both sides",
            found=f"{len(r)} and {len(c)} values that are not missing",
            remedy="compare the shares of missing values instead",
        )
    left = places[:-1]
    gaps = c.searchsorted(left, side="right") / len(c) - r.searchsorted(left, side="right") / len(r)
    return float((np.abs(gaps) * np.diff(places)).sum())


def _both(reference: NDArray[np.floating], current: NDArray[np.floating]) -> tuple[Array, Array]:
    r, c = np.asarray(reference, dtype=np.float64), np.asarray(current, dtype=np.float64)
    if not (len(r) and len(c)):
        raise InvalidInputError(
            "an empty sample has no distribution",
            found=f"{len(r)} and {len(c)} rows",
            remedy="compare only where both sides have rows",
        )
    return r, c
