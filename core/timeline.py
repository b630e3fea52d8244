"""Timelines: how far each column of each day lies from a baseline, and since when it has moved.

Days are compared whole, from profiles that were counted once; nothing is read again. A day fires
when its own verdict says so (`core.stats.verdicts`): its effect is large enough, and chance is
ruled out over all columns of the look at that day's number of rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from core.stats.profile import TableProfile, merged_profile
from core.stats.verdicts import ColumnVerdict, DriftLimits, verdicts_of
from core.triage import Moved, What


@dataclass(frozen=True)
class Timeline:
    """Verdicts of every day of a window against one baseline, by date.

    A date without rows has no verdicts. ``window`` are the verdicts on all its days together.
    """

    what: What
    days: Mapping[str, Mapping[str, ColumnVerdict]]
    window: Sequence[ColumnVerdict]
    n_baseline: int

    @property
    def columns(self) -> list[str]:
        """Columns, those that moved furthest in the window first."""
        return [verdict.column for verdict in self.window]

    def moved(self) -> list[Moved]:
        """Columns that have drifted on the newest day, or in the window as a whole."""
        newest = self.days[max(self.days)] if self.days else {}
        found = []
        for verdict in self.window:
            last = newest.get(verdict.column)
            fired = last if last is not None and last.state == "drifted" else verdict
            if fired.state == "drifted":
                since = self._since(verdict.column) if fired is last else ""
                found.append(_moved(fired, self.what, since))
        return found

    def _since(self, column: str) -> str:
        """First date of the unbroken run of drifted days that ends with the newest."""
        since = ""
        for date in sorted(self.days, reverse=True):
            verdict = self.days[date].get(column)
            if verdict is None or verdict.state != "drifted":
                break
            since = date
        return since


def timeline(
    what: What,
    baseline: TableProfile,
    days: Mapping[str, TableProfile],
    limits: DriftLimits | None = None,
) -> Timeline:
    """Compare each of ``days`` with ``baseline``; all counted by the same bins.

    Examples
    --------
    >>> from core.stats.histogram import Histogram
    >>> def day(*counts):
    ...     return TableProfile(columns={"x": Histogram(edges=(1.0,), counts=counts, n_null=0)})
    >>> days = {"2026-01-05": day(500, 500), "2026-01-06": day(100, 900)}
    >>> found = timeline("source", day(5_000, 5_000), days).moved()
    >>> [(moved.column, round(moved.effect, 2), moved.since) for moved in found]
    [('x', 0.4, '2026-01-06')]
    """
    held = {date: profile for date, profile in sorted(days.items()) if profile.n}
    if not baseline.n or not held:
        return Timeline(what, {}, (), baseline.n)
    by_day = {
        date: {v.column: v for v in verdicts_of(profile.shifts_from(baseline), limits)}
        for date, profile in held.items()
    }
    whole = merged_profile(held.values()).shifts_from(baseline)
    return Timeline(what, by_day, verdicts_of(whole, limits), baseline.n)


def _moved(verdict: ColumnVerdict, what: What, since: str) -> Moved:
    return Moved(
        column=verdict.column,
        what=what,
        effect=verdict.shift.effect.value,
        threshold=verdict.threshold,
        n_current=verdict.shift.n_current,
        since=since,
    )
