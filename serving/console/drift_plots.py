"""Drawings of drift: a column day by day, small and large; control charts; verdicts by night."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from markupsafe import Markup

from core.clock import event_date
from core.monitoring.triage import Triage
from core.monitoring.watched import ChartSeen, ColumnSeen, DaySeen, Numbers
from serving.console.plots import (
    BOTTOM,
    RIGHT,
    TITLE_Y,
    TOP,
    Point,
    Scale,
    axes,
    band,
    box,
    curve,
    dot,
    drawing,
    name_of_line,
    places,
    plain,
    share,
    span,
    text,
)
from serving.console.readings import days_out, is_share, means_out

LEAST_TOP = 0.2
"""Effect to which an axis reaches at least, so that noise looks like noise."""

SPARK_HEIGHT = 64
NIGHT_HEIGHT = 34
NIGHT_HEIGHTS = {"stable": 8, "real_drift": 20, "data_incident": 34}
KINDS = {"stable": "good", "real_drift": "warn", "data_incident": "bad"}


def top_effect(columns: Sequence[ColumnSeen]) -> float:
    """Effect to which the axes of some columns reach, so that they can be compared.

    A limit that lies higher, as it does where there are few rows, is not drawn.
    """
    days = [day for column in columns for day in column.days]
    lowest_limit = min((day.threshold for day in days), default=0.0)
    return min(1.0, 1.1 * max([LEAST_TOP, lowest_limit, *(day.effect for day in days)]))


def spark(column: ColumnSeen, top: float) -> Markup:
    """A column in one line of a table: its effect day by day, the limit, days that drifted."""
    scale = Scale(0.0, top, SPARK_HEIGHT - 4, 4)
    xs = places(len(column.days), 0, 480)
    return drawing(
        _said(column), _effects(column.days, xs, scale), height=SPARK_HEIGHT, kind="spark"
    )


def effects(column: ColumnSeen, top: float) -> Markup:
    """A column by itself, with its axes; limit and judged days by their names."""
    scale = Scale(0.0, top, BOTTOM, TOP)
    xs = places(len(column.days))
    dates = [day.date for day in column.days]
    parts = [
        *axes(scale, dates, up="share of rows that moved", written=share),
        *_effects(column.days, xs, scale),
        *_names(column.days, xs, scale),
    ]
    return drawing(_said(column), parts)


def _names(days: Sequence[DaySeen], xs: Sequence[float], scale: Scale) -> Iterator[Markup]:
    judged = [x for x, day in zip(xs, days, strict=True) if day.is_current]
    if judged:
        middle = min((judged[0] + judged[-1]) / 2, RIGHT - 20)
        yield text(middle, TITLE_Y, "judged", anchor="middle")
    limit = days[-1].threshold if days else scale.high
    if limit < scale.high:
        yield name_of_line(scale(limit), "limit")


def _effects(days: Sequence[DaySeen], xs: Sequence[float], scale: Scale) -> Iterator[Markup]:
    """The line of effects over the limits; the newest days, which are judged, on a ground."""
    judged = [x for x, day in zip(xs, days, strict=True) if day.is_current]
    if judged:
        half = (xs[1] - xs[0]) / 2 if len(xs) > 1 else 20
        left, width = judged[0] - half, judged[-1] - judged[0] + 2 * half
        yield box(left, scale.end, width, scale.start - scale.end, "ground")
    limits = [min(day.threshold, scale.high) for day in days]
    yield curve(
        [
            (x, scale(limit)) if limit < scale.high else None
            for x, limit in zip(xs, limits, strict=True)
        ],
        "limit",
    )
    points = [(x, scale(day.effect)) for x, day in zip(xs, days, strict=True)]
    yield curve(points, "line")
    for point, day in zip(points, days, strict=True):
        if day.is_current and day.state != "stable":
            kind = "dot bad" if day.state == "drifted" else "dot warn"
            yield dot(point, kind, f"{day.date}: {share(day.effect)}", radius=5)


def _said(column: ColumnSeen) -> str:
    if not column.days:
        return f"{column.column}: no day with rows"
    first, last = column.days[0], column.days[-1]
    highest = max(column.days, key=lambda day: day.effect)
    return (
        f"{column.column}, {first.date} to {last.date}: highest {share(highest.effect)} of rows "
        f"on {highest.date}, {share(last.effect)} on the last day; limit {share(last.threshold)}"
    )


def control(chart: ChartSeen) -> Markup:
    """A control chart: days as dots with their limits dashed, their remembering mean with its own.

    A dot is red where the day is outside of its limits; a square, where the mean is outside.
    """
    every = (chart.points, chart.lower, chart.upper, chart.mean)
    scale = Scale(*span(value for numbers in every for value in numbers), BOTTOM, TOP)
    xs = places(len(chart.dates))
    is_of_shares = is_share(chart)
    up, written = ("share of rows", share) if is_of_shares else ("rows a day", plain)
    parts = [
        *axes(scale, chart.dates, up=up, written=written),
        band(_path(chart.mean_lower, xs, scale), _path(chart.mean_upper, xs, scale), "band"),
        *(curve(_path(each, xs, scale), "limit") for each in (chart.lower, chart.upper)),
        curve(_path(chart.centre, xs, scale), "centre"),
        curve(_path(chart.points, xs, scale), "thin"),
        *_days(chart, xs, scale),
        curve(_path(chart.mean, xs, scale), "line2"),
        *_means(chart, xs, scale),
        *_limits_named(chart, scale),
    ]
    n_out = len(chart.out)
    said = f"{chart.title}: {n_out} of {len(chart.dates)} days outside of the limits"
    return drawing(said, parts)


def _path(numbers: Numbers, xs: Sequence[float], scale: Scale) -> list[Point | None]:
    return [
        None if value is None else (x, min(max(scale(value), TOP), BOTTOM))
        for x, value in zip(xs, numbers, strict=True)
    ]


def _days(chart: ChartSeen, xs: Sequence[float], scale: Scale) -> Iterator[Markup]:
    out = set(days_out(chart))
    for date, point in zip(chart.dates, _path(chart.points, xs, scale), strict=True):
        if point is not None:
            is_out = date in out
            yield dot(point, "dot bad" if is_out else "dot", date, radius=5 if is_out else 2.5)


def _means(chart: ChartSeen, xs: Sequence[float], scale: Scale) -> Iterator[Markup]:
    out = set(means_out(chart))
    for date, point in zip(chart.dates, _path(chart.mean, xs, scale), strict=True):
        if point is not None and date in out:
            yield box(point[0] - 2.5, point[1] - 2.5, 5, 5, "mean out")


def _limits_named(chart: ChartSeen, scale: Scale) -> Iterator[Markup]:
    """Names of the limits, where those of the last day lie within the plot."""
    for numbers, words in ((chart.upper, "upper limit"), (chart.lower, "lower limit")):
        last = next((value for value in reversed(numbers) if value is not None), None)
        if last is not None and scale.low < last < scale.high:
            yield name_of_line(scale(last), words)


def nights(triages: Sequence[Triage]) -> Markup:
    """Verdicts of the last looks side by side, oldest first: the worse, the higher the mark."""
    width = min(480 / max(len(triages), 1), 24)
    parts = []
    for place, triage in enumerate(triages):
        height = NIGHT_HEIGHTS[triage.kind]
        kind, top = f"night {KINDS[triage.kind]}", NIGHT_HEIGHT - height
        about = f"{event_date(triage.at_ms)}: {triage.kind}".replace("_", " ")
        parts.append(box(place * width, top, width - 2, height, kind, about))
    words = ", ".join(f"{triage.last_date} {triage.kind}" for triage in triages).replace("_", " ")
    return drawing(f"Verdicts: {words}", parts, height=NIGHT_HEIGHT, kind="nights")
