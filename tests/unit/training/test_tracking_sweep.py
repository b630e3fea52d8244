"""Runs that are forgotten leave no number, no model and no file; the others are untouched."""

from __future__ import annotations

import pytest

from training.tracking import Tracking
from training.tracking_sweep import forget_runs, runs_of


@pytest.fixture
def tracking(fitted, tmp_path):
    """An experiment of its own; a store of its own takes a second and more to be made."""
    return Tracking(fitted.tracking_uri, tmp_path.name, tmp_path / "artifacts")


@pytest.fixture
def client(tracking):
    from mlflow import MlflowClient

    client = MlflowClient(tracking.uri, tracking.uri)
    client.create_experiment(tracking.experiment, artifact_location=tracking.artifacts.as_uri())
    client.create_registered_model(tracking.experiment)
    return client


def run(client, tmp_path, started_ms, release=None):
    """A run with a parameter, an artifact, a logged model and perhaps a registered version."""
    experiment = client.get_experiment_by_name(tmp_path.name).experiment_id
    run_id = client.create_run(experiment, start_time=started_ms).info.run_id
    client.log_param(run_id, "seed", 1)
    client.log_dict(run_id, {"planted": run_id}, "report.json")
    model = client.create_logged_model(experiment, name="model", source_run_id=run_id)
    (tmp_path / "weights.txt").write_text(f"planted {run_id}")
    client.log_model_artifact(model.model_id, str(tmp_path / "weights.txt"))
    client.log_outputs(run_id, [output_of(model.model_id)])
    if release is not None:
        tags = {"release": str(release)}
        client.create_model_version(tmp_path.name, model.artifact_location, run_id, tags=tags)
    return run_id


def output_of(model_id):
    from mlflow.entities import LoggedModelOutput

    return LoggedModelOutput(model_id, step=0)


def files_with(tmp_path, text):
    found = [path for path in (tmp_path / "artifacts").rglob("*") if path.is_file()]
    return [path for path in found if text in path.read_text(errors="ignore")]


def test_a_run_is_known_by_when_it_began_and_what_was_released_of_it(client, tracking, tmp_path):
    assert runs_of(Tracking(tracking.uri, "other")) == []
    plain, released = run(client, tmp_path, 7), run(client, tmp_path, 9, release=3)
    found = {run.run_id: (run.started_ms, set(run.releases)) for run in runs_of(tracking)}
    assert found == {plain: (7, set()), released: (9, {3})}


def test_a_forgotten_run_leaves_nothing_and_another_everything(client, tracking, tmp_path):
    gone, kept = run(client, tmp_path, 7, release=1), run(client, tmp_path, 9, release=2)
    assert len(files_with(tmp_path, gone)) == 2
    forget_runs(tracking, [gone])
    assert [run.run_id for run in runs_of(tracking)] == [kept]
    assert files_with(tmp_path, gone) == []
    assert len(files_with(tmp_path, kept)) == 2
    versions = client.search_model_versions(f"name = '{tracking.experiment}'")
    assert [version.run_id for version in versions] == [kept]


def test_what_was_marked_by_a_sweep_that_died_is_removed_by_the_next(client, tracking, tmp_path):
    gone = run(client, tmp_path, 7)
    client.delete_run(gone)
    assert [found.run_id for found in runs_of(tracking)] == [gone]
    forget_runs(tracking, [gone])
    assert runs_of(tracking) == []
    assert files_with(tmp_path, gone) == []
