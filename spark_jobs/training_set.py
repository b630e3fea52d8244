"""A training set, frozen: matured examples, point-in-time values, one split, one snapshot id.

Source: events tables at recorded versions. The snapshot id is a digest over all rows sorted
by example, the plan, the versions and the declaration, so building again from the recorded
versions gives the same id or fails. Join keys of a personal class are masked before anything
is written, as in records of predictions, with the home's one key. Written by ``replaceWhere``
on the snapshot: a rerun changes nothing. Killed anywhere, it leaves at most a staging folder
that the next run writes over.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - the name all of Spark's documents use
from pyspark.sql.types import StructType

from core.clock import DAY_MS, date_start_ms, event_date
from core.consent import Consent
from core.contracts import Source
from core.errors import ConfigurationError, IntegrityError, NotReadyError
from core.features.plan import Plan, canonical_json
from core.use_case import Label
from spark_jobs.crash import CrashPoints
from spark_jobs.delta import (
    Commit,
    is_table,
    latest_version,
    local_path,
    make_text,
    read_table,
    replace_where,
    size_bytes,
    table_lock,
)
from spark_jobs.examples import (
    check_example_source,
    examples_of,
    instant,
    join_keys_of,
    labelled,
    pruned,
    without_opted_out,
)
from spark_jobs.host import partitions_for, point_in_time
from spark_jobs.job import EventDate, JobArguments, JobReport, run_main
from spark_jobs.splitting import stratified_split, time_split
from spark_jobs.staging import discard, stage
from spark_jobs.tables import training_table
from spark_jobs.vectors import ROW_DIGEST, Vectoriser, vector_schema
from stores.durable import write_durably
from stores.masking import Mask, ensure_mask, is_masked

WRITER = "training_set"
PARTS = ("train", "validation", "test")
GAP = "gap"


class Arguments(JobArguments):
    """Examples from ``start_date`` on, as known at ``cut_ms``.

    ``read_versions`` pins events tables by source; the others are read at their newest
    version, which the report and the snapshot's record name. With ``expected_snapshot`` the
    run is a rebuild: another id is an error. ``beside`` are values that the plan yields, its
    vector lacks, and decision rules read. With a ``consent``, nobody who opted out is in it.
    ``masked_keys`` are the join keys that are masked in it; None: those of a personal class. The
    record of a snapshot from before keys were masked names none, and its rebuild masks none.
    """

    use_case: str
    plan: Plan
    beside: tuple[str, ...] = ()
    label: Label
    consent: Consent | None = None
    sources: tuple[Source, ...]
    start_date: EventDate
    cut_ms: int
    split: Literal["time", "stratified"] = "time"
    validation_share: float = 0.15
    test_share: float = 0.15
    seed: int = 0
    read_versions: dict[str, int] = Field(default_factory=dict)
    expected_snapshot: str | None = None
    masked_keys: tuple[str, ...] | None = None
    partitions: int = 2

    def source(self, name: str) -> Source:
        """Source called ``name``; ConfigurationError when the arguments hold none."""
        for source in self.sources:
            if source.name == name:
                return source
        raise ConfigurationError(
            f"no contract of source {name}",
            found=", ".join(source.name for source in self.sources),
            remedy="give the job the contracts of all sources it reads",
        )

    @property
    def personal_keys(self) -> tuple[str, ...]:
        """Join keys that the examples' source declares personal: text, whatever their type."""
        examples = self.source(self.label.example_source)
        return tuple(name for name in join_keys_of(self.plan) if is_masked(examples.field(name)))

    @property
    def keys_to_mask(self) -> tuple[str, ...]:
        """Join keys that are masked in this snapshot."""
        if self.masked_keys is not None:
            return self.masked_keys
        return self.personal_keys if self.expected_snapshot is None else ()


class Report(JobReport):
    """What was frozen. ``parts`` maps each part to its rows and how many are positive."""

    use_case: str
    snapshot: str
    masked_keys: tuple[str, ...]
    rows: int
    parts: dict[str, tuple[int, int]]
    in_gap: int
    read_versions: dict[str, int]
    version: int
    is_new: bool


def run(spark: SparkSession, arguments: Arguments) -> Report:
    """Build, stage, name and publish the snapshot."""
    crash = CrashPoints.of(arguments.crash_at)
    check_example_source(arguments.plan, arguments.source(arguments.label.example_source))
    decided = {
        "read_versions": _versions(spark, arguments),
        "masked_keys": arguments.keys_to_mask,
    }
    arguments = arguments.model_copy(update=decided)
    crash.reach("training_set.before_points")
    staging = arguments.layout.staging(f"training_{arguments.use_case}")
    with table_lock(staging):
        staged = stage(_vectors(spark, arguments, crash), staging)
        crash.reach("training_set.after_staging")
        index = index_of(staged.select("example_id", "event_timestamp", "label", ROW_DIGEST))
        parts = parts_of(index, arguments)
        snapshot = snapshot_id(index, parts, arguments)
        _check_rebuilt(arguments, snapshot)
        is_new = _publish(staged, index, parts, snapshot, arguments, crash)
        discard(spark, staging)
    layout = arguments.layout
    record = arguments.model_copy(update={"expected_snapshot": snapshot, "crash_at": None})
    path = layout.snapshots / arguments.use_case / f"{snapshot}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_durably(path, record.model_dump_json().encode())
    counts = {
        part: (int((parts == part).sum()), int(index["label"][parts == part].sum()))
        for part in PARTS
    }
    return Report(
        use_case=arguments.use_case,
        snapshot=snapshot,
        masked_keys=arguments.keys_to_mask,
        rows=sum(rows for rows, _ in counts.values()),
        parts=counts,
        in_gap=int((parts == GAP).sum()),
        read_versions=arguments.read_versions,
        version=latest_version(spark, layout.training(arguments.use_case)),
        is_new=is_new,
    )


def _versions(spark: SparkSession, arguments: Arguments) -> dict[str, int]:
    needed = [arguments.label.example_source, arguments.label.source]
    needed += [view.source for view in arguments.plan.views]
    needed += [arguments.consent.source] if arguments.consent is not None else []
    versions = {}
    for name in dict.fromkeys(needed):
        found = latest_version(spark, arguments.layout.events(name))
        if found < 0:
            raise NotReadyError(
                f"no training set for {arguments.use_case}",
                found=f"no events of {name}",
                remedy=f"ingest {name} first",
            )
        versions[name] = arguments.read_versions.get(name, found)
    return versions


def _vectors(spark: SparkSession, arguments: Arguments, crash: CrashPoints) -> DataFrame:
    """Matured, labelled examples with their vectors."""
    layout, plan, label = arguments.layout, arguments.plan, arguments.label
    events = {
        name: read_table(spark, layout.events(name), version)
        for name, version in arguments.read_versions.items()
    }
    last_ms = arguments.cut_ms - label.maturity_days * DAY_MS
    rows = events[label.example_source].where(
        F.col("event_date").between(
            F.lit(arguments.start_date).cast("date"), F.lit(event_date(last_ms)).cast("date")
        )
        & (F.col("event_timestamp") <= instant(last_ms))
        & (F.col("available_at") <= instant(arguments.cut_ms))
    )
    if arguments.consent is not None:
        rows = without_opted_out(rows, arguments.consent, events[arguments.consent.source])
    examples = labelled(
        examples_of(rows, plan), events[label.source], label, arguments.cut_ms
    ).withColumn("weight", F.lit(1.0))
    as_text = {name: F.col(name).cast("string") for name in arguments.personal_keys}
    examples = examples.withColumns(as_text)
    views = plan.views
    first_ms = date_start_ms(arguments.start_date)
    near = pruned(
        {view.source: events[view.source] for view in views},
        views,
        first_ms=first_ms,
        last_ms=last_ms,
    )
    n_bytes = sum(size_bytes(spark, layout.events(name)) for name in near)
    partitions = partitions_for(n_bytes, arguments.partitions)
    answers = point_in_time(views, near, examples, partitions=partitions, crash=crash)
    kept = ("example_id", *join_keys_of(plan), "event_timestamp", "label", "weight")
    added = vector_schema(plan, arguments.beside)
    schema = StructType([examples.schema[name] for name in kept] + added.fields)
    vectoriser = Vectoriser(plan, kept, arguments.beside, _masks(arguments))
    return examples.join(answers, on="point_id").mapInArrow(vectoriser, schema)


def _masks(arguments: Arguments) -> dict[str, Mask]:
    masked = arguments.keys_to_mask
    return dict.fromkeys(masked, ensure_mask(arguments.layout.keys)) if masked else {}


def index_of(staged: DataFrame) -> dict[str, NDArray[Any]]:
    """Ids, instants, labels and digests of all rows, sorted by example id."""
    table = staged.orderBy("example_id", "event_timestamp").toArrow()
    stamps = table["event_timestamp"].cast(pa.timestamp("ms", tz="UTC"), safe=False)
    return {
        "example_id": np.array(table["example_id"].to_pylist(), dtype=np.str_),
        "event_ms": stamps.cast(pa.int64()).to_numpy(),
        "label": table["label"].to_numpy().astype(np.int64),
        "digest": np.array(table[ROW_DIGEST].to_pylist(), dtype=object),
    }


def parts_of(index: Mapping[str, NDArray[Any]], arguments: Arguments) -> NDArray[np.str_]:
    """Part of each row, or `GAP`.

    Raises
    ------
    InvalidInputError
        If there are too few examples for three parts.
    """
    shares = {
        "validation_share": arguments.validation_share,
        "test_share": arguments.test_share,
    }
    if arguments.split == "stratified":
        return stratified_split(index["example_id"], index["label"], seed=arguments.seed, **shares)
    at_ms = index["event_ms"]
    cuts = time_split(at_ms, gap_ms=arguments.label.maturity_days * DAY_MS, **shares)
    is_validation = (at_ms >= cuts.validation_start_ms) & (at_ms < cuts.validation_end_ms)
    return np.select(
        [at_ms < cuts.train_end_ms, is_validation, at_ms >= cuts.test_start_ms], PARTS, GAP
    )


def snapshot_id(
    index: Mapping[str, NDArray[Any]], parts: NDArray[np.str_], arguments: Arguments
) -> str:
    """Digest over the declaration, the plan, the versions and all rows sorted by example."""
    chosen = {"plan", "label", "start_date", "cut_ms", "split", "validation_share", "test_share"}
    chosen |= {"seed", "read_versions"} | ({"consent"} if arguments.consent is not None else set())
    head = arguments.model_dump(mode="json", include=chosen)
    digest = hashlib.sha256(canonical_json(head).encode())
    for part, row in zip(parts.tolist(), index["digest"].tolist(), strict=True):
        if part != GAP:
            digest.update(part[:2].encode() + row)
    return digest.hexdigest()[:32]


def _check_rebuilt(arguments: Arguments, snapshot: str) -> None:
    if arguments.expected_snapshot not in (None, snapshot):
        raise IntegrityError(
            "the snapshot could not be rebuilt bit for bit",
            found=f"snapshot {snapshot}, not {arguments.expected_snapshot}",
            remedy="check that the tables' versions, the plan's functions, the code and the key of "
            "masks are those of the snapshot's record",
        )


def _publish(
    staged: DataFrame,
    index: Mapping[str, NDArray[Any]],
    parts: NDArray[np.str_],
    snapshot: str,
    arguments: Arguments,
    crash: CrashPoints,
) -> bool:
    """Write the rows under their snapshot; False when they are there already."""
    spark = staged.sparkSession
    keys = StructType([staged.schema[name] for name in join_keys_of(arguments.plan)])
    table = training_table(
        arguments.layout, arguments.use_case, arguments.plan, keys, arguments.beside
    )
    condition = f"snapshot = '{snapshot}'"
    with table_lock(table.uri):
        make_text(spark, table, Commit(WRITER, {"snapshot": None}))
        n_rows = int((parts != GAP).sum())
        if is_table(spark, table.uri) and arguments.expected_snapshot is None:
            held = read_table(spark, table.uri).where(condition).count()
            if held == n_rows:
                return False
        assigned = pa.table(
            {
                "example_id": pa.array(index["example_id"].tolist(), pa.string()),
                "event_ms": pa.array(index["event_ms"], pa.int64()),
                "split": pa.array(parts.tolist(), pa.string()),
            }
        )
        splits = spark.createDataFrame(assigned).where(F.col("split") != GAP)
        rows = (
            staged.withColumn("event_ms", F.unix_millis("event_timestamp"))
            .join(splits, on=["example_id", "event_ms"])
            .withColumn("snapshot", F.lit(snapshot))
        )
        metadata = {"snapshot": snapshot, "read_versions": arguments.read_versions}
        with crash.writing("training_set.in_write", local_path(table.uri)):
            replace_where(rows, table, condition, Commit(WRITER, metadata), adds_columns=True)
        crash.reach("training_set.after_write")
    return True


def main() -> int:
    """Start by hand or by Pipes."""
    return run_main(Arguments, run)


if __name__ == "__main__":
    raise SystemExit(main())
