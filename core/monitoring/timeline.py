"""Timelines: how far each column of each day lies from a baseline, and since when it has moved.

Days are compared whole, from profiles that were counted once; nothing is read again. A day fires
when its own verdict says so (`core.stats.verdicts`): its effect is large enough, and chance is
ruled out over all columns of the look at that day's number of rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from core.monitoring.triage import Moved, What
from core.stats.bars import Bar, bars_of
from core.stats.profile import TableProfile, merged_profile
from core.stats.verdicts import ColumnVerdict, DriftLimits, verdicts_of

JUDGED = 2
"""Comparisons that a timeline is judged by: the newest day, and all days of the window together."""


@dataclass(frozen=True)
class Timeline:
    """Verdicts of every day of a window against one baseline, by date.

    A date without rows has no verdicts. ``window`` are the verdicts on all its days together,
    ``before`` those on days that come before it: what a column does while nothing is asked of it.
    ``bars`` are the shares of values in the baseline and in the whole window, by column.
    """

    what: What
    days: Mapping[str, Mapping[str, ColumnVerdict]]
    window: Sequence[ColumnVerdict]
    n_baseline: int
    before: Mapping[str, Mapping[str, ColumnVerdict]] = field(default_factory=dict)
    bars: Mapping[str, tuple[Bar, ...]] = field(default_factory=dict)

    @property
    def columns(self) -> list[str]:
        """Columns, those that moved furthest in the window first."""
        return [verdict.column for verdict in self.window]

    def moved(self) -> list[Moved]:
        """Columns that have drifted on the newest day, or in the window as a whole."""
        return [
            _moved(self._fired(verdict), self.what, self.since(verdict.column))
            for verdict in self.window
            if self.has_moved(verdict)
        ]

    def has_moved(self, verdict: ColumnVerdict) -> bool:
        """Whether the column of a verdict of the window counts as drifted."""
        return self._fired(verdict).state == "drifted"

    def _fired(self, verdict: ColumnVerdict) -> ColumnVerdict:
        """Verdict on the newest day where that is drift, else the one given."""
        newest = self.days[max(self.days)] if self.days else {}
        last = newest.get(verdict.column)
        return last if last is not None and last.state == "drifted" else verdict

    def since(self, column: str) -> str:
        """First date of the unbroken run of drifted days that ends with the newest; "" if none."""
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
    before: Mapping[str, TableProfile] | None = None,
) -> Timeline:
    """Compare each of ``days`` with ``baseline``; all counted by the same bins.

    Parameters
    ----------
    limits
        What counts as drift in one comparison; a look at several timelines shares its own by
        `JUDGED` of each, else it cries wolf more often than it says.
    before
        Days that come before, compared in the same way and not judged.

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
    by_day = _by_day(baseline, held, limits)
    whole = merged_profile(held.values())
    verdicts = verdicts_of(whole.shifts_from(baseline), limits)
    earlier = _by_day(baseline, before or {}, limits)
    bars = {name: bars_of(baseline.columns[name], now) for name, now in whole.columns.items()}
    return Timeline(what, by_day, verdicts, baseline.n, earlier, bars)


def _by_day(
    baseline: TableProfile, days: Mapping[str, TableProfile], limits: DriftLimits | None
) -> dict[str, dict[str, ColumnVerdict]]:
    return {
        date: {v.column: v for v in verdicts_of(profile.shifts_from(baseline), limits)}
        for date, profile in days.items()
        if profile.n
    }


def _moved(verdict: ColumnVerdict, what: What, since: str) -> Moved:
    return Moved(
        column=verdict.column,
        what=what,
        effect=verdict.shift.effect.value,
        threshold=verdict.threshold,
        n_current=verdict.shift.n_current,
        since=since,
    )
