import numpy as np
import pytest

from stores.shelf.bundle import load_bundle, read_manifest
from training.export import build_bundle
from training.tracking import Tracking, mirror_channels, register_bundle, tag_archived


@pytest.fixture(scope="module")
def registered(fitted, tmp_path_factory):
    out = tmp_path_factory.mktemp("registered") / "1"
    manifest = build_bundle(fitted.use_case, fitted.plan, fitted.directory, 7, out, created_at_ms=5)
    tracking = Tracking(fitted.tracking_uri, "small", fitted.root / "artifacts")
    return tracking, manifest, out, register_bundle(tracking, manifest, out)


@pytest.fixture
def mlflow_there(registered):
    import mlflow

    mlflow.set_tracking_uri(registered[0].uri)
    yield mlflow
    mlflow.set_tracking_uri(None)


def client_of(tracking):
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=tracking.uri, registry_uri=tracking.uri)


def test_the_run_holds_all_that_made_the_model(registered, fitted):
    tracking, *_ = registered
    run = client_of(tracking).get_run(fitted.report.run_id)
    tags = run.data.tags
    assert tags["snapshot_id"] == "snapshot-1"
    assert tags["plan_digest"] == fitted.plan.digest
    assert tags["table_version.payments"] == "3"
    assert (tags["code_version"], tags["seed"]) == ("v1", "1")
    metrics = run.data.metrics
    expected = fitted.report.metrics["average_precision"]
    assert metrics["test.average_precision"] == expected.value
    assert metrics["test.average_precision.low"] == expected.low
    assert "logistic.auc" in metrics
    assert "decision.BLOCK.share" in metrics
    plots = client_of(tracking).list_artifacts(fitted.report.run_id, "plots")
    assert len(plots) == 5
    assert run.info.status == "FINISHED"


def test_the_registered_version_is_onnx_with_the_bundle_beside_it(
    registered, mlflow_there, tmp_path
):
    tracking, manifest, out, version = registered
    found = client_of(tracking).get_model_version("small", str(version))
    assert found.tags == {"release": "7", "manifest_digest": manifest.digest}
    local = mlflow_there.artifacts.download_artifacts(found.source, dst_path=str(tmp_path))
    info = mlflow_there.models.Model.load(local)
    assert "onnx" in info.flavors
    assert info.signature.inputs.inputs[0].shape == (-1, 7)
    extra = tmp_path.joinpath(local, "extra_files")
    assert load_bundle(extra).manifest == read_manifest(out)


def test_the_registered_model_answers_through_mlflow(registered, mlflow_there):
    _, _, out, version = registered
    golden = load_bundle(out).golden
    model = mlflow_there.pyfunc.load_model(f"models:/small/{version}")
    answer = model.predict(golden.inputs())["score"]
    np.testing.assert_allclose(np.asarray(answer).reshape(-1), golden.scores, atol=1e-6)


def test_registering_leaves_nothing_set_in_the_process(registered):
    import mlflow

    assert not mlflow.tracking.is_tracking_uri_set()
    assert mlflow.get_registry_uri() != registered[0].uri
    assert mlflow.active_run() is None


def test_aliases_mirror_the_channels_and_are_put_back_when_moved_by_hand(registered):
    tracking, _, _, version = registered
    client = client_of(tracking)
    assert mirror_channels(tracking, "small", {"champion": 7}) == [f"champion: None -> {version}"]
    assert mirror_channels(tracking, "small", {"champion": 7}) == []
    client.set_registered_model_alias("small", "shadow", str(version))
    assert mirror_channels(tracking, "small", {"champion": 7}) == [f"shadow: {version} -> None"]
    assert dict(client.get_registered_model("small").aliases).keys() == {"champion"}


def test_a_release_that_was_never_registered_gets_no_alias(registered):
    tracking, *_ = registered
    mirror_channels(tracking, "small", {"champion": 99})
    assert dict(client_of(tracking).get_registered_model("small").aliases) == {}


def test_archived_releases_are_tagged_with_the_reason_and_others_are_not(registered):
    tracking, _, _, version = registered

    def tags():
        return client_of(tracking).get_model_version("small", str(version)).tags

    tag_archived(tracking, "small", {99: "another one"})
    assert "archived" not in tags()
    tag_archived(tracking, "small", {7: "served nobody for 90 days"})
    assert tags()["archived"] == "served nobody for 90 days"
