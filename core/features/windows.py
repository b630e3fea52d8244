"""Where windows start and end, and how long they are called.

A window feature at the point ``t`` reads the rows with

    floor((t - window) / grid) * grid  <=  event_timestamp  <  t

Start inclusive, end exclusive: a row is never in its own features. The start moves in
steps of the grid, so that tiles can be added up; the end is exact.
"""

from __future__ import annotations

import re
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from core.errors import ConfigurationError

DAY_MS = 86_400_000

DEFAULT_GRIDS: dict[int, int] = {
    300_000: 10_000,
    3_600_000: 60_000,
    DAY_MS: 1_800_000,
    7 * DAY_MS: 10_800_000,
    30 * DAY_MS: 43_200_000,
}
"""Window to tail grid, both in milliseconds: about 1/30 to 1/60 of the window."""

_UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": DAY_MS}
_DURATION = re.compile(r"(?P<amount>[1-9][0-9]*)(?P<unit>ms|s|m|h|d)")

Instants = TypeVar("Instants", int, NDArray[np.int64])


def window_start_ms(at_ms: Instants, window_ms: int, grid_ms: int) -> Instants:
    """First instant inside the window of the point ``at_ms``; inclusive.

    Python's and numpy's ``//`` both round towards minus infinity, so times before 1970
    need no special case.

    Examples
    --------
    >>> window_start_ms(3_600_001, 3_600_000, 60_000)
    0
    >>> window_start_ms(0, 3_600_000, 60_000)
    -3600000
    >>> window_start_ms(np.array([-1, 59_999]), 60_000, 60_000).tolist()
    [-120000, -60000]
    """
    return tile_start_ms(at_ms - window_ms, grid_ms)


def tile_start_ms(event_ms: Instants, grid_ms: int) -> Instants:
    """Start of the grid interval that holds ``event_ms``.

    Examples
    --------
    >>> tile_start_ms(59_999, 60_000), tile_start_ms(-1, 60_000)
    (0, -60000)
    """
    return event_ms // grid_ms * grid_ms


def check_grid(window_ms: int, grid_ms: int) -> None:
    """Refuse a grid that cannot serve its window.

    A grid divides a day, because tiles are kept by event date and batch scores are as of
    midnight; it is no longer than its window, or a window could be mostly tail.

    Raises
    ------
    ConfigurationError
        If the grid does not divide a day or is longer than the window.

    Examples
    --------
    >>> check_grid(3_600_000, 60_000)
    """
    if not 0 < grid_ms <= window_ms or DAY_MS % grid_ms:
        raise ConfigurationError(
            "a window's grid must divide a day and be no longer than the window",
            found=f"window {window_ms} ms, grid {grid_ms} ms",
            remedy=f"take a default window {[spell_duration(w) for w in DEFAULT_GRIDS]} "
            "or another grid",
        )


def parse_duration(text: str) -> int:
    """Milliseconds of a duration such as ``5m``, ``1h``, ``7d``.

    Raises
    ------
    ConfigurationError
        If the text is not a positive whole number and one of ms, s, m, h, d.

    Examples
    --------
    >>> parse_duration("7d")
    604800000
    """
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ConfigurationError(
            "a duration cannot be read",
            found=repr(text[:40]),
            remedy="write a positive whole number and ms, s, m, h or d, such as 7d",
        )
    return int(match["amount"]) * _UNITS_MS[match["unit"]]


def spell_duration(duration_ms: int) -> str:
    """Shortest spelling of a duration: the largest unit that divides it.

    Raises
    ------
    ConfigurationError
        If the duration is not positive.

    Examples
    --------
    >>> spell_duration(604_800_000), spell_duration(90_000), spell_duration(86_400_000)
    ('7d', '90s', '1d')
    """
    if duration_ms <= 0:
        raise ConfigurationError(
            "a duration must be positive",
            found=f"{duration_ms} ms",
            remedy="declare one of at least 1 ms",
        )
    unit = [name for name, size in _UNITS_MS.items() if duration_ms % size == 0][-1]
    return f"{duration_ms // _UNITS_MS[unit]}{unit}"
