import json

import numpy as np
import pytest
from training_sets import small_plan, small_training_set, small_use_case

from core.errors import InvalidInputError
from core.stats.metrics import METRICS, ranked
from training.calibration import Calibration
from training.examples import examples_of
from training.fit import fit_candidates
from training.mlp import INPUT_CLIP, fit_network, load_network
from training.report import load_evidence, load_report, load_scorer

EXAMPLES = examples_of(small_plan(), small_training_set())


def fit_again(fitted, tmp_path, use_case, **changes):
    arguments = {
        "snapshot_id": "s",
        "out_dir": tmp_path / "candidate",
        "tracking_uri": fitted.tracking_uri,  # a new store takes two seconds to be made
        "experiment": "again",
        "seed": 1,
        "trials": 2,
        "progress": lambda _: None,
        "artifacts": fitted.root / "artifacts",
    }
    table = changes.pop("table", None)
    table = small_training_set() if table is None else table
    with pytest.MonkeyPatch.context() as patch:
        # Its pictures are looked at where both were fitted first, and take longer than the fit.
        patch.setattr("training.fit.draw_all", lambda *_: {})
        return fit_candidates(use_case, small_plan(), table, **arguments | changes)


def test_the_report_holds_the_lineage(fitted):
    report = load_report(fitted.directory)
    assert report == fitted.report
    assert report.plan_digest == fitted.plan.digest
    assert (report.snapshot_id, report.code_version) == ("snapshot-1", "v1")
    assert report.read_versions == {"payments": 3}
    assert {c.kind for c in report.candidates} == {"logistic", "xgboost"}
    assert set(report.metrics) == set(METRICS)


def test_the_chosen_candidate_is_the_best_on_validation(fitted):
    best = max(fitted.report.candidates, key=lambda c: c.selection)
    assert fitted.report.chosen == best.kind
    assert fitted.report.metrics == best.test


def test_candidates_learn_what_is_there(fitted):
    for candidate in fitted.report.candidates:
        assert candidate.test["average_precision"].value > 0.8, candidate.kind
        assert candidate.test["ece"].value < 0.02, candidate.kind
    assert fitted.report.importance.keys() == set(fitted.plan.vector)
    strongest = max(fitted.report.importance, key=fitted.report.importance.get)
    assert strongest.startswith("payment_size:")


def test_reported_metrics_are_those_of_the_written_model(fitted):
    scorer = load_scorer(fitted.directory, fitted.report)
    test = EXAMPLES.test
    rows = ranked(scorer.scores(test.vectors), test.labels, test.weights)
    for name, metric in METRICS.items():
        assert metric(rows) == pytest.approx(fitted.report.metrics[name].value), name


def test_every_step_is_told(fitted):
    said = "\n".join(fitted.said)
    for words in ("train 3606 rows", "logistic:", "xgboost trial 2/2", "chosen"):
        assert words in said


def test_plots_are_pictures(fitted):
    plots = sorted(fitted.directory.glob("*.png"))
    assert {p.stem for p in plots} == {
        "calibration",
        "importance",
        "precision_recall",
        "roc",
        "scores",
    }
    assert all(p.read_bytes().startswith(b"\x89PNG") for p in plots)


def test_evidence_for_the_gate_is_kept(fitted):
    rows, profile, cases = load_evidence(fitted.directory)
    assert rows.shape[1] == len(fitted.plan.vector)
    assert set(profile.features) == set(fitted.plan.vector)
    assert sum(profile.decisions.values()) == profile.score.n
    assert set(cases.outputs) == {"payment_size:amount", "payment_size:amount_over_mean"}


def test_the_same_seed_gives_the_same_model(fitted, tmp_path):
    again = fit_again(fitted, tmp_path, fitted.use_case)
    name = "explainer.ubj" if again.chosen == "xgboost" else "linear.json"
    assert (tmp_path / "candidate" / name).read_bytes() == (fitted.directory / name).read_bytes()
    assert again.candidates == fitted.report.candidates


def test_a_use_case_may_decline_calibration(fitted, tmp_path):
    use_case = small_use_case(("logistic",), is_calibrated=False)
    report = fit_again(fitted, tmp_path, use_case)
    assert report.winner.calibration == Calibration()


def test_weights_reach_the_fit(fitted, tmp_path):
    table = small_training_set()
    index = table.schema.get_field_index("weight")
    weights = np.where(table["payment_size__amount"].to_numpy() > 3_000, 5.0, 0.2)
    heavy = fit_again(
        fitted,
        tmp_path,
        small_use_case(("logistic",)),
        table=table.set_column(index, "weight", [weights]),
    )
    plain = next(c for c in fitted.report.candidates if c.kind == "logistic")
    assert heavy.winner.calibration != plain.calibration


def test_a_training_set_that_is_too_small_leaves_nothing_that_looks_finished(fitted, tmp_path):
    table = small_training_set()
    with pytest.raises(InvalidInputError):
        fit_again(fitted, tmp_path, small_use_case(), table=table.slice(0, 300))
    assert not (tmp_path / "candidate" / "report.json").exists()


def test_a_network_is_fitted_kept_and_read_back(tmp_path):
    fit = fit_network(EXAMPLES, seed=3)
    fit.model.save(tmp_path)
    again = load_network(tmp_path)
    vectors = EXAMPLES.test.vectors
    np.testing.assert_array_equal(again.margins(vectors), fit.model.margins(vectors))
    rows = ranked(again.margins(vectors), EXAMPLES.test.labels)
    assert METRICS["average_precision"](rows) > 0.8
    assert again.standard.clip == INPUT_CLIP
    importance = again.importance(EXAMPLES.test)
    assert small_plan().vector[int(np.argmax(importance))].startswith("payment_size:")
    json.loads((tmp_path / "network.json").read_text())
