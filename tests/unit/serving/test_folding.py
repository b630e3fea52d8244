"""The folder against the oracle: whatever is appended, repeated, late, covered or interrupted."""

import contextlib
import json

import numpy as np
import pytest
from bundles import CARD_STATE_V1, CARD_STATES
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_store import MemoryOnlineStore
from payments import DAY_MS, NOW_MS, PAYMENTS, PLAN, payment

from core.clock import MINUTE_MS, FixedClock
from core.errors import DependencyError
from core.features.blob import base_key, delta_key
from core.features.fold import fold
from core.features.keys import entity_key, epoch_of, position
from core.features.oracle import Row, SeenUpTo, view_values
from core.features.reading import read_view
from serving.folding import SourceFolder
from stores.claims import CLAIM_MS
from stores.log import SourceLog
from stores.watermarks import (
    covered_key,
    decode_position,
    decode_watermark,
    encode_covered,
    folded_key,
    watermark_key,
)

VIEW = PLAN.view("card_activity_v1")


class World:
    """A log, a store and a folder, and what the oracle would say of them."""

    def __init__(self, directory, *, source=PAYMENTS, views=(VIEW,), batch_events=7):
        self.source = source
        self.views = views
        self.batch_events = batch_events
        self.clock = FixedClock(NOW_MS)
        self.log = SourceLog(directory, source.name)
        self.store = MemoryOnlineStore()
        self.folder = self.restarted()

    def restarted(self, views=None):
        self.folder = SourceFolder(
            self.source,
            views or self.views,
            self.log,
            self.store,
            self.clock,
            batch_events=self.batch_events,
        )
        self.folder.start()
        return self.folder

    def append(self, *rows):
        lines = [json.dumps(row).encode() for row in rows]
        return self.log.append(lines, now_ms=self.clock.now_ms())

    def fold_all(self):
        while self.folder.step():
            pass

    def reading(self, card, at_ms=None, view=VIEW):
        entity = entity_key([card])
        base, delta = self.store.read([base_key(view.name, entity), delta_key(view.name, entity)])
        return read_view(view, base, delta, at_ms or self.clock.now_ms())

    def count(self, card="c1", at_ms=None):
        return self.reading(card, at_ms).values[0]

    def watermark(self):
        (mark,) = self.store.read([watermark_key(self.source.name)])
        assert mark is not None
        return decode_watermark(mark)


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def test_an_appended_event_is_in_the_next_read(world):
    (place,) = world.append(payment("e1", NOW_MS - 1_000))
    assert world.folder.step() == 1
    assert world.reading("c1").values == (1.0, 100.0)
    assert world.reading("c1").seen_position == place
    assert world.folder.step() == 0


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
    assert world.folder.lag_ms == 0
    world.append(payment("e2", NOW_MS - 1_000))
    assert [world.folder.step() for _ in range(2)] == [1, 0]
    assert (world.log.n_read, world.count()) == (2, 2.0)


def test_every_entity_and_view_gets_its_own(tmp_path):
    world = World(tmp_path)
    world.append(
        payment("e1", NOW_MS - 3_000, card_id="1", amount_minor=10),
        payment("e2", NOW_MS - 2_000, card_id="11", amount_minor=20),
        payment("e3", NOW_MS - 1_000, card_id="1", amount_minor=30),
    )
    world.fold_all()
    assert world.reading("1").values == (2.0, 20.0)
    assert world.reading("11").values == (1.0, 20.0)
    assert world.reading("2").status == "NOT_FOUND"


def test_the_same_id_counts_once_wherever_it_comes_again(world):
    event = payment("e1", NOW_MS - 1_000)
    world.append(event, event)
    world.fold_all()
    world.append(event, payment("e1", NOW_MS - 1_000, amount_minor=9))
    world.log.seal(NOW_MS)
    world.append(event)
    world.fold_all()
    assert world.reading("c1").values == (1.0, 100.0)


def test_rows_that_break_the_contract_are_passed_over(world):
    world.log.append([b"no json", b"[]", b'{"event_id": "x"}'], now_ms=NOW_MS)
    world.append(payment("e1", NOW_MS - 1_000), payment("e2", NOW_MS + 6 * MINUTE_MS))
    world.fold_all()
    assert world.count() == 1.0
    assert world.count(at_ms=NOW_MS + DAY_MS // 2) == 1.0


def test_an_event_dated_a_little_ahead_waits_for_its_instant(world):
    world.append(payment("e1", NOW_MS + 2 * MINUTE_MS))
    world.fold_all()
    assert world.count() == 0.0
    assert world.count(at_ms=NOW_MS + 2 * MINUTE_MS + 1) == 1.0


def test_a_landed_file_is_folded_through_its_mapping(world, tmp_path):
    path = tmp_path / "file.ndjson"
    path.write_text(json.dumps(payment("f1", NOW_MS - 2_000)) + "\n")
    world.append(payment("e1", NOW_MS - 1_000))
    world.log.land(path, now_ms=NOW_MS)
    world.append(payment("e2", NOW_MS - 500))
    world.fold_all()
    assert world.count() == 3.0


def test_a_restart_goes_on_where_it_was(world):
    world.append(*(payment(f"e{n}", NOW_MS - 1_000 + n) for n in range(20)))
    world.folder.step()
    world.folder.step()
    world.restarted()
    world.fold_all()
    assert world.count() == 20.0


class CrashingStore(MemoryOnlineStore):
    """Fails at the n-th write, before or after it was made: what a kill leaves."""

    def __init__(self):
        super().__init__()
        self.crash_in = -1
        self.is_after = False

    def write(self, items):
        self.crash_in -= 1
        if self.crash_in == 0 and not self.is_after:
            raise DependencyError("killed before")
        super().write(items)
        if self.crash_in == 0 and self.is_after:
            raise DependencyError("killed after")


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    crashes=st.lists(st.tuples(st.integers(1, 6), st.booleans()), max_size=4),
    batch=st.integers(1, 9),
)
def test_values_equal_the_oracle_s_whatever_is_interrupted(tmp_path_factory, seed, crashes, batch):
    rng = np.random.default_rng(seed)
    world = World(tmp_path_factory.mktemp("fold"), batch_events=batch)
    world.store = CrashingStore()
    world.restarted()
    rows, known = [], set()
    for _ in range(int(rng.integers(1, 5))):
        events = [
            payment(
                f"e{rng.integers(30)}",
                int(world.clock.now_ms() - rng.choice([10, 60_000, DAY_MS, 3 * DAY_MS])),
                card_id=f"c{rng.integers(3)}",
                amount_minor=int(rng.integers(1, 1_000)),
            )
            for _ in range(int(rng.integers(1, 12)))
        ]
        for event, place in zip(events, world.append(*events), strict=True):
            if event["event_id"] not in known:
                known.add(event["event_id"])
                rows.append(row_of(event, place, world.clock.now_ms()))
        if rng.random() < 0.4:
            world.log.seal(world.clock.now_ms())
        if crashes:
            world.store.crash_in, world.store.is_after = crashes.pop()
            with contextlib.suppress(DependencyError):  # it may end before the crash comes
                world.fold_all()
            world.store.crash_in = -1
            if rng.random() < 0.5:
                world.restarted()
        world.fold_all()
        world.clock.advance(int(rng.integers(1, 10)) * MINUTE_MS)
    check_against_oracle(world, rows)


def row_of(event, place, now_ms):
    return Row(
        event_id=event["event_id"],
        entity=entity_key([event["card_id"]]),
        event_ms=event["event_timestamp"],
        available_ms=now_ms,
        position=place,
        values={"amount_minor": event["amount_minor"]},
    )


def check_against_oracle(world, rows):
    at_ms = world.clock.now_ms()
    for card in ("c0", "c1", "c2"):
        found = world.reading(card, at_ms)
        seen = SeenUpTo(max(found.seen_position, 0))
        expected = view_values(VIEW, rows, entity_key([card]), at_ms, seen)
        assert dict(zip(VIEW.feature_names, found.values, strict=True)) == expected
        full = view_values(VIEW, rows, entity_key([card]), at_ms, SeenUpTo(2**62))
        assert expected == full


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


def cover(world, epoch):
    """The mark that a finished base leaves; its values are the batch engine's to test."""
    mark = encode_covered(position(epoch, 2**32 - 1), NOW_MS)
    world.store.write({covered_key(VIEW.name): mark})


def test_a_view_starts_behind_what_its_base_covers(tmp_path):
    world = World(tmp_path)
    world.append(payment("e1", NOW_MS - 2_000))
    epoch = world.log.seal(NOW_MS)
    assert epoch is not None
    world.append(payment("e2", NOW_MS - 1_000))
    cover(world, epoch)
    world.restarted()
    world.fold_all()
    assert world.count() == 1.0
    assert world.reading("c1").seen_position == position(epoch + 1, 0)


def test_a_later_base_makes_the_folder_drop_what_it_covers(world):
    world.append(payment("e1", NOW_MS - 2_000))
    world.fold_all()
    epoch = world.log.seal(NOW_MS)
    cover(world, epoch)
    world.clock.advance(1_000)
    world.folder.beat(every_ms=1)
    world.append(payment("e2", NOW_MS - 1_000))
    world.fold_all()
    assert world.count() == 1.0  # e1 is batch's now, and this test wrote no base


def test_an_id_that_batch_covered_does_not_count_again(tmp_path):
    world = World(tmp_path)
    event = payment("e1", NOW_MS - 2_000)
    world.append(event)
    cover(world, world.log.seal(NOW_MS))
    world.restarted()
    world.append(event)
    world.fold_all()
    assert world.count() == 0.0


def test_history_is_not_claimed(tmp_path):
    world = World(tmp_path / "log")
    path = tmp_path / "old.ndjson"
    path.write_text(json.dumps(payment("e1", NOW_MS - 90 * DAY_MS)) + "\n")
    epoch = world.log.land(path, now_ms=NOW_MS, is_historic=True).epoch.epoch
    cover(world, epoch)
    world.restarted()
    assert world.store._claims == {}


def test_claims_end_after_seven_days(world):
    world.append(payment("e1", NOW_MS - 1_000))
    world.fold_all()
    world.clock.advance(CLAIM_MS + 1)
    world.append(payment("e1", world.clock.now_ms() - 1_000))
    world.fold_all()
    assert world.count() == 1.0


def test_a_new_view_is_folded_from_its_own_beginning(tmp_path):
    later = VIEW.model_copy(update={"name": "card_activity_v2"})
    world = World(tmp_path)
    world.append(payment("e1", NOW_MS - 2_000))
    world.fold_all()
    world.restarted(views=(VIEW, later))
    world.append(payment("e2", NOW_MS - 1_000))
    world.fold_all()
    assert world.reading("c1").values == world.reading("c1", view=later).values == (2.0, 100.0)


def test_an_attribute_follows_its_latest_row(tmp_path):
    world = World(tmp_path, source=CARD_STATES, views=(CARD_STATE_V1,))
    states = [
        {
            "event_id": f"s{n}",
            "event_timestamp": NOW_MS - 1_000 * n,
            "card_id": "c1",
            "limit_minor": limit,
        }
        for n, limit in enumerate([300, 200, None])
    ]
    world.append(*states)
    world.fold_all()
    assert world.reading("c1", NOW_MS, CARD_STATE_V1).values == (300.0,)
    assert world.reading("c1", NOW_MS - 500, CARD_STATE_V1).values == (200.0,)
    assert world.reading("c1", NOW_MS - 1_500, CARD_STATE_V1).values == (None,)


def test_the_watermark_says_how_far_things_are(world):
    world.folder.step()
    world.folder.beat(every_ms=1)
    assert world.watermark().available_ms == NOW_MS
    (place,) = world.append(payment("e1", NOW_MS - 1_000))
    world.clock.advance(5_000)
    assert world.folder.lag_ms == 5_000
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
