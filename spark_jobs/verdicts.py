"""Which parsed rows are accepted, which are duplicates, which are refused: pure transforms.

They are judged by a few narrow columns, since sorting and joining whole records would cost
more than reading them. What is not simply accepted is mostly little, and goes back to the
whole rows by their position.
"""

from __future__ import annotations

from functools import reduce
from operator import and_

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F  # noqa: N812 - the name all of Spark's documents use

from core.contracts import Reference, Source
from core.erasing.erasure import FORGOTTEN

CONFLICT = "duplicate_conflict"
UNKNOWN = "unknown_reference"
REFUSAL = ("code", "field", "message")
PLACE = ("position", "partition")
FEW = 200_000
"""Exceptions that are carried to every task; more are joined."""


def narrow_columns(source: Source) -> list[str]:
    """Columns of a parsed row that its verdict depends on."""
    own = ["event_date", "event_id", "payload_digest", "epoch", "offset", *PLACE, *REFUSAL]
    referring = [column for reference in source.references for column in reference.columns]
    return list(dict.fromkeys([*own, *referring]))


def with_verdicts(parsed: DataFrame, judged: DataFrame) -> DataFrame:
    """Whole rows with the verdict, and where refused the reason, of the narrow ``judged``."""
    spark = parsed.sparkSession
    others = judged.where("verdict <> 'accepted'").select(*PLACE, *REFUSAL, "verdict")
    few = others.limit(FEW + 1).toArrow()
    if not few.num_rows:
        return parsed.withColumn("verdict", F.lit("accepted"))
    exceptions = F.broadcast(spark.createDataFrame(few)) if few.num_rows <= FEW else others
    joined = parsed.drop(*REFUSAL).join(exceptions, on=list(PLACE), how="left")
    return joined.withColumn("verdict", F.coalesce("verdict", F.lit("accepted")))


def unknown_references(parsed: DataFrame, reference: Reference, target: DataFrame) -> DataFrame:
    """Mark rows whose reference ``target`` does not hold; a null column refers to nothing."""
    known = target.select(
        *[
            F.col(column).alias(f"_target_{index}")
            for index, column in enumerate(reference.target_columns)
        ]
    ).distinct()
    same = [F.col(c) == F.col(f"_target_{i}") for i, c in enumerate(reference.columns)]
    present = [F.col(column).isNotNull() for column in reference.columns]
    is_set = reduce(and_, present, F.col("code").isNull())
    joined = parsed.join(known, on=same, how="left")
    is_unknown = is_set & F.col("_target_0").isNull()
    message = f"must name a row of {reference.source}"
    return _refused(joined, is_unknown, UNKNOWN, ",".join(reference.columns), message).select(
        parsed.columns
    )


def still_refused(parsed: DataFrame, rejected: DataFrame) -> DataFrame:
    """Keep refused what an earlier, broken run has already put down as refused."""
    before = rejected.select(
        *[F.col(key).alias(f"_{key}") for key in ("epoch", "partition", "offset")],
        F.col("code").alias("_code"),
        F.col("field").alias("_field"),
        F.col("message").alias("_message"),
    )
    same = (F.col("epoch") == F.col("_epoch")) & (F.col("offset") == F.col("_offset"))
    joined = parsed.join(before, on=same & (F.col("partition") == F.col("_partition")), how="left")
    for name in ("field", "message", "code"):
        joined = joined.withColumn(
            name, F.when(F.col("code").isNull(), F.col(f"_{name}")).otherwise(F.col(name))
        )
    return joined.select(parsed.columns)


def verdicts(parsed: DataFrame, events: DataFrame | None) -> DataFrame:
    """Say of each row whether it is accepted, a duplicate, rejected or of who was forgotten.

    The first row of an id and date wins, one that ``events`` holds before any of the batch.
    Another row of that id with the same payload is a duplicate; with another payload it is
    refused as ``duplicate_conflict``. A row that ``events`` holds from this very position
    was accepted by an earlier, broken run and counts as accepted.
    """
    # A named column: Spark would sort anew for each window over an expression.
    group = Window.partitionBy("event_date", "event_id", "_is_sound")
    first = group.orderBy("position", "partition")
    ranked = parsed.withColumn("_is_sound", F.col("code").isNull()).withColumns(
        {
            "_rank": F.row_number().over(first),
            "_digest": F.first("payload_digest").over(first),
        }
    )
    ranked = _with_held(ranked, events)
    is_held = F.col("_held_position").isNotNull()
    is_itself = (F.col("_held_position") == F.col("position")) & (
        F.col("_held_partition") == F.col("partition")
    )
    is_winner = F.when(is_held, is_itself).otherwise(F.col("_rank") == 1)
    is_same = F.col("payload_digest") == F.coalesce("_held_digest", "_digest")
    is_conflict = F.col("code").isNull() & ~is_winner & ~is_same
    message = "must not carry another payload than the first row of its id"
    judged = _refused(ranked, is_conflict, CONFLICT, "event_id", message)
    verdict = (
        F.when(F.col("code") == FORGOTTEN, FORGOTTEN)
        .when(F.col("code").isNotNull(), "rejected")
        .when(is_winner, "accepted")
        .otherwise("duplicate")
    )
    return judged.withColumn("verdict", verdict).select(*parsed.columns, "verdict")


def _with_held(ranked: DataFrame, events: DataFrame | None) -> DataFrame:
    if events is None:
        nothing = {"_held_position": "long", "_held_partition": "int", "_held_digest": "string"}
        return ranked.withColumns({k: F.lit(None).cast(v) for k, v in nothing.items()})
    held = events.select(
        "event_date",
        "event_id",
        F.col("position").alias("_held_position"),
        F.col("partition").alias("_held_partition"),
        F.col("payload_digest").alias("_held_digest"),
    )
    return ranked.join(held, on=["event_date", "event_id"], how="left")


def _refused(frame: DataFrame, condition: Column, code: str, field: str, message: str) -> DataFrame:
    changed = frame.withColumn("_refuse", condition)
    for name, value in (("code", code), ("field", field), ("message", message)):
        changed = changed.withColumn(
            name, F.when(F.col("_refuse"), F.lit(value)).otherwise(F.col(name))
        )
    return changed.drop("_refuse")
