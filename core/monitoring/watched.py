"""What was seen of a use case when it was looked at, as plain numbers that a page can show.

The assets that watch a use case put these down beside their checks, so whoever shows them needs
neither the tables nor Spark, and shows the numbers that the verdicts rest on.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Literal

from core.features.plan import Frozen
from core.monitoring.control_lines import Charted
from core.monitoring.live import Group
from core.monitoring.online_detection import Alarm
from core.monitoring.timeline import Timeline
from core.monitoring.triage import What
from core.stats.bars import Bar
from core.stats.reliability import Reliability
from core.stats.verdicts import ColumnVerdict, State

Numbers = tuple[float | None, ...]
Kind = Literal["drift", "performance", "calibration", "stream"]
"""Which look it is: the end of the name of the asset that looked."""


class DaySeen(Frozen):
    """A column on one date: how far it moved, the limit at that many rows, the verdict.

    ``is_current`` where the date is one of those that the verdict on the column is about.
    """

    date: str
    n_rows: int
    effect: float
    threshold: float
    state: State
    is_current: bool


class ColumnSeen(Frozen):
    """A column over the newest days together, and day by day, oldest first.

    ``effect`` is a share of rows, between ``effect`` and ``effect_at_most`` if it were computed
    without bins; ``since`` the first date of the unbroken run of drifted days that ends with the
    newest, "" where there is none. ``bars`` are shares of values in the baseline and over the
    newest days together; none in a look from before they were kept, nor ``psi_p_value``: how often
    chance alone makes a PSI as large.
    """

    column: str
    state: State
    effect: float
    effect_at_most: float
    threshold: float
    p_value: float
    psi: float
    missing_before: float
    missing_now: float
    n_rows: int
    since: str
    days: tuple[DaySeen, ...]
    bars: tuple[Bar, ...] = ()
    psi_p_value: float | None = None


class TimelineSeen(Frozen):
    """Columns of a comparison, those that drifted first, then by how far they moved."""

    title: str
    what: What
    n_baseline: int
    columns: tuple[ColumnSeen, ...]


class ChartSeen(Frozen):
    """A control chart: a number a day with its limits, and the mean that remembers the days before.

    None where a date has no number.
    """

    title: str
    dates: tuple[str, ...]
    points: Numbers
    lower: Numbers
    upper: Numbers
    centre: Numbers
    mean: Numbers
    mean_lower: Numbers
    mean_upper: Numbers
    out: tuple[str, ...]


class DriftSeen(Frozen):
    """A nightly look at drift: comparisons, and charts of days, those with days outside first."""

    use_case: str
    at_ms: int
    first_date: str
    last_date: str
    baseline_days: int
    timelines: tuple[TimelineSeen, ...]
    charts: tuple[ChartSeen, ...]


class PeriodSeen(Frozen):
    """Decisions of one release and channel in one period, which begins with ``date``."""

    date: str
    group: Group


class SkillSeen(Frozen):
    """How decisions fared: by group over all weeks, by period, and what labels could find."""

    use_case: str
    at_ms: int
    metric: str
    period_days: int
    n_periods: int
    maturity_days: int
    n_answers: int
    n_named: int
    groups: tuple[Group, ...]
    periods: tuple[PeriodSeen, ...]
    lost: tuple[str, ...]


class BinSeen(Frozen):
    """Rows of like scores: their mean score, the share of positives and its 95 % interval."""

    n_rows: float
    score: float
    share: float
    low: float
    high: float

    @property
    def is_off(self) -> bool:
        """Whether the score lies outside of the interval."""
        return not self.low <= self.score <= self.high


class DiagramSeen(Frozen):
    """Reliability of one release, and the mean distance of score and share by rows."""

    name: str
    error: float
    bins: tuple[BinSeen, ...]


class CalibrationSeen(Frozen):
    """Reliability of every release with enough mature labels; whether scores are to be chances."""

    use_case: str
    at_ms: int
    is_promised: bool
    diagrams: tuple[DiagramSeen, ...]


class StreamsSeen(Frozen):
    """Changes that detectors found in streams of scores and errors, oldest first."""

    use_case: str
    at_ms: int
    alarms: tuple[Alarm, ...]


Seen = DriftSeen | SkillSeen | CalibrationSeen | StreamsSeen


def timelines_seen(timelines: Mapping[str, Timeline]) -> tuple[TimelineSeen, ...]:
    """Every comparison that has a day, by title.

    Examples
    --------
    >>> from core.stats.histogram import Histogram
    >>> from core.stats.profile import TableProfile
    >>> from core.monitoring.timeline import timeline
    >>> def day(*counts):
    ...     return TableProfile(columns={"x": Histogram(edges=(1.0,), counts=counts, n_null=0)})
    >>> line = timeline("source", day(5_000, 5_000), {"2026-01-06": day(100, 900)},
    ...     before={"2026-01-05": day(500, 500)})
    >>> [seen] = timelines_seen({"payments": line})
    >>> [(each.date, each.effect, each.is_current) for each in seen.columns[0].days]
    [('2026-01-05', 0.0, False), ('2026-01-06', 0.4, True)]
    """
    return tuple(
        TimelineSeen(
            title=title,
            what=line.what,
            n_baseline=line.n_baseline,
            columns=_columns(line),
        )
        for title, line in timelines.items()
        if line.days
    )


def _columns(line: Timeline) -> tuple[ColumnSeen, ...]:
    found = [_column(line, verdict) for verdict in line.window]
    return tuple(sorted(found, key=lambda column: column.state != "drifted"))


def _column(line: Timeline, verdict: ColumnVerdict) -> ColumnSeen:
    name, shift = verdict.column, verdict.shift
    return ColumnSeen(
        column=name,
        state="drifted" if line.has_moved(verdict) else verdict.state,
        effect=shift.effect.value,
        effect_at_most=shift.effect.high,
        threshold=verdict.threshold,
        p_value=verdict.adjusted_p_value,
        psi=shift.psi,
        missing_before=shift.missing_reference_share,
        missing_now=shift.missing_current_share,
        n_rows=shift.n_current,
        since=line.since(name),
        bars=line.bars.get(name, ()),
        psi_p_value=shift.psi_p_value,
        days=tuple(
            _day(date, verdicts[name], is_current=date in line.days)
            for date, verdicts in sorted({**line.before, **line.days}.items())
            if name in verdicts
        ),
    )


def _day(date: str, verdict: ColumnVerdict, *, is_current: bool) -> DaySeen:
    return DaySeen(
        date=date,
        n_rows=verdict.shift.n_current,
        effect=verdict.shift.effect.value,
        threshold=verdict.threshold,
        state=verdict.state,
        is_current=is_current,
    )


def chart_seen(chart: Charted) -> ChartSeen:
    """A control chart, with the dates on which either of its lines is outside."""
    days, mean = chart.shewhart, chart.ewma
    return ChartSeen(
        title=chart.title,
        dates=chart.dates,
        points=_numbers(days.points),
        lower=_numbers(days.lower),
        upper=_numbers(days.upper),
        centre=_numbers(days.centre),
        mean=_numbers(mean.points),
        mean_lower=_numbers(mean.lower),
        mean_upper=_numbers(mean.upper),
        out=tuple(chart.out(chart.dates)),
    )


def _numbers(values: Iterable[float]) -> Numbers:
    return tuple(None if math.isnan(value) else float(value) for value in values)


def diagrams_seen(found: Mapping[str, Reliability]) -> tuple[DiagramSeen, ...]:
    """Diagrams by name, highest scores first in each."""
    return tuple(
        DiagramSeen(
            name=name,
            error=bins.error,
            bins=tuple(
                BinSeen(n_rows=n_rows, score=score, share=share, low=low, high=high)
                for n_rows, score, share, low, high in zip(
                    bins.weight.tolist(),
                    bins.score.tolist(),
                    bins.share.tolist(),
                    bins.low.tolist(),
                    bins.high.tolist(),
                    strict=True,
                )
            ),
        )
        for name, bins in found.items()
    )
