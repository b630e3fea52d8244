"""How far the folder is, and that no restart, failure or second writer loses a row."""

import json

import pytest
from bundles import serve, shelve
from folding_world import VIEW, CrashingStore, World
from payments import NOW_MS, PAYMENTS, payment

from core.clock import HOUR_MS, FixedClock
from core.errors import DependencyError
from core.features.blob import delta_key
from core.features.fold import fold
from core.features.keys import entity_key, epoch_of
from serving.folder import run
from serving.settings import Settings
from stores.layout import Layout
from stores.log.source_log import SourceLog
from stores.online.watermarks import (
    decode_position,
    folded_key,
)


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


class CountedLog(SourceLog):
    """A log that counts how often it was read; each reading syncs the open epoch."""

    n_read = 0

    def read_open(self, after=0):
        self.n_read += 1
        return super().read_open(after)


def test_a_log_in_which_nothing_came_is_not_read_again(tmp_path):
    """Found by measuring: 200 times a second its last line was synced and parsed anew."""
    world = World(tmp_path)
    world.log = CountedLog(tmp_path, PAYMENTS.name)
    world.restarted()
    world.append(payment("e1", NOW_MS - 1_000))
    assert [world.folder.step() for _ in range(4)] == [1, 0, 0, 0]
    assert world.log.n_read == 1
    world.clock.advance(5_000)
    assert world.folder.step() == 0
    world.folder.beat(every_ms=1)
    assert world.watermark().available_ms == NOW_MS + 5_000
    world.append(payment("e2", NOW_MS - 1_000))
    assert [world.folder.step() for _ in range(2)] == [1, 0]
    assert (world.log.n_read, world.count()) == (2, 2.0)


def test_a_restart_goes_on_where_it_was(world):
    world.append(*(payment(f"e{n}", NOW_MS - 1_000 + n) for n in range(20)))
    world.folder.step()
    world.folder.step()
    world.restarted()
    world.fold_all()
    assert world.count() == 20.0


def test_a_failing_store_loses_nothing(world):
    store = CrashingStore()
    world.store = store
    world.restarted()
    world.append(*(payment(f"e{n}", NOW_MS - 1_000 + n) for n in range(30)))
    store.crash_in = 2
    with pytest.raises(DependencyError):
        world.fold_all()
    world.fold_all()
    assert world.count() == 30.0


def test_a_batch_that_the_store_refused_behind_the_end_of_the_log_is_read_again(world):
    world.store = store = CrashingStore()
    world.restarted()
    world.append(payment("e1", NOW_MS - 1_000))
    world.fold_all()
    world.append(payment("e2", NOW_MS - 1_000))
    store.crash_in = 1
    with pytest.raises(DependencyError):
        world.folder.step()
    assert [world.folder.step() for _ in range(2)] == [1, 0]
    assert world.count() == 2.0


def test_the_watermark_says_how_far_things_are(world):
    world.folder.step()
    world.folder.beat(every_ms=1)
    assert world.watermark().available_ms == NOW_MS
    (place,) = world.append(payment("e1", NOW_MS - 1_000))
    world.clock.advance(5_000)
    world.fold_all()
    world.folder.beat(every_ms=1)
    mark = world.watermark()
    assert (mark.available_ms, mark.position) == (NOW_MS + 5_000, place)
    assert decode_position(world.store.read([folded_key(VIEW.name)])[0]) == place


def test_a_watermark_never_runs_ahead_of_a_backlog(world):
    world.append(*(payment(f"e{n}", NOW_MS - 1_000) for n in range(7)))
    world.clock.advance(60_000)
    world.append(*(payment(f"f{n}", NOW_MS - 1_000) for n in range(7)))
    world.folder.step()
    assert world.watermark().available_ms == NOW_MS


def test_a_heartbeat_is_not_written_more_often_than_asked(world):
    world.folder.beat(every_ms=250)
    first = world.watermark().written_at_ms
    world.clock.advance(249)
    world.folder.beat(every_ms=250)
    assert world.watermark().written_at_ms == first
    world.clock.advance(1)
    world.folder.beat(every_ms=250)
    assert world.watermark().written_at_ms == first + 250


def test_a_clock_that_is_put_back_stops_no_heartbeat(world):
    world.folder.beat(every_ms=250)
    before = world.watermark().written_at_ms
    world.clock.advance(-3_600_000)
    world.folder.beat(every_ms=250)
    assert world.watermark().written_at_ms == before - 3_600_000


def test_behind_a_clock_that_is_put_back_nothing_is_known_of_the_future(world):
    world.append(payment("e1", NOW_MS - 1_000))
    world.fold_all()
    world.folder.beat(every_ms=0)
    assert world.watermark().available_ms == NOW_MS
    world.clock.advance(-HOUR_MS)
    world.folder.step()
    world.folder.beat(every_ms=0)
    assert world.watermark().available_ms == NOW_MS - HOUR_MS
    world.append(payment("e2", NOW_MS - 2 * HOUR_MS))
    world.clock.advance(5)
    world.fold_all()
    assert world.watermark().available_ms == NOW_MS - HOUR_MS + 5


@pytest.mark.parametrize("is_beating", [False, True])
@pytest.mark.parametrize("kept", ["nothing", "what_was_there_before"])
def test_what_a_store_lost_is_folded_again(world, kept, is_beating):
    """As a Redis that was started again without what was written last."""
    world.append(*(payment(f"e{n}", NOW_MS - 1_000) for n in range(10)))
    world.fold_all()
    before = dict(world.store.values) if kept == "what_was_there_before" else {}
    world.append(*(payment(f"f{n}", NOW_MS - 1_000) for n in range(10)))
    world.fold_all()
    world.store.close()  # forgets its values
    world.store.write(before)
    if is_beating:
        world.folder.beat(every_ms=0)
    else:
        world.append(payment("g", NOW_MS - 1_000), payment("f1", NOW_MS - 1_000))
    world.fold_all()
    assert world.count() == (20.0 if is_beating else 21.0)
    assert world.folder.troubles == [
        "the online store lost what was written last; it is folded again"
    ]
    world.folder.beat(every_ms=0)
    assert len(world.folder.troubles) == 1


def test_one_entity_s_trouble_does_not_stop_the_others(world):
    world.append(payment("e1", NOW_MS - 1_000), payment("e2", NOW_MS - 1_000, card_id="c2"))
    world.store.write({delta_key(VIEW.name, entity_key(["c1"])): b"damaged"})
    world.fold_all()
    assert world.count("c2") == 1.0
    assert len(world.folder.faults) == 1
    assert "card_activity_v1" in world.folder.faults[0]


def test_two_writers_append_and_one_folds(tmp_path):
    world = World(tmp_path, batch_events=3)
    other = SourceLog(tmp_path, PAYMENTS.name)
    for n in range(20):
        writer = (world.log, other)[n % 2]
        writer.append([json.dumps(payment(f"e{n}", NOW_MS - 1_000)).encode()], now_ms=NOW_MS)
        if n % 7 == 0:
            other.seal(NOW_MS)
        if n % 3 == 0:
            world.folder.step()
    world.fold_all()
    assert world.count() == 20.0
    assert epoch_of(world.watermark().position) >= 3


def test_a_fold_repeated_from_any_earlier_place_ends_with_the_same_bytes(world):
    world.append(*(payment(f"e{n}", NOW_MS - 1_000 + n) for n in range(10)))
    world.fold_all()
    before = dict(world.store.values)
    world.store.values.pop(folded_key(VIEW.name))
    world.restarted()
    world.fold_all()
    assert world.store.values == before
    delta = world.store.read([delta_key(VIEW.name, entity_key(["c1"]))])[0]
    assert fold(VIEW, delta, [], now_ms=NOW_MS, base_epoch=-1) == delta


def test_a_store_that_stays_away_is_told_of_now_and_then(tmp_path):
    clock, told, turns = FixedClock(NOW_MS), list[str](), iter(range(30))
    settings = Settings(home=tmp_path, online_url="redis://127.0.0.1:1")
    layout = Layout(tmp_path).create()
    serve(layout, shelve(layout), counter=1)

    def stop(seconds):
        clock.advance(int(seconds * 1_000))
        return next(turns, None) is None

    run(settings, clock, stop, told.append)
    failed = [each for each in told if each.startswith("the online store (Redis) failed")]
    assert len(failed) == 2  # of 30 in fifteen seconds
    assert failed[1].endswith("(19 more since it was last said)")
