"""The folder against the oracle: whatever is appended, repeated, late, covered or interrupted."""

import contextlib
import json

import numpy as np
import pytest
from bundles import CARD_STATE_V1, CARD_STATES
from example_counts import examples
from folding_world import VIEW, CrashingStore, World
from hypothesis import given, settings
from hypothesis import strategies as st
from payments import DAY_MS, NOW_MS, payment

from core.clock import MINUTE_MS
from core.erasing.erasure import Tombstone
from core.errors import DependencyError
from core.features.keys import entity_key, position
from core.features.oracle import Row, SeenUpTo, view_values
from stores.erasing.tombstones import Tombstones
from stores.layout import Layout
from stores.masking import ensure_mask
from stores.online.claims import CLAIM_MS
from stores.online.watermarks import (
    covered_key,
    encode_covered,
)


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def test_an_appended_event_is_in_the_next_read(world):
    (place,) = world.append(payment("e1", NOW_MS - 1_000))
    assert world.folder.step() == 1
    assert world.reading("c1").values == (1.0, 100.0)
    assert world.reading("c1").seen_position == place
    assert world.folder.step() == 0


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


def test_an_event_of_somebody_who_was_forgotten_is_passed_over(tmp_path):
    layout = Layout(tmp_path / "home").create()
    stones = Tombstones(layout)
    world = World(tmp_path / "log", tombstones=stones)
    world.append(payment("p1", NOW_MS - 1, card_id="c1"))
    world.fold_all()
    token = ensure_mask(layout.keys).of("c1")
    stones.put(Tombstone(key="card_id", token=token, at_ms=NOW_MS))
    world.append(payment("p2", NOW_MS - 1, card_id="c1"), payment("p3", NOW_MS - 1, card_id="c2"))
    world.fold_all()
    assert (world.count("c1"), world.count("c2")) == (1.0, 1.0)


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


@settings(max_examples=examples(40), deadline=None)
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


def test_an_id_of_an_epoch_that_was_folded_in_part_and_then_covered_does_not_count_again(world):
    world.append(payment("e1", NOW_MS - 3_000))
    world.fold_all()
    event = payment("e2", NOW_MS - 2_000)
    world.append(event)  # and the folder dies
    cover(world, world.log.seal(NOW_MS))
    for _ in range(2):  # the second time its cursor stands behind all of the epoch
        world.restarted()
        world.folder.beat(every_ms=0)
    world.append(event, payment("e3", NOW_MS - 1_000))
    world.fold_all()
    assert world.count() == 1.0  # e3 alone: e1 and e2 are batch's, and this test wrote no base


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
