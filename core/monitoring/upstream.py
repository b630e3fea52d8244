"""The walk upstream: what is wrong with an asset that others are made of, partition by partition.

Everything is compared with the asset's own days before. What was seen of each day is handed over
(`AssetDay`); nothing is read here. Limits know how many rows there were: a share must move by a
tenth *and* by more than chance, a volume must change twofold *and* leave the spread of the days
before.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from statistics import median

from pydantic import Field

from core.features.plan import Frozen
from core.monitoring.triage import Cause, Fault
from core.monitoring.unit_change import unit_change
from core.stats.histogram import Categories, Histogram
from core.stats.profile import TableProfile, merged_profile

LEAST_SHIFT = 0.1
LEAST_FACTOR = 2.0
SPREADS = 4.0
FEWEST_DAYS = 3
STEADY_SHARE = 0.9
"""Of the days before, the share that must have had rows for a day without any to be missing."""

MOST_LATE = 0.1
MOST_REFUSED = 0.05

Schema = tuple[tuple[str, str], ...]


class AssetDay(Frozen):
    """What was seen of one event date of an asset.

    ``late_share`` are the rows that could be known only after the declared hours, ``hours_late``
    by how much the last of them; ``refused`` maps a field to the share of what came that was
    refused for it because it was missing, unknown or of another type. ``schema`` and
    ``code_version`` are those of its last write, empty when unknown.
    """

    partition: str
    n_rows: int = Field(ge=0)
    is_failed: bool = False
    late_share: float = 0.0
    hours_late: float = 0.0
    refused: dict[str, float] = Field(default_factory=dict)
    schema_: Schema = Field(default=(), alias="schema")
    code_version: str = ""


class AssetHistory(Frozen):
    """An upstream asset: its days in order, what was counted of them, checks that fail now.

    ``failed_checks`` maps a check to why it failed.
    """

    asset: str
    days: tuple[AssetDay, ...]
    profiles: dict[str, TableProfile] = Field(default_factory=dict)
    failed_checks: dict[str, str] = Field(default_factory=dict)


def faults_of(history: AssetHistory, window: Sequence[str]) -> list[Fault]:
    """All that is wrong with an asset on the dates of ``window``, compared with those before.

    Examples
    --------
    >>> days = [AssetDay(partition=f"2026-01-0{n}", n_rows=1_000 + n) for n in range(1, 6)]
    >>> days.append(AssetDay(partition="2026-01-06", n_rows=0))
    >>> history = AssetHistory(asset="events/transactions", days=days)
    >>> [fault.sentence() for fault in faults_of(history, ["2026-01-06"])]
    ['events/transactions 2026-01-06: late partition, no rows, 1,003 on a usual day']
    """
    asked = set(window)
    before = [day for day in history.days if day.partition < min(asked, default="")]
    found = [
        Fault(cause="failed_check", asset=history.asset, because=f"{name}: {why}".rstrip(": "))
        for name, why in sorted(history.failed_checks.items())
    ]
    for place, day in enumerate(history.days):
        if day.partition not in asked:
            continue
        made = _Day(history.asset, day)
        found += made.arrival(before)
        found += made.shape(history.days[place - 1] if place else None)
    return found + _value_faults(history, window)


class _Day:
    """Faults of one date."""

    def __init__(self, asset: str, day: AssetDay) -> None:
        self._asset, self._day = asset, day

    def _fault(self, cause: Cause, because: str, size: float = 1.0, *columns: str) -> Fault:
        return Fault(
            cause=cause,
            asset=self._asset,
            partition=self._day.partition,
            columns=columns,
            size=size,
            because=because,
        )

    def arrival(self, before: Sequence[AssetDay]) -> list[Fault]:
        """Whether it failed, is missing or late, or is far smaller or larger than usual."""
        day = self._day
        if day.is_failed:
            return [self._fault("failed_partition", "its last run failed")]
        counts = [other.n_rows for other in before if other.n_rows]
        usual = median(counts) if counts else 0
        if not day.n_rows:
            why = f"no rows, {usual:,.0f} on a usual day"
            is_steady = len(counts) >= max(FEWEST_DAYS, STEADY_SHARE * len(before))
            return [self._fault("late_partition", why)] if is_steady else []
        found = []
        if day.late_share >= MOST_LATE:
            why = f"{day.late_share:.0%} of its rows came late, the last by {day.hours_late:.0f} h"
            found.append(self._fault("late_partition", why, day.hours_late))
        if usual and _is_unusual(day.n_rows, counts):
            why = f"{day.n_rows:,} rows, {usual:,.0f} on a usual day"
            found.append(self._fault("volume_shift", why, day.n_rows / usual - 1))
        return found

    def shape(self, former: AssetDay | None) -> list[Fault]:
        """Whether its schema or its code differs from the day before, or rows were refused."""
        day, found = self._day, []
        refused = {name: share for name, share in day.refused.items() if share >= MOST_REFUSED}
        if refused:
            words = ", ".join(f"{name} in {share:.0%}" for name, share in sorted(refused.items()))
            why = f"rows refused for their shape: {words} of what came"
            found.append(self._fault("schema_change", why, max(refused.values()), *sorted(refused)))
        if former is None:
            return found
        changed = schema_change(former.schema_, day.schema_)
        if changed:
            found.append(self._fault("schema_change", changed[0], 1.0, *changed[1]))
        if former.code_version and day.code_version and former.code_version != day.code_version:
            why = f"code {former.code_version} before, {day.code_version} since"
            found.append(self._fault("code_change", why))
        return found


def schema_change(before: Schema, after: Schema) -> tuple[str, tuple[str, ...]] | None:
    """Columns that went or changed type, in words and by name; one that came harms nobody.

    Examples
    --------
    >>> schema_change((("a", "long"), ("b", "long")), (("a", "string"), ("c", "long")))
    ('a is string, was long; b is gone', ('a', 'b'))
    """
    old, new = dict(before), dict(after)
    if not old or not new:
        return None
    words = {
        name: f"{name} is {new[name]}, was {kind}" if name in new else f"{name} is gone"
        for name, kind in old.items()
        if new.get(name) != kind
    }
    return ("; ".join(words.values()), tuple(words)) if words else None


def _is_unusual(n_rows: int, counts: Sequence[int]) -> bool:
    """Twofold away from the usual, and outside of what days differ by."""
    if len(counts) < FEWEST_DAYS:
        return False
    logs = [math.log(count) for count in counts]
    middle = median(logs)
    spread = 1.4826 * median(abs(value - middle) for value in logs)  # as of a normal one
    chance = 1 / math.sqrt(math.exp(middle)) + 1 / math.sqrt(n_rows)
    away = abs(math.log(n_rows) - middle)
    return away >= max(math.log(LEAST_FACTOR), SPREADS * (spread + chance))


def _value_faults(history: AssetHistory, window: Sequence[str]) -> list[Fault]:
    """Missing values and units of the dates of the window, each against the days before."""
    before = [p for date, p in history.profiles.items() if date < min(window, default="") and p.n]
    if not before:
        return []
    baseline = merged_profile(before)
    return [
        fault
        for date in window
        for profile in [history.profiles.get(date)]
        if profile is not None and profile.n
        for fault in _column_faults(history.asset, date, baseline, profile)
    ]


def _column_faults(
    asset: str, date: str, baseline: TableProfile, day: TableProfile
) -> Iterable[Fault]:
    for name, usual in baseline.columns.items():
        now = day.columns[name]
        was, is_now = usual.n_null / usual.n, now.n_null / now.n
        if _is_flooded(was, is_now, usual.n, now.n):
            why = f"{name} missing in {is_now:.0%} of rows, {was:.0%} before"
            yield _of_column("null_shift", asset, date, name, is_now - was, why)
        if isinstance(usual, Categories) or not isinstance(now, Histogram):
            continue
        change = unit_change(usual, now)
        if change is not None:
            why = f"{name} is {change.sentence()}"
            yield _of_column("unit_change", asset, date, name, change.factor, why)


def _of_column(cause: Cause, asset: str, date: str, column: str, size: float, why: str) -> Fault:
    return Fault(
        cause=cause, asset=asset, partition=date, columns=(column,), size=size, because=why
    )


def _is_flooded(was: float, is_now: float, n_before: int, n_now: int) -> bool:
    pooled = (was * n_before + is_now * n_now) / (n_before + n_now)
    chance = math.sqrt(pooled * (1 - pooled) * (1 / n_before + 1 / n_now))
    return abs(is_now - was) >= max(LEAST_SHIFT, SPREADS * chance)


def all_faults(histories: Iterable[AssetHistory], window: Sequence[str]) -> list[Fault]:
    """Faults of several assets, those furthest upstream first, as they were given."""
    return [fault for history in histories for fault in faults_of(history, window)]
