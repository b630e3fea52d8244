"""Scores and decisions: what breaks the gates, what does not, and their evidence by a slow loop."""

import math

import numpy as np
import pytest
from rollout_arms import (
    BY_NAME,
    LIMITS,
    number,
    scored,
    states_of,
    verdict_of,
)

from core.rollout.counters import (
    SCORE_BINS,
    SCORE_EDGE_LOGITS,
    Counters,
    Period,
)
from core.rollout.evidence import log_e_above
from core.rollout.tallies import Arms


def test_scores_by_a_loop_over_edges():
    rng = np.random.default_rng(33)
    ours, theirs = rng.multinomial(400, np.ones(38) / 38), rng.multinomial(900, np.arange(38) / 703)
    values = []
    for edge in range(1, SCORE_BINS):
        a, b = number(ours[:edge].sum()), number(theirs[:edge].sum())
        values.append(float(log_e_above(a, number(400), b, number(900), margin=0.1)))
        values.append(float(log_e_above(b, number(900), a, number(400), margin=0.1)))
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
    champion = scored((0.1, 5_000), (0.9, 5_000))
    within = scored((0.1, 4_100), (0.9, 5_900))
    beyond = scored((0.1, 3_000), (0.9, 7_000))
    assert states_of(within, champion)["scores"] == "passed"
    verdict = verdict_of("scores", beyond, champion)
    assert verdict.state == "broken"
    assert verdict.numbers["distance"] == pytest.approx(0.2)
    assert verdict.numbers["psi"] == pytest.approx(
        0.2 * math.log(0.5 / 0.3) + 0.2 * math.log(0.7 / 0.5), rel=0.01
    )


def test_scores_are_found_whichever_way_they_moved():
    one, other = scored((0.1, 900), (0.9, 100)), scored((0.1, 100), (0.9, 900))
    assert states_of(one, other)["scores"] == states_of(other, one)["scores"] == "broken"


def test_decisions_break_on_a_rate_that_doubles_and_pass_within_the_ratio():
    champion = Counters(decisions={"APPROVE": 9_000, "BLOCK": 1_000})
    within = Counters(decisions={"APPROVE": 8_700, "BLOCK": 1_300})
    beyond = Counters(decisions={"APPROVE": 7_000, "BLOCK": 3_000})
    none = Counters(decisions={"APPROVE": 10_000})
    assert states_of(within, champion)["decisions"] == "passed"
    assert states_of(beyond, champion)["decisions"] == "broken"
    assert states_of(none, champion)["decisions"] == "broken"


def test_a_decision_that_the_champion_never_made_counts():
    champion = Counters(decisions={"APPROVE": 1_000})
    challenger = Counters(decisions={"APPROVE": 800, "BLOCK": 200})
    assert verdict_of("decisions", challenger, champion).state == "broken"


def test_score_bins_meet_their_log_odds():
    assert len(SCORE_EDGE_LOGITS) == SCORE_BINS - 1
