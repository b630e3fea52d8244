"""Refused records once more: landed again, as they came, as new epochs of their log.

Nothing is repaired and nothing bypasses the contract: the next ingest reads the new epochs
like any other and accepts what keeps the contract now (a reference that has come, a contract
that was widened). Which epoch holds the copy is written beside each refused record, so none
is taken twice. Killed between landing and marking, the next run finds its own epoch by
content and only marks.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from delta.tables import DeltaTable
from pydantic import model_validator
from pyspark.sql import Column, Row, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - the name all of Spark's documents use

from core.contracts import Source
from core.mapping import read_mapping
from spark_jobs.delta import Commit, committing, is_table, latest_version, read_table, table_lock
from spark_jobs.job import EventDate, JobArguments, JobReport, date_condition, run_main
from stores.log.epochs import Epoch
from stores.log.source_log import SourceLog

WRITER = "replay_rejects"


class Arguments(JobArguments):
    """Which refused records to land again: those that every given filter holds for."""

    source: Source
    codes: tuple[str, ...] = ()
    epochs: tuple[int, ...] = ()
    dates: tuple[EventDate, ...] = ()

    @model_validator(mode="after")
    def _says_which(self) -> Arguments:
        if not (self.codes or self.epochs or self.dates):
            raise ValueError("say which: give codes, epochs or dates")
        return self


class Report(JobReport):
    """``landed`` maps each new epoch to its records; ingest up to ``to_epoch`` next."""

    source: str
    landed: dict[int, int]
    by_code: dict[str, int]
    to_epoch: int
    rejected_version: int


def run(spark: SparkSession, arguments: Arguments) -> Report:
    """Land and mark, under the lock of the rejected table."""
    source, layout = arguments.source, arguments.layout
    uri = layout.rejected(source.name)
    landed: dict[int, int] = {}
    by_code: dict[str, int] = {}
    log = SourceLog(layout.log_dir(source.name), source.name)
    with table_lock(uri):
        if is_table(spark, uri):
            rejected = read_table(spark, uri)
            marked = {
                int(row[0])
                for row in rejected.select("replayed_epoch").dropna().distinct().collect()
            }
            rows = rejected.where(_chosen(arguments)).orderBy("epoch", "partition", "offset")
            for group in _groups(log, rows.collect()):
                number = _landed(log, source, group, marked, now_ms=arguments.now_ms)
                _mark(spark, arguments, sorted({row["epoch"] for row in group}), number)
                marked.add(number)
                landed[number] = len(group)
                for row in group:
                    by_code[row["code"]] = by_code.get(row["code"], 0) + 1
    return Report(
        source=source.name,
        landed=landed,
        by_code=by_code,
        to_epoch=max(landed, default=0),
        rejected_version=latest_version(spark, uri),
    )


def _chosen(arguments: Arguments) -> Column:
    condition = F.col("replayed_epoch").isNull()
    if arguments.codes:
        condition &= F.col("code").isin(*arguments.codes)
    if arguments.epochs:
        condition &= F.col("epoch").isin(*arguments.epochs)
    if arguments.dates:
        condition &= F.expr(date_condition(arguments.dates))
    return condition


def _groups(log: SourceLog, rows: Sequence[Row]) -> list[list[Row]]:
    """Records that came in the same way, so that one landed file can stand for them."""
    manifests = {epoch.epoch: epoch for epoch in log.epochs()}
    groups: dict[str, list[Row]] = {}
    for row in rows:
        origin = manifests[row["epoch"]]
        way = json.dumps(_way(origin), sort_keys=True)
        groups.setdefault(way, []).append(row)
    return list(groups.values())


def _landed(
    log: SourceLog, source: Source, group: Sequence[Row], marked: set[int], *, now_ms: int
) -> int:
    """Epoch that holds the group: one left by a run that died before marking, or a new one."""
    content = "".join(f"{_line(row['raw'])}\n" for row in group).encode()
    newest = max(row["epoch"] for row in group)
    origin = next(epoch for epoch in log.epochs() if epoch.epoch == group[0]["epoch"])
    for epoch in log.epochs(after=newest):
        if epoch.epoch not in marked and _is_copy(epoch, content, origin):
            return epoch.epoch
    with tempfile.TemporaryDirectory(dir=log.directory.parent, prefix=".replay-") as folder:
        path = Path(folder) / "replay.ndjson"
        path.write_bytes(content)
        landing = log.land(
            path,
            None if origin.mapping is None else read_mapping(origin.mapping),
            now_ms=now_ms,
            is_historic=origin.is_historic,
            delay_ms=origin.delay_ms,
            is_repeat_allowed=True,
            contract=source.as_of(origin.contract),
        )
    return landing.epoch.epoch


def _is_copy(epoch: Epoch, content: bytes, origin: Epoch) -> bool:
    is_same = epoch.sha256 == hashlib.sha256(content).hexdigest()
    return epoch.kind == "file" and is_same and _way(epoch) == _way(origin)


def _way(epoch: Epoch) -> list[Any]:
    """What else than its bytes says what its records are."""
    return [epoch.mapping, epoch.is_historic, epoch.delay_ms, epoch.contract]


def _line(raw: str) -> str:
    """A record as one line; text that spans several lines stays one (and stays malformed)."""
    return json.dumps(raw) if "\n" in raw or "\r" in raw else raw


def _mark(spark: SparkSession, arguments: Arguments, origins: Sequence[int], number: int) -> None:
    uri = arguments.layout.rejected(arguments.source.name)
    chosen = _chosen(arguments) & F.col("epoch").isin(*origins)
    with committing(spark, uri, Commit(WRITER, {"replayed_epoch": number})):
        DeltaTable.forPath(spark, uri).update(chosen, {"replayed_epoch": F.lit(number)})


def main() -> int:
    """Start by hand or by Pipes."""
    return run_main(Arguments, run)


if __name__ == "__main__":
    raise SystemExit(main())
