"""Programs of the compiled merge: what a plan implies, as numbers that compiled code can follow.

The compiled merge (`stores/merge`) answers for many entities in one call. It knows neither plans
nor names, only a *program* a view: which arrays stand where in the bytes, which windows to cut,
which functions to take. A view with a feature that it does not know has no program; then the
reader in Python (`core.features.reading`), which knows all, answers for the whole view.

Layout of a program, all int64::

    head      is it of attributes, grids, columns, are ties kept, windows, ttl, digest, features
    a grid    its length in ms, bytes of a tile in base, heaps, 8 places of their lengths
    a window  its grid, its length in ms, features; then, for each feature:
    a feature function, is it of floats, of text, its column, place of the count, of the
              field, its heap, its place among the view's features

A place is the number of bytes that a member has in the arrays before, in base; in delta epochs
come second, so all places are 4 bytes further.
"""

from __future__ import annotations

from collections.abc import Iterator

from core.features.blob import Codec, codec_of
from core.features.packing import Arrays
from core.features.partials import Slot, slots, slots_of_window
from core.features.plan import ViewPlan, WindowFeature

FUNCTIONS = {"count": 0, "sum": 1, "mean": 2, "min": 3, "max": 4, "count_distinct": 5}
"""Numbers of the functions that compiled code knows; ``last`` and ``stddev`` are not among them."""

MAX_GRIDS, MAX_HEAPS = 16, 8
NO_TTL = 2**63 - 1
_NOWHERE = 0


def program_of(view: ViewPlan) -> tuple[int, ...] | None:
    """Program of a view; None where it has features that compiled code does not know.

    Examples
    --------
    >>> window = WindowFeature(name="n", function="count", column="x", window_ms=60, grid_ms=60)
    >>> plain = {"name": "v", "entity": "e", "join_keys": ("k",), "source": "s"}
    >>> program = program_of(ViewPlan(**plain, columns={"x": "int64"}, windows=(window,)))
    >>> program[0], program[1], program[-8:]
    (0, 1, (0, 0, 0, 0, 4, 4, 0, 0))
    >>> late = window.model_copy(update={"function": "last"})
    >>> program_of(ViewPlan(**plain, columns={"x": "int64"}, windows=(late,))) is None
    True
    """
    codec = codec_of(view)
    if view.windows:
        return _of_windows(codec)
    features = [
        _feature(codec, attribute.column, place) for place, attribute in enumerate(view.attributes)
    ]
    return (*_head(codec, 0), *(number for feature in features for number in feature))


def _of_windows(codec: Codec) -> tuple[int, ...] | None:
    view = codec.view
    lengths = [fields for fields in codec.fields if sum(f.code == "s" for f in fields) > MAX_HEAPS]
    is_known = all(window.function in FUNCTIONS for window in view.windows)
    if not is_known or lengths or len(codec.grids_ms) > MAX_GRIDS:
        return None
    numbers: list[int] = []
    for number, grid_ms in enumerate(codec.grids_ms):
        numbers += _grid(codec, number, grid_ms)
    cuts = dict.fromkeys((w.grid_ms, w.window_ms) for w in view.windows)
    for grid_ms, window_ms in cuts:
        numbers += _window(codec, grid_ms, window_ms)
    return (*_head(codec, len(cuts)), *numbers)


def _head(codec: Codec, n_windows: int) -> tuple[int, ...]:
    view = codec.view
    return (
        int(not view.windows),
        len(codec.grids_ms),
        len(codec.columns),
        int(codec.has_ties),
        n_windows,
        NO_TTL if view.ttl_ms is None else view.ttl_ms,
        int.from_bytes(codec.digest, "little", signed=True),
        len(view.feature_names),
    )


def _grid(codec: Codec, number: int, grid_ms: int) -> list[int]:
    arrays = _tiles(codec, number)
    lengths = [arrays.places[k][2] for k in arrays.lengths]
    width = sum(width for _, width, _ in arrays.places)
    return [
        grid_ms,
        width,
        len(lengths),
        *lengths,
        *[_NOWHERE] * (MAX_HEAPS - len(lengths)),
    ]


def _tiles(codec: Codec, number: int) -> Arrays:
    return Arrays(["I", *(field.code for field in codec.fields[number])], 1)


def _window(codec: Codec, grid_ms: int, window_ms: int) -> list[int]:
    chosen = [
        (place, window)
        for place, window in enumerate(codec.view.windows)
        if (window.grid_ms, window.window_ms) == (grid_ms, window_ms)
    ]
    numbers = [codec.grids_ms.index(grid_ms), window_ms, len(chosen)]
    for place, window in chosen:
        numbers += _feature(codec, window.column, place, window)
    return numbers


def _feature(
    codec: Codec, column: str, place: int, window: WindowFeature | None = None
) -> list[int]:
    kind = codec.view.columns[column]
    function = 0 if window is None else FUNCTIONS[window.function]
    count, field, heap = (_NOWHERE,) * 3 if window is None else _fields(codec, window)
    is_float, is_text = kind == "float64", kind == "string"
    cell = codec.columns.index(column)
    return [function, int(is_float), int(is_text), cell, count, field, heap, place]


def _fields(codec: Codec, window: WindowFeature) -> tuple[int, int, int]:
    """Places of a feature's count and of its other field, and which heap is its."""
    known = dict(_places(codec, window.grid_ms))
    needed = slots_of_window(codec.view, window)
    counts = [known[slot][0] for slot in needed if slot.kind == "count"]
    place, heap = known[needed[-1]]
    return (counts or [_NOWHERE])[0], place, heap


def _places(codec: Codec, grid_ms: int) -> Iterator[tuple[Slot, tuple[int, int]]]:
    """Where the first field of each slot stands, and which heap it would be."""
    arrays = _tiles(codec, codec.grids_ms.index(grid_ms))
    number = heap = 0
    for slot in slots(codec.view, grid_ms):
        yield slot, (arrays.places[arrays.first + number][2], heap)
        number += len(slot.fields)
        heap += sum(field.code == "s" for field in slot.fields)
