import pytest
from training_sets import small_training_set, small_use_case

from core.stats.metrics import Estimate
from stores.bundle import load_bundle
from training.export import build_bundle
from training.verdict import ChampionMetrics, champion_metrics, is_better

SPEC = small_use_case(floor=0.3).model


def at(value):
    return {"average_precision": Estimate(value=value, low=value - 0.05, high=value + 0.05)}


def champion(value):
    return ChampionMetrics(metrics=at(value), measured_on="the same rows")


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
    assert is_better(SPEC, at(0.62), champion(0.61)).is_better
    refused = is_better(SPEC, at(0.61), champion(0.61), champion_name="release 4")
    assert not refused.is_better
    assert "0.6100 of release 4 on the same rows" in refused.because


def test_a_champion_below_the_floor_does_not_lower_it():
    verdict = is_better(SPEC, at(0.25), champion(0.2))
    assert not verdict.is_better
    assert verdict.against == "the declared floor"


def test_a_champion_is_measured_on_the_candidate_s_own_test_rows(fitted, tmp_path):
    build_bundle(fitted.use_case, fitted.plan, fitted.directory, 1, tmp_path / "1", created_at_ms=5)
    served = load_bundle(tmp_path / "1")
    spec = fitted.use_case.model
    same = champion_metrics(served, spec, small_training_set())
    for name, estimate in fitted.report.metrics.items():
        assert same.metrics[name].value == pytest.approx(estimate.value, abs=1e-3), name
    assert same.measured_on == "the same rows"
    assert not is_better(spec, same.metrics, same).is_better
    other = champion_metrics(served, spec, small_training_set(seed=8))
    assert other.metrics["average_precision"] != same.metrics["average_precision"]


def test_a_champion_whose_columns_are_gone_keeps_its_own_numbers_and_says_so(fitted, tmp_path):
    build_bundle(fitted.use_case, fitted.plan, fitted.directory, 1, tmp_path / "1", created_at_ms=5)
    table = small_training_set().drop_columns(["payment_size__amount"])
    found = champion_metrics(load_bundle(tmp_path / "1"), fitted.use_case.model, table)
    assert found.metrics == fitted.report.metrics
    assert found.measured_on == "its own test rows (this snapshot lacks payment_size:amount)"
