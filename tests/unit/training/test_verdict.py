import numpy as np
import pytest
from training_sets import small_training_set, small_use_case

from core.fairness import Fairness, Groups
from core.stats.metrics import Estimate
from stores.shelf.bundle import load_bundle
from training.comparison import Comparison, SliceComparison, compared
from training.evaluation import Evaluation, evaluation_of
from training.export import build_bundle
from training.report import load_scorer
from training.verdict import is_better

SPEC = small_use_case(floor=0.3).model


def at(value):
    return {"average_precision": Estimate(value=value, low=value - 0.05, high=value + 0.05)}


def beside(value, *slices):
    return Evaluation(
        comparison=Comparison(
            champion=4,
            metric="average_precision",
            measured_on="the same rows",
            metrics=at(value),
            difference=Estimate(value=0.01, low=-0.01, high=0.03),
            slices=slices,
        )
    )


def unasked(vectors):
    raise AssertionError(f"{len(vectors)} vectors were scored where nothing can be compared")


def part(name, *, is_worse):
    return SliceComparison(
        name=name, n_rows=500, n_positive=50, candidate=0.2, champion=0.6,
        difference=Estimate(value=-0.4, low=-0.5, high=-0.3), is_worse=is_worse,
    )  # fmt: skip


@pytest.fixture(scope="module")
def served(fitted, tmp_path_factory):
    """The fitted candidate as release 1."""
    out = tmp_path_factory.mktemp("served") / "1"
    build_bundle(fitted.use_case, fitted.plan, fitted.directory, 1, out, created_at_ms=5)
    return load_bundle(out)


def test_the_first_candidate_must_beat_the_floor():
    verdict = is_better(SPEC, at(0.31))
    assert verdict.is_better
    assert "0.3100" in verdict.because
    assert "beats 0.3000 of the declared floor" in verdict.because


@pytest.mark.parametrize("value", [0.3, 0.1])
def test_a_refusal_says_why_in_numbers(value):
    verdict = is_better(SPEC, at(value))
    assert not verdict.is_better
    assert "does not beat 0.3000 of the declared floor" in verdict.because
    assert f"{value:.4f}" in verdict.because


def test_a_later_candidate_must_beat_the_champion():
    passed = is_better(SPEC, at(0.62), beside(0.61))
    assert passed.is_better
    assert "a difference of +0.0100 (-0.0100 to +0.0300)" in passed.because
    refused = is_better(SPEC, at(0.61), beside(0.61))
    assert not refused.is_better
    assert "0.6100 of release 4 on the same rows" in refused.because


def test_a_champion_below_the_floor_does_not_lower_it():
    verdict = is_better(SPEC, at(0.25), beside(0.2))
    assert not verdict.is_better
    assert verdict.against == "the declared floor"


def test_better_over_all_and_surely_worse_in_a_slice_is_refused_by_its_name():
    slices = (part("country = AT", is_worse=True), part("country = BE", is_worse=False))
    verdict = is_better(SPEC, at(0.7), beside(0.6, *slices))
    assert not verdict.is_better
    assert "surely worse by more than 0.1 in 1 slices: country = AT (0.2000" in verdict.because
    assert "BE" not in verdict.because


def test_a_champion_is_measured_on_the_candidate_s_own_test_rows(fitted, served):
    scorer = load_scorer(fitted.directory, fitted.report)

    def found(table):
        return compared(fitted.use_case.model, fitted.plan, scorer.scores, served, table)

    same = found(small_training_set())
    for name, estimate in fitted.report.metrics.items():
        assert same.metrics[name].value == pytest.approx(estimate.value, abs=1e-3), name
    assert same.measured_on == "the same rows"
    assert same.difference is not None
    assert same.difference.value == pytest.approx(0, abs=1e-6)
    assert same.slices
    assert not same.worse
    other = found(small_training_set(seed=8))
    assert other.metrics["average_precision"] != same.metrics["average_precision"]


def test_a_model_that_fails_one_slice_alone_is_found_out(fitted, served):
    scorer = load_scorer(fitted.directory, fitted.report)
    column = fitted.plan.vector.index("card_profile_v1:country")

    def blind_in_austria(vectors):
        return np.where(vectors[:, column] == 0, 0.01, scorer.scores(vectors))

    found = compared(SPEC, fitted.plan, blind_in_austria, served, small_training_set(seed=9))
    assert [each.name for each in found.worse] == ["card_profile_v1:country = AT"]
    assert found.difference is not None
    assert found.difference.high < 0


def test_a_champion_whose_columns_are_gone_keeps_its_own_numbers_and_says_so(fitted, served):
    table = small_training_set().drop_columns(["payment_size__amount"])
    found = compared(fitted.use_case.model, fitted.plan, unasked, served, table)
    assert found.metrics == fitted.report.metrics
    assert found.measured_on == "its own test rows (this snapshot lacks payment_size:amount)"
    assert found.difference is None


def test_a_model_that_blocks_one_country_whole_is_unfair_and_refused(fitted):
    fairness = Fairness(groups=(Groups(reads="card_profile_v1.country"),), adverse=("BLOCK",))
    use_case = fitted.use_case.model_copy(update={"fairness": fairness})
    column = fitted.plan.vector.index("card_profile_v1:country")
    table = small_training_set()

    def found(scores):
        return evaluation_of(use_case, fitted.plan, scores, table, None).fairness

    whole = found(lambda vectors: np.where(vectors[:, column] == 1, 0.99, 0.1))
    assert whole is not None
    assert {verdict.rate for verdict in whole.unfair} >= {"selected", "false_positive"}
    unfair = is_better(SPEC, at(0.9), Evaluation(fairness=whole))
    assert not unfair.is_better
    assert "100.00% of BE" in unfair.because
    alike = found(lambda vectors: np.full(len(vectors), 0.1))
    assert alike is not None
    assert alike.is_passed
    assert {v.rate: v.state for v in alike.verdicts}["selected"] == "fair"
