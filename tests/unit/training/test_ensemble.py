import json

import numpy as np
import pytest
from training_sets import small_plan, small_training_set

from stores.explainer import load_explainer
from stores.shelf.bundle import load_bundle
from training.calibration import Calibration
from training.ensemble import (
    KIND,
    SPEC,
    EnsembleModel,
    best_weights,
    fit_ensemble,
    load_ensemble,
    members_of,
)
from training.examples import examples_of
from training.export import build_bundle, gated_model
from training.logistic import fit_logistic
from training.models import Scorer
from training.onnx_export import OnnxScorer
from training.report import CandidateScore, load_report, load_scorer, save_report

EXAMPLES = examples_of(small_plan(), small_training_set())


@pytest.fixture(scope="module")
def served(fitted, tmp_path_factory):
    """Bundles of both kinds: the fitted candidate, and a line in its place."""
    out = tmp_path_factory.mktemp("members")
    build_bundle(fitted.use_case, fitted.plan, fitted.directory, 1, out / "1", created_at_ms=5)
    return load_bundle(out / "1")


@pytest.fixture(scope="module")
def ensemble(fitted, served, tmp_path_factory):
    """A candidate folder whose chosen model is an ensemble of a new line and release 1."""
    newest = Scorer(fit_logistic(EXAMPLES, "auc").model, Calibration(slope=0.9, intercept=-0.1))
    fit = fit_ensemble(newest, members_of([served], fitted.plan, 3), EXAMPLES.stop)
    folder = tmp_path_factory.mktemp("ensemble") / "candidate"
    folder.mkdir()
    for path in fitted.directory.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    fit.model.save(folder)
    report = load_report(folder)
    score = CandidateScore(
        kind=KIND, selection=1.0, test=report.metrics, settings=fit.settings,
        calibration=Calibration(slope=1.1, intercept=0.05),
    )  # fmt: skip
    chosen = {"chosen": KIND, "candidates": (*report.candidates, score)}
    save_report(folder, report.model_copy(update=chosen))
    return folder


def test_members_are_former_releases_of_the_same_plan(fitted, served):
    (member,) = members_of([served], fitted.plan, 3)
    assert member.release == 1
    test = EXAMPLES.test.vectors
    expected = OnnxScorer(served.model).scores(test)
    np.testing.assert_allclose(1 / (1 + np.exp(-member.log_odds(test))), expected, atol=2e-6)
    other = fitted.plan.model_copy(update={"service": "small_v2"})
    assert members_of([served], other, 3) == []
    assert len(members_of([served, served], fitted.plan, 1)) == 1


def test_weights_are_the_best_of_all_that_add_up_to_one():
    rng = np.random.default_rng(4)
    truth = rng.normal(0, 2, 4_000)
    labels = (rng.random(4_000) < 1 / (1 + np.exp(-truth))).astype(np.int64)
    members = np.stack([truth + rng.normal(0, s, 4_000) for s in (1.0, 2.0, 8.0)])
    found = np.array(best_weights(members, labels, np.ones(4_000)))

    def loss(weights):
        mean = weights @ members
        return np.mean(np.logaddexp(0, mean) - labels * mean)

    assert found.sum() == pytest.approx(1)
    drawn = rng.dirichlet(np.ones(3), 2_000)
    assert loss(found) <= min(loss(weights) for weights in drawn) + 1e-9
    assert found[0] > found[1] > found[2]


def test_an_ensemble_is_written_and_read_back(ensemble):
    model = load_ensemble(ensemble)
    again = load_scorer(ensemble, load_report(ensemble)).model
    vectors = EXAMPLES.test.vectors
    np.testing.assert_array_equal(model.margins(vectors), again.margins(vectors))
    assert sum(model.weights) == pytest.approx(1)
    assert [member.release for member in model.members] == [0, 1]


def test_one_graph_answers_as_the_members_do_and_passes_the_gate(fitted, ensemble):
    model, parity = gated_model(fitted.use_case, fitted.plan, ensemble)
    assert parity.is_passed
    assert parity.n_points >= 10_000
    scorer = load_scorer(ensemble, load_report(ensemble))
    vectors = EXAMPLES.test.vectors
    np.testing.assert_allclose(OnnxScorer(model).scores(vectors), scorer.scores(vectors), atol=2e-6)


def test_what_was_new_in_an_ensemble_can_be_a_member_of_the_next(fitted, ensemble, tmp_path):
    build_bundle(fitted.use_case, fitted.plan, ensemble, 2, tmp_path / "2", created_at_ms=5)
    bundle = load_bundle(tmp_path / "2")
    assert (bundle.manifest.model_kind, bundle.manifest.explainer) == (KIND, "none")
    assert load_explainer(bundle.files) is None
    assert [m["release"] for m in json.loads(bundle.files[SPEC])["members"]] == [0, 1]
    (member,) = members_of([bundle], fitted.plan, 3)
    assert member.release == 2
    newest = load_ensemble(ensemble).members[0]
    vectors = EXAMPLES.test.vectors
    np.testing.assert_allclose(member.log_odds(vectors), newest.log_odds(vectors), atol=1e-9)
    assert "no exact contributions" in bundle.files["model_card.md"].decode()


def test_importance_weighs_the_members(ensemble):
    model = load_ensemble(ensemble)
    alone = [EnsembleModel((member,), (1.0,)).importance(EXAMPLES.test) for member in model.members]
    expected = sum(w * each for w, each in zip(model.weights, alone, strict=True))
    np.testing.assert_allclose(model.importance(EXAMPLES.test), expected)
