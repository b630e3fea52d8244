"""Sensors: each looks, lets a pure function decide, and says in words why nothing happened."""

from collections.abc import Callable, Mapping
from contextlib import closing

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from assets.declared import Declared
from assets.events import WRITER
from assets.resources import Platform
from assets.tables import writer_number
from core.contracts import Source
from orchestration.decisions import (
    Go,
    LogState,
    Patience,
    Skip,
    again,
    ingest_decision,
    is_ripe,
)
from orchestration.ingest import announced_epoch, ingest_config, ingest_name
from orchestration.leftovers import IN_PROGRESS, close_leftovers
from stores.log import epochs
from stores.log.open_epoch import Waiting

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
    numbers = epochs.sealed_numbers(directory)
    sealed = max(numbers, default=0)
    with closing(platform.log(source)) as log:
        waits = log.waiting(platform.clock.now_ms()) or Waiting(0, 0, 0)
    at_ms = {n: epochs.read_manifest(directory, n).sealed_at_ms for n in numbers if n >= ingested}
    return LogState(
        last_sealed=sealed,
        open_bytes=waits.bytes,
        ingested=ingested,
        open_events=waits.events,
        open_since_ms=waits.since_ms,
        pending=tuple((number, at) for number, at in at_ms.items() if number > ingested),
        covered_ms=at_ms.get(ingested, 0),
    )


def ingest_sensor(source: Source, job: Job, patience: Patience) -> dg.SensorDefinition:
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
        close_leftovers(context.instance, has_daemon=True)  # a killed command holds up the queue
        return requested_alone(
            context.instance,
            job.name,
            source.name,
            lambda: ingest_decided(context.instance, platform, source, patience),
            source=source.name,
        )

    return sensor


def ingest_decided(
    instance: dg.DagsterInstance, platform: Platform, source: Source, patience: Patience
) -> Go | Skip:
    """The decision on a source; an open epoch that is ripe is sealed first."""
    now_ms = platform.clock.now_ms()
    state = log_state(platform, source.name)
    if is_ripe(state, patience, now_ms):
        with closing(platform.log(source.name)) as log:
            log.seal(now_ms)
        state = log_state(platform, source.name)
    others = {reference.source for reference in source.references}
    return ingest_decision(
        source.name,
        state,
        {name: log_state(platform, name) for name in sorted(others)},
        announced=announced_epoch(instance, source.name),
        patience=patience,
        now_ms=now_ms,
    )


def is_under_way(instance: dg.DagsterInstance, job: str) -> bool:
    """Whether a run of a job waits or works: another would see what that one sees."""
    return instance.get_runs_count(dg.RunsFilter(job_name=job, statuses=UNFINISHED)) > 0


def requested_alone(
    instance: dg.DagsterInstance,
    job: str,
    of: str,
    decide: Callable[[], Go | Skip],
    *,
    source: str | None = None,
) -> dg.RunRequest | dg.SkipReason:
    """`requested`, and not decided before a run of the job that waits or works has ended."""
    if is_under_way(instance, job):
        return dg.SkipReason(f"{of}: a run of {job} waits or is at work")
    return requested(instance, decide(), source=source)


def failed_runs(instance: dg.DagsterInstance, cause: str) -> int:
    """How many runs of one cause ended badly."""
    ended = [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
    return instance.get_runs_count(dg.RunsFilter(tags={CAUSE: cause}, statuses=ended))


def requested(
    instance: dg.DagsterInstance, decision: Go | Skip, *, source: str | None = None
) -> dg.RunRequest | dg.SkipReason:
    """`as_request`, once more after runs of the same cause that failed, and then no more."""
    if isinstance(decision, Skip):
        return as_request(decision)
    failed = failed_runs(instance, decision.key)
    return as_request(again(decision, failed), cause=decision.key, source=source)


def as_request(
    decision: Go | Skip,
    *,
    partition: str | None = None,
    cause: str | None = None,
    source: str | None = None,
) -> dg.RunRequest | dg.SkipReason:
    """A decision as Dagster takes it; runs of one ``cause`` can be counted.

    With a ``source`` its ingest is told the epoch of the decision.
    """
    if isinstance(decision, Skip):
        return dg.SkipReason(decision.why)
    tags = {"throughline/why": decision.why, CAUSE: cause or decision.key}
    return dg.RunRequest(
        run_key=decision.key,
        partition_key=partition,
        tags=tags,
        run_config=ingest_config(source, decision.epoch) if source else None,
    )


def ingest_sensors(
    declared: Declared, jobs: Mapping[str, Job], patience: Patience
) -> list[dg.SensorDefinition]:
    """One sensor a source."""
    sources = declared.sources.values()
    return [ingest_sensor(source, jobs[ingest_name(source.name)], patience) for source in sources]
