"""What Dagster and the tables know of the assets upstream of a use case, day by day.

Everything here only looks: what it means is decided by `core.monitoring.upstream`.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import dagster as dg
from dagster._core.storage.partition_status_cache import AssetPartitionStatus

from assets import names
from assets.checks.expectations import GREAT_EXPECTATIONS
from assets.checks.last_word import last_word
from assets.checks.outputs import NAME as MADE_RIGHT
from assets.checks.parity import PARITY
from assets.partitions import EVENT_DATES
from assets.predictions import WHOLE
from assets.resources import CODE_VERSION, Platform
from assets.tables import is_table, partition_facts, read_columns
from assets.watching.window import Window
from core.clock import DAY_MS, HOUR_MS, date_start_ms
from core.contracts import Source
from core.features.plan import ViewPlan
from core.monitoring.upstream import AssetDay, AssetHistory, Schema
from core.stats.profile import TableProfile

SCHEMA = "dagster/column_schema"
MISSHAPEN = frozenset(
    {"missing_field", "unknown_field", "null_field", "wrong_type", "malformed"}
)  # fmt: skip
"""Codes of refusals that say that rows are made otherwise than the contract says."""


def source_history(
    instance: dg.DagsterInstance,
    platform: Platform,
    source: Source,
    window: Window,
    profiles: Mapping[str, TableProfile],
    *,
    late_hours: float,
) -> AssetHistory:
    """A source's table: rows, late ones, refused ones, schema and code of each day."""
    uri, key = platform.layout.events(source.name), names.events(source.name)
    rows = {p.value: p.rows for p in partition_facts(uri, "event_date")}
    late = late_rows(uri, [d for d in window.current if rows.get(d)], late_hours)
    refused = refused_shares(platform.layout.rejected(source.name), rows, window.current)
    written = last_writes(instance, key, window.dates)
    days = [
        AssetDay(
            partition=date,
            n_rows=rows.get(date, 0),
            late_share=late.get(date, (0.0, 0.0))[0],
            hours_late=late.get(date, (0.0, 0.0))[1],
            refused=refused.get(date, {}),
            schema=written.get(date, ((), ""))[0],
            code_version=written.get(date, ((), ""))[1],
        )
        for date in _since_first(rows, window)
    ]
    failed = failed_checks(instance, key, [GREAT_EXPECTATIONS])
    failed |= failed_ingest(instance, source.name)
    return AssetHistory(
        asset=key.to_user_string(), days=days, profiles=dict(profiles), failed_checks=failed
    )


def tiles_history(
    instance: dg.DagsterInstance, platform: Platform, view: ViewPlan, window: Window
) -> AssetHistory:
    """A view's tiles: dates whose run failed, schema and code.

    Their volume is that of events. Whether they are behind those is no fault: they follow them.
    """
    key = names.tiles(view.name)
    status = instance.get_status_by_partition(key, list(window.dates), EVENT_DATES) or {}
    written = last_writes(instance, key, window.dates)
    days = [
        AssetDay(
            partition=date,
            n_rows=1,  # how many tiles a day has says nothing that events do not
            is_failed=status.get(date) == AssetPartitionStatus.FAILED,
            schema=written.get(date, ((), ""))[0],
            code_version=written.get(date, ((), ""))[1],
        )
        for date in window.dates
    ]
    failed = failed_checks(instance, key, [GREAT_EXPECTATIONS])
    return AssetHistory(asset=key.to_user_string(), days=days, failed_checks=failed)


def answers_histories(instance: dg.DagsterInstance, use_case: str) -> list[AssetHistory]:
    """Records and batch scores of a use case: checks that say that they were made wrong.

    Not the audit that holds scores back when they are spread otherwise: that is what a changed
    world does to them, and what was to be told apart.
    """
    asked = {
        names.predictions(use_case): [PARITY, WHOLE],
        names.scores(use_case): [MADE_RIGHT, GREAT_EXPECTATIONS],
    }
    return [
        AssetHistory(
            asset=key.to_user_string(), days=(), failed_checks=failed_checks(instance, key, checks)
        )
        for key, checks in asked.items()
    ]


def _since_first(rows: Mapping[str, int], window: Window) -> list[str]:
    """Dates of the window from the first one on that the table has any row of, or before."""
    first = min((date for date, n in rows.items() if n), default=None)
    return [] if first is None else [date for date in window.dates if date >= first]


def failed_checks(
    instance: dg.DagsterInstance, key: dg.AssetKey, checks: Iterable[str]
) -> dict[str, str]:
    """Those of an asset's checks whose last word is a failure and not a warning, and why."""
    found = {}
    for name in checks:
        said = last_word(instance, dg.AssetCheckKey(key, name))
        if said and not said.passed and said.severity == dg.AssetCheckSeverity.ERROR:
            found[name] = said.description or "failed"
    return found


def failed_ingest(instance: dg.DagsterInstance, source: str) -> dict[str, str]:
    """The ingest of a source, when its last run failed."""
    ended = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE]
    wanted = dg.RunsFilter(job_name=f"ingest_{source}", statuses=ended)
    runs = instance.get_runs(wanted, limit=1)
    if not runs or runs[0].status == dg.DagsterRunStatus.SUCCESS:
        return {}
    return {"ingest": f"its last run, {runs[0].run_id[:8]}, failed"}


def last_writes(
    instance: dg.DagsterInstance, key: dg.AssetKey, dates: Sequence[str]
) -> dict[str, tuple[Schema, str]]:
    """Schema and code version of the last materialisation of each date."""
    wanted = dg.AssetRecordsFilter(asset_key=key, asset_partitions=list(dates))
    found: dict[str, tuple[Schema, str]] = {}
    for record in instance.fetch_materializations(wanted, limit=10 * len(dates)).records:
        made = record.asset_materialization
        if made is None or made.partition is None or made.partition in found:
            continue
        found[made.partition] = (_schema(made.metadata), _text(made.metadata.get(CODE_VERSION)))
    return found


def _schema(metadata: Mapping[str, Any]) -> Schema:
    held = metadata.get(SCHEMA)
    columns = held.schema.columns if isinstance(held, dg.TableSchemaMetadataValue) else ()
    return tuple((column.name, column.type) for column in columns)


def _text(value: Any) -> str:
    return str(getattr(value, "value", "") or "")


def late_rows(uri: str, dates: Iterable[str], late_hours: float) -> dict[str, tuple[float, float]]:
    """Share of a date's rows that came late, and by how many hours the last of them did."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.dataset as ds

    from stores.tables import dataset_of, open_table

    if not is_table(uri):
        return {}
    dataset: ds.Dataset = dataset_of(open_table(uri))
    found = {}
    for date in dates:
        due_ms = date_start_ms(date) + DAY_MS + int(late_hours * HOUR_MS)
        of_date = ds.field("event_date") == pa.scalar(date).cast(pa.date32())
        is_late = ds.field("available_at") > pa.scalar(due_ms, pa.timestamp("ms", tz="UTC"))
        late = dataset.to_table(columns=["available_at"], filter=of_date & is_late)
        if not late.num_rows:
            continue
        last = pc.max(late["available_at"]).as_py().timestamp() * 1_000
        share = late.num_rows / dataset.count_rows(filter=of_date)
        found[date] = (share, (last - due_ms) / HOUR_MS)
    return found


def refused_shares(
    uri: str, accepted: Mapping[str, int], dates: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Of what came on a date, the share that was refused for its shape, by field.

    What was replayed since is left out: it was taken, or refused anew.
    """
    if not is_table(uri):
        return {}
    columns = ["event_date", "code", "field"]
    table: Any = read_columns(uri, [*columns, "replayed_epoch"], within=("event_date", dates))
    open_ones = table.filter(table["replayed_epoch"].is_null())
    grouped = open_ones.group_by(columns).aggregate([([], "count_all")])
    found: dict[str, dict[str, float]] = {}
    for row in grouped.to_pylist():
        date, field = str(row["event_date"]), row["field"] or "the whole row"
        if row["code"] in MISSHAPEN:
            counts = found.setdefault(date, {})
            counts[field] = counts.get(field, 0) + row["count_all"]
    return {
        date: {f: n / (accepted.get(date, 0) + sum(counts.values())) for f, n in counts.items()}
        for date, counts in found.items()
    }
