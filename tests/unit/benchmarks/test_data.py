from __future__ import annotations

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.data import (
    ACTIVITY,
    START_MS,
    event_rows,
    point_rows,
    profile_rows,
    with_peer_features,
    written,
)
from core.clock import DAY_MS
from core.features.keys import epoch_of
from stores.frames.frames import view_table


def milliseconds(column):
    return column.cast("int64").to_numpy() // 1_000


def test_rows_are_seeded_and_in_order_of_arrival():
    rows = event_rows(5_000)
    assert rows.equals(event_rows(5_000))
    assert not rows.equals(event_rows(5_000, seed=1))
    available = milliseconds(rows["available_at"])
    late = available - milliseconds(rows["event_timestamp"])
    assert (np.diff(available) >= 0).all()
    assert 0.001 < (late > 0).mean() < 0.02
    assert pc.count_distinct(rows["event_id"]).as_py() == 5_000


def test_an_epoch_keeps_to_its_days_and_shares_no_id_with_another():
    rows = event_rows(1_000, epoch=3, first_day=60, days=1)
    days = (milliseconds(rows["event_timestamp"]) - START_MS) // DAY_MS
    assert set(days.tolist()) == {60}
    assert {epoch_of(p) for p in rows["position"].to_pylist()} == {3}
    assert not set(rows["event_id"].to_pylist()) & set(event_rows(1_000)["event_id"].to_pylist())


def test_a_few_cards_have_many_rows():
    counts = np.sort(pc.value_counts(event_rows(50_000)["card_id"]).field("counts"))
    assert counts[-1] > 50 * np.median(counts)


def test_files_are_made_once_and_peers_get_the_values_after_each_event(tmp_path):
    folder = written(tmp_path, 2_000, 100)
    before = (folder / "rows.parquet").stat().st_mtime_ns
    assert written(tmp_path, 2_000, 100) == folder
    assert (folder / "rows.parquet").stat().st_mtime_ns == before
    assert pq.read_table(folder / "points.parquet").equals(point_rows(100))
    assert pq.read_table(folder / "profiles.parquet").num_rows == profile_rows().num_rows
    with_peer_features(folder)
    features = pq.read_table(folder / "features.parquet")
    assert features.column_names[2:] == [window.name for window in ACTIVITY.windows]
    counts = features["amount_minor_count_1h"].to_numpy()
    assert 0.98 < (counts >= 1).mean() < 1.0, "all but the late rows see themselves"


def test_the_view_answers_points_of_the_data():
    values = view_table(ACTIVITY, event_rows(20_000), point_rows(500))
    assert values.num_rows == 500
    assert pc.sum(values.column(0)).as_py() >= 0
    assert len(values.column_names) == 12
