"""What is read of many points at once is what is read of each by itself."""

import asyncio

import numpy as np
import pytest
from batches import bases, fold_event
from bundles import REQUEST
from engines import Bench
from payments import NOW_MS
from point_readings import ViewValues, reading_of, readings_of, seen_of

from core.features.blob import base_key, delta_key
from core.features.fold import FoldEvent, fold
from core.features.keys import entity_key, position
from core.features.oracle import Row
from core.packed_records import NONE, STATUSES
from serving.engine.calls import Call, points_of
from serving.ports import DirectReader
from stores.layout import Layout


def _points(release, pairs, now_ms):
    raws = [
        {**REQUEST, "entities": {"card_id": card, "terminal_id": terminal}}
        for card, terminal in pairs
    ]
    return points_of(Call("toy", raws, [""] * len(raws), now_ms), release)


@pytest.mark.parametrize(
    "pairs",
    [
        [("c1", "t1")],
        [("c1", "t1"), ("c2", "t2"), ("nobody", "t1")],
        [("c1", f"t{n % 3}") for n in range(9)],
    ],
    ids=["one", "several", "candidates of one card"],
)
def test_the_table_of_a_read_holds_the_values_of_its_readings(tmp_path, pairs):
    bench = Bench(Layout(tmp_path).create())
    release = bench.releases.served("toy").champion
    reader = DirectReader(bench.store)
    for card, n_payments in (("c1", 3), ("c2", 1)):
        events = [
            FoldEvent(1, n, f"e{n}", NOW_MS - 60_000 + n, NOW_MS - 60_000 + n, {"amount_minor": n})
            for n in range(n_payments)
        ]
        view = release.plan.view("card_activity_v1")
        delta = fold(view, None, events, now_ms=NOW_MS, base_epoch=-1)
        bench.store.write({delta_key(view.name, entity_key([card])): delta})
    points = _points(release, pairs, bench.clock.now_ms())

    readings = asyncio.run(release.features.read(points, reader))
    table = readings.table

    for place, (point, reading) in enumerate(zip(points, readings_of(readings), strict=True)):
        alone = asyncio.run(release.features.read([point], reader))
        assert repr(reading_of(alone, 0)) == repr(reading)  # as text: a null is not equal to itself
        for view in release.plan.views:
            of_table = [table[f"{view.name}:{name}"][place] for name in view.feature_names]
            np.testing.assert_array_equal(of_table, reading[view.name].values)
    assert np.nanmax(table.array[2:]) >= 3  # there was something to read


def _reading_of_three(bench, release):
    for card in ("c1", "c2"):
        view = release.plan.view("card_activity_v1")
        event = FoldEvent(1, 0, "e", NOW_MS - 60_000, NOW_MS - 60_000, {"amount_minor": 7})
        delta = fold(view, None, [event], now_ms=NOW_MS, base_epoch=-1)
        bench.store.write({delta_key(view.name, entity_key([card])): delta})
    points = _points(release, [("c1", "t1"), ("c2", "t1"), ("c1", "t1")], bench.clock.now_ms())
    return asyncio.run(release.features.read(points, DirectReader(bench.store)))


def test_columns_say_of_each_point_what_its_reading_says(tmp_path):
    bench = Bench(Layout(tmp_path).create())
    release = bench.releases.served("toy").champion
    readings = _reading_of_three(bench, release)
    for place, reading in enumerate(readings_of(readings)):
        for n, view in enumerate(release.plan.views):
            read = reading[view.name]
            assert read.status == STATUSES[readings.statuses[n, place]]
            for said, column in (
                (read.age_ms, readings.ages_ms),
                (read.seen, seen_of(readings)),
                (read.source_age_ms, readings.source_ages_ms),
            ):
                assert column[n, place] == (NONE if said is None else said)


def test_what_is_taken_away_is_null_and_its_status_another_and_nothing_else_changes(tmp_path):
    bench = Bench(Layout(tmp_path).create())
    release = bench.releases.served("toy").champion
    readings = _reading_of_three(bench, release)
    before = repr(readings_of(readings))
    found = readings.without([(), (), {"card_activity_v1"}], "expired")
    assert repr(readings_of(readings)) == before
    whole, other, lacking = readings_of(found)
    assert (repr(whole), repr(other)) == (
        repr(reading_of(readings, 0)),
        repr(reading_of(readings, 1)),
    )
    third = reading_of(readings, 2)
    nulls = [np.nan] * len(whole["card_activity_v1"].values)
    without = third["card_activity_v1"]._replace(values=nulls, status="expired")
    assert repr(lacking) == repr({**third, "card_activity_v1": without})
    assert repr(readings_of(found.some([2, 0]))) == repr([lacking, whole])


def test_where_nothing_could_be_read_all_is_null_and_unavailable(tmp_path):
    bench = Bench(Layout(tmp_path).create())
    release = bench.releases.served("toy").champion
    points = _points(release, [("c1", "t1"), ("c2", "t1")], bench.clock.now_ms())
    found = release.features.nothing(points)
    assert len(found) == 2
    for reading in readings_of(found):
        for view in release.plan.views:
            nulls = [np.nan] * len(view.feature_names)
            expected = ViewValues(nulls, "unavailable", None, None, None)
            assert repr(reading[view.name]) == repr(expected)


class Torn:
    """A store that is asked key by key; before the ``at``-th, batch covers and the folder drops."""

    def __init__(self, store, covered, at):
        self.store, self.covered, self.at = store, covered, at

    async def read(self, keys):
        values = []
        for n, key in enumerate(keys):
            if n == self.at:
                self.store.write(self.covered)
            values += self.store.read([key])
        return values

    def close(self):
        """Nothing is open."""


def test_a_read_in_several_commands_misses_nothing_that_batch_covers_between_two(tmp_path):
    bench = Bench(Layout(tmp_path).create())
    release = bench.releases.served("toy").champion
    view, entity, now_ms = release.plan.view("card_activity_v1"), entity_key(["c1"]), NOW_MS
    rows = [
        Row(f"e{n}", entity, now_ms - 60_000 + n, now_ms, position(1, n), {"amount_minor": n})
        for n in range(3)
    ]
    young = fold(view, None, list(map(fold_event, rows)), now_ms=now_ms, base_epoch=-1)
    dropped = fold(view, young, [], now_ms=now_ms, base_epoch=1)
    ((_, base),) = bases(view, rows, epoch=1, head_ms=now_ms - 300_000).items()
    covered = {base_key(view.name, entity): base, delta_key(view.name, entity): dropped}
    (point,) = _points(release, [("c1", "t1")], now_ms)
    counts = []
    for at in range(12):
        bench.store.delete(list(covered))
        bench.store.write({delta_key(view.name, entity): young})
        readings = asyncio.run(release.features.read([point], Torn(bench.store, covered, at)))
        counts.append(reading_of(readings, 0)[view.name].values[0])
    assert counts == [3.0] * 12


@pytest.mark.parametrize("n_points", [1, 3, 8, 9, 40])
def test_answers_say_status_and_age_of_each_point_s_views(tmp_path, n_points):
    bench = Bench(Layout(tmp_path).create())
    release = bench.releases.served("toy").champion
    event = FoldEvent(1, 0, "e", NOW_MS - 60_000, NOW_MS - 60_000, {"amount_minor": 7})
    view = release.plan.view("card_activity_v1")
    delta = fold(view, None, [event], now_ms=NOW_MS, base_epoch=-1)
    bench.store.write({delta_key(view.name, entity_key(["c1"])): delta})
    cards = ["c1" if n % 3 else "nobody" for n in range(n_points)]
    raws = [
        {**REQUEST, "entities": {"card_id": card, "terminal_id": f"t{n % 2}"}}
        for n, card in enumerate(cards)
    ]
    answer = asyncio.run(bench.engine.predict_many("toy", {"points": raws}))
    alone = [asyncio.run(bench.engine.predict("toy", raw)) for raw in raws]

    found = [each["features"] for each in answer["predictions"]]
    assert found == [each["features"] for each in alone]
    statuses = [each["card_activity_v1"]["status"] for each in found]
    assert statuses == ["PRESENT" if card == "c1" else "NOT_FOUND" for card in cards]
