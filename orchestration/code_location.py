"""The code location, built from settings: what the root offers to Dagster and the CLI uses."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import dagster as dg

from assets.archive import archive_asset
from assets.checks.events import events_checks
from assets.checks.outputs import outputs_check
from assets.declared import Declared
from assets.evaluation import evaluation_asset
from assets.events import events_spec
from assets.features import tiles_asset
from assets.models import bundle_asset, candidate_asset
from assets.online import online_asset
from assets.outcomes import outcomes_asset
from assets.predictions import predictions_asset
from assets.rejects import replayed_asset
from assets.releases import release_asset
from assets.retention import retention_asset
from assets.scores import scores_asset
from assets.training import training_asset
from assets.watching.drift import drift_asset
from assets.watching.freshness import freshness_asset
from assets.watching.performance import calibration_asset, performance_asset
from assets.watching.stream import stream_asset
from assets.watching.synthetic import synthetic_asset
from core.errors import IntegrityError, NotReadyError
from core.use_case import UseCase
from feature_store.plans import plan_for
from orchestration.alerting import alerts_job, alerts_sensor, watchlist_of
from orchestration.automation import automated, automation_sensor
from orchestration.decisions import Patience
from orchestration.environments import executor_of, resources_of
from orchestration.jobs import all_jobs
from orchestration.mirror import mirror_sensor
from orchestration.openlineage import openlineage_sensors
from orchestration.outcomes import outcomes_sensors
from orchestration.predictions import predictions_sensors
from orchestration.retraining import retraining_sensors
from orchestration.schedules import rebase_schedule, retention_schedule, scores_schedule
from orchestration.sensors import Job, ingest_sensors
from orchestration.settings import Settings
from orchestration.watching import watching_schedules
from stores.declarations import put_declarations
from stores.shelf.in_use import manifests_in_use
from use_cases import discover


def declared_by(settings: Settings, *, is_kept: bool = True) -> Declared:
    """All use cases that are found, with their plans; Feast is imported for new ones only.

    Plans of new ones are kept below home, and what is declared for the console; with ``is_kept``
    false nothing is written.
    """
    use_cases = discover(settings.use_case_packages)
    if is_kept:
        put_declarations(settings.layout, use_cases.values())
    plans = {
        name: plan_for(use_case, settings.layout, is_kept=is_kept)
        for name, use_case in use_cases.items()
    }
    return Declared(use_cases, plans)


def upheld_by(settings: Settings, *, is_kept: bool = True) -> Declared:
    """What is declared, and what the releases in use read besides, as the shelf has them now.

    Of a damaged shelf nothing is taken; the sensor of the mirror complains of it.
    """
    declared = declared_by(settings, is_kept=is_kept)
    try:
        return replace(declared, in_use=manifests_in_use(settings.layout))
    except (IntegrityError, NotReadyError):
        return declared


def code_location(settings: Settings, declared: Declared | None = None) -> dg.Definitions:
    """Everything, with the resources of the environment; ``declared`` is what is upheld if None."""
    with beta_is_known():
        return _definitions(settings, declared or upheld_by(settings))


@contextmanager
def beta_is_known() -> Iterator[None]:
    """Dagster's notices about its own beta parts are not repeated to every reader."""
    with warnings.catch_warnings():
        for kind in (dg.BetaWarning, dg.PreviewWarning):
            warnings.simplefilter("ignore", kind)
        yield


def _definitions(settings: Settings, declared: Declared) -> dg.Definitions:
    jobs, assets, checks = all_jobs(declared), executable_assets(declared), all_checks(declared)
    watched = watchlist_of(declared, assets, checks, jobs)
    telling = alerts_job(watched)
    return dg.Definitions(
        assets=[*events_specs(declared), *automated(assets)],
        asset_checks=checks,
        jobs=[*jobs.values(), telling],
        schedules=all_schedules(declared, jobs),
        sensors=[*all_sensors(declared, jobs, settings), alerts_sensor(watched, telling)],
        resources=resources_of(settings),
        executor=executor_of(settings),
    )


Jobs = Mapping[str, Job]


def all_schedules(declared: Declared, jobs: Jobs) -> list[dg.ScheduleDefinition]:
    """Daily scores and looks of each use case, the hourly re-base, and the daily sweep."""
    daily = [
        scores_schedule(use_case, declared.plans[name], jobs[f"daily_scores_{name}"])
        for name, use_case in declared.use_cases.items()
    ]
    rebase = rebase_schedule(declared, jobs["rebase_online_values"])
    looks = watching_schedules(declared, jobs)
    return [*daily, *looks, rebase, retention_schedule(jobs["sweep_retention"])]


def all_sensors(declared: Declared, jobs: Jobs, settings: Settings) -> list[dg.SensorDefinition]:
    """Automation, ingest, shipped records and their labels, retraining, mirror of the channels."""
    mirror = mirror_sensor(declared, jobs["mirror_channels"])
    patience = Patience(settings.spark.ingest_events, settings.spark.ingest_age_s)
    shipped = predictions_sensors(declared, jobs, patience)
    joined = outcomes_sensors(declared, jobs)
    ingests = ingest_sensors(declared, jobs, patience)
    retrained = retraining_sensors(declared, jobs)
    told = openlineage_sensors(declared, settings)
    return [automation_sensor(), *ingests, *shipped, *joined, *retrained, *told, mirror]


def events_specs(declared: Declared) -> Sequence[dg.AssetSpec]:
    """Event tables, one a source."""
    return [events_spec(source) for source in declared.sources.values()]


def executable_assets(declared: Declared) -> list[Any]:
    """Assets that a run computes, in the order of the lifecycle."""
    sources = declared.sources
    tiles = [
        tiles_asset(view, sources[view.source], declared.owners_of_view(view.name))
        for view in declared.views.values()
        if view.windows
    ]
    online = [
        online_asset(view, declared.owners_of_view(view.name)) for view in declared.views.values()
    ]
    models = [asset for u in declared.use_cases.values() for asset in model_assets(declared, u)]
    replayed = [replayed_asset(source) for source in sources.values()]
    watched = [made for u in declared.use_cases.values() for made in watching_assets(declared, u)]
    made = [*replayed, *tiles, *online, *models, *watched]
    checked = [*made, *all_checks(declared)]
    checks = [key for asset in checked for key in asset.check_keys]
    return [*made, archive_asset(declared), retention_asset(declared, checks)]


def all_checks(declared: Declared) -> list[dg.AssetChecksDefinition]:
    """Checks that stand beside their assets: of sources, and of batch scores after the fact."""
    sources = [events_checks(source) for source in declared.sources.values()]
    return [*sources, *(outputs_check(use_case) for use_case in declared.use_cases.values())]


def watching_assets(declared: Declared, use_case: UseCase) -> list[dg.AssetsDefinition]:
    """What is served, watched."""
    plan = declared.plans[use_case.name]
    return [
        performance_asset(use_case, plan),
        calibration_asset(use_case, plan),
        drift_asset(use_case, plan),
        freshness_asset(use_case, plan),
        stream_asset(use_case, plan),
        synthetic_asset(use_case),
    ]


def model_assets(declared: Declared, use_case: UseCase) -> list[dg.AssetsDefinition]:
    """From a training set to batch scores and served predictions, of one use case."""
    plan = declared.plans[use_case.name]
    return [
        training_asset(use_case, plan),
        candidate_asset(use_case, plan),
        evaluation_asset(use_case, plan),
        bundle_asset(use_case, plan),
        release_asset(use_case),
        scores_asset(use_case, plan),
        predictions_asset(use_case),
        *([outcomes_asset(use_case)] if use_case.rollout is not None else []),
    ]
