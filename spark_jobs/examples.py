"""Examples as points: which rows are asked about, and what is carried beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F  # noqa: N812 - the name all of Spark's documents use

from core.clock import event_date
from core.consent import ORDER, Consent
from core.contracts import EVENT_ID, EVENT_TIMESTAMP, Source
from core.errors import ConfigurationError
from core.features.plan import Plan, ViewPlan
from core.use_case import Label

_EPOCH_START = datetime(1970, 1, 1, tzinfo=UTC)


def instant(instant_ms: int) -> Column:
    """Literal of an instant."""
    return F.lit(_EPOCH_START + timedelta(milliseconds=instant_ms))


def join_keys_of(plan: Plan) -> tuple[str, ...]:
    """Join keys of all entities of a plan, each once, in order of first use."""
    return tuple(dict.fromkeys(key for keys in plan.entities.values() for key in keys))


def check_example_source(plan: Plan, source: Source) -> None:
    """Refuse a plan whose keys or request fields the examples' source does not carry.

    Raises
    ------
    ConfigurationError
        Naming what is missing.
    """
    needed = [*join_keys_of(plan), *(field.name for field in plan.request_fields)]
    held = {field.name for field in source.fields}
    missing = [name for name in needed if name not in held]
    if missing:
        raise ConfigurationError(
            f"source {source.name} cannot give examples to service {plan.service}",
            found=f"no field {', '.join(missing)}",
            remedy="declare the fields in the source, or take another example_source",
        )


def examples_of(events: DataFrame, plan: Plan) -> DataFrame:
    """Rows of the examples' source as points.

    Columns ``point_id``, ``example_id``, the join keys, ``event_timestamp``, ``known_at``
    (null: the example's own instant) and one ``request_<field>`` a request field, as double.
    """
    requests = [
        F.col(field.name).cast("double").alias(f"request_{field.name}")
        for field in plan.request_fields
    ]
    point_id = F.concat_ws("@", EVENT_ID, F.unix_millis(EVENT_TIMESTAMP).cast("string"))
    return events.select(
        point_id.alias("point_id"),
        F.col(EVENT_ID).alias("example_id"),
        *join_keys_of(plan),
        EVENT_TIMESTAMP,
        F.lit(None).cast("timestamp").alias("known_at"),
        *requests,
    )


def labelled(examples: DataFrame, labels: DataFrame, label: Label, cut_ms: int) -> DataFrame:
    """Examples with the column ``label`` (0 or 1), as it was known at ``cut_ms``.

    Where several rows label one example, the one that became known last counts; ties go to
    the later ``available_at``, then the greater id. An example without one is 0 or left out,
    as declared.
    """
    known = labels.where(
        (F.col(EVENT_TIMESTAMP) <= instant(cut_ms)) & (F.col("available_at") <= instant(cut_ms))
    )
    latest = Window.partitionBy(label.refers_to).orderBy(
        F.desc(EVENT_TIMESTAMP), F.desc("available_at"), F.desc(EVENT_ID)
    )
    verdicts = (
        known.withColumn("_rank", F.row_number().over(latest))
        .where("_rank = 1")
        .select(
            F.col(label.refers_to).alias("example_id"),
            F.col(label.column).cast("int").alias("label"),
        )
    )
    how = "inner" if label.absent_means == "drop" else "left"
    return examples.join(verdicts, on="example_id", how=how).fillna(0, subset=["label"])


def without_opted_out(rows: DataFrame, consent: Consent, words: DataFrame) -> DataFrame:
    """Rows of subjects whose last word is not that they opt out.

    All that was ever said counts, also behind a training set's cut: who opts out is not learnt
    from any more, whatever they had said at the time.
    """
    keys = [F.col(key).cast("string").alias(f"_out_{key}") for key in consent.keys]
    said = words.where(F.col(consent.column).isNotNull()).select(
        *keys,
        F.struct(*ORDER, F.col(consent.column).cast("int").alias("is_out")).alias("word"),
    )
    last = said.groupBy(*(f"_out_{key}" for key in consent.keys)).agg(F.max("word").alias("word"))
    is_same = [F.col(key).cast("string") == F.col(f"_out_{key}") for key in consent.keys]
    return rows.join(last.where("word.is_out != 0"), on=is_same, how="left_anti")


def pruned(
    events: Mapping[str, DataFrame], views: Sequence[ViewPlan], *, first_ms: int, last_ms: int
) -> dict[str, DataFrame]:
    """Events without the dates that no point in ``[first_ms, last_ms]`` can look back to."""
    kept = {}
    for source, frame in events.items():
        reaches = [view.reach_ms for view in views if view.source == source]
        rows = frame.where(F.col("event_date") <= F.lit(event_date(last_ms)).cast("date"))
        if reaches and all(reach is not None for reach in reaches):
            farthest = max(reach for reach in reaches if reach is not None)
            oldest = event_date(first_ms - farthest)
            rows = rows.where(F.col("event_date") >= F.lit(oldest).cast("date"))
        kept[source] = rows
    return kept
