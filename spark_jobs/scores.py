"""Batch scores of one as-of date by one release: staged, audited, then published.

Example grain: the examples of that date, each at its own instant. Entity grain: every entity
at the midnight that begins the date. Published by ``replaceWhere`` on the date and, where a
database is given, in one transaction there, so a rerun changes nothing. A rerun reads the
table versions that the date was first scored from, unless told to refresh. Scores that fail
the audit stay staged: the report says why and nothing is published.
"""

from __future__ import annotations

import json
from typing import Literal

from pydantic import Field, SecretStr
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - the name all of Spark's documents use
from pyspark.sql.types import StructType

from core.clock import DAY_MS, date_start_ms
from core.contracts import Source
from core.errors import ConfigurationError, NotReadyError
from core.features.plan import Plan
from spark_jobs.audit import Audit, AuditLimits, audit
from spark_jobs.crash import CrashPoints
from spark_jobs.delta import (
    Commit,
    is_table,
    latest_version,
    local_path,
    read_table,
    replace_where,
    size_bytes,
    table_lock,
)
from spark_jobs.entities import entities_at, tables_of
from spark_jobs.examples import check_example_source, examples_of, join_keys_of, pruned
from spark_jobs.host import partitions_for, point_in_time
from spark_jobs.job import EventDate, JobArguments, JobReport, date_condition, run_main
from spark_jobs.scoring import SCORED, Model, PointScorer, Scorer
from spark_jobs.staging import discard, stage
from spark_jobs.tables import scores_table
from stores.bundle import Bundle
from stores.postgres import ScoreTable
from stores.shelf import Shelf
from stores.signing import KeyRing

WRITER = "scores"


class Arguments(JobArguments):
    """Score ``as_of`` with a release from the shelf.

    ``example_source`` gives the examples and is needed at example grain. ``scores_url`` is
    the database to publish to as well; empty for none.
    """

    use_case: str
    release: int
    as_of: EventDate
    grain: Literal["example", "entity"] = "example"
    example_source: Source | None = None
    refresh: bool = False
    limits: AuditLimits = AuditLimits()
    scores_url: SecretStr = SecretStr("")
    partitions: int = Field(default=2, ge=1)


class Report(JobReport):
    """What was scored. ``version`` is that of the scores table, -1 when there is none."""

    use_case: str
    release: int
    as_of: str
    rows: int
    is_published: bool
    audit: Audit
    read_versions: dict[str, int]
    version: int
    rows_in_database: int | None


def run(spark: SparkSession, arguments: Arguments) -> Report:
    """Score, stage, audit, publish; under the lock of the scores table."""
    layout, crash = arguments.layout, CrashPoints.of(arguments.crash_at)
    keys = KeyRing.from_directory(layout.keys)
    bundle = Shelf(layout.shelf).verified(arguments.use_case, arguments.release, keys)
    subject = subject_of(bundle.manifest.plan, arguments)
    uri = layout.scores(arguments.use_case)
    with table_lock(uri):
        versions = _versions(spark, arguments, bundle.manifest.plan)
        crash.reach("scores.before_points")
        points = _points(spark, arguments, bundle.manifest.plan, versions, crash)
        staging = layout.staging(f"scores_{arguments.use_case}")
        staged = stage(_scored(points, bundle, subject, crash), staging)
        crash.reach("scores.after_staging")
        outcome = audit(
            staged.select("score", "decision", "nulls").toArrow(),
            bundle.manifest.plan.vector,
            bundle.profile,
            arguments.limits,
            expected_rows=_expected(spark, arguments, versions, staged),
        )
        in_database = None
        if outcome.is_passed:
            published = _published(staged, arguments, versions)
            table = scores_table(
                layout, arguments.use_case, StructType([staged.schema[n] for n in subject])
            )
            metadata = {"release": arguments.release, "read_versions": versions}
            condition = date_condition([arguments.as_of], "as_of")
            with crash.writing("scores.in_publish", local_path(uri)):
                replace_where(published, table, condition, Commit(WRITER, metadata))
            crash.reach("scores.after_publish")
            in_database = _to_database(published.select(table.schema.names), subject, arguments)
            discard(spark, staging)
    return Report(
        use_case=arguments.use_case,
        release=arguments.release,
        as_of=arguments.as_of,
        rows=outcome.rows,
        is_published=outcome.is_passed,
        audit=outcome,
        read_versions=versions,
        version=latest_version(spark, uri),
        rows_in_database=in_database,
    )


def subject_of(plan: Plan, arguments: Arguments) -> tuple[str, ...]:
    """Columns that name what is scored.

    Raises
    ------
    ConfigurationError
        If the plan cannot be scored at the grain asked for.
    """
    if arguments.grain == "example":
        if arguments.example_source is None:
            raise ConfigurationError(
                "examples cannot be scored without their source",
                remedy="give example_source, or score at entity grain",
            )
        check_example_source(plan, arguments.example_source)
        return ("example_id", *join_keys_of(plan))
    if len(plan.entities) != 1 or plan.request_fields:
        raise ConfigurationError(
            f"service {plan.service} cannot be scored at entity grain",
            found=f"entities {list(plan.entities)}, request fields "
            f"{[field.name for field in plan.request_fields]}",
            remedy="score its examples, or declare a service of one entity without request fields",
        )
    return join_keys_of(plan)


def _versions(spark: SparkSession, arguments: Arguments, plan: Plan) -> dict[str, int]:
    """Versions to read by table, those of the first run of this date unless refreshed."""
    layout = arguments.layout
    if not arguments.refresh and is_table(spark, layout.scores(arguments.use_case)):
        scores = read_table(spark, layout.scores(arguments.use_case))
        held = scores.where(date_condition([arguments.as_of], "as_of")).select("read_versions")
        if (row := held.first()) is not None:
            return {str(name): int(version) for name, version in json.loads(row[0]).items()}
    versions = {}
    for uri, name in tables_of(layout, plan, arguments.grain, arguments.example_source):
        versions[name] = latest_version(spark, uri)
        if versions[name] < 0:
            raise NotReadyError(
                f"{arguments.use_case} cannot be scored as of {arguments.as_of}",
                found=f"no table {name}",
                remedy="ingest the sources and build the tiles first",
            )
    return versions


def _points(
    spark: SparkSession,
    arguments: Arguments,
    plan: Plan,
    versions: dict[str, int],
    crash: CrashPoints,
) -> DataFrame:
    """Points with their values, as `spark_jobs.vectors.plan_values` reads them."""
    layout, source = arguments.layout, arguments.example_source
    start_ms = date_start_ms(arguments.as_of)
    if source is None or arguments.grain == "entity":
        return entities_at(spark, layout, plan, versions, start_ms, partitions=arguments.partitions)
    frames = {
        name.removeprefix("events/"): read_table(spark, layout.events(name[7:]), version)
        for name, version in versions.items()
    }
    rows = frames[source.name].where(date_condition([arguments.as_of]))
    examples = examples_of(rows, plan)
    near = pruned(
        {view.source: frames[view.source] for view in plan.views},
        plan.views,
        first_ms=start_ms,
        last_ms=start_ms + DAY_MS - 1,
    )
    n_bytes = sum(size_bytes(spark, layout.events(name)) for name in near)
    answers = point_in_time(
        plan.views,
        near,
        examples,
        partitions=partitions_for(n_bytes, arguments.partitions),
    )
    return examples.join(answers, on="point_id")


def _scored(
    points: DataFrame, bundle: Bundle, subject: tuple[str, ...], crash: CrashPoints
) -> DataFrame:
    manifest = bundle.manifest
    model = Model(bundle.model, manifest.files["model.onnx"])
    kept = (*subject, "event_timestamp")
    scorer = PointScorer(Scorer(model, manifest.plan, manifest.decisions), kept, crash)
    schema = StructType([points.schema[name] for name in kept] + SCORED.fields)
    return points.mapInArrow(scorer, schema)


def _expected(
    spark: SparkSession, arguments: Arguments, versions: dict[str, int], staged: DataFrame
) -> int:
    """Rows that there should be: counted apart from the scoring, where that is possible."""
    if arguments.grain == "entity" or arguments.example_source is None:
        return int(staged.count())
    name = arguments.example_source.name
    events = read_table(spark, arguments.layout.events(name), versions[f"events/{name}"])
    return int(events.where(date_condition([arguments.as_of])).count())


def _published(staged: DataFrame, arguments: Arguments, versions: dict[str, int]) -> DataFrame:
    return (
        staged.withColumn("as_of", F.lit(arguments.as_of).cast("date"))
        .withColumn("release", F.lit(arguments.release))
        .withColumn("read_versions", F.lit(json.dumps(versions, sort_keys=True)))
    )


def _to_database(
    published: DataFrame, subject: tuple[str, ...], arguments: Arguments
) -> int | None:
    url = arguments.scores_url.get_secret_value()
    if not url:
        return None
    table = ScoreTable(url, arguments.use_case)
    return table.publish(arguments.as_of, ("as_of", *subject), published.toArrow())


def main() -> int:
    """Start by hand or by Pipes."""
    return run_main(Arguments, run)


if __name__ == "__main__":
    raise SystemExit(main())
