"""Every gate: silent at first, doubtful, broken, and what stages and weights do to them."""

import math
from typing import Any

import numpy as np
import pytest
from rollout_arms import (
    BY_NAME,
    LIMITS,
    latencies,
    scored,
    verdict_of,
    with_labels,
)

from core.errors import InvalidInputError
from core.rollout.counters import (
    LATENCY_EDGES_MS,
    Counters,
    Period,
)
from core.rollout.gates import GATES, judged, stage_log_evidence
from core.rollout.limits import GATE_NAMES, Limits
from core.rollout.tallies import Arms


def test_there_is_one_gate_for_each_name():
    assert tuple(gate.name for gate in GATES) == GATE_NAMES
    assert math.isclose(LIMITS.alpha_of_a_gate * len(GATES), LIMITS.alpha)


@pytest.mark.parametrize("gate", GATES, ids=lambda gate: gate.name)
def test_a_gate_is_silent_before_anything_was_counted(gate):
    arms = Arms.of(Period(stage=0, weight=0.05))
    assert float(gate.log_evidence(arms, LIMITS)) <= 1e-12
    assert gate.observed(arms, LIMITS).is_empty
    verdict = verdict_of(gate.name, Counters())
    assert (verdict.state, verdict.because[-15:]) == ("nothing_to_compare", " to compare yet")
    assert gate.log_evidence.__doc__
    assert gate.observed.__doc__


def test_a_verdict_survives_json_whatever_was_counted():
    slow = Counters(latencies=latencies((1e9, 5)))
    verdict = verdict_of("latency", slow)
    assert type(verdict).model_validate_json(verdict.model_dump_json()) == verdict
    assert verdict.numbers["p99_ms"] == LATENCY_EDGES_MS[-1]


def _outcome(rate, n):
    return with_labels(rate, n=n, score=0.55)


DOUBTFUL = {
    "errors_against_champion": (
        Counters(n_requests=1_000, n_errors=5),
        Counters(n_requests=1_000, n_errors=1),
    ),
    "latency": (
        Counters(latencies=latencies((5.0, 987), (101.0, 13))),
        Counters(latencies=latencies((5.0, 100))),
    ),
    "latency_against_champion": (
        Counters(latencies=latencies((30.0, 100))),
        Counters(latencies=latencies((20.0, 100))),
    ),
    "scores": (scored((0.1, 10), (0.9, 10)), scored((0.1, 14), (0.9, 6))),
    "decisions": (
        Counters(decisions={"A": 7, "B": 3}),
        Counters(decisions={"A": 9, "B": 1}),
    ),
    "calibration": (with_labels(0.3, n=100), with_labels(0.1, n=100)),
    "outcome": (_outcome(0.3, 100), _outcome(0.9, 100)),
}


@pytest.mark.parametrize("name", DOUBTFUL)
def test_what_is_beyond_a_limit_without_proof_is_doubtful(name):
    challenger, champion = DOUBTFUL[name]
    verdict = verdict_of(name, challenger, champion)
    assert verdict.state == "doubtful"
    assert verdict.because.endswith("; not proven")
    assert verdict.numbers
    assert verdict_of(name, champion, champion).state == "passed"


WITHIN: dict[str, tuple[Any, ...]] = {
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
    "latency": (Counters(latencies=latencies((80.0, 10**6))), Counters(), {"p99_ms": 60.0}),
    "latency_against_champion": (
        Counters(latencies=latencies((23.0, 10**6))),
        Counters(latencies=latencies((20.0, 10**6))),
        {"p99_ratio": 1.0},
    ),
    "soundness": (
        scored((0.1, 10**6), (0.2, 1), n_nonfinite=900),
        Counters(),
        {"nonfinite_share": 0.0005},
    ),
    "scores": (
        scored((0.1, 500_000), (0.9, 500_000)),
        scored((0.1, 580_000), (0.9, 420_000)),
        {"score_shift_share": 0.05},
    ),
    "calibration": (
        with_labels(0.14, n=10**6),
        with_labels(0.1, n=10**6),
        {"calibration_logits": 0},
    ),
}


@pytest.mark.parametrize("name", WITHIN)
def test_a_million_requests_within_a_declared_limit_pass_and_break_a_tighter_one(name):
    challenger, champion, *tighter = WITHIN[name]
    assert verdict_of(name, challenger, champion).state == "passed"
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
    healthy = Counters(n_requests=9_000, latencies=latencies((5.0, 9_000)), n_entities=10)
    period = Period(stage=0, weight=1.0, challenger=healthy)
    verdicts = judged([period], LIMITS, n_stages=1)
    passed = {verdict.gate for verdict in verdicts if verdict.state == "passed"}
    assert passed == {"errors", "latency"}
    silent = [verdict for verdict in verdicts if verdict.state == "nothing_to_compare"]
    assert len(passed) + len(silent) == len(verdicts)
    assert not any("yet" in verdict.because for verdict in silent)
    failing = Counters(n_requests=900, n_errors=90)
    assert verdict_of("errors", failing, weight=1.0).state == "broken"


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
