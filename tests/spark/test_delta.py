from __future__ import annotations

import subprocess
import sys
from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from pyspark.sql.types import BooleanType, DateType, LongType, StringType

from core.errors import IntegrityError, NotReadyError
from spark_jobs.delta import (
    Commit,
    TableSpec,
    ensure_table,
    insert_new,
    latest_version,
    metadata_of,
    read_table,
    replace_where,
    state_of,
    table_lock,
)
from spark_jobs.job import date_condition
from spark_jobs.tables import struct

pytestmark = pytest.mark.spark

PROJECT = Path(__file__).parents[2]
SCHEMA = struct(
    id=StringType(), secret=StringType(), flag=BooleanType(), n=LongType(), day=DateType()
)
DAY, NEXT = date(2026, 1, 1), date(2026, 1, 2)
BOTH = date_condition(["2026-01-01", "2026-01-02"], "t.day")


@pytest.fixture
def spec(tmp_path):
    return TableSpec(str(tmp_path / "table"), SCHEMA, ("day",), ("id", "n"))


def frame(spark, *rows):
    names = SCHEMA.names
    columns = {name: [row[place] for row in rows] for place, name in enumerate(names)}
    return spark.createDataFrame(pa.table(columns)).select(names)


def ids(spark, spec):
    return sorted(row.id for row in read_table(spark, spec.uri).collect())


def test_inserts_are_new_keys_only_and_the_number_moves_with_them(spark, spec):
    first = frame(spark, ("a", "x", True, 1, DAY), ("b", "y", None, 2, NEXT))
    insert_new(first, spec, ("day", "id"), BOTH, Commit("w", {"epoch": 3}, 3))
    more = frame(spark, ("a", "other", True, 9, DAY), ("c", "z", False, 3, NEXT))
    version = insert_new(more, spec, ("day", "id"), BOTH, Commit("w", {"epoch": 4}, 4))
    rows = {row.id: row.secret for row in read_table(spark, spec.uri).collect()}
    assert rows == {"a": "x", "b": "y", "c": "z"}
    assert state_of(spark, spec.uri, "w") == (version, 4)
    assert DeltaTable(spec.uri).transaction_version("w") == 4
    assert metadata_of(spark, spec.uri, version) == {"epoch": 4}
    # Nothing new is a commit all the same: the number must move.
    insert_new(more, spec, ("day", "id"), BOTH, Commit("w", {"epoch": 5}, 5))
    assert state_of(spark, spec.uri, "w") == (version + 1, 5)


def test_a_number_that_was_given_before_is_refused_not_skipped(spark, spec):
    rows = frame(spark, ("a", "x", True, 1, DAY))
    insert_new(rows, spec, ("day", "id"), BOTH, Commit("w", {}, 7))
    late = frame(spark, ("b", "x", True, 1, DAY))
    with pytest.raises(IntegrityError, match="was not made"):
        insert_new(late, spec, ("day", "id"), BOTH, Commit("w", {}, 7))
    with pytest.raises(IntegrityError, match="was not made"):
        replace_where(late, spec, "day = DATE'2026-01-01'", Commit("w", {}, 7))
    assert ids(spark, spec) == ["a"]


def test_replacing_touches_the_rows_of_its_condition_only(spark, spec):
    rows = frame(spark, ("a", "x", True, 1, DAY), ("b", "y", True, 2, NEXT))
    replace_where(rows, spec, "true", Commit("w", {}))
    replace_where(
        frame(spark, ("c", "z", True, 3, NEXT)), spec, "day = DATE'2026-01-02'", Commit("w", {})
    )
    assert ids(spark, spec) == ["a", "c"]
    assert read_table(spark, spec.uri, latest_version(spark, spec.uri) - 1).count() == 2


def test_statistics_hold_declared_columns_only_and_there_are_no_deletion_vectors(spark, spec):
    ensure_table(spark, spec)
    insert_new(
        frame(spark, ("a", "hidden", True, 1, DAY)), spec, ("day", "id"), BOTH, Commit("w", {})
    )
    text = "".join(path.read_text() for path in Path(spec.uri, "_delta_log").glob("*.json"))
    assert "hidden" not in text
    assert DeltaTable(spec.uri).metadata().configuration["delta.enableDeletionVectors"] == "false"


def test_a_missing_table_is_not_ready(spark, spec):
    assert latest_version(spark, spec.uri) == -1
    with pytest.raises(NotReadyError, match="run what writes it"):
        read_table(spark, spec.uri)


def test_the_lock_keeps_a_second_process_out_and_ends_with_its_holder(spec):
    code = (
        "import sys, time\nfrom spark_jobs.delta import table_lock\n"
        "with table_lock(sys.argv[1]):\n    print('held', flush=True)\n    time.sleep(60)\n"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, spec.uri], cwd=PROJECT, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    probe = "import sys, fcntl; f = open(sys.argv[1], 'a'); fcntl.flock(f, 2 | 4)"
    lock = Path(spec.uri).parent / ".table.lock"
    refused = subprocess.run([sys.executable, "-c", probe, lock], capture_output=True, check=False)
    assert b"BlockingIOError" in refused.stderr
    holder.kill()
    holder.wait(10)
    with table_lock(spec.uri):
        pass
