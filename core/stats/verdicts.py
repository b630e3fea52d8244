"""Did a column drift? Size first, chance second, and both know how many rows there were.

A column is *drifted* when its effect is at least the least that matters **and** chance is
ruled out after correcting for the number of columns looked at. Either alone misleads: with a
million rows a change of 0.2 % is significant and means nothing; with two hundred rows chance
alone moves a column by 14 %. A column that moved enough but not surely is *unsure*: it wants
more rows, not an alarm.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field

from core.features.plan import Frozen
from core.stats.shift import Shift
from core.stats.tails import kolmogorov_limit

Correction = Literal["holm", "benjamini_hochberg"]
State = Literal["stable", "unsure", "drifted"]


class DriftLimits(Frozen):
    """What counts as drift. ``least_effect`` is a share of rows, as `Shift.effect` is.

    With ``holm`` the chance of any false alarm over all columns of one look is at most
    ``alpha``. With ``benjamini_hochberg`` the share of false ones among the alarms is, on
    average: more power with many columns, for when an alarm costs little.
    """

    least_effect: float = Field(default=0.1, gt=0, lt=1)
    alpha: float = Field(default=0.05, gt=0, lt=1)
    correction: Correction = "holm"

    def shared_by(self, n_comparisons: int) -> DriftLimits:
        """Limits of each of several comparisons, so that ``alpha`` bounds all of them together.

        Examples
        --------
        >>> DriftLimits(alpha=0.05).shared_by(10).alpha
        0.005
        """
        return self.model_copy(update={"alpha": self.alpha / max(n_comparisons, 1)})


@dataclass(frozen=True)
class ColumnVerdict:
    """Verdict on one column. ``threshold`` is the effect that it would take at this many rows."""

    column: str
    state: State
    shift: Shift
    adjusted_p_value: float
    threshold: float

    def sentence(self) -> str:
        """One line for people: verdict, limit, numbers."""
        return (
            f"{self.column}: {self.state}, {self.threshold:.4f} is the limit at this many rows, "
            f"corrected p {self.adjusted_p_value:.2g}; {self.shift.sentence()}"
        )


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Adjusted p-values: rejecting those up to alpha errs at all with a chance of alpha at most.

    Holds for p-values that depend on each other in any way.

    References
    ----------
    Holm (1979), "A simple sequentially rejective multiple test procedure", Scand. J. Statist.
    6(2), 65-70.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03]).round(12).tolist()
    [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    return _put_back(stepped, order)


def benjamini_hochberg(p_values: ArrayLike) -> NDArray[np.float64]:
    """Adjusted p-values: of those up to alpha, a share of alpha is false on average at most.

    Holds for p-values that are independent or depend on each other positively.

    References
    ----------
    Benjamini & Hochberg (1995), "Controlling the false discovery rate", J. R. Stat. Soc. B
    57(1), 289-300; Benjamini & Yekutieli (2001), Ann. Statist. 29(4), 1165-1188.

    Examples
    --------
    >>> benjamini_hochberg([0.01, 0.04, 0.03]).round(12).tolist()
    [0.03, 0.04, 0.04]
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    scaled = p[order] * len(p) / np.arange(1, len(p) + 1)
    return _put_back(np.minimum.accumulate(scaled[::-1])[::-1], order)


def _put_back(sorted_values: NDArray[np.float64], order: NDArray[np.intp]) -> NDArray[np.float64]:
    values = np.empty(len(order))
    values[order] = np.minimum(sorted_values, 1.0)
    return values


CORRECTIONS = {"holm": holm, "benjamini_hochberg": benjamini_hochberg}


def verdicts_of(
    shifts: Mapping[str, Shift], limits: DriftLimits | None = None
) -> tuple[ColumnVerdict, ...]:
    """Verdict on every column, those with the largest effect first.

    Parameters
    ----------
    shifts
        By column: all that one look compares, because the correction counts them.
    limits
        The declared ones; a tenth of the rows and 5 % by Holm when None.
    """
    declared = limits or DriftLimits()
    if not shifts:
        return ()
    adjusted = CORRECTIONS[declared.correction]([shift.p_value for shift in shifts.values()])
    pairs = zip(shifts.items(), adjusted, strict=True)
    found = [
        ColumnVerdict(
            column=column,
            state=_state(shift, float(p), declared),
            shift=shift,
            adjusted_p_value=float(p),
            threshold=threshold_of(shift.n_reference, shift.n_current, len(shifts), declared),
        )
        for (column, shift), p in pairs
    ]
    return tuple(sorted(found, key=lambda verdict: -verdict.shift.effect.value))


def _state(shift: Shift, adjusted: float, limits: DriftLimits) -> State:
    if shift.effect.value < limits.least_effect:
        return "stable"
    return "drifted" if adjusted <= limits.alpha else "unsure"


def threshold_of(
    n_reference: int, n_current: int, n_columns: int, limits: DriftLimits | None = None
) -> float:
    """Effect that a column of numbers must have to count as drifted, alone among ``n_columns``.

    The least that matters, or what chance can do at so few rows. Categories are tested by
    chi-square, whose limit depends on their shares too.

    Examples
    --------
    >>> round(threshold_of(200, 200, 50), 3), threshold_of(1_000_000, 1_000_000, 50)
    (0.195, 0.1)
    """
    declared = limits or DriftLimits()
    chance = kolmogorov_limit(declared.alpha / n_columns, n_reference, n_current)
    return max(declared.least_effect, chance)
