"""Sensors: each looks, lets a pure function decide, and says in words why nothing happened."""

from collections.abc import Mapping
from pathlib import Path

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from assets.declared import Declared
from assets.events import WRITER
from assets.resources import Platform
from assets.tables import writer_number
from core.contracts import Source
from orchestration.decisions import Go, LogState, Skip, again, ingest_decision
from orchestration.ingest import announced_epoch, ingest_name
from orchestration.leftovers import IN_PROGRESS
from stores import epochs

Job = dg.JobDefinition | UnresolvedAssetJobDefinition

RUNNING = dg.DefaultSensorStatus.RUNNING
LOOK_EVERY_S = 15
CAUSE = "throughline/cause"
# A run that was made and not submitted is not among them: asked for again, it is.
UNFINISHED = [dg.DagsterRunStatus.QUEUED, *IN_PROGRESS]


def log_state(platform: Platform, source: str) -> LogState:
    """How far a source's log and its table are."""
    directory = platform.layout.log_dir(source)
    ingested = writer_number(platform.layout.events(source), WRITER)
    if not directory.is_dir():
        return LogState(last_sealed=0, open_bytes=0, ingested=ingested)
    sealed = max(epochs.sealed_numbers(directory), default=0)
    open_epoch = epochs.appended_path(directory, sealed + 1)
    return LogState(sealed, _size(open_epoch), ingested)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def ingest_sensor(source: Source, job: Job) -> dg.SensorDefinition:
    """Sensor that ingests a source when its log is ahead of its table."""

    @dg.sensor(
        name=f"{source.name}_log",
        job=job,
        description=f"Ingests {source.name} when its log has epochs that its table has not.",
        minimum_interval_seconds=LOOK_EVERY_S,
        default_status=RUNNING,
    )
    def sensor(
        context: dg.SensorEvaluationContext, platform: Platform
    ) -> dg.RunRequest | dg.SkipReason:
        if is_under_way(context.instance, job.name):
            return dg.SkipReason(f"{source.name}: a run of {job.name} waits or is at work")
        others = {reference.source for reference in source.references}
        decision = ingest_decision(
            source.name,
            log_state(platform, source.name),
            {name: log_state(platform, name) for name in sorted(others)},
            announced=announced_epoch(context.instance, source.name),
        )
        if isinstance(decision, Skip):
            return as_request(decision)
        failed = failed_runs(context.instance, decision.key)
        return as_request(again(decision, failed), cause=decision.key)

    return sensor


def is_under_way(instance: dg.DagsterInstance, job: str) -> bool:
    """Whether a run of a job waits or works: another would see what that one sees."""
    return instance.get_runs_count(dg.RunsFilter(job_name=job, statuses=UNFINISHED)) > 0


def failed_runs(instance: dg.DagsterInstance, cause: str) -> int:
    """How many runs of one cause ended badly."""
    ended = [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
    return instance.get_runs_count(dg.RunsFilter(tags={CAUSE: cause}, statuses=ended))


def as_request(
    decision: Go | Skip, *, partition: str | None = None, cause: str | None = None
) -> dg.RunRequest | dg.SkipReason:
    """A decision as Dagster takes it; runs of one ``cause`` can be counted."""
    if isinstance(decision, Skip):
        return dg.SkipReason(decision.why)
    tags = {"throughline/why": decision.why, CAUSE: cause or decision.key}
    return dg.RunRequest(run_key=decision.key, partition_key=partition, tags=tags)


def ingest_sensors(declared: Declared, jobs: Mapping[str, Job]) -> list[dg.SensorDefinition]:
    """One sensor a source."""
    return [ingest_sensor(s, jobs[ingest_name(s.name)]) for s in declared.sources.values()]
