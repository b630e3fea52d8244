"""Reading: base and delta against the oracle, in memory and through the real stores."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from batches import base_of, bases
from memory_store import MemoryOnlineStore
from mutants import mutant
from online_replay import Replay
from servers import redis_server
from worlds import Mismatch, World, worlds

from core.errors import InvalidInputError
from core.features import blob, fold, oracle, reading, reducing
from core.features.fold import FoldEvent
from core.features.keys import position
from core.features.partials import NEEDS, RawRow
from core.features.plan import AttributeFeature, ViewPlan, WindowFeature
from core.features.reading import read_view, reader_of
from core.ports import OnlineStore
from stores.online import open_online_store

MINUTE = 60_000
SEED, N_WORLDS, N_POINTS = 7, 84, 25


def sums(view_name: str = "v1", **more: str) -> ViewPlan:
    return ViewPlan(
        name=view_name,
        entity="card",
        join_keys=("card",),
        source="s",
        columns={"x": "int64"},
        windows=tuple(
            WindowFeature(
                name=f"x_{f}_10m", function=f, column="x", window_ms=600_000, grid_ms=MINUTE
            )
            for f in ("count", "sum", "min")
        ),
        **more,
    )


def limits(ttl_ms: int | None = None) -> ViewPlan:
    return ViewPlan(
        name="limits_v1",
        entity="card",
        join_keys=("card",),
        source="s",
        columns={"x": "int64", "country": "string"},
        attributes=(
            AttributeFeature(name="x", column="x"),
            AttributeFeature(name="country", column="country", categories=("PT", "ES")),
        ),
        ttl_ms=ttl_ms,
    )


def event(epoch: int, offset: int, event_ms: int, x: int | None, **values: str) -> FoldEvent:
    name = f"{epoch}/{offset}"
    return FoldEvent(epoch, offset, name, event_ms, event_ms, {"x": x, **values})


@pytest.fixture(params=["memory", "sqlite", pytest.param("redis", marks=pytest.mark.redis)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OnlineStore]:
    if request.param == "memory":
        yield MemoryOnlineStore()
    elif request.param == "sqlite":
        opened = open_online_store(f"sqlite:///{tmp_path}/online.sqlite")
        yield opened
        opened.close()
    else:
        with tempfile.TemporaryDirectory(prefix="tl") as folder, redis_server(Path(folder)) as one:
            opened = open_online_store(one.socket_url)
            yield opened
            opened.close()


@cache
def drawn_worlds() -> tuple[World, ...]:
    return tuple(worlds(SEED, N_WORLDS, n_points=N_POINTS))


@cache
def bases_of(number: int, epoch: int, head_ms: int) -> dict[bytes, bytes]:
    """What batch writes of a world, whichever store is asked and whichever mutant reads it."""
    world = drawn_worlds()[number]
    return bases(world.view, world.rows, epoch=epoch, head_ms=head_ms)


def replays(new_store: Callable[[], OnlineStore], **ours: Any) -> Iterator[Replay]:
    for number, world in enumerate(drawn_worlds()):
        rng = np.random.default_rng([SEED, number])
        yield Replay(world, new_store(), rng, bases=partial(bases_of, number), **ours)


@pytest.mark.slow
def test_bases_and_deltas_through_a_store_equal_the_oracle(store: OnlineStore):
    n_points, mismatches, seen = 0, list[Mismatch](), set()
    for replay in replays(lambda: store):
        comparison = replay.run()
        n_points += comparison.n_points
        mismatches += comparison.mismatches
        seen |= {(replay.world.view.name, position) for position in replay.seen}

    assert (n_points, mismatches) == (N_WORLDS * N_POINTS, [])
    assert n_points >= 2_000
    assert len(seen) > 500  # points saw many different prefixes of their logs


MUTANTS = {
    "head_not_cut": (reading, "bisect_left(events, at_ms, start)", "block.n"),
    "a_row_at_t_counts": (
        reading,
        "bisect_left(events, at_ms, start)",
        "bisect_right(events, at_ms, start)",
    ),
    "raw_rows_before_the_window_count": (
        reading,
        "bisect_left(events, start_ms)",
        "0",
    ),
    "first_tile_left_out": (
        reading,
        "bisect_left(block.array(0), step)",
        "bisect_right(block.array(0), step)",
    ),
    "covered_epochs_count_twice": (
        reading,
        "opened = codec.beyond(opened, parts[0].opened.epoch)",
        "pass",
    ),
    "a_future_attribute_is_in_force": (
        reading,
        "end = bisect_right(block.array(0), at_ms)",
        "end = block.n",
    ),
    "an_attribute_at_t_is_not_in_force": (
        reading,
        "end = bisect_right(block.array(0), at_ms)",
        "end = bisect_left(block.array(0), at_ms)",
    ),
    "ttl_ends_one_earlier": (
        reading,
        "row.event_ms > self._ttl_ms",
        "row.event_ms >= self._ttl_ms",
    ),
    "base_wins_over_a_newer_delta": (
        reading,
        "row = max(rows, key=lambda row: row[:3])",
        "row = rows[0]",
    ),
    "ties_broken_the_other_way": (
        reading,
        "row = max(rows, key=lambda row: row[:3])",
        "row = max(rows, key=lambda row: (row.event_ms, -row.available_ms))",
    ),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_wrong_reader_is_caught(name: str):
    module, old, new = MUTANTS[name]
    wrong = mutant(module, old, new)

    # Each mutant has a cache of its own, keyed by the plan: readers are not mixed up.
    assert any(map(_fails, replays(MemoryOnlineStore, read=wrong.read_view)))


FOLD_MUTANTS = {
    "events_read_again_count_again": ("event.offset <= seen", "event.offset < 0"),
    "an_offset_too_many_is_skipped": ("event.offset <= seen", "event.offset <= seen + 1"),
    "covered_epochs_stay": ("rows if row.epoch > epoch", "rows if row.epoch >= epoch"),
    "the_first_tile_is_dropped": ("if key[0] >= start_ms", "if key[0] > start_ms"),
    "the_row_in_force_is_dropped": ("ordered[max(later - 1, 0) :]", "ordered[later:]"),
    "an_older_last_wins": ("if row.recency > held:", "if row.recency < held:"),
}


@pytest.mark.parametrize("name", FOLD_MUTANTS)
def test_a_wrong_fold_is_caught(name: str):
    old, new = FOLD_MUTANTS[name]
    wrong = mutant(fold, old, new)

    assert any(map(_fails, replays(MemoryOnlineStore, fold=wrong.fold)))


def _fails(replay: Replay) -> bool:
    return bool(replay.run().mismatches)


def test_every_function_and_slot_has_a_reducer_and_an_end():
    assert set(NEEDS) == set(reducing.FINISHERS)
    assert {kind for kinds in NEEDS.values() for kind in kinds} == set(reducing.REDUCERS)


def test_an_entity_never_seen_has_windows_of_no_rows():
    found = read_view(sums(), None, None, 5)

    assert found == ((0.0, 0.0, None), "NOT_FOUND", None, -1)


def test_an_entity_without_rows_in_its_windows_is_present():
    delta = fold.fold(sums(), None, [event(1, 0, 0, 7)], now_ms=0, base_epoch=-1)

    assert read_view(sums(), None, delta, 50 * MINUTE)[:3] == ((0.0, 0.0, None), "PRESENT", 0)


@pytest.mark.parametrize(("at_ms", "expected"), [(1, 0.0), (100, 0.0), (101, 7.0)])
def test_a_row_is_not_in_its_own_features(at_ms: int, expected: float):
    delta = fold.fold(sums(), None, [event(1, 0, 100, 7)], now_ms=0, base_epoch=-1)

    assert read_view(sums(), None, delta, at_ms).values[1] == expected


def test_a_row_of_the_future_waits():
    now_ms = 20 * MINUTE
    future = event(1, 0, now_ms + 4 * MINUTE, 7)
    delta = fold.fold(sums(), None, [future], now_ms=now_ms, base_epoch=-1)

    assert read_view(sums(), None, delta, now_ms).values == (0.0, 0.0, None)
    assert read_view(sums(), None, delta, now_ms + 4 * MINUTE + 1).values == (1.0, 7.0, 7.0)


def test_a_point_before_the_head_of_base_is_too_old():
    base = base_of(sums(), [], epoch=3, head_ms=1_000)

    assert read_view(sums(), base, None, 1_000).status == "PRESENT"
    with pytest.raises(InvalidInputError, match=r"too old.*1 ms before 1000, the first") as caught:
        read_view(sums(), base, None, 999)
    assert caught.value.code == "at_too_old"


def test_a_point_before_the_tiles_of_delta_is_too_old():
    now_ms = 60 * MINUTE
    delta = fold.fold(sums(), None, [event(1, 0, 0, 7)], now_ms=now_ms, base_epoch=-1)

    assert read_view(sums(), None, delta, now_ms - 5 * MINUTE).status == "PRESENT"
    with pytest.raises(InvalidInputError) as caught:
        read_view(sums(), None, delta, now_ms - 5 * MINUTE - 1)
    assert caught.value.code == "at_too_old"


def test_an_entity_that_batch_left_out_is_too_old_before_the_head_of_the_view():
    """Found by interleavings: its row was in a window before the head, and in no base."""
    covered = fold.fold(sums(), None, [event(1, 0, 0, 7)], now_ms=12 * MINUTE, base_epoch=1)
    head_ms = 11 * MINUTE

    for delta in (None, covered):
        assert read_view(sums(), None, delta, head_ms, head_ms).values[0] == 0.0
        with pytest.raises(InvalidInputError) as caught:
            read_view(sums(), None, delta, head_ms - 1, head_ms)
        assert caught.value.code == "at_too_old"


def test_epochs_that_base_covers_are_left_out_of_delta():
    events = [event(1, 0, 0, 1), event(2, 0, 0, 10), event(3, 0, MINUTE, 100)]
    delta = fold.fold(sums(), None, events, now_ms=8 * MINUTE, base_epoch=-1)
    rows = {e: [RawRow(0, 0, b"", 0, (x,)) for x in xs] for e, xs in {1: [1], 2: [1, 10]}.items()}

    at_ms = 9 * MINUTE
    totals = {-1: read_view(sums(), None, delta, at_ms)}
    for epoch, raw in rows.items():
        base = base_of(sums(), raw, epoch=epoch, head_ms=0)
        totals[epoch] = read_view(sums(), base, delta, at_ms)

    assert {epoch: found.values[1] for epoch, found in totals.items()} == {-1: 111, 1: 111, 2: 111}
    assert {found.seen_position for found in totals.values()} == {position(3, 0)}


def test_a_base_ahead_of_the_log_hides_all_of_delta():
    delta = fold.fold(sums(), None, [event(2, 4, 0, 10)], now_ms=8 * MINUTE, base_epoch=-1)
    base = base_of(sums(), [], epoch=5, head_ms=0)

    found = read_view(sums(), base, delta, 9 * MINUTE)

    assert (found.values[1], found.seen_position) == (0.0, position(5, 2**32 - 1))


@pytest.mark.parametrize(
    ("at_ms", "expected"),
    [
        (99, (None, "missing")),
        (100, (7.0, "fresh")),
        (1_100, (7.0, "fresh")),
        (1_101, (None, "stale")),
    ],
)
def test_ttl_of_an_attribute_ends_after_its_last_millisecond(
    at_ms: int, expected: tuple[float | None, str]
):
    delta = fold.fold(
        limits(1_000), None, [event(1, 0, 100, 7, country="ES")], now_ms=0, base_epoch=-1
    )

    found = read_view(limits(1_000), None, delta, at_ms)

    assert (found.values[0], found.status) == expected


def test_an_attribute_is_the_latest_row_of_base_and_delta():
    base = base_of(
        limits(), [RawRow(100, 100, b"b", 0, (0, 1)), RawRow(900, 1, b"f", 0, (1, 9))],
        epoch=1, head_ms=500,
    )  # fmt: skip
    late = [event(2, 0, 50, 5, country="ES"), event(2, 1, 700, 6, country="XX")]
    delta = fold.fold(limits(), None, late, now_ms=800, base_epoch=-1)

    found = {t: read_view(limits(), base, delta, t) for t in (500, 700, 899, 900)}

    assert [found[t].values for t in found] == [(1.0, 0.0), (6.0, None), (6.0, None), (9.0, 1.0)]
    assert [found[t].newest_ms for t in found] == [100, 700, 700, 900]


def test_a_tie_goes_to_the_later_availability_then_to_the_greater_id():
    view = limits()
    rows = [
        oracle.Row("é", b"c", 5, 5, 0, {"x": 1}),
        oracle.Row("z", b"c", 5, 5, 1, {"x": 2}),
        oracle.Row("a", b"c", 5, 4, 2, {"x": 3}),
    ]
    events = [FoldEvent(1, r.position, r.event_id, 5, r.available_ms, r.values) for r in rows]
    delta = fold.fold(view, None, events, now_ms=10, base_epoch=-1)

    assert read_view(view, None, delta, 5).values[0] == 1
    expected = oracle.view_values(view, rows, b"c", 5, oracle.SeenUpTo(2))
    assert expected["x"] == 1


def test_a_reader_is_compiled_once_for_a_plan():
    view = sums()

    assert reader_of(view) is reader_of(view)
    assert reader_of(view) is not reader_of(sums())


def test_a_plan_read_from_json_reads_what_the_first_one_wrote():
    view = ViewPlan(
        name="v1",
        entity="card",
        join_keys=("card",),
        source="s",
        columns={"z": "int64", "a": "int64"},
        windows=tuple(
            WindowFeature(name=f"{c}_sum_10m", function="sum", column=c, window_ms=600_000,
                          grid_ms=MINUTE)
            for c in ("z", "a")
        ),
    )  # fmt: skip
    same = ViewPlan.model_validate({**view.model_dump(), "columns": {"a": "int64", "z": "int64"}})
    first = FoldEvent(1, 0, "e", 0, 0, {"z": 1, "a": 2})
    delta = fold.fold(view, None, [first], now_ms=0, base_epoch=-1)

    assert list(same.columns) != list(view.columns)
    assert read_view(same, None, delta, 1).values == (1.0, 2.0)


def test_the_online_side_does_not_load_numba():
    code = (
        "import sys, core.features.reading, core.features.fold, core.features.base_values,"
        " core.features.tiles; sys.exit('numba' in sys.modules)"
    )
    root = Path(blob.__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0
