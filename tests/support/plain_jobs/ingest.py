"""Ingest as `spark_jobs.ingest` does it, for records that are all good, without Spark."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake

from assets.tables import writer_number
from core.clock import event_date
from core.features.keys import epoch_of, position
from spark_jobs.ingest import WRITER, Arguments, Report
from stores.log.epochs import Malformed
from stores.log.source_log import SourceLog


def run(spark: None, arguments: Arguments) -> Report:
    source = arguments.source
    uri = arguments.layout.events(source.name)
    cursor = writer_number(uri, WRITER)
    reported = cursor if arguments.reported_epoch is None else arguments.reported_epoch
    log = SourceLog(arguments.layout.log_dir(source.name), source.name)
    epochs = [e.epoch for e in log.epochs() if e.epoch <= arguments.to_epoch]
    rows = [
        {**record.raw, "position": position(epoch, record.offset)}
        for epoch in epochs
        if epoch > cursor
        for record in log.records(epoch)
        if not isinstance(record.raw, Malformed)
    ]
    if epochs and epochs[-1] > cursor:
        commit = CommitProperties(app_transactions=[Transaction(WRITER, epochs[-1])])
        write_deltalake(uri, table_of(rows), mode="append", commit_properties=commit)
    held = DeltaTable(uri).to_pyarrow_table().to_pylist()
    touched = Counter(r["event_date"] for r in held if epoch_of(r["position"]) > reported)
    return Report(
        source=source.name,
        epochs=tuple(epoch for epoch in epochs if epoch > reported),
        touched=dict(touched),
        accepted=touched.total(),
        duplicates=0,
        rejected={},
        events_version=0,
        rejected_version=0,
    )


def table_of(rows: list[dict[str, Any]]) -> pa.Table:
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    at_ms = columns["event_timestamp"]
    times = pa.array(at_ms, pa.timestamp("ms", tz="UTC")).cast(pa.timestamp("us", tz="UTC"))
    more = {"event_timestamp": times, "available_at": times}
    return pa.table(columns | more | {"event_date": [event_date(at) for at in at_ms]})
