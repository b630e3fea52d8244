"""Outcomes of rollouts: a job that joins labels to answers, and when it runs."""

from collections.abc import Mapping

import dagster as dg

from assets import events, names, predictions
from assets.declared import Declared
from assets.outcomes import state_of
from assets.resources import Platform
from assets.tables import writer_number
from core.clock import MINUTE_MS
from core.use_case import UseCase
from orchestration.decisions import Go, Skip, outcomes_decision
from orchestration.sensors import RUNNING, Job, requested_alone

LOOK_EVERY_S = 60
RIPENS_EVERY_MS = 10 * MINUTE_MS
"""With time alone examples become old enough to be counted: looked at that often."""


def outcomes_name(use_case: str) -> str:
    """Name of the job that joins a use case's labels."""
    return f"join_outcomes_{use_case}"


def outcomes_job(use_case: UseCase) -> Job:
    """Job that joins labels to the answers of a use case's rollout, for the controller."""
    return dg.define_asset_job(
        outcomes_name(use_case.name),
        selection=dg.AssetSelection.assets(names.outcomes(use_case.name)),
        description=f"Labels that have come, joined to the answers of {use_case.name}'s rollout.",
    )


def decided(platform: Platform, use_case: UseCase) -> Go | Skip:
    """Whether a run is due."""
    layout, label = platform.layout, use_case.label
    rollout = state_of(platform, use_case.name).rollout
    return outcomes_decision(
        use_case.name,
        None if rollout is None else rollout.experiment,
        taken=writer_number(layout.predictions(use_case.name), predictions.WRITER),
        labels=writer_number(layout.events(label.source), events.WRITER),
        turn=platform.clock.now_ms() // RIPENS_EVERY_MS,
    )


def outcomes_sensor(use_case: UseCase, job: Job) -> dg.SensorDefinition:
    """Sensor that joins again while a rollout runs, when records, labels or age are new."""

    @dg.sensor(
        name=f"{use_case.name}_outcomes",
        job=job,
        description=f"Joins labels to the answers of {use_case.name}'s rollout.",
        minimum_interval_seconds=LOOK_EVERY_S,
        default_status=RUNNING,
    )
    def sensor(
        context: dg.SensorEvaluationContext, platform: Platform
    ) -> dg.RunRequest | dg.SkipReason:
        return requested_alone(
            context.instance, job.name, use_case.name, lambda: decided(platform, use_case)
        )

    return sensor


def outcomes_sensors(declared: Declared, jobs: Mapping[str, Job]) -> list[dg.SensorDefinition]:
    """One sensor for each use case that declares a rollout."""
    return [
        outcomes_sensor(use_case, jobs[outcomes_name(name)])
        for name, use_case in declared.use_cases.items()
        if use_case.rollout is not None
    ]
