"""The code location, built from settings: what the root offers to Dagster and the CLI uses."""

from collections.abc import Sequence
from typing import Any
import warnings

import dagster as dg

from assets.declared import Declared
from assets.events import events_spec
from assets.features import tiles_asset
from feature_store.plans import plan_for
from orchestration.automation import automated, automation_sensor
from orchestration.environments import resources_of
from orchestration.ingest import ingest_job
from orchestration.sensors import ingest_sensors
from orchestration.settings import Settings
from use_cases import discover


def declared_by(settings: Settings) -> Declared:
    """All use cases that are found, with their plans; Feast is imported for new ones only."""
    use_cases = discover(settings.use_case_packages)
    layout = settings.layout
    return Declared(use_cases, {n: plan_for(u, layout) for n, u in use_cases.items()})


def code_location(settings: Settings) -> dg.Definitions:
    """Everything, with the resources of the environment."""
    with warnings.catch_warnings():
        for kind in (dg.BetaWarning, dg.PreviewWarning):
            warnings.simplefilter("ignore", kind)
        return _definitions(settings)


def _definitions(settings: Settings) -> dg.Definitions:
    declared = declared_by(settings)
    jobs = {job.name: job for job in (ingest_job(s) for s in declared.sources.values())}
    return dg.Definitions(
        assets=[*events_specs(declared), *automated(executable_assets(declared))],
        jobs=list(jobs.values()),
        sensors=[automation_sensor(), *ingest_sensors(declared, jobs)],
        resources=resources_of(settings),
        executor=dg.in_process_executor,
    )


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
    return [*tiles]
