"""What is read of many points at once is what is read of each by itself."""

import asyncio

import numpy as np
import pytest
from bundles import REQUEST
from engines import Bench
from payments import NOW_MS

from core.features.blob import delta_key
from core.features.fold import FoldEvent, fold
from core.features.keys import entity_key
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
