"""The folder's arithmetic: events of one entity into its delta value.

A delta holds rows younger than five minutes as they are, and what is older as tiles, told
apart by the epoch of the log that each row came in. So a read can leave out the epochs
that its base already covers, and batch and events never count twice.

A fold can be repeated: the header keeps the highest folded offset of each epoch, and
events at or below it are skipped. A folder that crashed reads its log again from any
earlier place and ends with the same bytes. Events must come in the order of the log.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from core.clock import MINUTE_MS
from core.features import sums
from core.features.blob import DELTA, NO_EPOCH, Codec, Contents, TileState, codec_of
from core.features.growth import Glance, glance_at, with_rows
from core.features.partials import Cell, Kind, RawRow, Slot, cells_of, register_and_rank, slots
from core.features.plan import ViewPlan
from core.features.values import RawValue
from core.features.windows import tile_start_ms, window_start_ms

YOUNG_MS = 5 * MINUTE_MS
"""Rows younger than this stay raw, so that points up to five minutes back can be answered."""


class FoldEvent(NamedTuple):
    """One event of the log, as the folder takes it: where it stands, and its values."""

    epoch: int
    offset: int
    event_id: str
    event_ms: int
    available_ms: int
    values: Mapping[str, RawValue]


def fold(
    view: ViewPlan,
    delta: bytes | None,
    events: Sequence[FoldEvent],
    *,
    now_ms: int,
    base_epoch: int,
) -> bytes:
    """Delta of an entity after ``events``, all of that entity and in the order of the log.

    Parameters
    ----------
    view
        The view the delta belongs to.
    delta
        What stands under the entity's delta key; None when nothing does.
    events
        Events since; those already folded are skipped.
    now_ms
        The folder's present. Rows older than five minutes go into tiles; the horizon never
        moves back.
    base_epoch
        The last epoch that a *finished* base covers; -1 for none. Its rows are dropped from
        the delta for good.

    Raises
    ------
    IntegrityError
        If ``delta`` is not whole or belongs to another definition.
    InvalidInputError
        If a number of an event does not fit its field.
    """
    codec = codec_of(view)
    glance = glance_at(codec, delta) if delta is not None and view.windows else None
    if delta is not None and glance is not None:
        _move(glance.head, now_ms, base_epoch)
        if _is_as_it_stands(codec, glance):
            rows = _new_rows(view, codec, glance.head, events)
            if all(row.event_ms >= glance.head.horizon_ms for row in rows):
                return with_rows(codec, delta, glance, rows)
    contents = (
        Contents(NO_EPOCH, now_ms - YOUNG_MS) if delta is None else codec.decode(DELTA, delta)
    )
    _move(contents, now_ms, base_epoch)
    _drop_covered(contents)
    contents.rows += _new_rows(view, codec, contents, events)
    if view.attributes:
        contents.rows = in_force_and_later(contents.rows, contents.horizon_ms)
    else:
        _tile_old_rows(codec, contents)
        _drop_out_of_windows(view, contents)
    return codec.encode(DELTA, contents)


def _move(contents: Contents, now_ms: int, base_epoch: int) -> None:
    """Epoch and horizon as they are from now on; neither moves back."""
    contents.epoch = max(contents.epoch, base_epoch)
    contents.horizon_ms = max(contents.horizon_ms, now_ms - YOUNG_MS)


def _is_as_it_stands(codec: Codec, glance: Glance) -> bool:
    """Whether nothing of a delta is to be dropped or tiled."""
    head, rows = glance.head, glance.rows
    if any(epoch <= head.epoch for epoch in head.offsets):
        return False
    if rows.n and rows.member(0, 0) < head.horizon_ms:
        return False
    return all(
        not n or first_ms >= window_start_ms(head.horizon_ms, grid.longest_ms, grid.grid_ms)
        for grid, (n, first_ms) in zip(_program_of(codec), glance.counts, strict=True)
    )


def _drop_covered(contents: Contents) -> None:
    epoch = contents.epoch
    contents.offsets = {e: offset for e, offset in contents.offsets.items() if e > epoch}
    contents.rows = [row for row in contents.rows if row.epoch > epoch]
    for grid_ms, tiles in contents.tiles.items():
        contents.tiles[grid_ms] = {key: state for key, state in tiles.items() if key[1] > epoch}


def _new_rows(
    view: ViewPlan, codec: Codec, contents: Contents, events: Iterable[FoldEvent]
) -> list[RawRow]:
    """Rows of events that are not in the delta yet; their offsets are noted."""
    rows = []
    for event in events:
        seen = contents.offsets.get(event.epoch, -1)
        if event.epoch <= contents.epoch or event.offset <= seen:
            continue
        contents.offsets[event.epoch] = event.offset
        ties = (event.available_ms, event.event_id.encode()) if codec.has_ties else (0, b"")
        rows.append(RawRow(event.event_ms, *ties, event.epoch, cells_of(view, event.values)))
    return rows


def in_force_and_later(rows: Sequence[RawRow], at_ms: int) -> list[RawRow]:
    """Rows of an attribute that a point at or after ``at_ms`` can still read.

    Examples
    --------
    >>> rows = [RawRow(t, t, b"", 0, (t,)) for t in (1, 3, 5)]
    >>> [row.event_ms for row in in_force_and_later(rows, 4)]
    [3, 5]
    """
    ordered = sorted(rows, key=lambda row: row[:3])
    later = bisect_right(ordered, at_ms, key=lambda row: row.event_ms)
    return ordered[max(later - 1, 0) :]


def _tile_old_rows(codec: Codec, contents: Contents) -> None:
    young, program = [], _program_of(codec)
    for row in contents.rows:
        if row.event_ms >= contents.horizon_ms:
            young.append(row)
        else:
            _add_to_tiles(program, contents, row)
    contents.rows = young


def _add_to_tiles(program: Sequence[_Grid], contents: Contents, row: RawRow) -> None:
    """Count ``row`` into the tile of each grid that holds it."""
    newest_ms = contents.newest_ms
    contents.newest_ms = row.event_ms if newest_ms is None else max(newest_ms, row.event_ms)
    for grid in program:
        tiles = contents.tiles.setdefault(grid.grid_ms, {})
        key = (tile_start_ms(row.event_ms, grid.grid_ms), row.epoch)
        state = tiles.get(key)
        if state is None:
            state = tiles[key] = list(grid.empty)
        for step in grid.steps:
            cell = row.cells[step.cell]
            if cell is not None:
                step.add(step.slot, state, step.place, cell, row)


def _drop_out_of_windows(view: ViewPlan, contents: Contents) -> None:
    """Tiles before the longest window of their grid, at the horizon, are never read again."""
    for grid_ms, tiles in contents.tiles.items():
        start_ms = oldest_start_ms(view, grid_ms, contents.horizon_ms)
        contents.tiles[grid_ms] = {key: s for key, s in tiles.items() if key[0] >= start_ms}


def oldest_start_ms(view: ViewPlan, grid_ms: int, at_ms: int) -> int:
    """Start of the longest window of a grid at ``at_ms``; no later point reads before it."""
    return window_start_ms(at_ms, longest_window_ms(view, grid_ms), grid_ms)


def longest_window_ms(view: ViewPlan, grid_ms: int) -> int:
    """Length of the longest window of a grid."""
    return max(w.window_ms for w in view.windows if w.grid_ms == grid_ms)


# One function a kind of slot: add a value that is there to the fields at `place`.

_Add = Callable[[Slot, TileState, int, int | float, RawRow], None]


def _add_count(_slot: Slot, state: TileState, place: int, _value: Cell, _row: RawRow) -> None:
    state[place] += 1


def _add_sum(slot: Slot, state: TileState, place: int, value: float, _row: RawRow) -> None:
    if slot.is_float:
        state[place : place + 2] = sums.add(state[place], state[place + 1], value)
    else:
        state[place] += value


def _add_min(_slot: Slot, state: TileState, place: int, value: float, _row: RawRow) -> None:
    state[place] = min(state[place], value)


def _add_max(_slot: Slot, state: TileState, place: int, value: float, _row: RawRow) -> None:
    state[place] = max(state[place], value)


def _add_last(_slot: Slot, state: TileState, place: int, value: float, row: RawRow) -> None:
    held = (state[place], state[place + 1], state[place + 3])
    if row.recency > held:
        state[place : place + 4] = [row.event_ms, row.available_ms, value, row.event_id]


def _add_distinct(slot: Slot, state: TileState, place: int, value: float, _row: RawRow) -> None:
    ranks = dict(zip(state[place][::2], state[place][1::2], strict=True))
    register, rank = register_and_rank(slot, value)
    if rank > ranks.get(register, 0):
        ranks[register] = rank
        state[place] = bytes(byte for pair in sorted(ranks.items()) for byte in pair)


def _add_moments(slot: Slot, state: TileState, place: int, value: float, _row: RawRow) -> None:
    distance = float(value) - slot.centre
    state[place : place + 2] = sums.add(state[place], state[place + 1], distance)
    squares = sums.merge(state[place + 2], state[place + 3], *sums.square(distance))
    state[place + 2 : place + 4] = squares


ADDERS: dict[Kind, _Add] = {
    "count": _add_count,
    "sum": _add_sum,
    "min": _add_min,
    "max": _add_max,
    "last": _add_last,
    "distinct": _add_distinct,
    "moments": _add_moments,
}


class _Step(NamedTuple):
    """One slot of a grid: which cell it reads, where its fields stand, what adds to them."""

    slot: Slot
    cell: int
    place: int
    add: _Add


class _Grid(NamedTuple):
    grid_ms: int
    longest_ms: int
    empty: TileState
    steps: tuple[_Step, ...]


@lru_cache(maxsize=256)  # codecs are few, kept, and equal by identity
def _program_of(codec: Codec) -> tuple[_Grid, ...]:
    grids = []
    for grid_ms, fields in zip(codec.grids_ms, codec.fields, strict=True):
        steps, place = [], 0
        for slot in slots(codec.view, grid_ms):
            cell = codec.columns.index(slot.column)
            steps.append(_Step(slot, cell, place, ADDERS[slot.kind]))
            place += len(slot.fields)
        longest_ms = longest_window_ms(codec.view, grid_ms)
        grids.append(_Grid(grid_ms, longest_ms, [field.empty for field in fields], tuple(steps)))
    return tuple(grids)
