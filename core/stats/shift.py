"""How far one column moved: every distance between two profiles of it, with what is not known.

The *effect* is what a verdict looks at, in ``[0, 1]`` for every kind of column and readable
without a table: Kolmogorov's distance for numbers (the greatest change of the share of rows
below a value), total variation for categories (the share of rows that changed category). In
both a missing value counts as a value of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

from core.stats.distances import (
    Bounded,
    chi_square,
    jensen_shannon,
    kolmogorov,
    kullback_leibler,
    population_stability_index,
    stability_index_tail,
    total_variation,
    wasserstein,
)
from core.stats.histogram import Categories, ColumnProfile, Counts, Histogram
from core.stats.tails import kolmogorov_tail


@dataclass(frozen=True)
class Shift:
    """Distances of ``current`` from ``reference``; chances are those without any change.

    ``psi``, ``kullback_leibler`` (nats) and ``jensen_shannon`` are those of the bins, missing
    values in a bin of their own. ``wasserstein`` is in the column's unit, over values clamped
    to the edges, missing ones left out; None for categories and where a side has no value.
    """

    n_reference: int
    n_current: int
    missing_reference_share: float
    missing_current_share: float
    effect: Bounded
    p_value: float
    psi: float
    psi_p_value: float
    kullback_leibler: float
    jensen_shannon: float
    chi_square: float
    chi_square_p_value: float
    wasserstein: Bounded | None

    def sentence(self) -> str:
        """One line for people; every number from bins with the bounds of the exact one."""
        moved = "" if self.wasserstein is None else f", Wasserstein {self.wasserstein}"
        return (
            f"effect {self.effect}, p {self.p_value:.2g}, "
            f"PSI {self.psi:.4f} (p {self.psi_p_value:.2g}), "
            f"chi-square {self.chi_square:.4g} (p {self.chi_square_p_value:.2g}), "
            f"Jensen-Shannon {self.jensen_shannon:.4f}{moved}, "
            f"missing {self.missing_reference_share:.2%} -> {self.missing_current_share:.2%}, "
            f"rows {self.n_reference} -> {self.n_current}"
        )


def shift_of(reference: ColumnProfile, current: ColumnProfile) -> Shift:
    """Every distance between two profiles of one column.

    Raises
    ------
    InvalidInputError
        If they were not counted by the same bins, or a side has no row.

    Examples
    --------
    >>> before = Histogram(edges=(0.0, 1.0), counts=(0, 90, 0), n_null=10)
    >>> after = Histogram(edges=(0.0, 1.0), counts=(0, 60, 0), n_null=40)
    >>> round(shift_of(before, after).effect.value, 12)
    0.3
    """
    reference.emptied().merged(current.emptied())  # refuses unlike bins
    r, c = reference.bins, current.bins
    n, m = int(r.sum()), int(c.sum())
    effect, p_value = _numeric(r, c) if isinstance(reference, Histogram) else _categorical(r, c)
    psi = float(population_stability_index(r, c))
    n_bins = max(int(((r + c) > 0).sum()), 2)
    test = chi_square(r, c)
    return Shift(
        n_reference=n,
        n_current=m,
        missing_reference_share=r[0] / n,
        missing_current_share=c[0] / m,
        effect=effect,
        p_value=test.p_value if p_value is None else p_value,
        psi=psi,
        psi_p_value=stability_index_tail(psi, n, m, n_bins),
        kullback_leibler=float(kullback_leibler(r, c)),
        jensen_shannon=float(jensen_shannon(r, c)),
        chi_square=test.statistic,
        chi_square_p_value=test.p_value,
        wasserstein=_moved(reference, current),
    )


def _numeric(r: Counts, c: Counts) -> tuple[Bounded, float | None]:
    value, most = (float(x) for x in kolmogorov(r, c, is_first_one_value=True))
    return Bounded(value, value, most), float(kolmogorov_tail(value, r.sum(), c.sum()))


def _categorical(r: Counts, c: Counts) -> tuple[Bounded, float | None]:
    value = float(total_variation(r, c))
    return Bounded(value, value, value), None


def _moved(reference: ColumnProfile, current: ColumnProfile) -> Bounded | None:
    if isinstance(reference, Categories) or isinstance(current, Categories):
        return None
    if not (sum(reference.counts) and sum(current.counts)):
        return None
    return wasserstein(reference.counts, current.counts, reference.edges)
