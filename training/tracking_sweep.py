"""MLflow runs that are to be forgotten: with their models, their versions and their artifacts."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import redirect_stdout
from io import StringIO
from typing import NamedTuple

from core.errors import DependencyError
from training.tracking import Tracking, client_of, tracked_at

PAGE = 1_000
SERVER = ("http://", "https://")


class TrackedRun(NamedTuple):
    """A run: when it began, and the releases that its registered versions name."""

    run_id: str
    started_ms: int
    releases: frozenset[int]


def runs_of(tracking: Tracking) -> list[TrackedRun]:
    """Runs of an experiment, also those that are marked as deleted and still there."""
    from mlflow.entities import ViewType

    client = client_of(tracking)
    experiment = client.get_experiment_by_name(tracking.experiment)
    if experiment is None:
        return []
    releases: dict[str, set[int]] = {}
    for version in client.search_model_versions(f"name = '{tracking.experiment}'"):
        if "release" in version.tags:
            releases.setdefault(version.run_id, set()).add(int(version.tags["release"]))
    found, token = [], None
    while True:
        page = client.search_runs(
            [experiment.experiment_id], "", ViewType.ALL, max_results=PAGE, page_token=token
        )
        for run in page:
            named = frozenset(releases.get(run.info.run_id, ()))
            found.append(TrackedRun(run.info.run_id, run.info.start_time, named))
        token = page.token
        if not token:
            return found


def forget_runs(tracking: Tracking, run_ids: Sequence[str]) -> None:
    """Forget runs for good: registered versions, logged models, artifacts and numbers.

    May be killed anywhere and done again. On a tracking server runs are only marked as
    deleted: `mlflow gc`, where the server runs, ends what this began.

    Raises
    ------
    DependencyError
        If MLflow does not remove what is marked.
    """
    if not run_ids:
        return
    client = client_of(tracking)
    for run_id in run_ids:
        for version in client.search_model_versions(f"run_id = '{run_id}'"):
            client.delete_model_version(version.name, version.version)
        run = client.get_run(run_id)
        for output in run.outputs.model_outputs:
            client.delete_logged_model(output.model_id)
        if run.info.lifecycle_stage == "active":
            client.delete_run(run_id)
    if not tracking.uri.startswith(SERVER):
        _purge(tracking, run_ids)


def _purge(tracking: Tracking, run_ids: Sequence[str]) -> None:
    """Let MLflow's own command remove what is marked, in this process.

    The command line of another would show an address that may hold a password.
    """
    from mlflow.exceptions import MlflowException

    with warnings.catch_warnings():
        # its commands warn about type hints of its own models when they are imported
        warnings.simplefilter("ignore", UserWarning)
        from mlflow.cli import gc

    # Without ids of models it takes all that are marked: also those of runs which a purge that
    # was killed had removed before their models.
    words = ["--run-ids", ",".join(run_ids)]
    stores = ["--backend-store-uri", tracking.uri, "--tracking-uri", tracking.uri]
    try:
        with tracked_at(tracking.uri), redirect_stdout(StringIO()):
            gc.main(args=[*stores, *words], standalone_mode=False)
    except MlflowException as error:
        raise DependencyError(
            "MLflow did not remove runs that are marked as deleted",
            found=error.message[:200],
            remedy="see that its database can be written, and sweep again",
        ) from error
