"""Fairness as a declaration: which groups, which decisions weigh on people, how far rates may part.

The gate looks at three rates of each group, on the test part: how many are *selected* (met by an
adverse decision), how many of those with label 0 are (false positives), how many with label 1 are
not (false negatives). A group that is too small for a rate is left out of that rate, and named.
A rate is *unfair* when its greatest difference between two groups is surely above the limit, and
*unsure* when it is above without proof: that lets a release pass, and its card says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, pairwise
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from core.decisions import DecisionPolicy
from core.errors import ConfigurationError
from core.features.plan import Frozen, Plan
from core.rules.binding import known_names
from core.rules.condition import SCORE, spelled

Rate = Literal["selected", "false_positive", "false_negative"]
State = Literal["fair", "unsure", "unfair", "too_small"]
RATES: tuple[Rate, ...] = ("selected", "false_positive", "false_negative")
UNKNOWN = "not known"
ALPHA = 0.05


class Groups(Frozen):
    """People told apart by one value: a category of it, or a band of a number.

    ``reads`` is spelled as in a decision rule (``card_profile_v1.country``); the model need not
    read it. ``edges`` part a number into bands, each from its edge on.
    """

    reads: str
    edges: tuple[float, ...] = ()

    @property
    def qualified(self) -> str:
        """Name of the value in plans and training sets."""
        return self.reads.replace(".", ":", 1)

    def names_of(self, values: NDArray[np.float64], categories: Sequence[str]) -> NDArray[np.str_]:
        """Group of each row, shape ``(n,)``; a value that is missing makes a group, too.

        Examples
        --------
        >>> bands = Groups(reads="standing_v1.card_age_days", edges=(365.0, 1000.0))
        >>> bands.names_of(np.array([10.0, 365.0, 5000.0, np.nan]), ()).tolist()
        ['below 365', '365 to 1000', '1000 and more', 'not known']
        >>> Groups(reads="v.country").names_of(np.array([1.0, np.nan]), ("AT", "BE")).tolist()
        ['BE', 'not known']
        """
        names = [*categories, UNKNOWN] if categories else [*self._bands, UNKNOWN]
        places = values if categories else np.digitize(values, self.edges).astype(np.float64)
        is_known = np.isfinite(values)
        index = np.where(is_known, places, len(names) - 1).astype(np.int64)
        return np.asarray(names)[np.clip(index, 0, len(names) - 1)]

    @property
    def _bands(self) -> list[str]:
        edges = [f"{edge:g}" for edge in self.edges]
        between = [f"{low} to {high}" for low, high in pairwise(edges)]
        return [f"below {edges[0]}", *between, f"{edges[-1]} and more"]


class Fairness(Frozen):
    """What a release must keep to be let through.

    ``adverse`` are the decisions that weigh on people. The gaps are the largest differences of a
    rate between two groups, as shares; None: not looked at. A rate is told of a group of
    ``least_rows`` rows (selected), or of ``least_of_class`` rows of the class that it is about.
    """

    groups: tuple[Groups, ...] = Field(min_length=1)
    adverse: tuple[str, ...] = Field(min_length=1)
    selected_gap: float | None = Field(default=0.2, gt=0, lt=1)
    false_positive_gap: float | None = Field(default=0.1, gt=0, lt=1)
    false_negative_gap: float | None = Field(default=0.2, gt=0, lt=1)
    least_rows: int = Field(default=200, ge=1)
    least_of_class: int = Field(default=30, ge=1)

    @model_validator(mode="after")
    def _edges_grow(self) -> Fairness:
        for groups in self.groups:
            if list(groups.edges) != sorted(set(groups.edges)):
                raise ValueError(f"the edges of {groups.reads} must grow")
        return self

    @property
    def values(self) -> tuple[str, ...]:
        """Qualified names of the values that tell groups apart."""
        return tuple(groups.qualified for groups in self.groups)

    def gap(self, rate: Rate) -> float | None:
        """Declared limit of a rate."""
        limit: float | None = getattr(self, f"{rate}_gap")
        return limit


class GroupRate(Frozen):
    """A rate of one group, as a share, over so many rows; ``n_effective`` knows their weights."""

    group: str
    value: float
    n_rows: int
    n_effective: float


class RateVerdict(Frozen):
    """One rate over the groups of one value. ``gap`` is its greatest difference, None for none.

    ``least_gap`` is what the difference is at least, given chance (95 %, over all pairs).
    """

    reads: str
    rate: Rate
    state: State
    gap: float | None
    least_gap: float | None
    limit: float
    groups: tuple[GroupRate, ...]
    too_small: tuple[str, ...] = ()

    def sentence(self) -> str:
        """One line for people."""
        small = f"; too small to tell: {', '.join(self.too_small)}" if self.too_small else ""
        what = f"{self.rate.replace('_', ' ')} by {self.reads}"
        if self.gap is None:
            return f"{what}: fewer than two groups are large enough{small}"
        low = min(self.groups, key=lambda group: group.value)
        high = max(self.groups, key=lambda group: group.value)
        return (
            f"{what}: {self.state}, {low.value:.2%} of {low.group} and {high.value:.2%} of "
            f"{high.group} are {self.gap:.2%} apart, surely {self.least_gap or 0:.2%}, "
            f"limit {self.limit:.2%}{small}"
        )


class FairnessReport(Frozen):
    """Every rate by every declared value, on the test part."""

    adverse: tuple[str, ...]
    verdicts: tuple[RateVerdict, ...]

    @property
    def is_passed(self) -> bool:
        """Whether nothing is surely unfair."""
        return not self.unfair

    @property
    def unfair(self) -> tuple[RateVerdict, ...]:
        """What the gate refuses."""
        return tuple(verdict for verdict in self.verdicts if verdict.state == "unfair")


def rate_verdict(
    declared: Fairness, reads: str, rate: Rate, rates: Sequence[GroupRate]
) -> RateVerdict | None:
    """Verdict on one rate of all groups of a value; None where no limit is declared.

    Examples
    --------
    >>> declared = Fairness(groups=(Groups(reads="v.country"),), adverse=("BLOCK",))
    >>> def of(group, value, n):
    ...     return GroupRate(group=group, value=value, n_rows=n, n_effective=n)
    >>> apart = [of("AT", 0.1, 5_000), of("BE", 0.4, 5_000), of("CH", 0.9, 12)]
    >>> rate_verdict(declared, "v.country", "selected", apart).sentence()
    'selected by v.country: unfair, 10.00% of AT and 40.00% of BE are 30.00% apart, surely \
28.66%, limit 20.00%; too small to tell: CH'
    """
    limit = declared.gap(rate)
    if limit is None:
        return None
    least = declared.least_rows if rate == "selected" else declared.least_of_class
    told = tuple(each for each in rates if each.n_rows >= least)
    gap, least_gap, state = None, None, "too_small"
    if len(told) > 1:
        values = [each.value for each in told]
        gap, least_gap = max(values) - min(values), _least_gap(told)
        state = "fair" if gap <= limit else "unfair" if least_gap > limit else "unsure"
    return RateVerdict.model_validate(
        {
            "reads": reads,
            "rate": rate,
            "state": state,
            "gap": gap,
            "least_gap": least_gap,
            "limit": limit,
            "groups": told,
            "too_small": tuple(each.group for each in rates if each.n_rows < least),
        }
    )


def _least_gap(rates: Sequence[GroupRate]) -> float:
    """Greatest lower bound of a difference over all pairs, by Bonferroni; shares are smoothed."""
    pairs = list(combinations(rates, 2))
    z = NormalDist().inv_cdf(1 - ALPHA / len(pairs))
    return max(max(abs(a.value - b.value) - z * _deviation(a, b), 0.0) for a, b in pairs)


def _deviation(a: GroupRate, b: GroupRate) -> float:
    def variance(rate: GroupRate) -> float:
        share = (rate.value * rate.n_effective + 1) / (rate.n_effective + 2)
        return share * (1 - share) / rate.n_effective

    return float(np.sqrt(variance(a) + variance(b)))


def check_fairness(declared: Fairness, policy: DecisionPolicy, plan: Plan) -> None:
    """Refuse a declaration that names what the use case does not have.

    Raises
    ------
    ConfigurationError
        If it reads an unknown value, a number without edges or a category with them, or counts
        a decision as adverse that is never made.
    """
    known = known_names(plan)
    for groups in declared.groups:
        if groups.qualified not in known or groups.qualified == SCORE:
            raise ConfigurationError(
                "fairness tells groups apart by a value that the use case does not have",
                found=f"`{groups.reads}`",
                remedy=f"name one of {', '.join(spelled(n) for n in list(known)[1:6])}, ...",
            )
        if bool(groups.edges) == bool(known[groups.qualified]):
            raise ConfigurationError(
                "fairness needs edges for a number, and none for a category",
                found=f"`{groups.reads}` with {len(groups.edges)} edges",
                remedy="give a number edges, and leave them out for a category",
            )
    unknown = [name for name in declared.adverse if name not in policy.decisions]
    if unknown:
        raise ConfigurationError(
            "fairness counts a decision as adverse that is never made",
            found=", ".join(unknown),
            remedy=f"name some of {', '.join(policy.decisions)}",
        )
