"""Batch scores of as-of dates by one release: staged, audited, then published.

Example grain: the examples of each date, each at its own instant. Entity grain: every entity
at the midnight that begins the date. Any number of dates is one run. Published by
``replaceWhere`` on the dates and, where a database is given, in one transaction there, so a
rerun changes nothing. A rerun reads the table versions that a date was first scored from,
unless told to refresh. Scores that fail the audit stay staged: the report says why and
nothing is published.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SecretStr
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - the name all of Spark's documents use
from pyspark.sql.types import StructType

from core.consent import Consent
from core.contracts import Source
from spark_jobs.audit import Audit, AuditLimits, audit
from spark_jobs.crash import CrashPoints
from spark_jobs.delta import Commit, latest_version, local_path, replace_where, table_lock
from spark_jobs.job import EventDates, JobArguments, JobReport, date_condition, run_main
from spark_jobs.score_points import MARKS, Scope, bound_versions, count_expected, points_of
from spark_jobs.scoring import SCORED, Model, PointScorer, Scorer
from spark_jobs.staging import discard, stage
from spark_jobs.tables import scores_table
from stores.keys.signing import KeyRing
from stores.postgres import ScoreTable
from stores.shelf.bundle import MODEL, Bundle
from stores.shelf.shelf import Shelf

WRITER = "scores"


def _as_several(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


class Arguments(JobArguments):
    """Score one or more ``as_of`` dates with a release from the shelf.

    ``example_source`` gives the examples and is needed at example grain. With a ``consent``,
    nobody is scored who opted out. ``scores_url`` is the database to publish to as well; empty for
    none.
    """

    use_case: str
    release: int
    as_of: Annotated[EventDates, BeforeValidator(_as_several)]
    grain: Literal["example", "entity"] = "example"
    example_source: Source | None = None
    consent: Consent | None = None
    refresh: bool = False
    limits: AuditLimits = AuditLimits()
    scores_url: SecretStr = SecretStr("")
    partitions: int = Field(default=2, ge=1)


class Report(JobReport):
    """What was scored.

    ``as_of`` is the date, or the first and the last. ``read_versions`` are those of the last
    date; ``version`` is that of the scores table, -1 when there is none.
    """

    use_case: str
    release: int
    as_of: str
    dates: tuple[str, ...]
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
    scope = Scope(
        layout,
        arguments.use_case,
        bundle.manifest.plan,
        arguments.grain,
        arguments.example_source,
        arguments.partitions,
        arguments.consent,
    )
    scope.check()
    staging = layout.staging(f"scores_{arguments.use_case}")
    in_database = None
    with table_lock(layout.scores(arguments.use_case)):
        groups = bound_versions(spark, scope, arguments.as_of, refresh=arguments.refresh)
        crash.reach("scores.before_points")
        points = points_of(spark, scope, groups, crash)
        staged = stage(_scored(points, bundle, scope.subject, crash), staging)
        crash.reach("scores.after_staging")
        judged = staged.select("score", "decision", "nulls").toArrow()
        expected = count_expected(spark, scope, groups)
        outcome = audit(
            judged,
            scope.plan.vector,
            bundle.profile,
            arguments.limits,
            expected_rows=len(judged) if expected is None else expected,
        )
        if outcome.is_passed:
            in_database = _publish(staged, scope, arguments, crash)
            discard(spark, staging)
    dates = sorted(set(arguments.as_of))
    return Report(
        use_case=arguments.use_case,
        release=arguments.release,
        as_of=dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}",
        dates=tuple(dates),
        rows=outcome.rows,
        is_published=outcome.is_passed,
        audit=outcome,
        read_versions=next(json.loads(v) for v, held in groups.items() if dates[-1] in held),
        version=latest_version(spark, layout.scores(arguments.use_case)),
        rows_in_database=in_database,
    )


def _scored(
    points: DataFrame, bundle: Bundle, subject: tuple[str, ...], crash: CrashPoints
) -> DataFrame:
    manifest = bundle.manifest
    model = Model(bundle.model, manifest.files[MODEL])
    kept = (*subject, "event_timestamp", *MARKS)
    scorer = PointScorer(Scorer(model, manifest.plan, manifest.decisions), kept, crash)
    schema = StructType([points.schema[name] for name in kept] + SCORED.fields)
    return points.mapInArrow(scorer, schema)


def _publish(
    staged: DataFrame, scope: Scope, arguments: Arguments, crash: CrashPoints
) -> int | None:
    """Put the dates into the table and, where one is given, the database; its rows."""
    subject = StructType([staged.schema[name] for name in scope.subject])
    table = scores_table(arguments.layout, arguments.use_case, subject)
    rows = staged.withColumn("release", F.lit(arguments.release)).select(table.schema.names)
    condition = date_condition(arguments.as_of, "as_of")
    with crash.writing("scores.in_publish", local_path(table.uri)):
        replace_where(rows, table, condition, Commit(WRITER, {"release": arguments.release}))
    crash.reach("scores.after_publish")
    url = arguments.scores_url.get_secret_value()
    if not url:
        return None
    database = ScoreTable(url, arguments.use_case)
    return database.publish(arguments.as_of, ("as_of", *scope.subject), rows.toArrow())


def main() -> int:
    """Start by hand or by Pipes."""
    return run_main(Arguments, run)


if __name__ == "__main__":
    raise SystemExit(main())
