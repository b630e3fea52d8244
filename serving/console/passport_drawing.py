"""Drawings of a passport: how a score came about, as SVG that needs no script."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from markupsafe import Markup

ROWS = 12
"""Contributions drawn one by one; what the others push together is one row."""

_WIDTH, _PLOT_LEFT, _PLOT_RIGHT, _ROW = 760, 296, 676, 38
_BAR, _LABEL = 16, 14
_BAR_LABEL = 24
"""Room of a threshold's name above the bar: on a narrow screen it is written larger."""

_SCORES = (0.0001, 0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999, 0.9999)
"""Scores at which the axis of log-odds may be marked."""

_APART = 48


@dataclass(frozen=True)
class Push:
    """What one feature adds to the log-odds, with the value it is about, in words."""

    name: str
    about: str
    by: float


@dataclass(frozen=True)
class Line:
    """A threshold on the scale of the score."""

    score: float
    label: str


def log_odds(score: float) -> float | None:
    """Log-odds of a score; None at 0 and 1, where there are none.

    Examples
    --------
    >>> log_odds(0.5), log_odds(1.0)
    (0.0, None)
    """
    return math.log(score / (1 - score)) if 0 < score < 1 else None


def waterfall(base: float, pushes: Sequence[Push], score: float, lines: Sequence[Line]) -> Markup:
    """From the base, push by push, to the log-odds of the score; the largest pushes first."""
    ordered = sorted(pushes, key=lambda push: -abs(push.by))
    shown, rest = ordered[:ROWS], ordered[ROWS:]
    if rest:
        shown.append(Push(f"{len(rest)} others", "", sum(push.by for push in rest)))
    totals = [base]
    for push in shown:
        totals.append(totals[-1] + push.by)
    marks = [(log_odds(line.score), line) for line in lines]
    places = [*totals, 0.0, *(at for at, _ in marks if at is not None)]
    scale = _Scale(min(places), max(places))
    top = 22 + _LABEL * len(lines)
    foot = _ROW * (len(shown) + 2) + top
    height = foot + 34
    parts = [
        f'<svg class=waterfall viewBox="0 0 {_WIDTH} {height}" role=img '
        f'aria-label="{escape(_said(base, shown, score))}">',
        *(
            _threshold(scale(at), line, _LABEL * (place + 1), foot)
            for place, (at, line) in enumerate(marks)
            if at is not None
        ),
        *_axis(scale, foot),
        _end_row(
            top, "start", f"score {probability(base):.3g}, before any value", scale(base), base
        ),
    ]
    for place, push in enumerate(shown):
        y = top + _ROW * (place + 1)
        parts.append(_push_row(y, push, scale(totals[place]), scale(totals[place + 1])))
    y = top + _ROW * (len(shown) + 1)
    parts.append(_end_row(y, "log-odds", f"score {score:.6f}", scale(totals[-1]), totals[-1]))
    return Markup("".join([*parts, "</svg>"]))  # noqa: S704 - each word of others is escaped


def probability(odds: float) -> float:
    """Score of log-odds.

    Examples
    --------
    >>> probability(0.0), round(probability(-3.0), 3)
    (0.5, 0.047)
    """
    return 1 / (1 + math.exp(-odds)) if odds >= 0 else math.exp(odds) / (1 + math.exp(odds))


def _axis(scale: _Scale, foot: float) -> Iterator[str]:
    """Scores below the plot, where there is room for them, since nobody thinks in log-odds."""
    yield (
        f"<line class=axis x1={_PLOT_LEFT} x2={_PLOT_RIGHT} y1={foot:.0f} y2={foot:.0f} />"
        f"<text class=small x={_PLOT_LEFT - 12} y={foot + 16:.0f} text-anchor=end>score</text>"
    )
    last = -math.inf
    for score in _SCORES:
        x = scale(log_odds(score) or 0.0)
        if _PLOT_LEFT <= x <= _PLOT_RIGHT and x - last >= _APART:
            last = x
            yield (
                f"<line class=axis x1={x:.1f} x2={x:.1f} y1={foot:.0f} y2={foot + 4:.0f} />"
                f"<text class=small x={x:.1f} y={foot + 16:.0f} text-anchor=middle>{score:g}</text>"
            )


def score_bar(score: float, lines: Sequence[Line]) -> Markup:
    """The score on the way from 0 to 1, with the thresholds of the rules."""
    left, right, y = 8, 752, 24 + _BAR_LABEL * len(lines)
    at = left + (right - left) * min(max(score, 0.0), 1.0)
    parts = [
        f'<svg class=scale viewBox="0 0 {_WIDTH} {y + 34}" role=img ',
        f'aria-label="score {score:.6f}">',
        f"<rect class=track x={left} y={y} width={right - left} height=8 rx=4 />",
        f"<rect class=done x={left} y={y} width={max(at - left, 0):.1f} height=8 rx=4 />",
    ]
    for place, line in enumerate(lines):
        x = left + (right - left) * line.score
        anchor = "end" if line.score > 0.5 else "start"
        label_y = _BAR_LABEL * (place + 1)
        parts.append(_dashes(x, label_y - 9, y + 20))
        parts.append(
            f"<text class=small x={x + (-5 if anchor == 'end' else 5):.1f} y={label_y} "
            f"text-anchor={anchor}>{escape(line.label)}</text>"
        )
    parts.append(f"<circle class=now cx={at:.1f} cy={y + 4} r=7 />")
    for end, x, anchor in (("0", left, "start"), ("1", right, "end")):
        parts.append(f"<text class=small x={x} y={y + 30} text-anchor={anchor}>{end}</text>")
    return Markup("".join([*parts, "</svg>"]))  # noqa: S704 - each word of others is escaped


class _Scale:
    """Log-odds to places across the plot."""

    def __init__(self, low: float, high: float) -> None:
        margin = max((high - low) * 0.04, 0.05)
        self._low, self._span = low - margin, high - low + 2 * margin

    def __call__(self, value: float) -> float:
        return _PLOT_LEFT + (_PLOT_RIGHT - _PLOT_LEFT) * (value - self._low) / self._span


def _push_row(y: int, push: Push, start: float, end: float) -> str:
    kind = "up" if push.by >= 0 else "down"
    left, width = min(start, end), max(abs(end - start), 1.0)
    return "".join(
        [
            *_labels(y, push.name, push.about),
            f"<line class=tie x1={start:.1f} x2={start:.1f} y1={y - _ROW + _BAR} y2={y} />",
            f"<rect class={kind} x={left:.1f} y={y} width={width:.1f} height={_BAR} rx=2 />",
            f'<text class="sum {kind}" x={_WIDTH} y={y + 13} text-anchor=end>{push.by:+.4f}</text>',
        ]
    )


def _end_row(y: int, name: str, about: str, at: float, value: float) -> str:
    return "".join(
        [
            *_labels(y, name, about),
            f"<rect class=end x={at - 2:.1f} y={y - 2} width=4 height={_BAR + 4} rx=2 />",
            f"<text class=sum x={_WIDTH} y={y + 13} text-anchor=end>{value:.4f}</text>",
        ]
    )


def _labels(y: int, name: str, about: str) -> Iterator[str]:
    yield f"<text class=name x={_PLOT_LEFT - 12} y={y + 8} text-anchor=end>{escape(name)}</text>"
    yield f"<text class=small x={_PLOT_LEFT - 12} y={y + 22} text-anchor=end>{escape(about)}</text>"


def _threshold(x: float, line: Line, label_y: int, height: int) -> str:
    """A dashed line with its label, each label on a line of its own so that none meets another."""
    anchor = "end" if x > (_PLOT_LEFT + _PLOT_RIGHT) / 2 else "start"
    shift = -5 if anchor == "end" else 5
    label = f"<text class=small x={x + shift:.1f} y={label_y} text-anchor={anchor}>"
    return f"{_dashes(x, label_y - 9, height - 6)}{label}{escape(line.label)}</text>"


def _dashes(x: float, top: int, bottom: int) -> str:
    return f"<line class=limit x1={x:.1f} x2={x:.1f} y1={top} y2={bottom} />"


def _said(base: float, pushes: Sequence[Push], score: float) -> str:
    """The drawing for who cannot see it."""
    words = ", ".join(f"{push.name} {push.by:+.3f}" for push in pushes)
    return f"From {base:.3f} by {words} to the score {score:.4f}"
