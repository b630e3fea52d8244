"""Ingest as a job: sealed epochs of a source's log into its table, whatever their dates.

A run belongs to no partition. It seals what was appended so far, takes every epoch that the
table has not seen, and reports a materialisation of the event table for each event date it
touched, so that what is downstream is requested for exactly those dates.
"""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from assets import names
from assets.checks.events import results
from assets.checks.expectations import GREAT_EXPECTATIONS
from assets.partitions import FIRST_DATE
from assets.resources import Launcher, Platform
from assets.tables import facts_of, is_table
from core.contracts import Source


def ingest_name(source: str) -> str:
    """Name of the job, and of its one op."""
    return f"ingest_{source}"


def ingest_job(source: Source) -> dg.JobDefinition:
    """Job that brings a source's table up to its log."""

    @dg.op(name=f"take_epochs_of_{source.name}", description=source.description)
    def ingest(
        context: dg.OpExecutionContext, launcher: Launcher, platform: Platform
    ) -> dict[str, Any]:
        epoch = last_epoch(platform, source.name)
        if epoch == 0:
            context.log.info(f"the log of {source.name} is empty; nothing to ingest")
            return {}
        report = launcher.launch(
            context, "ingest", **platform.told(), source=source.model_dump(), to_epoch=epoch
        )
        report_dates(context, platform, source, report)
        return report

    @dg.job(name=ingest_name(source.name), description=f"Ingest {source.name}: log to table.")
    def job() -> None:
        ingest()

    return job


def last_epoch(platform: Platform, source: str) -> int:
    """Last sealed epoch of a source, after sealing the open one; 0 when there is none."""
    log = platform.log(source)
    log.seal(platform.clock.now_ms())
    epochs = log.epochs()
    return epochs[-1].epoch if epochs else 0


def report_dates(
    context: dg.OpExecutionContext, platform: Platform, source: Source, report: Mapping[str, Any]
) -> None:
    """A materialisation for each touched date that has a partition, and the checks of them."""
    dates = sorted(report["touched"])
    uri = platform.layout.events(source.name)
    shared = facts_of(uri).metadata if is_table(uri) else {}
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
