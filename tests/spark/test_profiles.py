from __future__ import annotations

import msgspec
import pyarrow as pa
import pytest
from payments import DAY_MS, NOW_MS, PAYMENTS, history, land_rows, payment, seal_events
from pydantic import ValidationError
from shared_spark import ingested

from core.clock import event_date
from core.errors import NotReadyError
from core.features.plan import feature_column
from core.stats.profile import merged_profile
from spark_jobs import profiles
from spark_jobs.delta import latest_version, read_table
from stores.frames.profiles import counted, profiles_from, reference_of
from stores.layout import Layout
from stores.tables import open_table

pytestmark = pytest.mark.spark

COLUMNS = ["amount_minor", "terminal_id"]
DATES = tuple(event_date(NOW_MS - day * DAY_MS) for day in (1, 2, 3))


@pytest.fixture(scope="module")
def layout(spark, tmp_path_factory):
    root = tmp_path_factory.mktemp("profiles")
    layout = Layout(root / "state")
    paid, _ = history(40, 30)
    ingested(spark, layout, PAYMENTS, land_rows(layout, PAYMENTS, paid, root, NOW_MS))
    return layout


def rows_of(layout, *dates) -> pa.Table:
    return open_table(layout.events("payments")).to_pyarrow_table(
        partitions=[("event_date", "in", list(dates))]
    )


@pytest.fixture(scope="module")
def bins(layout):
    reference = rows_of(layout, *(event_date(NOW_MS - day * DAY_MS) for day in range(10, 40)))
    return reference_of(reference, COLUMNS)


def profiled(spark, layout, bins, *dates, **changes):
    arguments = profiles.Arguments(
        root=str(layout.root),
        now_ms=NOW_MS,
        table="events",
        name="payments",
        bins=bins,
        dates=dates,
    )
    return profiles.run(spark, arguments.model_copy(update=changes))


def stored(layout):
    return profiles_from(open_table(layout.profiles("events", "payments")).to_pyarrow_table())


def test_each_date_is_counted_as_in_process_and_any_window_by_merging(spark, layout, bins):
    report = profiled(spark, layout, bins, *DATES)
    found = stored(layout)
    assert sorted(found) == sorted(DATES)
    assert report.rows == {date: found[date].n for date in DATES}
    assert min(report.rows.values()) > 0
    for date in DATES:
        assert found[date] == counted([rows_of(layout, date)], bins)
    window = merged_profile(found[date] for date in DATES[1:])
    assert window == counted([rows_of(layout, *DATES[1:])], bins)
    assert window.shifts_from(bins)["amount_minor"].n_current == window.n


def test_a_rerun_changes_nothing_and_late_rows_come_with_their_date(spark, layout, bins):
    profiled(spark, layout, bins, *DATES)
    before = stored(layout)
    report = profiled(spark, layout, bins, DATES[0])
    assert stored(layout) == before
    late = payment("late", NOW_MS - 2 * DAY_MS, card_id="c1", amount_minor=77)
    ingested(spark, layout, PAYMENTS, seal_events(layout, PAYMENTS, [late]))
    again = profiled(spark, layout, bins, DATES[1])
    assert again.read_version > report.read_version
    after = stored(layout)
    assert after[DATES[1]].n == before[DATES[1]].n + 1
    assert after[DATES[0]] == before[DATES[0]]
    version = latest_version(spark, layout.profiles("events", "payments"))
    assert version == again.version == report.version + 1


def test_a_date_without_rows_says_so(spark, layout, bins):
    report = profiled(spark, layout, bins, "2001-01-01")
    assert report.rows == {"2001-01-01": 0}
    assert stored(layout)["2001-01-01"] == bins.emptied()


def test_dates_that_lie_in_one_partition_are_kept_apart(spark, layout, bins):
    rows = read_table(spark, layout.events("payments")).coalesce(1).sortWithinPartitions("position")
    found = profiles.profiles_of(rows, profiles.PartitionCounter(bins), DATES, "event_date")
    assert found == {date: counted([rows_of(layout, date)], bins) for date in DATES}


def test_missing_dates_and_missing_tables_are_refused(spark, layout, bins, tmp_path):
    with pytest.raises(ValidationError, match="at least 1 item"):
        profiles.Arguments(
            root="r", now_ms=NOW_MS, table="events", name="payments", bins=bins, dates=()
        )
    with pytest.raises(NotReadyError, match="run what writes it first"):
        profiled(spark, layout, bins, *DATES, root=str(tmp_path))


def test_records_are_counted_by_their_vectors_without_degraded_and_synthetic_ones(spark):
    vector = ("card_activity_v1:count_1d", "request:amount_minor")
    records = [
        {"event_id": "e1", "vector": [1.0, 5.0], "score": 0.2},
        {"event_id": "e2", "vector": [None, 7.0], "score": 0.9},
        {"event_id": "e3", "vector": [3.0, 7.0], "score": 0.9, "degraded": "stale"},
        {"event_id": "synthetic:1", "vector": [3.0, 7.0], "score": 0.9},
    ]
    rows = [
        (DATES[0], r["score"], "APPROVE", r.get("degraded"), msgspec.json.encode(r).decode())
        for r in records
    ]
    columns = "event_date string, score double, decision string, degraded string, record string"
    reference = pa.table(
        {
            "score": [0.2, 0.9],
            "decision": ["APPROVE", "BLOCK"],
            feature_column(vector[0]): [1.0, 3.0],
            feature_column(vector[1]): [5.0, 7.0],
        }
    )
    counter = profiles.PartitionCounter(reference_of(reference).emptied(), vector=vector)
    found = profiles.profiles_of(
        spark.createDataFrame(rows, columns), counter, DATES[:1], "event_date"
    )[DATES[0]]
    assert found.n == 2
    assert found.columns[feature_column(vector[0])].n_null == 1
    assert found.columns[feature_column(vector[1])].counts == (0, 1, 1)
