"""Refused rows as their table holds them: with the record as it came, and its mapping.

A row that keeps the contract by itself and is refused for the company it is in (another row
of its id, a reference that is not there) was parsed without its record, which nearly no row
needs. It is read from the log once more for those that do.
"""

from __future__ import annotations

import json
from collections.abc import Collection

from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812 - the name all of Spark's documents use

from spark_jobs.reading import SliceReader, raw_records
from spark_jobs.verdicts import CONFLICT, FEW, UNKNOWN

_PLACE = ["epoch", "offset"]


def refused_rows(
    judged: DataFrame,
    reader: SliceReader,
    codes: Collection[str],
    n_rows: int,
    *,
    in_driver_below_bytes: int,
) -> DataFrame:
    """Rows of ``judged`` that are refused, of which there are ``n_rows``, for ``codes``."""
    refused = judged.where("verdict = 'rejected'").withColumn("source", F.lit(reader.source.name))
    if not {CONFLICT, UNKNOWN}.isdisjoint(codes):
        raws = raw_records(judged.sparkSession, reader, in_driver_below_bytes=in_driver_below_bytes)
        few = F.broadcast(refused) if n_rows <= FEW else refused
        refused = few.withColumnRenamed("raw", "_raw").join(raws, on=_PLACE, how="inner")
        refused = refused.withColumn("raw", F.coalesce("_raw", "raw"))
    documents = [
        (epoch.epoch, json.dumps(epoch.mapping, sort_keys=True))
        for epoch in reader.epochs
        if epoch.mapping
    ]
    mappings = judged.sparkSession.createDataFrame(documents, "epoch long, mapping string")
    return refused.join(F.broadcast(mappings), on="epoch", how="left")
