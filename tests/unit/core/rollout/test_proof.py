"""The proof by simulation: how often the gates are wrong, and how soon they are right."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binom

from benchmarks.rollout_power import false_rollbacks, found_within, rollbacks, rolled_out
from benchmarks.rollout_worlds import Traffic, better, champion, drawn, harmful, period_of
from core.rollout.gates import GATES, judged, log_evidence
from core.rollout.limits import Limits
from core.rollout.stages import DEFAULT_STAGES, Stage
from core.rollout.tallies import Arms

LABELLED = 0.3
CAUGHT_BY = {
    "5 % errors": {"errors", "errors_against_champion"},
    "+50 ms": {"latency_against_champion"},
    "NaN scores": {"soundness"},
    "constant score": {"soundness", "scores"},
    "scores +1 in log-odds": {"scores", "decisions"},
    "scores -1 in log-odds": {"scores", "decisions"},
}


@pytest.mark.slow
def test_equal_arms_are_rolled_back_in_at_most_one_run_in_a_hundred():
    world = replace(champion(), labelled_share=LABELLED)
    found = false_rollbacks(world, runs=2_000, looks=16, seed=1)
    assert found.share <= 0.01, found


@pytest.mark.slow
def test_equal_arms_at_the_very_limits_are_rolled_back_in_at_most_one_run_in_a_hundred():
    # 1 % errors and a p99 of 100 ms: a little worse, and a rollback would be right.
    world = replace(champion(), error_share=0.01, median_ms=100.0 / np.exp(0.5 * 2.326347875))
    found = false_rollbacks(world, runs=2_000, looks=10, seed=3)
    assert found.share <= 0.01, found


@pytest.mark.slow
def test_arms_that_drift_together_are_not_taken_for_different():
    # Labels say that both are miscalibrated alike: the world changed, not the challenger.
    world = replace(champion(), labelled_share=1.0, truth_logits=-1.5)
    assert false_rollbacks(world, runs=500, looks=8, seed=4).share <= 0.01


@pytest.mark.slow
@pytest.mark.parametrize("name", CAUGHT_BY)
def test_a_harmful_challenger_is_rolled_back_within_a_thousand_of_its_requests(name):
    found = found_within(harmful()[name], runs=200, looks=50)
    assert found.share >= 0.95, found
    assert found.p95 <= 1_000, found
    assert set(found.by_gate) <= CAUGHT_BY[name]


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [range(0, 100), range(100, 200)], ids=["first", "second"])
def test_a_better_challenger_is_promoted_unattended(seeds):
    world = replace(better(), labelled_share=LABELLED)
    ends = [rolled_out(world, seed=seed, looks=1)[0].action for seed in seeds]
    assert ends.count("promote") >= 0.95 * len(ends)


@pytest.mark.slow
def test_entities_that_send_each_request_five_times_are_no_more_evidence_than_once():
    told = Limits(requests_per_entity=5)
    found = {
        limits: false_rollbacks(
            champion(), runs=500, looks=16, seed=8, repeats=5, limits=limits
        ).share
        for limits in (Limits(), told)
    }
    assert found[told] <= 0.01
    assert found[Limits()] > 0.02  # what is lost by not saying so


def test_scores_that_are_wrong_alike_are_not_found_without_labels():
    # The limit that the page states: the same scores for another truth.
    unseen = replace(champion(), truth_logits=-2.0)
    assert found_within(unseen, runs=100, looks=10).share == 0.0
    labelled = found_within(replace(unseen, labelled_share=1.0), runs=100, looks=10)
    assert labelled.share >= 0.95
    assert "calibration" in labelled.by_gate


def test_a_challenger_that_gets_twice_its_share_is_found():
    traffic = Traffic(champion(), champion(), 200, actual_share=0.10)
    stage = Stage(weight=0.05, minimum_requests=1_000, minimum_ms=0)
    found = rollbacks(traffic, (stage,), looks=20, seed=5)
    assert found.share >= 0.95
    assert set(found.by_gate) == {"sample_ratio"}


@pytest.mark.slow
def test_looks_after_every_request_break_no_more_than_alpha_allows():
    rng, runs, steps = np.random.default_rng(6), 200, 300
    stage = Stage(weight=0.5, minimum_requests=steps // 2, minimum_ms=0)
    limits = Limits(alpha=0.5)  # each gate at 5 %: at 0.1 % there would be nothing to see
    world = replace(champion(), error_share=0.01, labelled_share=1.0)
    broken = {gate.name: np.zeros(runs, dtype=bool) for gate in GATES}
    for arms in Traffic(world, world, runs).watched(rng, stage, looks=steps):
        for gate in GATES:
            evidence = log_evidence(gate, [arms], limits, n_stages=1)
            broken[gate.name] |= evidence >= -np.log(limits.alpha_of_a_gate)
    most = binom.ppf(1 - 1e-6, runs, limits.alpha_of_a_gate)
    assert {name: int(hit.sum()) for name, hit in broken.items() if hit.sum() > most} == {}


def test_a_run_judged_alone_is_judged_as_among_many():
    rng = np.random.default_rng(7)
    n = np.full(5, 900)
    world = replace(champion(), labelled_share=LABELLED)
    ours = drawn(rng, replace(world, logit_mean=-2.0, error_share=0.02), n)
    arms = Arms(drawn(rng, world, n * 9), ours, 0.1)
    limits = Limits()
    for run in range(5):
        alone = judged([period_of(arms, 0, run)], limits, n_stages=len(DEFAULT_STAGES))
        for gate, verdict in zip(GATES, alone, strict=True):
            among = log_evidence(gate, [arms], limits, n_stages=len(DEFAULT_STAGES))[run]
            assert np.isclose(verdict.log_evidence, among, rtol=1e-9, atol=1e-9), gate.name
