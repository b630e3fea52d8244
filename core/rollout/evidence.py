"""Evidence that may be looked at after every request: e-processes of counts.

Every test here has one form. A null hypothesis is a set of success shares. The evidence against
it is the likelihood of the counts averaged over all shares, divided by the greatest likelihood
that any share of the null gives them::

    e = integral of L(p) dJ(p)  /  max over p in the null of L(p)

with Jeffreys' prior ``J = Beta(1/2, 1/2)`` on each arm's share. Under any share ``p0`` of the
null, ``integral of L(p) / L(p0) dJ(p)`` is a non-negative martingale that starts at 1, and ``e``
never exceeds it. So by Ville's inequality the chance that ``e`` *ever* reaches ``1 / alpha`` is
at most ``alpha``, whenever and however often one looks. ``e`` depends on the totals alone:
nothing is kept between two looks, and counts may be merged in any order.

Values need not be 0 or 1: for values in [0, 1] with a mean of the null, ``x -> (q / p)**x *
((1 - q) / (1 - p))**(1 - x)`` is convex, so its expectation is at most that of a coin with the
same mean, and everything above still holds with sums in place of counts.

What it costs: about ``log(n) / 2`` nats for each arm, which is the price of not knowing the
alternative. Independence is assumed between what is counted; `core.rollout.gates` says what is
done about the many requests of one entity.

All functions take arrays that broadcast, work in nats, and return arrays.

References
----------
Robbins (1970), "Statistical methods related to the law of the iterated logarithm", Ann. Math.
Statist. 41(5), 1397-1409.  (mixtures)
Krichevsky & Trofimov (1981), "The performance of universal encoding", IEEE Trans. Inf. Theory
27(2), 199-207.  (the Beta(1/2, 1/2) mixture and its cost)
Wasserman, Ramdas & Balakrishnan (2020), "Universal inference", PNAS 117(29), 16880-16890.
(dividing by the greatest likelihood of the null, at every time)
Howard, Ramdas, McAuliffe & Sekhon (2021), "Time-uniform, nonparametric, nonasymptotic confidence
sequences", Ann. Statist. 49(2), 1055-1080.
Waudby-Smith & Ramdas (2024), "Estimating means of bounded random variables by betting", J. R.
Stat. Soc. B 86(1), 1-27.  (bounded values)
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_SHIFT = 8
_STIRLING = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360)
_HALVINGS = 60
_HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


def log_gamma(x: Array) -> Array:
    """Logarithm of the gamma function for ``x > 0``, by Stirling's series at ``x + 8``.

    Relative error below 1e-13 for ``x`` from 0.5 to 1e12; numpy has no such function.

    Examples
    --------
    >>> bool(abs(log_gamma(np.array([5.0]))[0] - math.log(24.0)) < 1e-13)
    True
    """
    z = np.asarray(x, dtype=np.float64)
    product = np.ones_like(z)
    for step in range(_SHIFT):
        product *= z + step
    z = z + _SHIFT
    inverse = 1.0 / z
    square, series = inverse * inverse, np.zeros_like(z)
    for coefficient in reversed(_STIRLING):  # Horner's scheme
        series *= square
        series += coefficient
    series *= inverse
    result: Array = (z - 0.5) * np.log(z) - z + _HALF_LOG_2PI + series - np.log(product)
    return result


def log_likelihood(successes: Array, n: Array, share: Array) -> Array:
    """``successes * log(share) + (n - successes) * log(1 - share)``, with ``0 log 0 = 0``."""
    return _xlogy(successes, share) + _xlogy(n - successes, 1.0 - share)


def _xlogy(x: Array, y: Array) -> Array:
    x, y = np.broadcast_arrays(x, y)
    with np.errstate(divide="ignore"):
        logs = np.log(y, where=x > 0, out=np.zeros(x.shape))
    return x * logs


def log_mixture(successes: Array, n: Array) -> Array:
    """Log-likelihood averaged over Jeffreys' prior: ``log B(s + 1/2, n - s + 1/2) - log pi``.

    Examples
    --------
    >>> float(np.exp(log_mixture(np.array(1.0), np.array(1.0))).round(12))
    0.5
    """
    # One call for all three: of few arms, calls into numpy take longer than the work.
    counted = np.broadcast_arrays(successes + 0.5, n - successes + 0.5, n + 1.0)
    of_hits, of_others, of_all = log_gamma(np.stack(counted))
    inside: Array = of_hits + of_others - of_all - math.log(math.pi)
    return inside


def share_of(successes: Array, n: Array) -> Array:
    """``successes / n``; 0 where nothing was counted."""
    shares: Array = np.divide(
        successes, n, out=np.zeros(np.broadcast(successes, n).shape), where=np.asarray(n) > 0
    )
    return shares


def log_e_outside(
    successes: Array, n: Array, *, lowest: Array | float = 0.0, highest: Array | float = 1.0
) -> Array:
    """Evidence that a share lies outside of ``[lowest, highest]``.

    Parameters
    ----------
    successes, n
        Totals so far; ``0 <= successes <= n``. Sums of values in [0, 1] will do.
    lowest, highest
        Ends of the null, in ``[0, 1]``.

    Returns
    -------
    NDArray
        ``log e``; 0 at ``n = 0``. Reaches ``log(1 / alpha)`` with a chance of at most
        ``alpha`` while the share is inside.

    Examples
    --------
    >>> float(log_e_outside(np.array(50.0), np.array(1000.0), highest=0.01).round(1))
    37.6
    >>> bool(log_e_outside(np.array(5.0), np.array(1000.0), highest=0.01) < 0)
    True
    """
    nearest = np.clip(share_of(successes, n), lowest, highest)
    return log_mixture(successes, n) - log_likelihood(successes, n, nearest)


def log_e_above(
    successes: Array,
    n: Array,
    reference_successes: Array,
    n_reference: Array,
    *,
    ratio: float = 1.0,
    margin: float = 0.0,
) -> Array:
    """Evidence that a share is above ``ratio * reference + margin``.

    The greatest likelihood of the null lies at the observed shares when these keep the limit,
    else on its edge, where the log-likelihood is concave: its maximum is found by halving.

    Parameters
    ----------
    successes, n
        Totals of the arm that is judged.
    reference_successes, n_reference
        Totals of the arm it is compared with, over the same period.
    ratio, margin
        The limit: ``ratio >= 1``, ``0 <= margin < 1``.

    Returns
    -------
    NDArray
        ``log e``; 0 when nothing was counted.

    Examples
    --------
    >>> fifty, nineteen = np.array(50.0), np.array(19.0)
    >>> n, n_reference = np.array(1000.0), np.array(19000.0)
    >>> bool(log_e_above(fifty, n, nineteen, n_reference, margin=0.001) > math.log(1000))
    True
    """
    counts = np.broadcast_arrays(successes, n, reference_successes, n_reference)
    s, total, r, r_total = (np.asarray(count, dtype=np.float64) for count in counts)
    share, reference = share_of(s, total), share_of(r, r_total)
    is_beyond = (share > ratio * reference + margin) & (total > 0) & (r_total > 0)
    if is_beyond.any():
        beyond = (values[is_beyond] for values in (s, total, r, r_total))
        edge = _likeliest_on_edge(*beyond, ratio=ratio, margin=margin)
        reference[is_beyond] = edge
        share[is_beyond] = np.minimum(ratio * edge + margin, 1.0)
    greatest = log_likelihood(s, total, share) + log_likelihood(r, r_total, reference)
    mixture = log_mixture(s, total) + log_mixture(r, r_total)
    return np.asarray(mixture - greatest, dtype=np.float64)


def _likeliest_on_edge(
    s: Array, n: Array, r: Array, n_r: Array, *, ratio: float, margin: float
) -> Array:
    """Reference share that maximises the likelihood where ``share = ratio * it + margin``."""
    low = np.zeros(s.shape)
    high = np.full(s.shape, min(1.0, (1.0 - margin) / ratio))
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        share = ratio * middle + margin
        slope = ratio * (s / share - (n - s) / np.maximum(1.0 - share, 1e-300))
        slope = slope + r / middle - (n_r - r) / (1.0 - middle)
        low = np.where(slope > 0, middle, low)
        high = np.where(slope > 0, high, middle)
    return np.asarray((low + high) / 2, dtype=np.float64)


def log_mean(log_e: Array) -> Array:
    """Log of the mean of e-values along the last axis: the mean of e-processes is one too.

    It costs the logarithm of their number against the best, and needs no independence.
    """
    highest = log_e.max(axis=-1, keepdims=True)
    mean: Array = np.log(np.exp(log_e - highest).mean(axis=-1)) + highest[..., 0]
    return mean


def log_e_over_stages(log_e: Sequence[Array], n_stages: int) -> Array:
    """Evidence of consecutive stages as one, whichever stage the trouble begins in.

    Evidence of later stages multiplies that of earlier ones, since each starts afresh at a
    time that was known. A bet on "from stage ``j`` on" is the product from there; half of the
    stake goes to the first stage, the rest evenly to the others, and what is not yet bet counts
    as it is::

        e = sum over j of stake[j] * product over s >= j of e[s]

    So early proof of health never hides later trouble, for at most ``log(2 (n_stages - 1))``
    nats.

    References
    ----------
    Shin, Ramdas & Rinaldo (2024), "E-detectors: a nonparametric framework for sequential change
    detection", New England J. Stat. Data Sci. 2(2), 229-260.

    Examples
    --------
    >>> float(log_e_over_stages([np.array(0.0)], 6))
    0.0
    """
    stakes = stakes_of(n_stages)
    total = np.asarray(sum(stakes[len(log_e) :]), dtype=np.float64)
    terms = []
    running: Array = np.zeros(())
    for position in reversed(range(len(log_e))):
        running = running + log_e[position]
        terms.append(running + math.log(stakes[position]))
    with np.errstate(divide="ignore"):
        result = np.log(total)
    for term in terms:
        result = np.logaddexp(result, term)
    return np.asarray(result, dtype=np.float64)


def stakes_of(n_stages: int) -> tuple[float, ...]:
    """Share of the stake on trouble from each stage on: half on the first, the rest evenly."""
    if n_stages == 1:
        return (1.0,)
    return (0.5, *((0.5 / (n_stages - 1),) * (n_stages - 1)))
