"""Delta tables: one writer at a time, commits that say what they hold, shapes declared once.

Every commit carries its writer's name and number (Delta's own ``txn``, kept in the table's
state for good, so a cursor stored there moves in the same commit as the rows) and a JSON of
user metadata. Two writers that get round the lock collide on the number instead of both
succeeding. Tables have no deletion vectors, and statistics only on columns that are nobody's
personal data.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from delta.tables import DeltaTable
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - the name all of Spark's documents use
from pyspark.sql.types import StringType, StructType

from core.erasing.erasure import ERASED
from core.errors import IntegrityError, NotReadyError
from stores.table_locks import local_path as local_path  # for the jobs, which import it from here
from stores.table_locks import table_lock as table_lock

APP_ID = "spark.databricks.delta.write.txnAppId"
APP_VERSION = "spark.databricks.delta.write.txnVersion"
USER_METADATA = "spark.databricks.delta.commitInfo.userMetadata"


@dataclass(frozen=True)
class TableSpec:
    """Where a table lies and what it looks like.

    ``indexed`` are the columns whose least and greatest values may stand in the log: classes
    public and internal only.
    """

    uri: str
    schema: StructType
    partition_by: tuple[str, ...]
    indexed: tuple[str, ...]
    properties: Mapping[str, str] = field(default_factory=dict)

    @property
    def all_properties(self) -> dict[str, str]:
        """Delta properties, the fixed ones included."""
        return {
            "delta.enableDeletionVectors": "false",
            "delta.dataSkippingStatsColumns": ",".join(self.indexed),
            **self.properties,
        }


@dataclass(frozen=True)
class Commit:
    """What a commit says of itself. Without ``number`` it takes the writer's next."""

    writer: str
    metadata: Mapping[str, Any]
    number: int | None = None


def is_table(spark: SparkSession, uri: str) -> bool:
    """Whether a Delta table is there."""
    path = local_path(uri)
    if path is not None:
        return any(path.glob("_delta_log/*.json"))
    return bool(DeltaTable.isDeltaTable(spark, uri))


def ensure_table(spark: SparkSession, spec: TableSpec) -> None:
    """Create the table if it is not there."""
    if is_table(spark, spec.uri):
        return
    builder = DeltaTable.createIfNotExists(spark).location(spec.uri).addColumns(spec.schema)
    builder = builder.partitionedBy(*spec.partition_by)
    for key, value in spec.all_properties.items():
        builder = builder.property(key, value)
    builder.execute()


def read_table(spark: SparkSession, uri: str, version: int | None = None) -> DataFrame:
    """The table, at ``version`` when given; NotReadyError when there is none."""
    if not is_table(spark, uri):
        raise NotReadyError("a table is missing", found=uri, remedy="run what writes it first")
    reader = spark.read.format("delta")
    return (reader if version is None else reader.option("versionAsOf", version)).load(uri)


def latest_version(spark: SparkSession, uri: str) -> int:
    """Newest version of the table; -1 when there is none."""
    return int(_snapshot(spark, uri).version()) if is_table(spark, uri) else -1


def writer_number(spark: SparkSession, uri: str, writer: str) -> int:
    """Number of the writer's last commit; 0 when it never wrote here."""
    return state_of(spark, uri, writer)[1]


def state_of(spark: SparkSession, uri: str, writer: str) -> tuple[int, int]:
    """Newest version and the writer's number in that very version; (-1, 0) without a table."""
    if not is_table(spark, uri):
        return -1, 0
    snapshot = _snapshot(spark, uri)
    found = snapshot.transactions().get(writer)
    return int(snapshot.version()), int(found.get()) if found.isDefined() else 0


def is_readable(spark: SparkSession, uri: str, version: int) -> bool:
    """Whether a version holds what it held: since then nobody was taken out of the table.

    An erasure removes what older versions read, and may begin the log anew.
    """
    rows = DeltaTable.forPath(spark, uri).history().select("version", "userMetadata").collect()
    erased = (row[0] for row in rows if row[1] and json.loads(row[1]).get(ERASED))
    first = max(min(row[0] for row in rows), max(erased, default=-1))
    return version >= int(first)


def metadata_of(spark: SparkSession, uri: str, version: int) -> dict[str, Any]:
    """User metadata of one version; empty when its commit carried none."""
    history = DeltaTable.forPath(spark, uri).history().where(f"version = {version}")
    row = history.select("userMetadata").first()
    found: dict[str, Any] = json.loads(row[0]) if row and row[0] else {}
    return found


def replace_where(
    frame: DataFrame,
    spec: TableSpec,
    condition: str,
    commit: Commit,
    *,
    adds_columns: bool = False,
) -> int:
    """Put ``frame`` in the place of all rows that ``condition`` holds for, in one commit.

    With ``adds_columns`` the table gets those that it lacks, null in its other rows. Call it
    under the table's lock. Returns the new version.
    """
    spark = frame.sparkSession
    ensure_table(spark, spec)
    before = latest_version(spark, spec.uri)
    with committing(spark, spec.uri, commit):
        writer = frame.select(spec.schema.names).write.format("delta").mode("overwrite")
        writer.option("mergeSchema", adds_columns).option("replaceWhere", condition).save(spec.uri)
    return _made(spark, spec, commit, before)


def make_text(spark: SparkSession, spec: TableSpec, commit: Commit) -> None:
    """Make text of columns that ``spec`` declares as text and the table still holds otherwise.

    All rows are written anew, in one commit. Call it under the table's lock. A table that is not
    there, or has nothing of the kind, stays as it is.
    """
    if not is_table(spark, spec.uri):
        return
    held = read_table(spark, spec.uri)
    wanted = {f.name for f in spec.schema if f.dataType == StringType()}
    others = [f.name for f in held.schema if f.name in wanted and f.dataType != StringType()]
    if not others:
        return
    with committing(spark, spec.uri, commit):
        rows = held.withColumns({name: F.col(name).cast("string") for name in others})
        writer = rows.write.format("delta").mode("overwrite").partitionBy(*spec.partition_by)
        writer.option("overwriteSchema", value=True).save(spec.uri)


def insert_new(
    frame: DataFrame, spec: TableSpec, keys: Sequence[str], pruned_to: str, commit: Commit
) -> int:
    """Insert the rows whose ``keys`` the table does not hold; never update, never delete.

    ``pruned_to`` is a condition on the target ``t`` that names its partitions. The table gets
    columns that it lacks, null in its other rows; those that are declared no more stay, null in
    the new ones. Call it under the table's lock. Returns the new version; the commit is made even
    when nothing is new.
    """
    spark = frame.sparkSession
    ensure_table(spark, spec)
    _add_columns(spark, spec)
    rows = frame.select(spec.schema.names)
    same = " AND ".join(f"t.{key} <=> s.{key}" for key in keys)
    before = latest_version(spark, spec.uri)
    with committing(spark, spec.uri, commit):
        if before == 0:  # only ever created: there is nothing to compare with
            rows.write.format("delta").mode("append").save(spec.uri)
        else:
            target = DeltaTable.forPath(spark, spec.uri).alias("t")
            merge = target.merge(rows.alias("s"), f"({pruned_to}) AND {same}")
            merge.whenNotMatchedInsert(values={n: f"s.`{n}`" for n in rows.columns}).execute()
    return _made(spark, spec, commit, before)


def _add_columns(spark: SparkSession, spec: TableSpec) -> None:
    """Columns of the declaration that the table was made without."""
    held = set(DeltaTable.forPath(spark, spec.uri).toDF().columns)
    missing = [field for field in spec.schema.fields if field.name not in held]
    if missing:
        named = ", ".join(f"`{field.name}` {field.dataType.simpleString()}" for field in missing)
        spark.sql(f"ALTER TABLE delta.`{spec.uri}` ADD COLUMNS ({named})")


def _made(spark: SparkSession, spec: TableSpec, commit: Commit, before: int) -> int:
    """New version; Delta skips a number it has seen without a word, and that is no success."""
    after = latest_version(spark, spec.uri)
    if after == before:
        raise IntegrityError(
            f"a commit to {spec.uri} was not made",
            found=f"version {after} before and after; writer {commit.writer}, {commit.number}",
            remedy="look for a second writer of this table",
        )
    return after


@contextmanager
def committing(spark: SparkSession, uri: str, commit: Commit) -> Iterator[None]:
    """Let the one write inside carry ``commit``."""
    number = commit.number
    if number is None:
        number = writer_number(spark, uri, commit.writer) + 1
    settings = {
        APP_ID: commit.writer,
        APP_VERSION: str(number),
        USER_METADATA: json.dumps(dict(commit.metadata), sort_keys=True),
    }
    for key, value in settings.items():
        spark.conf.set(key, value)
    try:
        yield
    finally:
        for key in settings:
            spark.conf.unset(key)


def size_bytes(spark: SparkSession, uri: str) -> int:
    """Bytes of the table's data files at its newest version; 0 when there is none."""
    return int(_snapshot(spark, uri).sizeInBytes()) if is_table(spark, uri) else 0


def _snapshot(spark: SparkSession, uri: str) -> Any:
    log = spark._jvm.org.apache.spark.sql.delta.DeltaLog
    nothing = spark._jvm.scala.Option.empty()
    is_stale_enough = False
    return log.forTable(spark._jsparkSession, uri).update(is_stale_enough, nothing, nothing)
