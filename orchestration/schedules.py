"""Schedules: only where wall-clock time is the meaning."""

from collections.abc import Callable
from datetime import UTC, datetime

import dagster as dg

from assets import names
from assets.declared import Declared
from assets.resources import Platform
from assets.tables import is_table
from core.clock import DAY_MS, event_date
from core.features.plan import Plan
from core.use_case import UseCase
from orchestration.decisions import Go, Skip, scores_decision
from orchestration.sensors import Job, as_request
from stores.shelf.channels import read_channels

RUNNING = dg.DefaultScheduleStatus.RUNNING
SCORES_AT = "0 2 * * *"
REBASE_AT = "15 * * * *"
SWEEP_AT = "30 4 * * *"
AFTER_A_CRASH = {"dagster/max_retries": "3", "dagster/retry_strategy": "FROM_FAILURE"}
AFTER_A_FAILURE = dg.RetryPolicy(max_retries=3, delay=60, backoff=dg.Backoff.EXPONENTIAL)


def at_utc(
    cron: str, *, name: str, job: Job, description: str
) -> Callable[[Callable[..., dg.RunRequest | dg.SkipReason]], dg.ScheduleDefinition]:
    """A schedule as all of ours are: its times are UTC, and it runs unless it is stopped."""
    return dg.schedule(
        cron_schedule=cron,
        name=name,
        job=job,
        description=description,
        execution_timezone="UTC",
        default_status=RUNNING,
    )


def scores_job(use_case: UseCase) -> Job:
    """Job that scores one as-of date of a use case."""
    return dg.define_asset_job(
        f"daily_scores_{use_case.name}",
        selection=dg.AssetSelection.assets(names.scores(use_case.name)),
        description=f"Batch scores of {use_case.name} for one as-of date, by the champion.",
        op_retry_policy=AFTER_A_FAILURE,
        tags=AFTER_A_CRASH,
    )


def as_of_date(use_case: UseCase, scheduled_ms: int) -> str:
    """Date that a tick scores: examples of yesterday, or entities as of today's midnight."""
    is_example = use_case.scores_grain == "example"
    return event_date(scheduled_ms - (DAY_MS if is_example else 0))


def scores_schedule(use_case: UseCase, plan: Plan, job: Job) -> dg.ScheduleDefinition:
    """Schedule of a use case's daily scores."""

    @at_utc(
        SCORES_AT,
        name=f"daily_scores_{use_case.name}_at_two",
        job=job,
        description=f"Scores {use_case.name} at 02:00 UTC, when the day before is whole.",
    )
    def schedule(
        context: dg.ScheduleEvaluationContext, platform: Platform
    ) -> dg.RunRequest | dg.SkipReason:
        date = as_of_date(use_case, instant_of(context.scheduled_execution_time))
        layout = platform.layout
        channels = read_channels(layout)
        tables = {
            view.name: is_table(layout.tiles(view.name)) for view in plan.views if view.windows
        }
        champion = channels.state(use_case.name).champion
        decision = scores_decision(use_case.name, date, champion, tables)
        return as_request(decision, partition=date)

    return schedule


def rebase_job(declared: Declared) -> Job:
    """Job that writes the base half of all online values anew."""
    keys = [names.online(view) for view in declared.views]
    return dg.define_asset_job(
        "rebase_online_values",
        selection=dg.AssetSelection.assets(*keys),
        description="Base values of all views, from the tables as they stand.",
    )


def rebase_decision(declared: Declared, platform: Platform, hour: str) -> Go | Skip:
    """Whether the hourly re-base has tables to read."""
    layout = platform.layout
    uris = {
        view.name: layout.tiles(view.name) if view.windows else layout.events(view.source)
        for view in declared.views.values()
    }
    missing = [name for name, uri in uris.items() if not is_table(uri)]
    if missing:
        return Skip(f"no tables yet for {', '.join(missing)}")
    return Go(key=f"rebase:{hour}", why="the head of an hour moves into the base")


def rebase_schedule(declared: Declared, job: Job) -> dg.ScheduleDefinition:
    """Schedule that keeps deltas short: what the folder holds is moved into the base."""

    @at_utc(
        REBASE_AT,
        name="rebase_online_values_hourly",
        job=job,
        description="Moves what the folder holds into the base, so that reads stay small.",
    )
    def schedule(
        context: dg.ScheduleEvaluationContext, platform: Platform
    ) -> dg.RunRequest | dg.SkipReason:
        hour = context.scheduled_execution_time.strftime("%Y-%m-%dT%H")
        return as_request(rebase_decision(declared, platform, hour))

    return schedule


def retention_job() -> Job:
    """Job that removes everything whose period is over."""
    return dg.define_asset_job(
        "sweep_retention",
        selection=dg.AssetSelection.assets(names.retention(), names.archive()),
        description=(
            "Removes everything whose declared period is over, joins small files, and archives "
            "releases that serve nobody any more."
        ),
        op_retry_policy=AFTER_A_FAILURE,
        tags=AFTER_A_CRASH,
    )


def retention_schedule(job: Job) -> dg.ScheduleDefinition:
    """Schedule of the daily sweep, when the night's scores are done."""
    return dg.ScheduleDefinition(
        name="sweep_retention_daily",
        job=job,
        cron_schedule=SWEEP_AT,
        execution_timezone="UTC",
        default_status=RUNNING,
        description="Removes what has had its time, at 04:30 UTC.",
    )


def instant_of(at: datetime) -> int:
    """A tick's time in epoch milliseconds."""
    return int(at.astimezone(UTC).timestamp() * 1_000)
