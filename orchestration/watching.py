"""When a use case is watched: every night whole, every hour what changes by the hour."""

from collections.abc import Mapping

import dagster as dg

from assets import names
from assets.declared import Declared
from assets.resources import Platform
from assets.tables import is_table
from core.use_case import UseCase
from orchestration.decisions import Go, Skip, watch_decision
from orchestration.http_service import HttpService
from orchestration.schedules import AFTER_A_CRASH, at_utc
from orchestration.sensors import Job, as_request
from stores.shelf.channels import read_channels

NIGHTLY, HOURLY, ASKED = "watch_nightly", "watch_hourly", "ask_synthetic"
NIGHTLY_AT, HOURLY_AT, ASKED_AT = "30 3 * * *", "25 * * * *", "40 * * * *"


def watching_jobs(use_case: UseCase) -> list[Job]:
    """Jobs that watch a use case."""
    name = use_case.name
    looks = {
        NIGHTLY: (
            [names.performance(name), names.calibration(name), names.drift(name)],
            f"How decisions of {name} fared, and what moved: counted, compared, triaged.",
        ),
        HOURLY: (
            [names.freshness(name), names.stream(name)],
            f"How fresh the tables of {name} are, and what detectors find in its scores.",
        ),
        ASKED: ([names.synthetic(name)], f"A synthetic request to {name}, as a product asks."),
    }
    return [
        dg.define_asset_job(
            f"{job}_{name}",
            selection=dg.AssetSelection.assets(*keys),
            description=why,
            tags=AFTER_A_CRASH,
        )
        for job, (keys, why) in looks.items()
    ]


def watching_schedules(declared: Declared, jobs: Mapping[str, Job]) -> list[dg.ScheduleDefinition]:
    """Three schedules a use case, on by default."""
    times = {NIGHTLY: NIGHTLY_AT, HOURLY: HOURLY_AT}
    looks = [
        _looking(use_case, jobs[f"{job}_{name}"], job, at)
        for name, use_case in declared.use_cases.items()
        for job, at in times.items()
    ]
    return looks + [
        _asking(use_case, jobs[f"{ASKED}_{name}"]) for name, use_case in declared.use_cases.items()
    ]


def _looking(use_case: UseCase, job: Job, look: str, cron: str) -> dg.ScheduleDefinition:
    @at_utc(
        cron,
        name=f"{look}_{use_case.name}_at",
        job=job,
        description=f"Watches {use_case.name}, once there is a table of what it decides about.",
    )
    def schedule(
        context: dg.ScheduleEvaluationContext, platform: Platform
    ) -> dg.RunRequest | dg.SkipReason:
        uri = platform.layout.events(use_case.label.example_source)
        at = context.scheduled_execution_time.strftime("%Y-%m-%dT%H:%M")
        decision = watch_decision(f"{look}:{use_case.name}:{at}", has_table=is_table(uri))
        return as_request(decision)

    return schedule


def _asking(use_case: UseCase, job: Job) -> dg.ScheduleDefinition:
    @at_utc(
        ASKED_AT,
        name=f"{ASKED}_{use_case.name}_at",
        job=job,
        description=f"Asks {use_case.name} a synthetic request, where a release serves.",
    )
    def schedule(
        context: dg.ScheduleEvaluationContext, platform: Platform, service: HttpService
    ) -> dg.RunRequest | dg.SkipReason:
        at = context.scheduled_execution_time.strftime("%Y-%m-%dT%H:%M")
        return as_request(asking_decision(platform, use_case, service.address, at))

    return schedule


def asking_decision(platform: Platform, use_case: UseCase, address: str, at: str) -> Go | Skip:
    """Whether there is anybody to ask: a service that was started, with a release of the use case.

    A service that was stopped in good order is asked nothing; one that died is, and fails.
    """
    layout = platform.layout
    channels = read_channels(layout)
    if channels.state(use_case.name).champion is None:
        return Skip(f"{use_case.name}: no release serves, so there is nobody to ask")
    if not address:
        return Skip(f"{use_case.name}: no service was started from this home")
    return Go(key=f"{ASKED}:{use_case.name}:{at}", why=f"the hourly request to {address}")
