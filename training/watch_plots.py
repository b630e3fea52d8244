"""Pictures of what is watched, as PNG bytes: timelines, control charts, reliability, skill.

Days run along the x axis, oldest first. What fired is red; limits are dashed. Nothing is drawn of
what there is no number for. matplotlib is imported on use.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np

from core.monitoring.control_lines import Charted
from core.monitoring.live import Group
from core.monitoring.timeline import Timeline
from core.stats.reliability import Reliability

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 100
WIDTH = 9.0
ROW = 2.4
MOST_COLUMNS = 12
RED, BLUE, GREY = "#c0392b", "#2c6fb0", "#8a8f98"


def drift_picture(timelines: Mapping[str, Timeline]) -> bytes:
    """How far each column of each day lies from the baseline, one panel a timeline.

    Each cell is a column on a day, darker the further it moved; a red frame says that it drifted.
    """
    drawn = {title: line for title, line in timelines.items() if line.days}
    if not drawn:
        return _nothing("no day with rows to compare yet")
    heights = [1.1 + 0.26 * min(len(line.columns), MOST_COLUMNS) for line in drawn.values()]
    figure, axes = _figure(len(drawn), height=sum(heights), ratios=heights)
    for panel, (title, line) in zip(axes, drawn.items(), strict=True):
        image = _effects(panel, title, line)
    figure.colorbar(
        image,
        ax=list(axes),
        label="effect: share of rows that moved (red frame: drifted)",
        shrink=0.8,
    )
    return _png(figure)


def _effects(axes: Any, title: str, line: Timeline) -> Any:
    dates, columns = sorted(line.days), line.columns[:MOST_COLUMNS]
    cells = np.array(
        [[line.days[date][column].shift.effect.value for date in dates] for column in columns]
    )
    image = axes.imshow(cells, aspect="auto", cmap="Blues", vmin=0.0, vmax=0.5)
    for row, column in enumerate(columns):
        for place, date in enumerate(dates):
            if line.days[date][column].state == "drifted":
                axes.add_patch(_frame(place, row))
    left_out = len(line.columns) - len(columns)
    more = f", {left_out} that moved less left out" if left_out > 0 else ""
    axes.set_title(f"{title}: {line.n_baseline:,} rows of baseline{more}", fontsize=9, loc="left")
    axes.set_yticks(range(len(columns)), columns, fontsize=7)
    _date_ticks(axes, dates)
    return image


def _frame(place: int, row: int) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((place - 0.47, row - 0.45), 0.94, 0.9, fill=False, edgecolor=RED, linewidth=2)


def control_picture(lines: Sequence[Charted]) -> bytes:
    """Shewhart's points with their limits, the EWMA over them, points outside in red."""
    if not lines:
        return _nothing("no line has the eight days that a chart needs yet")
    figure, axes = _figure(len(lines), height=ROW * len(lines))
    for panel, line in zip(axes, lines, strict=True):
        places, days, mean = np.arange(len(line.dates)), line.shewhart, line.ewma
        panel.plot(places, days.points, "o-", color=BLUE, markersize=3, linewidth=1, label="day")
        panel.plot(places, mean.points, color=GREY, linewidth=1.5, label="EWMA")
        panel.plot(places, days.centre, color=GREY, linewidth=0.6)
        for limit in (days.lower, days.upper):
            panel.plot(places, limit, "--", color=GREY, linewidth=0.9)
        out = days.is_out | mean.is_out
        panel.plot(places[out], days.points[out], "o", color=RED, markersize=6, label="out")
        panel.set_title(line.title, fontsize=9, loc="left")
        panel.margins(x=0.01)
        _date_ticks(panel, line.dates)
    axes[0].legend(fontsize=7, loc="upper left", ncols=3)
    return _png(figure)


def reliability_picture(found: Mapping[str, Reliability]) -> bytes:
    """Share of positives beside mean score, with intervals, one panel a release; log axes."""
    if not found:
        return _nothing("no release has the mature labels that a diagram needs yet")
    figure, axes = _figure(1, height=4.8, n_across=len(found), width=max(4.8 * len(found), 5))
    for panel, (title, bins) in zip(axes, found.items(), strict=True):
        is_drawn = (bins.score > 0) & (bins.high > 0)
        score, share = bins.score[is_drawn], np.maximum(bins.share[is_drawn], 1e-5)
        low = np.maximum(bins.low[is_drawn], 1e-6)
        spans = np.abs(np.array([share - np.minimum(low, share), bins.high[is_drawn] - share]))
        colours = np.where(bins.is_off[is_drawn], RED, BLUE)
        panel.errorbar(score, share, yerr=spans, fmt="none", ecolor=GREY, linewidth=1)
        panel.scatter(score, share, c=colours.tolist(), s=22, zorder=3)
        ends = [min(score.min(), share.min()), 1.0]
        panel.plot(ends, ends, color=GREY, linewidth=0.8)
        panel.set_xscale("log")
        panel.set_yscale("log")
        panel.set_title(f"{title}\ncalibration error {bins.error:.4f}", fontsize=9, loc="left")
        panel.set_xlabel("mean score")
        panel.set_ylabel("share of positives")
    return _png(figure)


def skill_picture(days: Mapping[str, Mapping[str, Group]], metric: str) -> bytes:
    """A metric of each period: by labels where they are mature, estimated where they are not.

    Parameters
    ----------
    days
        By line (release and channel), the group of each period, by its first date.
    """
    dates = sorted({date for groups in days.values() for date in groups})
    if not any(g.metrics or g.estimated for groups in days.values() for g in groups.values()):
        return _nothing("no period has enough labels or rows yet")
    figure, (axes,) = _figure(1, height=4.0)
    for number, (name, groups) in enumerate(sorted(days.items())):
        colour = f"C{number}"
        _estimates(axes, dates, groups, metric, colour, name, is_labelled=True)
        _estimates(axes, dates, groups, metric, colour, f"{name}, estimated", is_labelled=False)
    axes.set_title(f"{metric} by period, with 95 % intervals; open marks: no labels yet",
                   fontsize=9, loc="left")  # fmt: skip
    axes.legend(fontsize=7)
    _date_ticks(axes, dates)
    return _png(figure)


def _estimates(
    axes: Any, dates: Sequence[str], groups: Mapping[str, Group], metric: str, colour: str,
    label: str, *, is_labelled: bool,
) -> None:  # fmt: skip
    found = [
        (dates.index(date), numbers[metric])
        for date, group in sorted(groups.items())
        for numbers in [group.metrics if is_labelled else group.estimated]
        if metric in numbers
    ]
    if not found:
        return
    places = [place for place, _ in found]
    values = np.array([each.value for _, each in found])
    spans = [[e.value - e.low for _, e in found], [e.high - e.value for _, e in found]]
    axes.errorbar(
        places, values, yerr=np.maximum(spans, 0), fmt="o-" if is_labelled else "o:",
        markerfacecolor=colour if is_labelled else "white", color=colour, capsize=2,
        linewidth=1, label=label,
    )  # fmt: skip


def _date_ticks(axes: Any, dates: Sequence[str]) -> None:
    step = max(1, -(-len(dates) // 10))
    places = list(range(0, len(dates), step))
    axes.set_xticks(places, [dates[place] for place in places], fontsize=7)
    axes.tick_params(axis="y", labelsize=7)


def _nothing(why: str) -> bytes:
    """A picture that says why there is none."""
    figure, (axes,) = _figure(1, height=1.2)
    axes.text(0.5, 0.5, why, ha="center", va="center", color=GREY)
    axes.axis("off")
    return _png(figure)


def _figure(
    n: int, *, height: float, n_across: int = 1, width: float = WIDTH,
    ratios: Sequence[float] | None = None,
) -> tuple[Figure, Sequence[Any]]:  # fmt: skip
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    axes = figure.subplots(n, n_across, squeeze=False, height_ratios=ratios)
    return figure, list(axes.ravel())


def _png(figure: Figure) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    buffer = BytesIO()
    # `savefig` would draw it twice.
    FigureCanvasAgg(figure).print_png(buffer, metadata={"Software": None})
    return buffer.getvalue()
