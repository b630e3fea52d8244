"""Window values from tiles, for every entity at once: batch scoring's way to read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from core.errors import InvalidInputError
from core.features import segments, sums
from core.features.arrays import FloatArray, IntArray
from core.features.partials import NEVER_MS, Kind, Slot, slots_of_window
from core.features.plan import ViewPlan, WindowFeature
from core.features.tile_building import Array, TileArrays
from core.features.windows import window_start_ms


def tile_values(
    view: ViewPlan, tiles: TileArrays, at_ms: int, n_entities: int | None = None
) -> dict[str, FloatArray]:
    """Values of all window features at ``at_ms``, one member an entity code, NaN for null.

    Parameters
    ----------
    view
        A view of windows.
    tiles
        Tiles as `core.features.tiles.build_tiles` makes them, in any order, one a grid,
        entity and start. Those outside every window are ignored.
    at_ms
        An instant on every grid of the view; a midnight always is.
    n_entities
        Number of entity codes; the greatest code and one by default. An entity without a
        tile gets the values of no rows.

    Raises
    ------
    InvalidInputError
        If ``at_ms`` lies inside an interval of a grid: tiles cannot be cut.
    """
    for grid_ms in view.grids_ms:
        if at_ms % grid_ms:
            raise InvalidInputError(
                f"tiles of view {view.name!r} cannot be cut at this instant",
                found=f"{at_ms % grid_ms} ms into an interval of {grid_ms} ms",
                remedy="ask as of a midnight UTC",
            )
    n = int(tiles["entity"].max(initial=-1)) + 1 if n_entities is None else n_entities
    picked: dict[tuple[int, int], _Picked] = {}
    values = {}
    for window in view.windows:
        length = (window.grid_ms, window.window_ms)
        if length not in picked:
            picked[length] = _Picked(tiles, window, at_ms, n)
        partials = [
            MERGERS[slot.kind](slot, picked[length]) for slot in slots_of_window(view, window)
        ]
        values[window.name] = FINISHERS[window.function](*partials)
    return values


class _Picked:
    """Tiles inside one window, ordered by entity and start; runs are entities."""

    def __init__(self, tiles: TileArrays, window: WindowFeature, at_ms: int, n: int) -> None:
        start_ms = window_start_ms(at_ms, window.window_ms, window.grid_ms)
        of_grid = tiles["grid_ms"] == window.grid_ms
        starts_ms = tiles["tile_start_ms"]
        inside = np.flatnonzero(of_grid & (starts_ms >= start_ms) & (starts_ms < at_ms))
        entity = tiles["entity"][inside]
        order = np.lexsort((starts_ms[inside], entity))
        self._tiles, self._index, self.n = tiles, inside[order], n
        self.entity = entity[order]
        self.starts: IntArray = segments.run_starts(self.entity)

    def field(self, name: str) -> Array:
        """A field of the tiles, in order."""
        return self._tiles[name][self._index]

    def spread(self, of_runs: Array, empty: float) -> Array:
        """Members of the runs placed at their entities' codes, ``empty`` elsewhere."""
        out = np.full(self.n, empty, of_runs.dtype)
        out[self.entity[self.starts]] = of_runs
        return out

    def reduced(self, ufunc: np.ufunc, name: str) -> Array:
        """A field reduced by an exact function, one member an entity; 0 without a tile."""
        values = self.field(name)
        return self.spread(ufunc.reduceat(values, self.starts) if len(values) else values, 0)

    def pairs(self, hi: str, lo: str) -> tuple[FloatArray, FloatArray]:
        """A field of double-doubles summed, one member an entity."""
        high, low = segments.pair_sums(self.field(hi), self.field(lo), self.starts)
        return self.spread(high, 0.0), self.spread(low, 0.0)


def _names(slot: Slot) -> list[str]:
    return [field.name for field in slot.fields]


def _count(slot: Slot, picked: _Picked) -> Array:
    return picked.reduced(np.add, _names(slot)[0])


def _sum(slot: Slot, picked: _Picked) -> Array:
    names = _names(slot)
    return picked.pairs(*names)[0] if slot.is_float else picked.reduced(np.add, names[0])


def _min(slot: Slot, picked: _Picked) -> Array:
    return picked.reduced(np.minimum, _names(slot)[0])


def _max(slot: Slot, picked: _Picked) -> Array:
    return picked.reduced(np.maximum, _names(slot)[0])


def _last(slot: Slot, picked: _Picked) -> FloatArray:
    event, _, value, _ = _names(slot)
    last = segments.last_where(picked.field(event) != NEVER_MS, picked.starts)
    values = picked.field(value).astype(np.float64)
    found = np.full(len(last), np.nan)
    found[last >= 0] = values[last[last >= 0]]
    return picked.spread(found, np.nan)


def _distinct(slot: Slot, picked: _Picked) -> FloatArray:
    sketches = picked.field(*_names(slot))
    data = np.frombuffer(b"".join(sketches), np.uint8)
    lengths = np.array([len(sketch) // 2 for sketch in sketches], np.int64)
    entity = np.repeat(picked.entity, lengths)
    entity, _, ranks = segments.register_ranks(entity, data[::2], data[1::2])
    return segments.estimates(entity, ranks, picked.n)


def _moments(slot: Slot, picked: _Picked) -> tuple[tuple[FloatArray, FloatArray], ...]:
    names = _names(slot)
    return picked.pairs(*names[:2]), picked.pairs(*names[2:])


MERGERS: dict[Kind, Callable[[Slot, _Picked], Any]] = {
    "count": _count,
    "sum": _sum,
    "min": _min,
    "max": _max,
    "last": _last,
    "distinct": _distinct,
    "moments": _moments,
}


def _plain(values: Array) -> FloatArray:
    return values.astype(np.float64)


def _mean(count: IntArray, total: Array) -> FloatArray:
    out = np.full(len(count), np.nan)
    np.divide(total.astype(np.float64), count, out=out, where=count > 0)
    return out


def _where_any(count: IntArray, values: Array) -> FloatArray:
    return np.where(count > 0, values.astype(np.float64), np.nan)


def _deviation(count: IntArray, moments: tuple[tuple[FloatArray, FloatArray], ...]) -> FloatArray:
    return sums.deviations(count.astype(np.float64), *moments)


FINISHERS: dict[str, Callable[..., FloatArray]] = {
    "count": _plain,
    "sum": _plain,
    "mean": _mean,
    "min": _where_any,
    "max": _where_any,
    "last": _plain,
    "count_distinct": _plain,
    "stddev": _deviation,
}
