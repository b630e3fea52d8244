"""The link from a model's asset to its MLflow run."""

from __future__ import annotations

import dagster as dg
import pytest

from assets.registry import run_link
from assets.resources import Platform

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Tracking server's address, experiment's number and run's id."""
    import mlflow

    uri = f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"
    client = mlflow.MlflowClient(uri)
    number = client.create_experiment("fraud")
    return uri, number, client.create_run(number).info.run_id


def platform(tmp_path, uri, pages):
    return Platform(
        home=str(tmp_path), online_url="sqlite:///none", tracking_uri=uri, mlflow_ui_url=pages
    )


def test_a_run_is_linked_to_its_page(tmp_path, run):
    uri, number, run_id = run
    link = run_link(platform(tmp_path, uri, "http://127.0.0.1:5000"), "fraud", run_id)
    assert isinstance(link, dg.UrlMetadataValue)
    assert link.url == f"http://127.0.0.1:5000/#/experiments/{number}/runs/{run_id}"


def test_without_pages_the_run_is_said_and_where_it_is_kept_but_no_password(tmp_path):
    uri = "postgresql://mlflow:geheim@db/mlflow"
    said = run_link(platform(tmp_path, uri, ""), "fraud", "r1").value
    assert said == "run r1 in db/mlflow"
