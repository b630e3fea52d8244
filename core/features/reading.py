"""Reading: base and delta of one entity into its feature values at one instant.

    values(t) = base + (delta without the epochs that base covers), raw rows cut at t

Each part is a block of arrays (`core.features.blob`) in order of time, so a window is a
suffix of the tiles and a slice of the raw rows. A `ViewReader` is compiled once from the
plan; a read only runs its program.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

from core.errors import InvalidInputError
from core.features.blob import BASE, DELTA, KINDS, NO_EPOCH, BlobKind, Codec, Opened, codec_of
from core.features.identity import ByIdentity
from core.features.keys import LAST_OFFSET, position
from core.features.partials import RawRow, Slot, slots, slots_of_window
from core.features.plan import ViewPlan
from core.features.reducing import (
    FINISHERS,
    REDUCERS,
    Finish,
    Reduce,
    RowSpan,
    Step,
    TileSpan,
)
from core.features.windows import window_start_ms

AT_TOO_OLD = "at_too_old"
"""Code of the error of a point that lies before what is kept."""

Status = Literal["PRESENT", "NOT_FOUND", "fresh", "stale", "missing"]
"""Windows: PRESENT, or NOT_FOUND for an entity never seen. Attributes: fresh, stale (older
than ttl, so null) or missing. A status never changes a value."""


class ViewReading(NamedTuple):
    """What one entity is worth at one instant.

    Attributes
    ----------
    values
        In the order of ``view.feature_names``; None is null.
    status
        See `Status`.
    newest_ms
        Windows: event time of the newest row before t that was seen, in a window or not.
        Attributes: event time of the row in force, stale or not. None when there is none.
    seen_position
        The reading knows exactly the entity's rows up to here: `oracle.SeenUpTo` of it
        gives the same values. -1 for none.
    """

    values: tuple[float | None, ...]
    status: Status
    newest_ms: int | None
    seen_position: int


def read_view(
    view: ViewPlan,
    base: bytes | None,
    delta: bytes | None,
    at_ms: int,
    first_ms: int | None = None,
) -> ViewReading:
    """`ViewReader.read` of a reader that is kept for each plan object."""
    return reader_of(view).read(base, delta, at_ms, first_ms)


def reader_of(view: ViewPlan) -> ViewReader:
    """Reader of a view, compiled once for each plan object."""
    return _reader(ByIdentity(view))


@lru_cache(maxsize=256)
def _reader(key: ByIdentity[ViewPlan]) -> ViewReader:
    return ViewReader(key.object)


class ViewReader:
    """Reads one view; compiled from its plan."""

    def __init__(self, view: ViewPlan) -> None:
        self._view = view
        self._codec = codec_of(view)
        program = WindowProgram if view.windows else AttributeProgram
        self._program = program(self._codec)

    def read(
        self,
        base: bytes | None,
        delta: bytes | None,
        at_ms: int,
        first_ms: int | None = None,
    ) -> ViewReading:
        """Values at ``at_ms`` from what stands under the entity's two keys.

        Parameters
        ----------
        base, delta
            What stands under `core.features.blob.base_key` and ``delta_key``, or None.
        at_ms
            The instant asked for.
        first_ms
            Head of the view's last finished base. An entity that had no row in any window
            there got no base to say so, yet may have had one before; without this, only
            points from that head on are sure to be right for it.

        Raises
        ------
        InvalidInputError
            Code ``at_too_old``: rows before the horizon cannot be told apart by time.
        IntegrityError
            If a value is not whole or belongs to another definition.
        """
        parts = self._parts(base, delta)
        horizon_ms = _horizon_ms(parts, first_ms)
        if horizon_ms is not None and at_ms < horizon_ms:
            raise InvalidInputError(
                f"a point is too old for the online values of view {self._view.name!r}",
                found=f"one {horizon_ms - at_ms} ms before {horizon_ms}, the first instant "
                "(epoch ms) that they can answer",
                remedy="ask for that instant or a later one, or answer it from the tables",
                code=AT_TOO_OLD,
            )
        return self._program.read(parts, at_ms)

    def first_ms(
        self, base: bytes | None, delta: bytes | None, first_ms: int | None = None
    ) -> int | None:
        """The first instant that what stands there can answer, None for any; as ``read`` has it.

        Raises
        ------
        IntegrityError
            If a value is not whole or belongs to another definition.
        """
        return _horizon_ms(self._parts(base, delta), first_ms)

    def _parts(self, base: bytes | None, delta: bytes | None) -> list[Part]:
        codec = self._codec
        parts: list[Part] = []
        if base is not None:
            parts.append(Part(BASE, codec.open(BASE, base)))
        if delta is not None:
            opened = codec.open(DELTA, delta)
            if parts:
                opened = codec.beyond(opened, parts[0].opened.epoch)
            parts.append(Part(DELTA, opened))
        return parts


class Part(NamedTuple):
    """Base or delta, opened; the delta without what base covers."""

    kind: BlobKind
    opened: Opened


def _horizon_ms(parts: Sequence[Part], first_ms: int | None) -> int | None:
    horizons_ms = [part.opened.horizon_ms for part in parts]
    if first_ms is not None:
        horizons_ms.append(first_ms)
    return max(horizons_ms, default=None)


def _seen(parts: Sequence[Part]) -> int:
    """Highest position that the parts know all rows up to; -1 for none."""
    epoch = max((part.opened.epoch for part in parts), default=NO_EPOCH)
    seen = position(epoch, LAST_OFFSET) if epoch > NO_EPOCH else -1
    for part in parts:
        if part.opened.offsets:
            seen = max(seen, position(*part.opened.offsets[-2:]))
    return seen


class WindowProgram:
    """What to slice, reduce and finish for each window feature of a view."""

    def __init__(self, codec: Codec) -> None:
        view = codec.view
        lengths = {(w.grid_ms, w.window_ms): None for w in view.windows}
        self._windows = [_compiled_window(codec, *length) for length in lengths]
        order = [place for window in self._windows for place in window.places]
        self._order = [order.index(place) for place in range(len(order))]
        self._available = {kind: codec.available(kind) for kind in KINDS}

    def read(self, parts: Sequence[Part], at_ms: int) -> ViewReading:
        """Values of all features, in declared order."""
        values: list[float | None] = []
        for window in self._windows:
            tiles, rows = self._spans(window, parts, at_ms)
            values += window.values(tiles, rows) if tiles or rows else window.nothing
        ordered = tuple([values[place] for place in self._order])
        status: Status = "PRESENT" if parts else "NOT_FOUND"
        return ViewReading(ordered, status, _newest_before(parts, at_ms), _seen(parts))

    def _spans(
        self, window: _Window, parts: Sequence[Part], at_ms: int
    ) -> tuple[list[TileSpan], list[RowSpan]]:
        start_ms = window_start_ms(at_ms, window.window_ms, window.grid_ms)
        tiles, rows = [], []
        for kind, opened in parts:
            block = opened.grids[window.grid]
            if block.n:
                step = (start_ms - block.origin_ms) // window.grid_ms
                start = bisect_left(block.array(0), step)
                if start < block.n:
                    tiles.append((block, start))
            block = opened.rows
            if block.n:
                events = block.array(0)
                start = bisect_left(events, start_ms)
                end = bisect_left(events, at_ms, start)
                if start < end:
                    rows.append(RowSpan(block, start, end, self._available[kind]))
        return tiles, rows


def _newest_before(parts: Sequence[Part], at_ms: int) -> int | None:
    newest: list[int] = []
    for _, opened in parts:
        if opened.newest_ms is not None:
            newest.append(opened.newest_ms)
        if opened.rows.n:
            events = opened.rows.array(0)
            end = bisect_left(events, at_ms)
            if end:
                newest.append(events[end - 1])
    return max(newest, default=None)


class _Window(NamedTuple):
    """Program of one window.

    ``finishes`` name the reductions they read; ``places`` are those of the features among
    all of the view; ``nothing`` are their values where the window holds no row.
    """

    grid: int
    grid_ms: int
    window_ms: int
    reductions: list[Reduce]
    finishes: list[tuple[Finish, list[int]]]
    places: list[int]
    nothing: list[float | None]

    def values(self, tiles: Sequence[TileSpan], rows: Sequence[RowSpan]) -> list[float | None]:
        """Values of its features, in the order of ``places``."""
        partials = [reduce(tiles, rows) for reduce in self.reductions]
        return [
            finish(*[partials[source] for source in sources]) for finish, sources in self.finishes
        ]


def _compiled_window(codec: Codec, grid_ms: int, window_ms: int) -> _Window:
    view = codec.view
    steps = {slot: step for slot, step in _steps(codec, grid_ms)}
    reductions: dict[Slot, Reduce] = {}
    finishes, places = [], []
    for place, feature in enumerate(view.windows):
        if (feature.grid_ms, feature.window_ms) != (grid_ms, window_ms):
            continue
        needed = slots_of_window(view, feature)
        for slot in needed:
            reductions.setdefault(slot, REDUCERS[slot.kind](steps[slot]))
        known = list(reductions)
        finishes.append((FINISHERS[feature.function], [known.index(slot) for slot in needed]))
        places.append(place)
    grid = codec.grids_ms.index(grid_ms)
    program = list(reductions.values())
    window = _Window(grid, grid_ms, window_ms, program, finishes, places, [])
    return window._replace(nothing=window.values([], []))


def _steps(codec: Codec, grid_ms: int) -> Iterator[tuple[Slot, Step]]:
    place = heap = 0
    for slot in slots(codec.view, grid_ms):
        yield slot, Step(slot, place, codec.columns.index(slot.column), heap)
        place += len(slot.fields)
        heap += sum(field.code == "s" for field in slot.fields)


class AttributeProgram:
    """Which columns of the row in force are the attributes of a view."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._ttl_ms = math.inf if codec.view.ttl_ms is None else codec.view.ttl_ms
        self._cells = [codec.columns.index(a.column) for a in codec.view.attributes]

    def read(self, parts: Sequence[Part], at_ms: int) -> ViewReading:
        """Values of the row in force; all null when there is none or it is too old."""
        rows = [row for row in (self._row_of(part, at_ms) for part in parts) if row is not None]
        seen = _seen(parts)
        nothing = (None,) * len(self._cells)
        if not rows:
            return ViewReading(nothing, "missing", None, seen)
        row = max(rows, key=lambda row: row[:3])
        if at_ms - row.event_ms > self._ttl_ms:
            return ViewReading(nothing, "stale", row.event_ms, seen)
        values = tuple([None if (v := row.cells[k]) is None else float(v) for k in self._cells])
        return ViewReading(values, "fresh", row.event_ms, seen)

    def _row_of(self, part: Part, at_ms: int) -> RawRow | None:
        block = part.opened.rows
        end = bisect_right(block.array(0), at_ms)
        return self._codec.row_of(part.kind, block, end - 1) if end else None
