"""How served decisions fare: by release, channel and slice, degraded ones apart.

Labels decide where they are mature. Where they are not, `core.stats.confidence` estimates, and
the two are never mixed: a group says how many of its rows each number rests on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from core.features.plan import Frozen
from core.monitoring.triage import Moved
from core.stats.confidence import confidence_estimates
from core.stats.metrics import Estimate, estimates, ranked

Mask = NDArray[np.bool_]

MOST_ROWS = 20_000
"""Rows that metrics are computed on; more are drawn from, as intervals need many passes."""

RESAMPLES = 40
SEED = 20_260_101
MIN_ROWS = 100
MIN_POSITIVE = 5
WHOLE = "all"
LEAST_DROP = 0.05
SHOWN = ("auc", "average_precision", "brier", "log_loss", "ece")


@dataclass(frozen=True)
class LiveRows:
    """Decisions, all of shape ``(n,)``. ``labels`` is NaN where none is mature.

    ``scores`` is NaN where no model scored; such rows are degraded.
    """

    at_ms: NDArray[np.int64]
    scores: NDArray[np.float64]
    labels: NDArray[np.float64]
    releases: NDArray[np.int64]
    channels: NDArray[np.str_]
    is_degraded: Mask

    def __len__(self) -> int:
        return len(self.at_ms)

    def chosen(self, mask: Mask | NDArray[np.int64]) -> LiveRows:
        """Some of the rows."""
        return LiveRows(
            self.at_ms[mask],
            self.scores[mask],
            self.labels[mask],
            self.releases[mask],
            self.channels[mask],
            self.is_degraded[mask],
        )


class Group(Frozen):
    """One part of the decisions. ``metrics`` are of mature labels, ``estimated`` of the others.

    Both are empty where there are too few rows or positives to say anything.
    """

    release: int
    channel: str
    part: str = WHOLE
    is_degraded: bool = False
    n_rows: int = Field(ge=0)
    n_mature: int = Field(ge=0)
    n_positive: int = Field(ge=0)
    metrics: dict[str, Estimate] = Field(default_factory=dict)
    estimated: dict[str, Estimate] = Field(default_factory=dict)

    @property
    def name(self) -> str:
        """``release 3 champion, degraded: country = NL``."""
        apart = ", degraded" if self.is_degraded else ""
        part = "" if self.part == WHOLE else f": {self.part}"
        return f"release {self.release} {self.channel}{apart}{part}"


def groups_of(rows: LiveRows, slices: Mapping[str, Mask] | None = None) -> list[Group]:
    """Every release and channel, whole and degraded apart, then its slices.

    Parameters
    ----------
    rows
        All decisions of a period.
    slices
        Name of each slice and which rows are in it; they may overlap. Degraded rows are in none.
    """
    keys = sorted(
        set(
            zip(
                rows.releases.tolist(), rows.channels.tolist(), rows.is_degraded.tolist(),
                strict=True,
            )
        )
    )  # fmt: skip
    found = []
    for release, channel, is_degraded in keys:
        mask = (rows.releases == release) & (rows.channels == channel)
        mask &= rows.is_degraded == is_degraded
        parts = {WHOLE: mask}
        if not is_degraded:
            parts |= {name: mask & part for name, part in (slices or {}).items()}
        for name, part in parts.items():
            group = _group(rows.chosen(part), release, channel, name, is_degraded=is_degraded)
            if name == WHOLE or group.metrics:
                found.append(group)
    return found


def _group(rows: LiveRows, release: int, channel: str, part: str, *, is_degraded: bool) -> Group:
    is_mature = ~np.isnan(rows.labels) & ~np.isnan(rows.scores)
    is_open = np.isnan(rows.labels) & ~np.isnan(rows.scores)
    return Group(
        release=release,
        channel=channel,
        part=part,
        is_degraded=is_degraded,
        n_rows=len(rows),
        n_mature=int(is_mature.sum()),
        n_positive=int(rows.labels[is_mature].sum()),
        metrics=measured(rows.chosen(is_mature)),
        estimated=_estimated(rows.scores[is_open]) if part == WHOLE else {},
    )


def measured(rows: LiveRows) -> dict[str, Estimate]:
    """Metrics of rows with labels, each with its interval; none where there are too few."""
    labels = rows.labels.astype(np.int64)
    n_positive = int(labels.sum())
    if len(labels) < MIN_ROWS or min(n_positive, len(labels) - n_positive) < MIN_POSITIVE:
        return {}
    place = _some(len(labels))
    found = estimates(ranked(rows.scores[place], labels[place]), SEED, RESAMPLES)
    return {name: found[name] for name in SHOWN}


def _estimated(scores: NDArray[np.float64]) -> dict[str, Estimate]:
    if len(scores) < MIN_ROWS:
        return {}
    return confidence_estimates(scores[_some(len(scores))], SEED)


def _some(n: int) -> NDArray[np.int64]:
    """Places of ``n`` rows, or of so many drawn from them at random, in order."""
    if n <= MOST_ROWS:
        return np.arange(n)
    return np.sort(np.random.default_rng(SEED).choice(n, MOST_ROWS, replace=False))


def decayed(before: LiveRows, after: LiveRows, names: Sequence[str] = ("auc",)) -> list[Moved]:
    """Metrics that have become worse with labels to prove it: by 0.05, and beyond their intervals.

    Such a drop without a moved column is concept drift: the same rows, another truth.

    Parameters
    ----------
    before, after
        Rows with mature labels of the baseline and of the newest period, of one release.
    names
        Metrics of which more is better.
    """
    was, is_now = measured(before), measured(after)
    if not was or not is_now:
        return []
    found = []
    for name in names:
        old, new = was[name], is_now[name]
        drop = old.value - new.value
        limit = max(LEAST_DROP, (old.value - old.low) + (new.high - new.value))
        if drop >= limit:
            found.append(
                Moved(column=name, what="error", effect=drop, threshold=limit, n_current=len(after))
            )
    return found
