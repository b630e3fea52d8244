"""The simulated payments of a home: landed as files, and in tables as ingest leaves them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json
import pyarrow.parquet as pq
from deltalake import CommitProperties, Transaction, write_deltalake
from watched_world import CountingLauncher

from assets.resources import Launcher
from core.contracts import Source
from core.features.keys import position
from stores.layout import Layout
from stores.lineage import INGEST
from stores.log.landing import landing_files
from stores.log.source_log import SourceLog
from use_cases.fraud.shift import shifted
from use_cases.fraud.simulator import simulate
from use_cases.fraud.use_case import USE_CASE

INSTANT = pa.timestamp("us", tz="UTC")
EXAMPLES = USE_CASE.source(USE_CASE.label.example_source)


class LearningLauncher(Launcher):
    """Counts profiles without Spark; builds training sets as production does, on the session."""

    def launch(self, context: Any, job: str, **told: Any) -> dict[str, Any]:
        if job == "profiles":
            return CountingLauncher().launch(context, job, **told)
        from shared_spark import interpreting

        from spark_jobs import training_set

        assert job == "training_set"
        arguments = training_set.Arguments.model_validate(told)
        return training_set.run(interpreting(), arguments).model_dump(mode="json")


class ShiftedWorld:
    """Payments of so many days up to ``now_ms``; those of one date, ``late``, do not come.

    Files are landed in the logs. Their rows go into tables without Spark: a simulation breaks no
    contract, and that ingest refuses what does is proved elsewhere.
    """

    def __init__(self, layout: Layout, *, payments: int, days: int, now_ms: int, late: str) -> None:
        self.layout, self._now_ms, self._late = layout, now_ms, late
        self._landed: set[Path] = set()
        self._withheld: list[pa.Table] = []
        simulate(layout.landing, seed=3, transactions=payments, days=days, end_ms=now_ms)
        self._withhold()

    def shift(self, *, days: int) -> None:
        """Another kind of payments on top, since so many days."""
        shifted(self.layout.landing, days=days, now_ms=self._now_ms)
        self._withhold()

    def send_what_is_late(self) -> None:
        """Put down what did not come."""
        path = self._folder(EXAMPLES) / "what_was_late.parquet"
        pq.write_table(pa.concat_tables(self._withheld), path)

    def _withhold(self) -> None:
        """Keep back rows of the late date, of files that are not landed yet."""
        for path in self._new(EXAMPLES):
            rows = _rows_of(path)
            is_late = pc.equal(pc.strftime(rows["event_timestamp"], "%Y-%m-%d"), self._late)
            if pc.any(is_late).as_py():
                self._withheld.append(rows.filter(is_late))
                path.unlink()
                pq.write_table(rows.filter(pc.invert(is_late)), path.with_suffix(".parquet"))

    def _new(self, source: Source) -> list[Path]:
        return [p for p in landing_files(self._folder(source)) if p not in self._landed]

    def take(self) -> int:
        """Land every file that is new, its rows in its table; the last epoch of the payments."""
        for source in USE_CASE.sources:
            for path in self._new(source):
                self._landed.add(path)
                self._take(source, path)
        return self._log(EXAMPLES).epochs()[-1].epoch

    def _take(self, source: Source, path: Path) -> None:
        landed = self._log(source).land(path, now_ms=self._now_ms, is_historic=True)
        rows = _rows_of(path)
        at = rows["event_timestamp"]
        first = position(landed.epoch.epoch, 0)
        columns = {
            "event_id": rows["event_id"],
            "event_timestamp": at,
            "available_at": at,
            "position": pa.array(range(first, first + len(rows)), pa.int64()),
            **{field.name: rows[field.name] for field in source.fields},
            "event_date": at.cast(pa.date32()),
        }
        epoch = Transaction(INGEST, landed.epoch.epoch)
        write_deltalake(
            self.layout.events(source.name),
            pa.table(columns),
            partition_by=["event_date"],
            mode="append",
            commit_properties=CommitProperties(app_transactions=[epoch]),
        )

    def _log(self, source: Source) -> SourceLog:
        return SourceLog(self.layout.log_dir(source.name), source.name)

    def _folder(self, source: Source) -> Path:
        return self.layout.landing_dir(source.name)


def _rows_of(path: Path) -> pa.Table:
    """Rows of a landing file, instants as tables have them."""
    is_parquet = path.suffix == ".parquet"
    rows = pq.read_table(path) if is_parquet else pyarrow.json.read_json(path)
    place = rows.schema.get_field_index("event_timestamp")
    return rows.set_column(place, "event_timestamp", rows["event_timestamp"].cast(INSTANT))
