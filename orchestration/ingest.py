"""Ingest as a job: sealed epochs of a source's log into its table, whatever their dates.

A run belongs to no partition. It takes every epoch that the table has not seen, up to the one
it is told; told none, it seals what was appended so far and takes all. It reports a
materialisation of the event table for each event date it touched, so that what is downstream
is requested for exactly those dates. Last of all it observes which epoch is announced: a run
that dies after its rows were written leaves that where it was, and the next one announces the
dates of both.
"""

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any

import dagster as dg

from assets import names
from assets.checks.events import results
from assets.checks.expectations import GREAT_EXPECTATIONS
from assets.columns import event_columns
from assets.events import WRITER
from assets.partitions import FIRST_DATE
from assets.resources import CODE_VERSION, Launcher, Platform
from assets.tables import facts_of, is_table, writer_number
from core.contracts import Source
from stores.durable import exclusive_lock

LAST_EPOCH = "last_epoch"
LOCK = "ingest.lock"
LOOK_BACK = 20  # somebody may have observed the table by hand since


def ingest_name(source: str) -> str:
    """Name of a source's ingest job."""
    return f"ingest_{source}"


class IngestConfig(dg.Config):
    """How far to go."""

    to_epoch: int = 0
    """Last epoch to take; 0 seals the open one and takes all."""


def ingest_config(source: str, to_epoch: int) -> dict[str, Any]:
    """Configuration of a run that takes a source's epochs up to one that is sealed."""
    return {"ops": {op_name(source): {"config": {"to_epoch": to_epoch}}}}


def op_name(source: str) -> str:
    """Name of the one op of a source's ingest job."""
    return f"take_epochs_of_{source}"


def ingest_job(source: Source) -> dg.JobDefinition:
    """Job that brings a source's table up to its log."""

    @dg.op(name=op_name(source.name), description=source.description)
    def ingest(
        context: dg.OpExecutionContext,
        config: IngestConfig,
        launcher: Launcher,
        platform: Platform,
    ) -> dict[str, Any]:
        with one_at_a_time(platform, source.name):
            return taken(context, launcher, platform, source, config.to_epoch)

    @dg.job(name=ingest_name(source.name), description=f"Ingest {source.name}: log to table.")
    def job() -> None:
        ingest()

    return job


@contextmanager
def one_at_a_time(platform: Platform, source: str) -> Iterator[None]:
    """Hold what an ingest of a source holds from its first look to its last word.

    The table has a lock of its own; without this one, two runs would announce the same dates.
    """
    with exclusive_lock(platform.log(source).directory / LOCK):
        yield


def taken(
    context: dg.OpExecutionContext,
    launcher: Launcher,
    platform: Platform,
    source: Source,
    to_epoch: int,
) -> dict[str, Any]:
    """Report of the job that took a source's epochs, announced; empty when it has no work."""
    epoch = to_epoch or last_epoch(platform, source.name)
    reported = reported_epoch(context.instance, platform, source.name)
    if epoch <= reported:
        context.log.info(f"{source.name}: epoch {epoch} is ingested and announced")
        return {}
    report = launcher.launch(
        context,
        "ingest",
        **platform.told(),
        source=source.model_dump(),
        to_epoch=epoch,
        reported_epoch=reported,
    )
    report_dates(context, platform, source, report)
    return report


def last_epoch(platform: Platform, source: str) -> int:
    """Last sealed epoch of a source, after sealing the open one; 0 when there is none."""
    with closing(platform.log(source)) as log:
        log.seal(platform.clock.now_ms())
        epochs = log.epochs()
    return epochs[-1].epoch if epochs else 0


def announced_epoch(instance: dg.DagsterInstance, source: str) -> int:
    """Last epoch whose event dates were all announced; 0 when none was."""
    seen = instance.fetch_observations(names.events(source), limit=LOOK_BACK).records
    for observation in (record.asset_observation for record in seen):
        told = observation.metadata.get(LAST_EPOCH) if observation else None
        if isinstance(told, dg.IntMetadataValue) and told.value is not None:
            return told.value
    return 0


def reported_epoch(instance: dg.DagsterInstance, platform: Platform, source: str) -> int:
    """Where a report has to begin: a table that was made anew knows less than was announced."""
    ingested = writer_number(platform.layout.events(source), WRITER)
    return min(announced_epoch(instance, source), ingested)


def report_dates(
    context: dg.OpExecutionContext, platform: Platform, source: Source, report: Mapping[str, Any]
) -> None:
    """A materialisation for each touched date that has a partition, their checks, the epoch.

    The epoch comes last, so that what was announced in part counts as not announced.
    """
    dates = sorted(report["touched"])
    uri = platform.layout.events(source.name)
    shared = facts_of(uri).metadata(event_columns(source)) if is_table(uri) else {}
    shared |= {CODE_VERSION: platform.code_version}
    numbers = {key: report[key] for key in ("epochs", "accepted", "duplicates", "rejected")}
    for date in dates:
        rows = report["touched"][date]
        if date < FIRST_DATE:
            context.log.warning(f"{rows} rows of {date} have no partition: before {FIRST_DATE}")
            continue
        metadata = {**shared, "rows_accepted": rows, "dates": dates, "ingest": numbers}
        event = dg.AssetMaterialization(key_of(source), partition=date, metadata=metadata)
        context.log_event(event)
    if report["epochs"]:
        for result in results(platform, source, dates):
            # log_event takes an evaluation; its annotation does not say so
            context.log_event(evaluated(key_of(source), result))  # type: ignore[arg-type]
        last = {LAST_EPOCH: report["epochs"][-1]}
        context.log_event(dg.AssetObservation(key_of(source), metadata=last))


def key_of(source: Source) -> dg.AssetKey:
    """Key of the table that ingest writes."""
    return names.events(source.name)


def evaluated(key: dg.AssetKey, result: dg.AssetCheckResult) -> dg.AssetCheckEvaluation:
    """Result of a check as an event of the run."""
    return dg.AssetCheckEvaluation(
        asset_key=key,
        check_name=result.check_name or "",
        passed=result.passed,
        metadata=result.metadata,
        severity=result.severity,
        description=result.description,
        blocking=result.check_name == GREAT_EXPECTATIONS,
    )
