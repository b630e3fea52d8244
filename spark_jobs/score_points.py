"""What is scored: the points of each as-of date, read from the versions the date is bound to."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Literal

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - the name all of Spark's documents use

from core.clock import DAY_MS, date_start_ms
from core.consent import Consent
from core.contracts import Source
from core.errors import ConfigurationError, NotReadyError
from core.features.plan import Plan
from spark_jobs.crash import CrashPoints
from spark_jobs.delta import is_readable, is_table, latest_version, read_table, size_bytes
from spark_jobs.entities import entities_at, tables_of
from spark_jobs.examples import (
    check_example_source,
    examples_of,
    join_keys_of,
    pruned,
    without_opted_out,
)
from spark_jobs.host import partitions_for, point_in_time
from spark_jobs.job import date_condition
from stores.layout import Layout

MARKS = ("as_of", "read_versions")
"""Columns that go with every point: the date it counts for, what was read for it."""


@dataclass(frozen=True)
class Scope:
    """What a run scores, at which grain."""

    layout: Layout
    use_case: str
    plan: Plan
    grain: Literal["example", "entity"]
    example_source: Source | None
    partitions: int
    consent: Consent | None = None

    @property
    def subject(self) -> tuple[str, ...]:
        """Columns that name what is scored."""
        keys = join_keys_of(self.plan)
        return ("example_id", *keys) if self.grain == "example" else keys

    def check(self) -> None:
        """Refuse a plan that cannot be scored at this grain.

        Raises
        ------
        ConfigurationError
            Saying what is missing or in the way.
        """
        if self.grain == "example":
            if self.example_source is None:
                raise ConfigurationError(
                    "examples cannot be scored without their source",
                    remedy="give example_source, or score at entity grain",
                )
            check_example_source(self.plan, self.example_source)
        elif len(self.plan.entities) != 1 or self.plan.request_fields:
            raise ConfigurationError(
                f"service {self.plan.service} cannot be scored at entity grain",
                found=f"entities {list(self.plan.entities)}, request fields "
                f"{[field.name for field in self.plan.request_fields]}",
                remedy="score its examples, or declare a service of one entity without request "
                "fields",
            )


def bound_versions(
    spark: SparkSession, scope: Scope, dates: Sequence[str], *, refresh: bool
) -> dict[str, list[str]]:
    """Dates by the table versions they read, as JSON: those of their first run, else the newest.

    Versions that somebody was taken out of since are no longer there to be read.

    Raises
    ------
    NotReadyError
        If a table is missing.
    """
    uri = scope.layout.scores(scope.use_case)
    held: dict[str, str] = {}
    if not refresh and is_table(spark, uri):
        scored = read_table(spark, uri).where(date_condition(dates, "as_of"))
        first = scored.groupBy("as_of").agg(F.first("read_versions")).collect()
        whole = {row[1]: _are_readable(spark, scope, row[1]) for row in first}
        held = {str(row[0]): row[1] for row in first if whole[row[1]]}
    newest = {}
    for table, name in tables_of(scope.layout, scope.plan, scope.grain, scope.example_source):
        newest[name] = latest_version(spark, table)
        if newest[name] < 0:
            raise NotReadyError(
                f"{scope.use_case} cannot be scored as of {dates[0]}",
                found=f"no table {name}",
                remedy="ingest the sources and build the tiles first",
            )
    groups: dict[str, list[str]] = {}
    for date in sorted(set(dates)):
        groups.setdefault(held.get(date, json.dumps(newest, sort_keys=True)), []).append(date)
    return groups


def _are_readable(spark: SparkSession, scope: Scope, versions: str) -> bool:
    tables = tables_of(scope.layout, scope.plan, scope.grain, scope.example_source)
    addresses = {name: uri for uri, name in tables}
    read = json.loads(versions).items()
    return all(
        is_readable(spark, addresses[name], version) for name, version in read if name in addresses
    )


def points_of(
    spark: SparkSession, scope: Scope, groups: Mapping[str, Sequence[str]], crash: CrashPoints
) -> DataFrame:
    """Points of all dates with their values, as `spark_jobs.vectors.plan_values` reads them."""
    frames = []
    for versions, dates in groups.items():
        read = json.loads(versions)
        if scope.grain == "entity":
            parts = [_entities(spark, scope, read, date) for date in dates]
        else:
            parts = [_examples(spark, scope, read, dates, crash)]
        frames += [part.withColumn("read_versions", F.lit(versions)) for part in parts]
    return _willing(spark, scope, reduce(DataFrame.unionByName, frames))


def _willing(spark: SparkSession, scope: Scope, rows: DataFrame) -> DataFrame:
    """Rows of those who did not opt out of being scored, by the newest words of all."""
    if scope.consent is None:
        return rows
    words = read_table(spark, scope.layout.events(scope.consent.source))
    return without_opted_out(rows, scope.consent, words)


def count_expected(
    spark: SparkSession, scope: Scope, groups: Mapping[str, Sequence[str]]
) -> int | None:
    """How many examples there are, counted apart from the scoring; None at entity grain."""
    if scope.grain == "entity" or scope.example_source is None:
        return None
    name, counted = scope.example_source.name, 0
    for versions, dates in groups.items():
        version = json.loads(versions)[f"events/{name}"]
        events = read_table(spark, scope.layout.events(name), version)
        counted += _willing(spark, scope, events.where(date_condition(dates))).count()
    return counted


def _entities(spark: SparkSession, scope: Scope, versions: dict[str, int], date: str) -> DataFrame:
    points = entities_at(
        spark,
        scope.layout,
        scope.plan,
        versions,
        date_start_ms(date),
        partitions=scope.partitions,
    )
    return points.withColumn("as_of", F.lit(date).cast("date"))


def _examples(
    spark: SparkSession,
    scope: Scope,
    versions: dict[str, int],
    dates: Sequence[str],
    crash: CrashPoints,
) -> DataFrame:
    plan, layout = scope.plan, scope.layout
    frames = {
        name.removeprefix("events/"): read_table(
            spark, layout.events(name.removeprefix("events/")), version
        )
        for name, version in versions.items()
    }
    source = scope.example_source.name if scope.example_source else ""
    examples = examples_of(frames[source].where(date_condition(dates)), plan)
    near = pruned(
        {view.source: frames[view.source] for view in plan.views},
        plan.views,
        first_ms=date_start_ms(min(dates)),
        last_ms=date_start_ms(max(dates)) + DAY_MS - 1,
    )
    n_bytes = sum(size_bytes(spark, layout.events(name)) for name in near)
    partitions = partitions_for(n_bytes, scope.partitions)
    answers = point_in_time(plan.views, near, examples, partitions=partitions, crash=crash)
    points = examples.join(answers, on="point_id")
    return points.withColumn("as_of", F.to_date("event_timestamp"))
