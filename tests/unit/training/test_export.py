import json

import numpy as np
import pytest
from compared_views import view_report
from training_sets import small_use_case

from core.decisions import Decider
from core.errors import IntegrityError, InvalidInputError, NotReadyError
from stores.explainer import load_explainer
from stores.shelf.bundle import CARD, CARD_DATA, EXPLAINER, load_bundle
from training.contract import contract_of
from training.export import build_bundle
from training.onnx_export import OnnxScorer
from training.report import CASES, load_evidence, load_scorer


@pytest.fixture(scope="module")
def bundle(fitted, tmp_path_factory):
    out = tmp_path_factory.mktemp("bundles") / "1"
    build_bundle(fitted.use_case, fitted.plan, fitted.directory, 1, out, created_at_ms=5)
    return load_bundle(out)


def copied(fitted, tmp_path):
    candidate = tmp_path / "candidate"
    candidate.mkdir()
    for path in fitted.directory.iterdir():
        (candidate / path.name).write_bytes(path.read_bytes())
    return candidate


@pytest.mark.slow
def test_the_manifest_holds_the_lineage(bundle, fitted):
    manifest = bundle.manifest
    assert (manifest.use_case, manifest.release, manifest.created_at_ms) == ("small", 1, 5)
    assert manifest.plan == fitted.plan
    assert manifest.snapshot_id == "snapshot-1"
    assert manifest.mlflow_run_id == fitted.report.run_id
    assert manifest.metrics == fitted.report.metrics
    assert manifest.model_kind == fitted.report.chosen
    assert manifest.objectives == fitted.use_case.objectives
    assert manifest.rollout == fitted.use_case.promised_rollout


def test_the_model_in_the_bundle_answers_as_the_source(bundle, fitted):
    rows, _, _ = load_evidence(fitted.directory)
    expected = load_scorer(fitted.directory, fitted.report).scores(rows)
    np.testing.assert_allclose(OnnxScorer(bundle.model).scores(rows), expected, atol=2e-6)


def test_golden_points_are_answered_and_are_nobody_s_row(bundle, fitted):
    golden = bundle.golden
    assert golden.check(OnnxScorer(bundle.model).scores(golden.inputs())) == 0.0
    rows, _, _ = load_evidence(fitted.directory)
    known = {row.tobytes() for row in rows}
    assert not [v for v in golden.inputs() if v.tobytes() in known]
    assert np.isnan(golden.inputs()).any()


def test_contributions_explain_the_served_score(bundle, fitted):
    rows, _, _ = load_evidence(fitted.directory)
    scores = OnnxScorer(bundle.model).scores(rows).astype(np.float64)
    explainer = load_explainer(bundle.files)
    assert explainer is not None
    log_odds = explainer.contributions(rows).sum(axis=1)
    np.testing.assert_allclose(1 / (1 + np.exp(-log_odds)), scores, atol=1e-5)
    assert json.loads(bundle.files[EXPLAINER])["features"] == list(fitted.plan.vector)


def test_the_contract_is_that_of_the_examples_source(bundle):
    contract = bundle.manifest.contract
    assert [key.name for key in contract.keys] == ["card_id"]
    amount = contract.inputs[0]
    assert (amount.name, amount.minimum, amount.maximum) == ("amount_minor", 1, 1_000_000)


def test_a_request_field_that_no_source_has_keeps_its_declared_type(fitted):
    plan = fitted.plan
    field = plan.request_fields[0].model_copy(update={"name": "channel_code", "type": "float64"})
    contract = contract_of(small_use_case(), plan.model_copy(update={"request_fields": (field,)}))
    assert (contract.inputs[0].name, contract.inputs[0].type) == ("channel_code", "float64")


def test_the_model_card_says_what_a_reader_needs(bundle):
    text = bundle.files[CARD].decode()
    for words in (
        "# Model card: small, release 1",
        "Owners: team@example.org",
        "## Assumptions",
        "## Limits",
        "snapshot-1",
        "average_precision",
        "## Slices",
        "week from 2026-02-",
        "country = CH",
        "0 decisions turned;",
    ):
        assert words in text
    data = json.loads(bundle.files[CARD_DATA])
    assert data["parity"]["n_points"] >= 10_000
    assert data["metrics"]["auc"]["low"] <= data["metrics"]["auc"]["high"]
    low, high = data["slices"][0]["auc_interval"]
    assert low < data["slices"][0]["auc"] < high
    assert f"| {low:.3f} to {high:.3f} |" in text


def test_the_profile_decides_as_the_policy(bundle, fitted):
    assert set(bundle.profile.decisions) == set(fitted.use_case.decisions.decisions)
    assert bundle.manifest.decisions == fitted.use_case.decisions
    cases = bundle.golden.rule_cases
    assert set(cases.rules) == {None, 0, 1, 2}
    cases.check(Decider.of(bundle.manifest.decisions, bundle.manifest.plan))


def test_two_builds_of_one_candidate_differ_in_what_the_card_says_only(bundle, fitted, tmp_path):
    report, out = view_report(), tmp_path / "2"
    build_bundle(
        fitted.use_case, fitted.plan, fitted.directory, 2, out,
        created_at_ms=5, view_reports=[report],
    )  # fmt: skip
    again = load_bundle(tmp_path / "2")
    same = {n for n in again.files if again.files[n] == bundle.files[n]}
    assert set(again.files) - same == {CARD, CARD_DATA}
    assert "No view of it was compared with a former version" in bundle.files[CARD].decode()
    text = again.files[CARD].decode()
    assert f"{report.sentence()}. Report `view_reports/card_activity_v1/card_activity_v0" in text
    (named,) = json.loads(again.files[CARD_DATA])["view_reports"]
    assert named["digest"] == report.digest


def test_a_stale_request_time_function_stops_the_bundle(fitted, tmp_path):
    candidate = copied(fitted, tmp_path)
    cases = json.loads((candidate / CASES).read_text())
    column = cases["outputs"]["payment_size:amount"]
    cases["outputs"]["payment_size:amount"] = [None if v is None else v + 1 for v in column]
    (candidate / CASES).write_text(json.dumps(cases))
    with pytest.raises(IntegrityError, match="not the one that the model was trained with"):
        build_bundle(fitted.use_case, fitted.plan, candidate, 3, tmp_path / "3", created_at_ms=5)
    assert not (tmp_path / "3").exists()


def test_another_plan_stops_the_bundle(fitted, tmp_path):
    other = fitted.plan.model_copy(update={"vector": fitted.plan.vector[::-1]})
    with pytest.raises(IntegrityError, match="another plan"):
        build_bundle(fitted.use_case, other, fitted.directory, 3, tmp_path / "3", created_at_ms=5)


def test_a_folder_without_a_candidate_is_not_ready(fitted, tmp_path):
    with pytest.raises(NotReadyError, match="no candidate"):
        build_bundle(fitted.use_case, fitted.plan, tmp_path, 3, tmp_path / "3", created_at_ms=5)


def test_a_release_is_never_built_twice(fitted, tmp_path):
    (tmp_path / "3").mkdir()
    with pytest.raises(InvalidInputError, match="never written over"):
        build_bundle(
            fitted.use_case, fitted.plan, fitted.directory, 3, tmp_path / "3", created_at_ms=5
        )
