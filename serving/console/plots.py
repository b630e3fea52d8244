"""Drawings of numbers as SVG, which needs no script; coloured by classes of the style sheet.

A drawing is 480 units wide and is read at that size on a telephone, so there are few words in it:
the numbers stand in a table below. What there is no number for is not drawn.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

WIDTH, HEIGHT = 480, 220
LEFT, RIGHT, TOP, BOTTOM = 50, 462, 26, 180
TITLE_Y, DATES_Y, UNDER_Y = 13, 18, 35
"""Where words stand: what is drawn, above all; dates, and what they are, below the plot."""

MOST_DATES = 5
"""Dates below the x axis."""

Point = tuple[float, float]


@dataclass(frozen=True)
class Scale:
    """Values to places; with ``is_log`` by their logarithm, which only positive values have.

    Examples
    --------
    >>> Scale(0.0, 10.0, 100.0, 0.0)(2.5)
    75.0
    >>> Scale(0.01, 1.0, 0.0, 100.0, is_log=True)(0.1)
    50.0
    """

    low: float
    high: float
    start: float
    end: float
    is_log: bool = False

    def __call__(self, value: float) -> float:
        """Place of a value."""
        low, high, at = (self._plain(each) for each in (self.low, self.high, value))
        share = (at - low) / (high - low) if high > low else 0.5
        return round(self.start + (self.end - self.start) * share, 2)

    def _plain(self, value: float) -> float:
        return math.log10(value) if self.is_log else value

    def ticks(self) -> list[float]:
        """Round values across the scale, four or so."""
        return decades(self.low, self.high) if self.is_log else steps(self.low, self.high)


def steps(low: float, high: float) -> list[float]:
    """Round values between two, at most five.

    Examples
    --------
    >>> steps(0.0, 0.47)
    [0.0, 0.2, 0.4]
    >>> steps(360.0, 440.0)
    [360.0, 380.0, 400.0, 420.0, 440.0]
    """
    if not high > low:
        return [low]
    rough = (high - low) / 4
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * each for each in (1, 2, 5, 10) if unit * each >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(place * step, 12) for place in range(first, last + 1)]


def decades(low: float, high: float) -> list[float]:
    """Powers of ten between two positive values.

    Examples
    --------
    >>> decades(0.002, 1.0)
    [0.01, 0.1, 1.0]
    """
    return [10.0**n for n in range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1)]


def plain(value: float) -> str:
    """A number beside an axis.

    Examples
    --------
    >>> plain(0.25), plain(12_000.0), plain(0.0001)
    ('0.25', '12,000', '0.0001')
    """
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.4g}"


def drawing(said: str, parts: Iterable[str], *, height: int = HEIGHT, kind: str = "plot") -> Markup:
    """The whole of a drawing; ``said`` is for who cannot see it."""
    head = Markup('<svg class="{}" viewBox="0 0 {} {}" role="img" aria-label="{}">')
    inside = Markup("").join(Markup(part) for part in parts)  # noqa: S704 - made by this module
    return head.format(kind, WIDTH, height, said) + inside + Markup("</svg>")


def text(x: float, y: float, words: str, *, anchor: str = "start", kind: str = "small") -> Markup:
    """Words at a place."""
    made = Markup('<text class="{}" x="{}" y="{}" text-anchor="{}">{}</text>')
    return made.format(kind, x, y, anchor, words)


def line(start: Point, end: Point, kind: str) -> Markup:
    """A straight line."""
    made = Markup('<line class="{}" x1="{}" y1="{}" x2="{}" y2="{}" />')
    return made.format(kind, *start, *end)


def curve(points: Sequence[Point | None], kind: str) -> Markup:
    """A line through points, broken where there is none; a point alone is a short line."""
    words, is_drawing = [], False
    for point in points:
        if point is not None:
            words.append(f"{'L' if is_drawing else 'M'}{point[0]:.1f} {point[1]:.1f}")
            words.append("" if is_drawing else "h.1")
        is_drawing = point is not None
    return Markup('<path class="{}" d="{}" />').format(kind, "".join(words))


def dot(at: Point, kind: str, about: str = "", radius: float = 3) -> Markup:
    """A round mark; ``about`` is shown to who points at it."""
    made = Markup('<circle class="{}" cx="{}" cy="{}" r="{}">{}</circle>')
    return made.format(kind, round(at[0], 2), round(at[1], 2), radius, _title(about))


def _title(about: str) -> Markup:
    return Markup("<title>{}</title>").format(about) if about else Markup("")


def box(left: float, top: float, width: float, height: float, kind: str, about: str = "") -> Markup:
    """A filled rectangle; ``about`` is shown to who points at it."""
    made = Markup('<rect class="{}" x="{}" y="{}" width="{}" height="{}">{}</rect>')
    sizes = (round(each, 2) for each in (left, top, max(width, 0.0), max(height, 0.0)))
    return made.format(kind, *sizes, _title(about))


def band(lows: Sequence[Point | None], highs: Sequence[Point | None], kind: str) -> Markup:
    """The ground between two lines, where both are."""
    both = [(a, b) for a, b in zip(lows, highs, strict=True) if a and b]
    if not both:
        return Markup("")
    edge = [low for low, _ in both] + [high for _, high in reversed(both)]
    words = " ".join(f"{x:.1f},{y:.1f}" for x, y in edge)
    return Markup('<polygon class="{}" points="{}" />').format(kind, words)


def places(n: int, left: float = LEFT, right: float = RIGHT) -> list[float]:
    """Where ``n`` dates stand across the plot, each in the middle of its share.

    Examples
    --------
    >>> places(2, 0, 100)
    [25.0, 75.0]
    """
    each = (right - left) / max(n, 1)
    return [round(left + each * (place + 0.5), 2) for place in range(n)]


def axes(
    scale: Scale,
    labels: Sequence[str],
    *,
    up: str,
    under: str = "event date, UTC",
    written: Callable[[float], str] = plain,
) -> Iterator[Markup]:
    """The y axis with lines across the plot, some of the dates below, and what both are.

    Parameters
    ----------
    up
        What is drawn, and in which unit.
    under
        What the labels are.
    written
        How a value of the y axis is written.
    """
    yield text(0, TITLE_Y, up)
    for value in scale.ticks():
        y = scale(value)
        yield line((LEFT, y), (RIGHT, y), "axis")
        yield text(LEFT - 6, y + 4, written(value), anchor="end")
    shown = dates_shown(labels)
    for place, x in enumerate(places(len(labels))):
        if place in shown:
            yield text(x, BOTTOM + DATES_Y, labels[place][-len("12-31") :], anchor="middle")
    yield text(RIGHT, BOTTOM + UNDER_Y, under, anchor="end")


def share(value: float) -> str:
    """A share beside an axis.

    Examples
    --------
    >>> share(0.25), share(0.0005), share(1.0)
    ('25 %', '0.05 %', '100 %')
    """
    return f"{100 * value:.3g} %"


def name_of_line(y: float, words: str, kind: str = "small over") -> Markup:
    """The name of a level line, at its right end."""
    return text(RIGHT, y - 4, words, anchor="end", kind=kind)


def dates_shown(labels: Sequence[str]) -> set[int]:
    """Places of the dates that are written: at most five, the newest among them.

    Examples
    --------
    >>> sorted(dates_shown([""] * 35)), sorted(dates_shown(["", ""]))
    ([6, 13, 20, 27, 34], [0, 1])
    """
    step = max(1, -(-len(labels) // MOST_DATES))
    return set(range(len(labels) - 1, -1, -step))


def span(values: Iterable[float | None]) -> tuple[float, float]:
    """Least and greatest of the values that are there, with a little room; 0 to 1 without any.

    Examples
    --------
    >>> span([1.0, None, 2.0]), span([]), span([0.01, 1.0])[0]
    ((0.94, 2.06), (0.0, 1.0), 0.0)
    """
    held = [value for value in values if value is not None]
    if not held:
        return 0.0, 1.0
    low, high = min(held), max(held)
    room = (high - low) * 0.06 or abs(high) * 0.1 or 1.0
    least = max(low - room, 0.0) if low >= 0 else low - room
    return least, high + room
