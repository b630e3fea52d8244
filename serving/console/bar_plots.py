"""A drawing of a column's values before and now: a pair of bars for each range or category."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from markupsafe import Markup

from core.stats.bars import Bar
from serving.console.plots import TITLE_Y, box, drawing, share, text

ROW, THICK, HEAD = 30, 9, 26
START, END = 158, 400
LONGEST_LABEL = 20


def before_and_now(name: str, bars: Sequence[Bar]) -> Markup:
    """Shares of rows by value: the baseline above, the judged days below."""
    top = max(each for bar in bars for each in (bar.before, bar.now))
    parts = [
        text(0, TITLE_Y, "share of rows"),
        box(START, TITLE_Y - THICK, 12, THICK, "was"),
        text(START + 17, TITLE_Y, "before"),
        box(START + 78, TITLE_Y - THICK, 12, THICK, "bar"),
        text(START + 95, TITLE_Y, "judged days"),
        *(part for place, bar in enumerate(bars) for part in _pair(bar, HEAD + ROW * place, top)),
    ]
    said = "; ".join(f"{bar.label} {share(bar.before)}, now {share(bar.now)}" for bar in bars)
    return drawing(f"{name}: {said}", parts, height=HEAD + ROW * len(bars))


def _pair(bar: Bar, y: float, top: float) -> Iterator[Markup]:
    label = bar.label
    cut = label if len(label) <= LONGEST_LABEL else f"{label[: LONGEST_LABEL - 1]}…"
    yield text(START - 8, y + THICK + 4, cut, anchor="end")
    for value, down, kind in ((bar.before, 0, "was"), (bar.now, THICK + 1, "bar")):
        width = (END - START) * value / top
        about = f"{label}: {share(value)}"
        yield box(START, y + down, max(width, 0.5), THICK, kind, about)
    yield text(480, y + THICK + 4, f"{_short(bar.before)} → {_short(bar.now)}", anchor="end")


def _short(value: float) -> str:
    return f"{100 * value:.1f}"
