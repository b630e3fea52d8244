"""A sweep over real tables: whole partitions go, the rest stays, history goes when it may."""

from __future__ import annotations

import json
import os
import shutil
import time
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from payments import NOW_MS
from pydantic import ValidationError

from core.retention import NEWEST_REMOVED
from spark_jobs import retention
from spark_jobs.delta import metadata_of
from spark_jobs.retention import MANY_FILES, TableSweep, small_partitions

pytestmark = pytest.mark.spark

FIRST = date(2026, 1, 1)
DUE = ("2026-01-01", "2026-01-03")
NINE_DAYS_MS = 9 * 86_400_000


def rows(day, n=3):
    return pa.table(
        {
            "event_id": [f"{day}-{i}" for i in range(n)],
            "event_date": pa.array([FIRST + timedelta(day)] * n, pa.date32()),
        }
    )


def ten_dates(folder):
    """A table of ten event dates of three rows each."""
    path = str(folder / "lake" / "table")
    for day in range(10):
        write_deltalake(path, rows(day), partition_by=["event_date"], mode="append")
    return path


@pytest.fixture
def uri(tmp_path):
    return ten_dates(tmp_path)


def sweep(spark, uri, *due, **changes):
    told = {"target": "events/s", "uri": uri, "column": "event_date", "due": due}
    table = TableSweep(**({"history_hours": 168} | told | changes))
    report = retention.run(
        spark, retention.Arguments(root="unused", now_ms=NOW_MS, tables=(table,))
    )
    return report.tables


def dates_of(uri):
    return sorted(
        {str(row) for row in DeltaTable(uri).to_pyarrow_table()["event_date"].to_pylist()}
    )


def files_of(uri):
    return [path for path in Path(uri).rglob("*.parquet") if "_delta_log" not in path.parts]


@pytest.fixture(scope="module")
def swept(spark, tmp_path_factory):
    """A table of which the first and the third of ten dates were due, and what its sweep did."""
    path = ten_dates(tmp_path_factory.mktemp("swept"))
    (done,) = sweep(spark, path, *DUE)
    return path, done


def test_due_dates_go_in_one_commit_and_the_others_keep_every_row(spark, swept):
    uri, done = swept
    assert dates_of(uri) == ["2026-01-02", *(f"2026-01-{day:02}" for day in range(4, 11))]
    assert DeltaTable(uri).to_pyarrow_table().num_rows == 24
    assert (done.partitions, done.version) == (2, 10)
    assert metadata_of(spark, uri, 10) == {"partitions": 2, NEWEST_REMOVED: "2026-01-03"}


def test_a_second_sweep_of_the_same_plan_changes_nothing(spark, swept):
    uri, _ = swept
    before = (dates_of(uri), len(files_of(uri)))
    sweep(spark, uri, *DUE)
    assert (dates_of(uri), len(files_of(uri))) == before


def test_files_of_young_history_stay_and_those_of_old_history_are_purged(spark, swept, tmp_path):
    uri, done = swept
    assert done.files_purged == 0
    assert len(files_of(uri)) == 10
    aged = aged_copy(Path(uri), tmp_path / "aged")
    (done,) = sweep(spark, str(aged))
    assert done.files_purged == 2
    assert done.bytes_purged > 0
    for day in DUE:
        assert not list((aged / f"event_date={day}").glob("*.parquet"))
    assert len(dates_of(str(aged))) == 8


def aged_copy(table, target):
    """The table as it would be had all of it happened nine days earlier."""
    shutil.copytree(table, target, ignore=shutil.ignore_patterns("*checkpoint*", "*.crc"))
    for path in target.glob("_delta_log/*.json"):
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        for line in lines:
            if "remove" in line:
                line["remove"]["deletionTimestamp"] -= NINE_DAYS_MS
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    then = time.time() - NINE_DAYS_MS / 1_000
    for path in target.rglob("*"):
        os.utime(path, (then, then))
    return target


def test_a_purge_below_the_safe_age_cannot_be_asked_for(spark, uri):
    with pytest.raises(ValidationError, match="history_hours"):
        sweep(spark, uri, history_hours=167)


def test_many_small_files_of_a_date_become_one_with_the_same_rows(spark, uri):
    for _ in range(MANY_FILES):
        write_deltalake(uri, rows(0, 1), mode="append")
    table = TableSweep(target="t", uri=uri, column="event_date", history_hours=168)
    assert small_partitions(spark, table) == ["2026-01-01"]
    before = sorted(DeltaTable(uri).to_pyarrow_table()["event_id"].to_pylist())
    (done,) = sweep(spark, uri)
    assert done.partitions_compacted == 1
    assert small_partitions(spark, table) == []
    assert sorted(DeltaTable(uri).to_pyarrow_table()["event_id"].to_pylist()) == before
    files = DeltaTable(uri).file_uris([("event_date", "=", "2026-01-01")])
    assert len(files) == 1


def test_a_table_that_is_not_there_is_passed_over(spark, tmp_path):
    assert sweep(spark, str(tmp_path / "none"), "2026-01-01") == ()


def test_snapshots_go_by_their_id(spark, tmp_path):
    path = str(tmp_path / "training")
    for snapshot in ("aa11", "bb22"):
        table = pa.table({"example_id": ["e"], "snapshot": [snapshot]})
        write_deltalake(path, table, partition_by=["snapshot"], mode="append")
    sweep(spark, path, "aa11", column="snapshot", is_compacted=False)
    assert DeltaTable(path).to_pyarrow_table()["snapshot"].to_pylist() == ["bb22"]
