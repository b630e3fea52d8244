"""Runs of Dagster and of MLflow whose period is over, but for those that something rests on.

And what runs that were killed left in folders that were only ever theirs.
"""

import shutil
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg

from assets.registry import tracking_of
from assets.resources import Platform
from assets.retention_cold import Kept
from core.clock import DAY_MS
from core.retention import Piece
from core.use_case import UseCase
from stores.layout import Layout
from stores.shelf.shelf import Shelf

RUNS, SCRATCH = "runs/dagster", "scratch"
MOST_AT_ONCE = 2_000
ON_SHELF = "its release is on the shelf"
SCRATCH_DAYS = 7
"""No run takes so long; in scratch are rows, under no period but this one."""

LATEST = "says the latest of an asset, a date or a check"
FINISHED = [
    dg.DagsterRunStatus.SUCCESS,
    dg.DagsterRunStatus.FAILURE,
    dg.DagsterRunStatus.CANCELED,
]
MATERIALISED = dg.DagsterEventType.ASSET_MATERIALIZATION


def dagster_runs(
    instance: dg.DagsterInstance,
    checks: Iterable[dg.AssetCheckKey],
    *,
    days: int,
    now_ms: int,
    storage: Path,
) -> Kept:
    """Finished runs of the orchestrator, `MOST_AT_ONCE` in one sweep, the oldest first.

    Without the events of a run that made the latest of something, Dagster would hold that
    thing for missing and make it again.
    """

    def pieces() -> list[Piece]:
        limit = datetime.fromtimestamp((now_ms - days * DAY_MS) / 1_000, tz=UTC)
        old = _records(instance, MOST_AT_ONCE, created_before=limit)
        young = _records(instance, 1, created_after=limit)
        needed = latest_runs(instance, checks) if old else set()
        return [
            Piece(
                record.dagster_run.run_id,
                int(record.create_timestamp.timestamp() * 1_000),
                needed=LATEST if record.dagster_run.run_id in needed else "",
            )
            for record in (*old, *young)
        ]

    def remove(names: Sequence[str]) -> None:
        for run_id in names:
            shutil.rmtree(storage / run_id, ignore_errors=True)
            instance.delete_run(run_id)

    return Kept(RUNS, days, pieces, remove)


def _records(instance: dg.DagsterInstance, limit: int, **when: datetime) -> Sequence[dg.RunRecord]:
    chosen = dg.RunsFilter(statuses=FINISHED, **when)  # type: ignore[arg-type]
    return instance.get_run_records(chosen, limit=limit, ascending=True)


def latest_runs(instance: dg.DagsterInstance, checks: Iterable[dg.AssetCheckKey]) -> set[str]:
    """Runs that hold the latest of something: of an asset, of one of its dates, of a check."""
    found: set[str] = set()
    storage = instance.event_log_storage
    for key in instance.all_asset_keys():
        last = instance.get_latest_materialization_event(key)
        if last is not None:
            found.add(last.run_id)
        ids = list(storage.get_latest_storage_id_by_partition(key, MATERIALISED).values())
        if ids:
            chosen = dg.AssetRecordsFilter(asset_key=key, storage_ids=ids)
            records = instance.fetch_materializations(chosen, limit=len(ids)).records
            found |= {record.run_id for record in records}
    latest = storage.get_latest_asset_check_execution_by_key(list(checks))
    return found | {record.run_id for record in latest.values()}


def mlflow_runs(platform: Platform, use_case: UseCase) -> Kept:
    """Runs that fitted candidates; one whose release is still on the shelf is needed."""
    name = use_case.name

    def pieces() -> list[Piece]:
        from training.tracking_sweep import runs_of

        on_shelf = set(Shelf(platform.layout.shelf).releases(name))
        return [
            Piece(run.run_id, run.started_ms, needed=ON_SHELF if run.releases & on_shelf else "")
            for run in runs_of(tracking_of(platform, name))
        ]

    def remove(names: Sequence[str]) -> None:
        from training.tracking_sweep import forget_runs

        forget_runs(tracking_of(platform, name), names)

    return Kept(f"runs/mlflow_{name}", use_case.training_retention_days, pieces, remove)


def scratch(layout: Layout) -> Kept:
    """What Spark and jobs that were killed left behind; who ends by himself leaves nothing."""
    roots = [layout.scratch]
    if "://" not in layout.staging("any"):
        roots.append(Path(layout.staging("any")).parent)

    def pieces() -> list[Piece]:
        entries = [entry for root in roots if root.is_dir() for entry in sorted(root.iterdir())]
        return [_leftover(entry) for entry in entries]

    def remove(names: Sequence[str]) -> None:
        for name in names:
            if Path(name).is_dir():
                shutil.rmtree(name, ignore_errors=True)
            else:
                Path(name).unlink(missing_ok=True)

    return Kept(SCRATCH, SCRATCH_DAYS, pieces, remove)


def _leftover(entry: Path) -> Piece:
    """A file or a folder, from when something in it was last written."""
    born_ms = n_bytes = 0
    for path in (entry, *entry.rglob("*")):
        with suppress(FileNotFoundError):  # its run is at work
            facts = path.lstat()
            born_ms = max(born_ms, facts.st_mtime_ns // 1_000_000)
            n_bytes += facts.st_size
    return Piece(str(entry), born_ms, n_bytes)
