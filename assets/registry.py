"""MLflow as the assets see it: where runs go, links to them, what the registry's aliases say."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from assets.resources import Platform

if TYPE_CHECKING:
    from training.tracking import Tracking


def tracking_of(platform: Platform, use_case: str) -> "Tracking":
    """Where the runs of a use case are kept: an experiment of its name."""
    from training.tracking import Tracking

    return Tracking(platform.tracking_uri, use_case, Path(platform.layout.artifacts))


def run_link(platform: Platform, use_case: str, run_id: str) -> dg.MetadataValue:
    """Link to an MLflow run; the id as text where no server with pages is configured."""
    from mlflow import MlflowClient

    if not platform.mlflow_ui_url:
        where = platform.tracking_uri.rpartition("@")[2]  # no name, no password
        return dg.MetadataValue.text(f"run {run_id} in {where}")
    experiment = MlflowClient(platform.tracking_uri).get_experiment_by_name(use_case)
    number = experiment.experiment_id if experiment else "0"
    return dg.MetadataValue.url(f"{platform.mlflow_ui_url}/#/experiments/{number}/runs/{run_id}")


def aliased_releases(platform: Platform, use_case: str) -> dict[str, int]:
    """Release behind each alias of the registered model; empty when there is no such model."""
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    client = MlflowClient(platform.tracking_uri, platform.tracking_uri)
    try:
        aliases: Mapping[str, str] = client.get_registered_model(use_case).aliases
    except MlflowException:
        return {}
    versions = {a: client.get_model_version(use_case, v) for a, v in aliases.items()}
    return {a: int(v.tags["release"]) for a, v in versions.items() if "release" in v.tags}
