"""What is read of many points at once is what is read of each by itself."""

import asyncio

import numpy as np
import pytest
from batches import bases, fold_event
from bundles import REQUEST
from engines import Bench
from payments import NOW_MS

from core.features.blob import base_key, delta_key
from core.features.fold import FoldEvent, fold
from core.features.keys import entity_key, position
from core.features.oracle import Row
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
    at_once = release.features.inputs(points, readings)
    one_by_one = release.features.inputs(points, list(readings))

    assert list(at_once) == list(one_by_one)
    np.testing.assert_array_equal(at_once.array, one_by_one.array)
    for point, reading in zip(points, readings, strict=True):
        alone = asyncio.run(release.features.read([point], reader))
        assert repr(alone[0]) == repr(reading)  # as text: a null is not equal to itself
    assert np.nanmax(at_once.array[2:]) >= 3  # there was something to read


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
        (reading,) = asyncio.run(release.features.read([point], Torn(bench.store, covered, at)))
        counts.append(reading[view.name].values[0])
    assert counts == [3.0] * 12
