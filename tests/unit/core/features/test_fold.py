"""The folder's arithmetic: what a delta keeps, and that folding again changes nothing."""

from __future__ import annotations

import numpy as np
import pytest
from batches import fold_events
from worlds import worlds

from core.errors import IntegrityError
from core.features.blob import DELTA, Contents, codec_of
from core.features.fold import YOUNG_MS, FoldEvent, fold, in_force_and_later
from core.features.partials import RawRow
from core.features.plan import AttributeFeature, ViewPlan, WindowFeature
from core.features.reading import read_view

NOW = 1_780_000_000_000
MINUTE = 60_000


def sums() -> ViewPlan:
    lengths = {600_000: 30_000, 7_200_000: 600_000}
    return ViewPlan(
        name="v1",
        entity="card",
        join_keys=("card",),
        source="s",
        columns={"n": "int64"},
        windows=tuple(
            WindowFeature(name=f"n_{w}", function="sum", column="n", window_ms=w, grid_ms=g)
            for w, g in lengths.items()
        ),
    )


def limits() -> ViewPlan:
    return ViewPlan(
        name="limits_v1",
        entity="card",
        join_keys=("card",),
        source="s",
        columns={"n": "int64"},
        attributes=(AttributeFeature(name="n", column="n"),),
    )


def event(epoch: int, offset: int, event_ms: int, n: int = 1) -> FoldEvent:
    return FoldEvent(epoch, offset, f"{epoch}/{offset}", event_ms, event_ms, {"n": n})


def contents(view: ViewPlan, delta: bytes) -> Contents:
    return codec_of(view).decode(DELTA, delta)


def test_young_rows_stay_raw_and_older_ones_go_into_every_grid():
    events = [event(1, k, NOW - YOUNG_MS - 1 + k) for k in range(3)]
    kept = contents(sums(), fold(sums(), None, events, now_ms=NOW, base_epoch=-1))

    assert [row.event_ms for row in kept.rows] == [NOW - YOUNG_MS, NOW - YOUNG_MS + 1]
    assert {grid: list(tiles.values()) for grid, tiles in kept.tiles.items()} == {
        30_000: [[1]],
        600_000: [[1]],
    }
    assert (kept.horizon_ms, kept.newest_ms) == (NOW - YOUNG_MS, NOW - YOUNG_MS - 1)


def test_rows_go_into_tiles_as_time_goes_by():
    delta = fold(sums(), None, [event(1, 0, NOW)], now_ms=NOW, base_epoch=-1)

    at_the_edge = contents(sums(), fold(sums(), delta, [], now_ms=NOW + YOUNG_MS, base_epoch=-1))
    after = contents(sums(), fold(sums(), delta, [], now_ms=NOW + YOUNG_MS + 1, base_epoch=-1))

    assert (len(at_the_edge.rows), len(at_the_edge.tiles[30_000])) == (1, 0)
    assert (len(after.rows), len(after.tiles[30_000])) == (0, 1)


def test_tiles_are_dropped_when_they_are_out_of_every_window():
    delta = fold(sums(), None, [event(1, 0, NOW)], now_ms=NOW + 6 * MINUTE, base_epoch=-1)

    sizes = []
    for minutes in (6, 15, 16, 128, 129):
        later = fold(sums(), delta, [], now_ms=NOW + minutes * MINUTE, base_epoch=-1)
        sizes.append([len(tiles) for tiles in contents(sums(), later).tiles.values()])

    assert sizes == [[1, 1], [1, 1], [0, 1], [0, 1], [0, 0]]


def test_the_horizon_never_moves_back():
    delta = fold(sums(), None, [event(1, 0, NOW - 10 * MINUTE)], now_ms=NOW, base_epoch=-1)
    delta = fold(
        sums(), delta, [event(1, 1, NOW - 6 * MINUTE)], now_ms=NOW - 60 * MINUTE, base_epoch=-1
    )
    kept = contents(sums(), delta)

    assert kept.horizon_ms == NOW - YOUNG_MS
    assert kept.rows == []
    assert read_view(sums(), None, delta, NOW).values == (2.0, 2.0)


def test_events_read_again_change_no_byte():
    for world in worlds(11, 12):
        for events in fold_events(world.rows).values():
            now_ms = sorted(e.event_ms for e in events)[len(events) // 2] + YOUNG_MS
            once = fold(world.view, None, events, now_ms=now_ms, base_epoch=-1)
            for start in range(0, len(events), 5):
                again = fold(world.view, once, events[start:], now_ms=now_ms, base_epoch=-1)
                assert again == once


def test_the_size_of_batches_does_not_matter():
    rng = np.random.default_rng(5)
    for world in worlds(12, 9):
        events = max(fold_events(world.rows).values(), key=len)
        now_ms = max(e.event_ms for e in events)
        whole = fold(world.view, None, events, now_ms=now_ms, base_epoch=-1)
        delta, at = None, 0
        while at < len(events):
            size = int(rng.integers(1, 8))
            delta = fold(world.view, delta, events[at : at + size], now_ms=now_ms, base_epoch=-1)
            at += size
        t = now_ms + 1

        assert read_view(world.view, None, delta, t) == read_view(world.view, None, whole, t)


def test_covered_epochs_are_dropped_and_do_not_come_back():
    events = [event(e, 0, NOW - age) for e in (1, 2, 3) for age in (0,)]
    delta = fold(sums(), None, events, now_ms=NOW, base_epoch=-1)
    delta = fold(sums(), delta, [], now_ms=NOW, base_epoch=2)
    again = fold(sums(), delta, events, now_ms=NOW, base_epoch=-1)

    assert (contents(sums(), delta).offsets, contents(sums(), delta).epoch) == ({3: 0}, 2)
    assert again == delta


def test_tiles_of_covered_epochs_are_dropped_one_by_one():
    events = [event(e, 0, NOW - 10 * MINUTE, 10**e) for e in (1, 2, 3)]
    delta = fold(sums(), None, events, now_ms=NOW, base_epoch=-1)
    totals = []
    for epoch in (-1, 1, 2, 3):
        delta = fold(sums(), delta, [], now_ms=NOW, base_epoch=epoch)
        totals.append(read_view(sums(), None, delta, NOW).values[1])

    assert totals == [1_110.0, 1_100.0, 1_000.0, 0.0]


def test_an_epoch_whose_tiles_are_gone_is_still_known_as_folded():
    events = [event(1, 0, NOW - 10 * MINUTE), event(1, 1, NOW - 10 * MINUTE)]
    delta = fold(sums(), None, events, now_ms=NOW, base_epoch=-1)
    later = fold(sums(), delta, [], now_ms=NOW + 10**8, base_epoch=-1)
    kept = contents(sums(), fold(sums(), later, events, now_ms=NOW + 10**8, base_epoch=-1))

    assert (kept.offsets, sum(map(len, kept.tiles.values())), kept.rows) == ({1: 1}, 0, [])


def test_an_attribute_keeps_the_row_in_force_and_all_later_ones():
    times = [NOW - 20 * MINUTE, NOW - 10 * MINUTE, NOW - 4 * MINUTE, NOW + 4 * MINUTE]
    events = [event(1, k, t, k) for k, t in enumerate(times)]
    delta = fold(limits(), None, events, now_ms=NOW, base_epoch=-1)

    assert [row.event_ms for row in contents(limits(), delta).rows] == times[1:]
    assert [
        read_view(limits(), None, delta, NOW + a).values[0] for a in (-YOUNG_MS, 0, YOUNG_MS)
    ] == [
        1.0,
        2.0,
        3.0,
    ]


def test_a_late_attribute_does_not_replace_a_newer_one():
    delta = fold(limits(), None, [event(1, 0, NOW, 5)], now_ms=NOW + 10**7, base_epoch=-1)
    delta = fold(limits(), delta, [event(1, 1, NOW - 1, 6)], now_ms=NOW + 10**7, base_epoch=-1)

    assert read_view(limits(), None, delta, NOW + 10**7).values == (5.0,)
    assert contents(limits(), delta).offsets == {1: 1}


@pytest.mark.parametrize(
    ("at_ms", "expected"), [(0, [1, 2, 3]), (1, [1, 2, 3]), (2, [2, 3]), (9, [3])]
)
def test_the_row_in_force_is_the_last_not_after_the_instant(at_ms: int, expected: list[int]):
    rows = [RawRow(t, t, b"", 0, ()) for t in (3, 1, 2)]

    assert [row.event_ms for row in in_force_and_later(rows, at_ms)] == expected
    assert in_force_and_later([], at_ms) == []


def distinct() -> ViewPlan:
    window = WindowFeature(
        name="n_d", function="count_distinct", column="n", window_ms=7_200_000, grid_ms=600_000
    )
    return sums().model_copy(update={"windows": (*sums().windows, window)})


def latest() -> ViewPlan:
    window = WindowFeature(
        name="n_l", function="last", column="n", window_ms=7_200_000, grid_ms=600_000
    )
    return sums().model_copy(update={"windows": (*sums().windows, window)})


@pytest.mark.parametrize("make", [sums, distinct, latest])
@pytest.mark.parametrize("seed", range(6))
def test_rows_put_behind_are_the_bytes_of_all_rows_at_once(make, seed):
    """Event by event, mostly without taking the delta apart; at once, with nothing there before."""
    draw, view = np.random.default_rng(seed), make()
    now_ms = NOW + draw.integers(0, 3 * MINUTE, 60).cumsum()
    events = [
        event(1 + k // 25, k, int(now - draw.integers(0, 8 * MINUTE)), int(draw.integers(9)))
        for k, now in enumerate(now_ms)
    ]
    delta = None
    for k, now in enumerate(now_ms):
        base_epoch = 1 if k >= 40 else -1
        delta = fold(view, delta, [events[k]], now_ms=int(now), base_epoch=base_epoch)
        expected = fold(view, None, events[: k + 1], now_ms=int(now), base_epoch=base_epoch)
        assert contents(view, delta) == contents(view, expected)
        assert delta == expected


def test_a_delta_that_is_not_whole_is_refused_and_not_grown():
    delta = fold(sums(), None, [event(1, 0, NOW)], now_ms=NOW, base_epoch=-1)
    torn = delta[:-9] + b"\xff" + delta[-8:]
    with pytest.raises(IntegrityError):
        fold(sums(), torn, [event(1, 1, NOW)], now_ms=NOW, base_epoch=-1)
