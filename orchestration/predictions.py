"""Shipped prediction records: a job that takes them into the table, and when it runs."""

from collections.abc import Mapping

import dagster as dg

from assets import names
from assets.declared import Declared
from assets.predictions import WRITER
from assets.resources import Platform
from assets.tables import writer_number
from core.use_case import UseCase
from orchestration.decisions import Go, Patience, Skip, Waiting, predictions_decision
from orchestration.sensors import RUNNING, Job, requested_alone
from stores.records.shared import open_segments

LOOK_EVERY_S = 30


def predictions_name(use_case: str) -> str:
    """Name of the job that takes a use case's records."""
    return f"take_predictions_{use_case}"


def predictions_job(use_case: UseCase) -> Job:
    """Job that takes shipped records into a use case's table and holds them to the tables."""
    return dg.define_asset_job(
        predictions_name(use_case.name),
        selection=dg.AssetSelection.assets(names.predictions(use_case.name)),
        description=f"Shipped prediction records of {use_case.name}: shared storage to table.",
    )


def waiting_segments(platform: Platform, use_case: str) -> Waiting:
    """What waits in shared storage."""
    found = open_segments(platform.layout.segments(use_case)).waiting()
    since_ms = min((segment.put_at_ms for segment in found), default=0)
    return Waiting(len(found), sum(segment.bytes for segment in found), since_ms)


def decided(platform: Platform, use_case: str, patience: Patience) -> Go | Skip:
    """Whether a run is due."""
    return predictions_decision(
        use_case,
        waiting_segments(platform, use_case),
        taken=writer_number(platform.layout.predictions(use_case), WRITER),
        patience=patience,
        now_ms=platform.clock.now_ms(),
    )


def predictions_sensor(use_case: UseCase, job: Job, patience: Patience) -> dg.SensorDefinition:
    """Sensor that takes a use case's records when enough of them wait, or for long enough."""

    @dg.sensor(
        name=f"{use_case.name}_predictions",
        job=job,
        description=f"Takes prediction records of {use_case.name} that were shipped.",
        minimum_interval_seconds=LOOK_EVERY_S,
        default_status=RUNNING,
    )
    def sensor(
        context: dg.SensorEvaluationContext, platform: Platform
    ) -> dg.RunRequest | dg.SkipReason:
        return requested_alone(
            context.instance,
            job.name,
            use_case.name,
            lambda: decided(platform, use_case.name, patience),
        )

    return sensor


def predictions_sensors(
    declared: Declared, jobs: Mapping[str, Job], patience: Patience
) -> list[dg.SensorDefinition]:
    """One sensor a use case."""
    return [
        predictions_sensor(use_case, jobs[predictions_name(name)], patience)
        for name, use_case in declared.use_cases.items()
    ]
