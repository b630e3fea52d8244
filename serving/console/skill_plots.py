"""Drawings of how decisions fared: a metric period by period, and reliability."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from markupsafe import Markup

from core.monitoring.watched import BinSeen, DiagramSeen, PeriodSeen
from core.stats.metrics import Estimate
from serving.console.plots import (
    BOTTOM,
    DATES_Y,
    LEFT,
    RIGHT,
    TOP,
    Scale,
    axes,
    curve,
    dot,
    drawing,
    line,
    name_of_line,
    places,
    share,
    span,
    text,
)

ASIDE = 7
"""How far an estimate stands from what was measured of the same period."""

LEAST_SHARE = 1e-4
"""Where the axes of a reliability diagram end at the latest: less is noise of few rows."""


def skill(periods: Sequence[PeriodSeen], metric: str, name: str) -> Markup:
    """A metric of one release and channel: filled with labels, hollow and dashed without.

    The first measured value is drawn across, for the later ones to be held to.
    """
    dates = [period.date for period in periods]
    known = _known(periods, metric, is_labelled=True)
    guessed = _known(periods, metric, is_labelled=False)
    ends = [end for each in (*known.values(), *guessed.values()) for end in (each.low, each.high)]
    scale = Scale(*span(ends), BOTTOM, TOP)
    xs = places(len(dates))
    parts = [
        *axes(scale, dates, up=f"{name}, with 95 % intervals", under="first date of the period"),
        *_first(known, scale),
        *_estimates(known, xs, scale, "line", "dot"),
        *_estimates(guessed, [x + ASIDE for x in xs], scale, "guess", "dot open"),
    ]
    said = [f"{dates[place]} {each.value:.3f}" for place, each in sorted(known.items())]
    return drawing(f"{metric} by period: {', '.join(said) or 'no labels yet'}", parts)


def _first(known: Mapping[int, Estimate], scale: Scale) -> Iterator[Markup]:
    if len(known) > 1:
        y = scale(known[min(known)].value)
        yield line((LEFT, y), (RIGHT, y), "limit")
        yield name_of_line(y, "first measured")


def _known(periods: Sequence[PeriodSeen], metric: str, *, is_labelled: bool) -> dict[int, Estimate]:
    found = {}
    for place, period in enumerate(periods):
        group = period.group
        numbers: Mapping[str, Estimate] = group.metrics if is_labelled else group.estimated
        if metric in numbers:
            found[place] = numbers[metric]
    return found


def _estimates(
    found: Mapping[int, Estimate], xs: Sequence[float], scale: Scale, stroke: str, mark: str
) -> Iterator[Markup]:
    for place, each in found.items():
        yield line((xs[place], scale(each.low)), (xs[place], scale(each.high)), "whisker")
    yield curve([(xs[place], scale(each.value)) for place, each in sorted(found.items())], stroke)
    for place, each in found.items():
        about = f"{each.value:.3f} ({each.low:.3f} to {each.high:.3f})"
        yield dot((xs[place], scale(each.value)), mark, about, radius=4)


def reliability(diagram: DiagramSeen) -> Markup:
    """Share of positives over mean score, both by their logarithm; on the line it is calibrated."""
    drawn = [each for each in diagram.bins if each.score > 0 and each.high > 0]
    values = [v for each in drawn for v in (each.score, each.share) if v > 0]
    low = max(min(values, default=0.01) / 1.5, LEAST_SHARE)
    across = Scale(low, 1.0, LEFT, RIGHT, is_log=True)
    up = Scale(low, 1.0, BOTTOM, TOP, is_log=True)
    parts = [
        *axes(up, (), up="share of positives", under="mean score", written=share),
        *(text(across(x), BOTTOM + DATES_Y, share(x), anchor="middle") for x in across.ticks()),
        line((across(low), up(low)), (across(1.0), up(1.0)), "limit"),
        text(across(1.0) - 22, up(1.0) + 4, "as many as scored", anchor="end", kind="small over"),
    ]
    for each in drawn:
        parts.extend(_bin(each, across, up, low))
    n_off = sum(each.is_off for each in diagram.bins)
    said = (
        f"{diagram.name}: calibration error {diagram.error:.4f}, "
        f"{n_off} of {len(diagram.bins)} bins off"
    )
    return drawing(said, parts)


def _bin(each: BinSeen, across: Scale, up: Scale, low: float) -> Iterator[Markup]:
    x = across(max(each.score, low))
    yield line((x, up(max(each.low, low))), (x, up(max(each.high, low))), "whisker")
    about = f"mean score {share(each.score)}, positive {share(each.share)}"
    kind = "dot bad" if each.is_off else "dot"
    yield dot((x, up(max(each.share, low))), kind, about, radius=4)
