"""Training again by itself: a sensor over what was seen, which asks for a run or says why not."""

from collections.abc import Mapping

import dagster as dg

from assets.declared import Declared
from assets.models import BUILT_BY, TRIGGER
from assets.resources import Platform
from assets.retraining import signals_of, state_of
from assets.training import first_example_date, training_config
from core.clock import DAY_MS, event_date
from core.features.plan import Plan
from core.retraining import Hold, Retraining, retraining_decision
from core.use_case import UseCase
from orchestration.decisions import Go, Skip
from orchestration.sensors import RUNNING, Job, is_under_way, requested

LOOK_EVERY_S = 300
WHO = "the sensor of retraining"


def retraining_name(use_case: str) -> str:
    """Name of the job that makes a release of a use case, from a new training set on."""
    return f"retrain_{use_case}"


def decided(
    instance: dg.DagsterInstance, platform: Platform, use_case: UseCase, declared: Retraining
) -> tuple[Go | Skip, str]:
    """Whether a run is due, and the trigger that asks for it."""
    job = retraining_name(use_case.name)
    busy = f"a run of {job} waits or is at work" if is_under_way(instance, job) else ""
    state = state_of(instance, platform, use_case, busy=busy)
    signals = signals_of(instance, platform, use_case)
    found = retraining_decision(declared, state, signals, now_ms=platform.clock.now_ms())
    if isinstance(found, Hold):
        return Skip(f"{use_case.name}: {found.why}"), ""
    key = f"{use_case.name}:retrain:{found.trigger}:{state.last_ms}"
    return Go(key=key, why=found.why), found.trigger


def start_date(
    platform: Platform, use_case: UseCase, plan: Plan, declared: Retraining, now_ms: int
) -> str:
    """First date of examples: the declared history, or as far back as windows are filled."""
    first = first_example_date(platform, use_case, plan)
    if declared.history_days is None:
        return first
    return max(first, event_date(now_ms - declared.history_days * DAY_MS))


def retraining_sensor(
    use_case: UseCase, plan: Plan, declared: Retraining, job: Job
) -> dg.SensorDefinition:
    """Sensor that trains a use case again when a declared trigger fires."""

    @dg.sensor(
        name=f"{use_case.name}_retraining",
        job=job,
        description=(
            f"Makes a new release of {use_case.name} on "
            f"{', '.join(kind.replace('_', ' ') for kind, _ in declared.triggers)}; holds while "
            "its data is known to be broken."
        ),
        minimum_interval_seconds=LOOK_EVERY_S,
        default_status=RUNNING,
    )
    def sensor(
        context: dg.SensorEvaluationContext, platform: Platform
    ) -> dg.RunRequest | dg.SkipReason:
        decision, trigger = decided(context.instance, platform, use_case, declared)
        request = requested(context.instance, decision)
        if isinstance(request, dg.SkipReason):
            return request
        now_ms = platform.clock.now_ms()
        start = start_date(platform, use_case, plan, declared, now_ms)
        return dg.RunRequest(
            run_key=request.run_key,
            run_config=training_config(use_case.name, cut_ms=now_ms, start_date=start),
            tags={**request.tags, TRIGGER: trigger, BUILT_BY: WHO},
        )

    return sensor


def retraining_sensors(declared: Declared, jobs: Mapping[str, Job]) -> list[dg.SensorDefinition]:
    """One sensor for each use case that declares triggers."""
    return [
        retraining_sensor(
            use_case, declared.plans[name], use_case.retraining, jobs[retraining_name(name)]
        )
        for name, use_case in declared.use_cases.items()
        if use_case.retraining is not None
    ]
