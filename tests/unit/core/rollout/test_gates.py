"""Each gate: what breaks it, what does not, and its evidence by a slow direct computation."""

import math

import numpy as np
import pytest
from scipy.stats import binom

from core.errors import InvalidInputError
from core.rollout.counters import (
    LATENCY_BINS,
    LATENCY_EDGES_MS,
    SCORE_BINS,
    SCORE_EDGE_LOGITS,
    Counters,
    Period,
    latency_bin,
    score_bin,
)
from core.rollout.evidence import log_e_above, log_e_outside
from core.rollout.gates import GATES, judged, stage_log_evidence
from core.rollout.health_gates import p99_ms
from core.rollout.label_gates import TILTS, log_e_tilted
from core.rollout.limits import GATE_NAMES, Limits
from core.rollout.score_gates import stability_index
from core.rollout.tallies import Arms, Tally

LIMITS = Limits()
BY_NAME = {gate.name: gate for gate in GATES}


def _at(bins, **counts):
    values = [0] * bins
    for index, count in counts.items():
        values[int(index[1:])] += count
    return tuple(values)


def _latencies(*pairs):
    return _at(LATENCY_BINS, **{f"_{latency_bin(ms)}": count for ms, count in pairs})


def _scored(*pairs, **fields):
    scores = _at(SCORE_BINS, **{f"_{score_bin(score)}": count for score, count in pairs})
    values = [score for score, _ in pairs]
    ends = {"lowest_score": min(values), "highest_score": max(values)} if values else {}
    return Counters(scores=scores, **ends, **fields)


def _verdict(name, challenger, champion=None, weight=0.05):
    period = Period(stage=0, weight=weight, challenger=challenger, champion=champion or Counters())
    verdicts = {verdict.gate: verdict for verdict in judged([period], LIMITS, n_stages=6)}
    return verdicts[name]


def _states(challenger, champion=None):
    period = Period(stage=0, weight=0.5, challenger=challenger, champion=champion or Counters())
    return {verdict.gate: verdict.state for verdict in judged([period], LIMITS, n_stages=6)}


def test_there_is_one_gate_for_each_name():
    assert tuple(gate.name for gate in GATES) == GATE_NAMES
    assert math.isclose(LIMITS.alpha_of_a_gate * len(GATES), LIMITS.alpha)


@pytest.mark.parametrize("gate", GATES, ids=lambda gate: gate.name)
def test_a_gate_is_silent_before_anything_was_counted(gate):
    arms = Arms.of(Period(stage=0, weight=0.05))
    assert float(gate.log_evidence(arms, LIMITS)) <= 1e-12
    assert gate.observed(arms, LIMITS).is_beyond is False
    assert gate.log_evidence.__doc__
    assert gate.observed.__doc__


def test_a_verdict_survives_json_whatever_was_counted():
    slow = Counters(latencies=_latencies((1e9, 5)))
    verdict = _verdict("latency", slow)
    assert type(verdict).model_validate_json(verdict.model_dump_json()) == verdict
    assert verdict.numbers["p99_ms"] == LATENCY_EDGES_MS[-1]


@pytest.mark.parametrize(
    ("errors", "n", "state"), [(1, 1_000, "passed"), (13, 1_000, "doubtful"), (50, 1_000, "broken")]
)
def test_errors_are_passed_doubted_and_broken(errors, n, state):
    verdict = _verdict("errors", Counters(n_requests=n, n_errors=errors))
    assert verdict.state == state
    assert (verdict.log_evidence >= verdict.log_limit) == (state == "broken")
    assert f"{errors / n:.2%} of {n} challenger requests failed" in verdict.because


def test_errors_within_the_absolute_limit_are_broken_against_a_sounder_champion():
    challenger = Counters(n_requests=20_000, n_errors=160)
    champion = Counters(n_requests=20_000, n_errors=20)
    states = _states(challenger, champion)
    assert (states["errors"], states["errors_against_champion"]) == ("passed", "broken")
    assert _states(challenger, challenger)["errors_against_champion"] == "passed"


def test_latency_at_the_limit_passes_and_above_it_breaks():
    at_limit = Counters(latencies=_latencies((100.0, 1_000)))
    above = Counters(latencies=_latencies((50.0, 900), (100.1, 100)))
    assert _verdict("latency", at_limit).state == "passed"
    assert _verdict("latency", above).state == "broken"


def test_latency_against_champion_needs_more_than_the_ratio():
    champion = Counters(latencies=_latencies((20.0, 5_000)))
    edge = LATENCY_EDGES_MS[latency_bin(20.0)]
    within = Counters(latencies=_latencies((1.2 * edge * 0.999, 5_000)))
    beyond = Counters(latencies=_latencies((1.2 * edge * 1.25, 5_000)))
    assert _states(within, champion)["latency_against_champion"] == "passed"
    assert _states(beyond, champion)["latency_against_champion"] == "broken"


def test_latency_against_champion_by_a_loop_over_limits():
    rng = np.random.default_rng(31)
    ours = np.array([latency_bin(ms) for ms in rng.lognormal(3.2, 0.5, 700)])
    theirs = np.array([latency_bin(ms) for ms in rng.lognormal(2.0, 0.5, 3_000)])
    values = []
    for x in range(4, len(LATENCY_EDGES_MS)):
        slower = log_e_outside(_f((ours > x).sum()), _f(len(ours)), highest=0.01)
        faster = log_e_outside(_f((theirs > x - 4).sum()), _f(len(theirs)), lowest=0.01)
        values.append(math.exp(min(float(slower), float(faster))))
    arms = Arms.of(
        Period(
            stage=0,
            weight=0.2,
            challenger=Counters(latencies=tuple(np.bincount(ours, minlength=LATENCY_BINS))),
            champion=Counters(latencies=tuple(np.bincount(theirs, minlength=LATENCY_BINS))),
        )
    )
    found = float(BY_NAME["latency_against_champion"].log_evidence(arms, LIMITS))
    assert found > math.log(1_000)
    assert math.isclose(found, math.log(sum(values) / len(values)), rel_tol=1e-9)


def _f(value):
    return np.array(float(value))


def test_p99_is_the_least_edge_that_one_in_a_hundred_exceeds():
    tally = Tally.of(Counters(latencies=_latencies((10.0, 99), (500.0, 1))), ())
    assert p99_ms(tally) == LATENCY_EDGES_MS[latency_bin(10.0)]
    tally = Tally.of(Counters(latencies=_latencies((10.0, 98), (500.0, 2))), ())
    assert p99_ms(tally) == LATENCY_EDGES_MS[latency_bin(500.0)]
    assert p99_ms(Tally.of(Counters(), ())) == 0.0


def test_a_few_scores_that_are_no_numbers_break_soundness():
    verdict = _verdict("soundness", _scored((0.1, 40), (0.2, 1), n_nonfinite=8))
    assert verdict.state == "broken"
    assert verdict.because == "8 of 49 challenger scores are not finite; proven"


def test_one_and_the_same_score_breaks_soundness_and_two_scores_do_not():
    assert _verdict("soundness", _scored((0.3, 200))).state == "broken"
    assert _verdict("soundness", _scored((0.3, 20))).state == "doubtful"
    assert _verdict("soundness", _scored((0.3, 199), (0.31, 1))).state == "passed"


def test_a_common_score_is_seldom_taken_for_a_constant():
    # One score has the greatest share that is allowed; the first other one ends the bet.
    runs, most, alpha = 20_000, LIMITS.repeated_share, 0.05
    equal = np.random.default_rng(32).geometric(1 - most, size=runs)
    needed = 1 + math.log(2 / alpha) / -math.log(most)
    assert 0 < (equal >= needed).sum() <= binom.ppf(1 - 1e-6, runs, alpha)


def test_scores_by_a_loop_over_edges():
    rng = np.random.default_rng(33)
    ours, theirs = rng.multinomial(400, np.ones(38) / 38), rng.multinomial(900, np.arange(38) / 703)
    values = []
    for edge in range(1, SCORE_BINS):
        a, b = _f(ours[:edge].sum()), _f(theirs[:edge].sum())
        values.append(float(log_e_above(a, _f(400), b, _f(900), margin=0.1)))
        values.append(float(log_e_above(b, _f(900), a, _f(400), margin=0.1)))
    ends = {"lowest_score": 0.0, "highest_score": 1.0}
    arms = Arms.of(
        Period(
            stage=0,
            weight=0.3,
            challenger=Counters(scores=tuple(ours), **ends),
            champion=Counters(scores=tuple(theirs), **ends),
        )
    )
    found = float(BY_NAME["scores"].log_evidence(arms, LIMITS))
    assert math.isclose(found, math.log(np.mean(np.exp(values))), rel_tol=1e-9)


def test_scores_may_differ_by_the_limit_and_no_more():
    champion = _scored((0.1, 5_000), (0.9, 5_000))
    within = _scored((0.1, 4_100), (0.9, 5_900))
    beyond = _scored((0.1, 3_000), (0.9, 7_000))
    assert _states(within, champion)["scores"] == "passed"
    verdict = _verdict("scores", beyond, champion)
    assert verdict.state == "broken"
    assert verdict.numbers["distance"] == pytest.approx(0.2)
    assert verdict.numbers["psi"] == pytest.approx(
        0.2 * math.log(0.5 / 0.3) + 0.2 * math.log(0.7 / 0.5), rel=0.01
    )


def test_scores_are_found_whichever_way_they_moved():
    one, other = _scored((0.1, 900), (0.9, 100)), _scored((0.1, 100), (0.9, 900))
    assert _states(one, other)["scores"] == _states(other, one)["scores"] == "broken"


def test_psi_is_zero_for_equal_shares_and_symmetric():
    one, other = np.array([90.0, 10.0]), np.array([10.0, 90.0])
    assert stability_index(one, one) == 0.0
    assert stability_index(one, other) == pytest.approx(stability_index(other, one))


def test_decisions_break_on_a_rate_that_doubles_and_pass_within_the_ratio():
    champion = Counters(decisions={"APPROVE": 9_000, "BLOCK": 1_000})
    within = Counters(decisions={"APPROVE": 8_700, "BLOCK": 1_300})
    beyond = Counters(decisions={"APPROVE": 7_000, "BLOCK": 3_000})
    none = Counters(decisions={"APPROVE": 10_000})
    assert _states(within, champion)["decisions"] == "passed"
    assert _states(beyond, champion)["decisions"] == "broken"
    assert _states(none, champion)["decisions"] == "broken"


def test_a_decision_that_the_champion_never_made_counts():
    champion = Counters(decisions={"APPROVE": 1_000})
    challenger = Counters(decisions={"APPROVE": 800, "BLOCK": 200})
    assert _verdict("decisions", challenger, champion).state == "broken"


def _labelled(rate, n=4_000, score=0.1):
    bins = f"_{score_bin(score)}"
    return Counters(
        labelled=_at(SCORE_BINS, **{bins: n}), positives=_at(SCORE_BINS, **{bins: round(n * rate)})
    )


def test_calibration_breaks_on_rates_that_the_scores_do_not_say():
    champion = _labelled(0.1, n=40_000)
    assert _states(_labelled(0.1), champion)["calibration"] == "passed"
    assert _states(_labelled(0.3), champion)["calibration"] == "broken"
    assert _states(_labelled(0.02), champion)["calibration"] == "broken"


def test_calibration_forgives_what_the_champion_does_too_and_welcomes_its_mending():
    drifted = _labelled(0.3, n=40_000)
    assert _states(drifted, drifted)["calibration"] == "passed"
    assert _states(_labelled(0.1), drifted)["calibration"] == "passed"


def test_without_labels_calibration_says_that_only_a_shift_can_show():
    verdict = _verdict("calibration", _scored((0.1, 1_000)))
    assert verdict.state == "passed"
    assert "can only show as a shift of the scores" in verdict.because


@pytest.mark.parametrize("sign", [1, -1])
def test_tilted_evidence_by_a_loop_over_labels(sign):
    bounds = np.array([-2.0, 0.5])
    counts = [(3, 10), (4, 5)]
    ratios = []
    for tilt in TILTS:
        product = 1.0
        for bound, (positives, labelled) in zip(bounds, counts, strict=True):
            p = 1 / (1 + math.exp(-bound))
            q = 1 / (1 + math.exp(-(bound + sign * tilt)))
            for label in [1] * positives + [0] * (labelled - positives):
                product *= q / p if label else (1 - q) / (1 - p)
        ratios.append(product)
    positives, labelled = np.array(counts, dtype=float).T
    found = float(log_e_tilted(positives, labelled, bounds, sign=sign))
    assert math.isclose(found, math.log(sum(ratios) / len(ratios)), abs_tol=1e-12)


def test_tilted_evidence_looked_at_after_every_label_is_seldom_wrong_at_the_bound():
    rng, runs, steps, alpha = np.random.default_rng(34), 1_000, 400, 0.05
    bounds = np.array([-2.0, 0.5])
    bins = rng.integers(0, 2, (runs, steps))
    labels = rng.random((runs, steps)) < 1 / (1 + np.exp(-bounds[bins]))
    in_bin = np.stack([bins == 0, bins == 1], axis=-1)
    positives = (in_bin & labels[..., np.newaxis]).cumsum(axis=1).astype(float)
    evidence = log_e_tilted(positives, in_bin.cumsum(axis=1).astype(float), bounds, sign=1)
    wrong = (evidence >= -math.log(alpha)).any(axis=1).sum()
    assert 0 < wrong <= binom.ppf(1 - 1e-6, runs, alpha)


def test_outcome_breaks_on_scores_that_say_less():
    low, high = f"_{score_bin(0.05)}", f"_{score_bin(0.95)}"
    sharp = Counters(
        labelled=_at(SCORE_BINS, **{low: 5_000, high: 5_000}),
        positives=_at(SCORE_BINS, **{low: 250, high: 4_750}),
    )
    middle = f"_{score_bin(0.5)}"
    blunt = Counters(
        labelled=_at(SCORE_BINS, **{middle: 10_000}), positives=_at(SCORE_BINS, **{middle: 5_000})
    )
    assert _states(blunt, sharp)["outcome"] == "broken"
    assert _states(sharp, blunt)["outcome"] == "passed"
    assert _states(blunt, sharp)["calibration"] == "passed"


def _outcome(rate, n):
    return _labelled(rate, n=n, score=0.55)


DOUBTFUL = {
    "errors_against_champion": (
        Counters(n_requests=1_000, n_errors=5),
        Counters(n_requests=1_000, n_errors=1),
    ),
    "latency": (Counters(latencies=_latencies((5.0, 987), (101.0, 13))), Counters()),
    "latency_against_champion": (
        Counters(latencies=_latencies((30.0, 100))),
        Counters(latencies=_latencies((20.0, 100))),
    ),
    "scores": (_scored((0.1, 10), (0.9, 10)), _scored((0.1, 14), (0.9, 6))),
    "decisions": (
        Counters(decisions={"A": 7, "B": 3}),
        Counters(decisions={"A": 9, "B": 1}),
    ),
    "calibration": (_labelled(0.3, n=100), _labelled(0.1, n=100)),
    "outcome": (_outcome(0.3, 100), _outcome(0.9, 100)),
}


@pytest.mark.parametrize("name", DOUBTFUL)
def test_what_is_beyond_a_limit_without_proof_is_doubtful(name):
    challenger, champion = DOUBTFUL[name]
    verdict = _verdict(name, challenger, champion)
    assert verdict.state == "doubtful"
    assert verdict.because.endswith("; not proven")
    assert verdict.numbers
    assert _verdict(name, champion, champion).state == "passed"


WITHIN = {
    "decisions": (
        Counters(decisions={"A": 845_000, "B": 155_000}),
        Counters(decisions={"A": 900_000, "B": 100_000}),
        {"decision_ratio": 1.0},
        {"decision_margin_share": 0.0},
    ),
    "outcome": (_outcome(0.5, 10**6), _outcome(0.6, 10**6), {"outcome_ratio": 1.0}),
    "errors": (Counters(n_requests=10**6, n_errors=9_000), Counters(), {"error_share": 0.008}),
    "errors_against_champion": (
        Counters(n_requests=10**6, n_errors=1_900),
        Counters(n_requests=10**6, n_errors=1_000),
        {"error_margin_share": 0.0},
    ),
    "latency": (Counters(latencies=_latencies((80.0, 10**6))), Counters(), {"p99_ms": 60.0}),
    "latency_against_champion": (
        Counters(latencies=_latencies((23.0, 10**6))),
        Counters(latencies=_latencies((20.0, 10**6))),
        {"p99_ratio": 1.0},
    ),
    "soundness": (
        _scored((0.1, 10**6), (0.2, 1), n_nonfinite=900),
        Counters(),
        {"nonfinite_share": 0.0005},
    ),
    "scores": (
        _scored((0.1, 500_000), (0.9, 500_000)),
        _scored((0.1, 580_000), (0.9, 420_000)),
        {"score_shift_share": 0.05},
    ),
    "calibration": (_labelled(0.14, n=10**6), _labelled(0.1, n=10**6), {"calibration_logits": 0}),
}


@pytest.mark.parametrize("name", WITHIN)
def test_a_million_requests_within_a_declared_limit_pass_and_break_a_tighter_one(name):
    challenger, champion, *tighter = WITHIN[name]
    assert _verdict(name, challenger, champion).state == "passed"
    arms = Arms.of(Period(stage=0, weight=0.5, challenger=challenger, champion=champion))
    for fields in tighter:
        limits = Limits.model_validate(fields)
        assert float(BY_NAME[name].log_evidence(arms, limits)) > math.log(1_000), fields


def test_a_gate_remembers_trouble_of_the_stage_before():
    # 2.3 % errors in each of two stages: proof of neither alone, of both together.
    counted = Counters(n_requests=1_500, n_errors=34)
    one = Period(stage=0, weight=0.05, challenger=counted)
    two = Period(stage=1, weight=0.15, challenger=counted)
    first = judged([one], LIMITS, n_stages=6)[0]
    second = judged([one, two], LIMITS, n_stages=6)[0]
    assert (first.state, second.state) == ("doubtful", "broken")


def test_trouble_that_begins_late_is_found_after_long_health():
    healthy = Counters(n_requests=100_000, n_errors=100)
    sick = Counters(n_requests=1_000, n_errors=60)
    periods = [
        Period(stage=0, weight=0.05, challenger=healthy),
        Period(stage=1, weight=0.15, challenger=sick),
    ]
    assert judged(periods, LIMITS, n_stages=6)[0].state == "broken"


def test_at_full_weight_the_absolute_gates_still_watch():
    healthy = Counters(n_requests=9_000, latencies=_latencies((5.0, 9_000)), n_entities=10)
    period = Period(stage=0, weight=1.0, challenger=healthy)
    verdicts = judged([period], LIMITS, n_stages=1)
    assert {verdict.state for verdict in verdicts} == {"passed"}
    compared = [verdict for verdict in verdicts if "of both arms to compare" in verdict.because]
    assert len(compared) == 4
    failing = Counters(n_requests=900, n_errors=90)
    assert _verdict("errors", failing, weight=1.0).state == "broken"


def test_requests_of_one_entity_count_as_one_where_so_declared():
    once = Counters(n_requests=200, n_errors=8, n_entities=200)
    thrice = Counters(n_requests=600, n_errors=24, n_entities=200)
    told = Limits(requests_per_entity=3)
    for gate in ("errors", "errors_against_champion", "sample_ratio"):
        alone = Arms.of(Period(stage=0, weight=0.5, challenger=once, champion=once))
        among = Arms.of(Period(stage=0, weight=0.5, challenger=thrice, champion=thrice))
        expected = stage_log_evidence(BY_NAME[gate], alone, LIMITS)
        assert np.isclose(stage_log_evidence(BY_NAME[gate], among, told), expected), gate


@pytest.mark.parametrize("stages", [[], [1], [0, 2], [1, 0], [0, 1, 2]])
def test_periods_are_those_of_the_stages_so_far(stages):
    periods = [Period(stage=stage, weight=0.5) for stage in stages]
    with pytest.raises(InvalidInputError):
        judged(periods, LIMITS, n_stages=2)


def test_score_bins_meet_their_log_odds():
    assert len(SCORE_EDGE_LOGITS) == SCORE_BINS - 1
