"""What a reader should take from a drawing, in a sentence or two that stand below it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from core.monitoring.watched import BinSeen, ChartSeen, ColumnSeen, DiagramSeen, PeriodSeen
from core.stats.bars import Bar
from core.stats.metrics import Estimate
from serving.console.plots import plain, share
from serving.console.rendering import percent

LEAST_SEEN = 0.01
"""Share of rows that a bar must gain to be worth a word."""

SHARE = "share of"
"""In the title of a chart of shares; the others count rows."""


def is_share(chart: ChartSeen) -> bool:
    """Whether a control chart is of shares, and not of rows."""
    return SHARE in chart.title


def of_column(column: ColumnSeen) -> str:
    """What became of a column: the verdict, the numbers it rests on, what follows from it."""
    if not column.days:
        return "No day had rows, so nothing was compared."
    last = column.days[-1]
    moved = f"{percent(column.effect)} of the rows moved over the judged days"
    by_day = f"{percent(last.effect)} on the last of them, {last.date}"
    limit = f"the limit is {_limit(column.threshold)}"
    if column.state == "drifted":
        since = f", each day since {column.since}" if column.since else ""
        return f"It has drifted{since}: {moved} ({by_day}), {limit}."
    if column.state == "unsure":
        return f"More rows are wanted: {moved} ({by_day}), which chance may do; {limit}."
    return f"It stands as it was: {moved} ({by_day}), {limit}."


def _limit(threshold: float) -> str:
    return percent(threshold) if threshold < 1 else "above 100 %: too few rows to tell"


def of_bars(bars: Sequence[Bar]) -> str:
    """Which values gained most rows, and which lost most."""
    gained = max(bars, key=lambda bar: bar.now - bar.before)
    lost = min(bars, key=lambda bar: bar.now - bar.before)
    if gained.now - gained.before < LEAST_SEEN:
        return "No range of values gained or lost a hundredth of the rows."
    return (
        f"Most gained: {gained.label}, from {percent(gained.before)} to {percent(gained.now)} of "
        f"the rows; most lost: {lost.label}, from {percent(lost.before)} to {percent(lost.now)}."
    )


def days_out(chart: ChartSeen) -> tuple[str, ...]:
    """Dates whose own number lies outside of its limits."""
    return _outside(chart.dates, chart.points, chart.lower, chart.upper)


def means_out(chart: ChartSeen) -> tuple[str, ...]:
    """Dates on which the mean that remembers lies outside of its own limits."""
    return _outside(chart.dates, chart.mean, chart.mean_lower, chart.mean_upper)


def _outside(
    dates: Sequence[str],
    values: Sequence[float | None],
    lows: Sequence[float | None],
    highs: Sequence[float | None],
) -> tuple[str, ...]:
    return tuple(
        date
        for date, value, low, high in zip(dates, values, lows, highs, strict=True)
        if value is not None
        and ((low is not None and value < low) or (high is not None and value > high))
    )


def of_chart(chart: ChartSeen) -> str:
    """Whether the days keep within their limits, how the last one stands, and since when."""
    written = share if is_share(chart) else plain
    days, means = days_out(chart), means_out(chart)
    held = [place for place, value in enumerate(chart.points) if value is not None]
    if not held:
        return "No day has a number."
    if not chart.out:
        return f"All {len(held)} days keep within their limits: nothing to do."
    place = held[-1]
    value, low, high = chart.points[place], chart.lower[place], chart.upper[place]
    if value is None or low is None or high is None:
        return f"{len(chart.out)} of {len(held)} days lie outside of the limits."
    usual = f"{written(low)} to {written(high)}"
    how = f"outside of {usual}" if chart.dates[place] in days else f"within {usual}"
    return (
        f"{len(days)} of {len(held)} days lie outside of their limits, the mean on {len(means)}. "
        f"The last, {chart.dates[place]}, has {written(value)}: {how}{_run(chart)}."
    )


def _run(chart: ChartSeen) -> str:
    """Since when one or the other is outside, without a day between."""
    out, first = set(chart.out), ""
    for date in reversed(chart.dates):
        if date not in out:
            break
        first = date
    return f"; day or mean outside each day since {first}" if first else ""


def of_periods(periods: Sequence[PeriodSeen], metric: str) -> str:
    """Whether the newest measured period is as good as the first one."""
    measured = [(each.date, each.group.metrics[metric]) for each in periods if _has(each, metric)]
    if not measured:
        return _guessed(periods, metric)
    (first_date, first), (date, last) = measured[0], measured[-1]
    said = f"Measured last, from {date}: {_written(last)}"
    if len(measured) == 1:
        return f"{said}. There is no period before it to hold it to."
    before = f"from {first_date} it was {_written(first)}"
    if last.high < first.low:
        return f"{said}; {before}: lower now, beyond both intervals."
    if last.low > first.high:
        return f"{said}; {before}: higher now, beyond both intervals."
    return f"{said}; {before}: chance may be all that is between them."


def _has(period: PeriodSeen, metric: str) -> bool:
    return metric in period.group.metrics


def _guessed(periods: Sequence[PeriodSeen], metric: str) -> str:
    guesses: Mapping[str, Estimate] = periods[-1].group.estimated if periods else {}
    if metric not in guesses:
        return "No labels are mature yet, and nothing could be estimated without them."
    return (
        f"No labels are mature yet. From scores alone the newest period is put at "
        f"{_written(guesses[metric])}: it cannot see that the truth behind the rows changed."
    )


def _written(estimate: Estimate) -> str:
    return f"{estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f})"


def of_diagram(diagram: DiagramSeen) -> str:
    """Whether scores may be read as chances, and where they may least."""
    off = [each for each in diagram.bins if each.is_off]
    mean = f"on average score and share are {percent(diagram.error, 2)} apart"
    if not off:
        return f"Scores may be read as chances: no bin is off beyond chance, {mean}."
    worst = max(off, key=_weight)
    way = "too low" if worst.share > worst.score else "too high"
    return (
        f"{len(off)} of {len(diagram.bins)} bins are off, {mean}. Worst where scores are about "
        f"{percent(worst.score, 2)}: {percent(worst.share, 2)} were positive, so they are {way}."
    )


def _weight(each: BinSeen) -> float:
    return each.n_rows * abs(each.share - each.score)
