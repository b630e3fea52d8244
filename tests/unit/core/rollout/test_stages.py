"""The state machine: every way to hold, advance, promote and roll back, with its numbers."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from core.errors import InvalidInputError
from core.rollout.counters import SCORE_BINS, Counters, Period
from core.rollout.limits import Limits
from core.rollout.stages import (
    DEFAULT_STAGES,
    Missing,
    Progress,
    Rollout,
    RolloutPlan,
    Stage,
    next_step,
)
from core.rollout.verdicts import State, Verdict

PLAN = RolloutPlan()
LAST = len(DEFAULT_STAGES) - 1
ENOUGH = {
    **dict.fromkeys(("n_requests", "n_scores", "n_entities", "n_labels"), 10**6),
    "elapsed_ms": 10**9,
}


def _verdict(gate="errors", state="passed"):
    return Verdict(
        gate=gate, state=state, because=f"{gate} {state}", log_evidence=0, log_limit=7, numbers={}
    )


def _progress(**fields):
    given_fields = {"stage": 0, "risk_tier": "low", "verdicts": (_verdict(),), **ENOUGH, **fields}
    return Progress(**given_fields)


@st.composite
def progresses(draw):
    states = draw(st.lists(st.sampled_from(get_args(State)), min_size=1))
    return Progress(
        stage=draw(st.integers(0, LAST)),
        risk_tier=draw(st.sampled_from(["low", "medium", "high"])),
        n_requests=draw(st.integers(0, 10_000)),
        n_scores=draw(st.integers(0, 10_000)),
        n_entities=draw(st.integers(0, 200)),
        n_labels=draw(st.integers(0, 10)),
        elapsed_ms=draw(st.integers(0, 4_000_000)),
        verdicts=tuple(_verdict(f"g{i}", state) for i, state in enumerate(states)),
        approved_stages=draw(st.frozensets(st.integers(0, LAST))),
    )


def test_default_stages_are_the_declared_shares():
    assert [stage.weight for stage in DEFAULT_STAGES] == [0.05, 0.15, 0.3, 0.5, 0.75, 1.0]
    assert any("high" in stage.waits_for_person for stage in DEFAULT_STAGES)


@pytest.mark.parametrize("at", range(LAST))
def test_a_stage_with_all_it_needs_advances_to_the_next(at):
    step = next_step(PLAN, _progress(stage=at))
    assert (step.action, step.stage) == ("advance", at + 1)
    assert step.weight == DEFAULT_STAGES[at + 1].weight
    assert "all 1 gates passed" in step.because


def test_a_move_names_the_gates_that_had_nothing_to_compare():
    verdicts = (_verdict(), _verdict("outcome", "nothing_to_compare"))
    assert "1 gate passed, nothing to compare for outcome" in (
        next_step(PLAN, _progress(verdicts=verdicts)).because
    )
    doubted = next_step(PLAN, _progress(verdicts=(*verdicts, _verdict("latency", "doubtful"))))
    assert doubted.missing == (Missing(what="gates", has=1, needs=2),)


def test_the_last_stage_promotes():
    step = next_step(PLAN, _progress(stage=LAST))
    assert (step.action, step.stage, step.weight) == ("promote", LAST, 1.0)


@pytest.mark.parametrize(
    ("fields", "missing", "words"),
    [
        ({"n_requests": 999}, Missing(what="requests", has=999, needs=1_000), "999 of 1000"),
        ({"n_entities": 7}, Missing(what="entities", has=7, needs=100), "7 of 100 entities"),
        ({"elapsed_ms": 899_999}, Missing(what="ms", has=899_999, needs=900_000), "899999 of"),
        ({"risk_tier": "high"}, Missing(what="approvals", has=0, needs=1), "(risk tier high)"),
        (
            {"verdicts": (_verdict(), _verdict("latency", "doubtful"))},
            Missing(what="gates", has=1, needs=2),
            "1 of 2 gates passed (latency: latency doubtful)",
        ),
    ],
)
def test_a_stage_holds_for_the_one_thing_it_lacks(fields, missing, words):
    step = next_step(PLAN, _progress(**fields))
    assert (step.action, step.stage, step.weight) == ("hold", 0, 0.05)
    assert step.missing == (missing,)
    assert words in step.because


def test_a_stage_that_declares_labels_waits_for_them():
    stage = Stage(weight=1.0, minimum_requests=0, minimum_ms=0, minimum_labels=10)
    step = next_step(RolloutPlan(stages=(stage,)), _progress(n_labels=9))
    assert step.missing == (Missing(what="labels", has=9, needs=10),)


def test_a_release_whose_answers_were_all_degraded_is_not_let_through():
    """It answers by fallbacks and rules while the store is down: nobody has seen its model."""
    silent = tuple(_verdict(gate, "nothing_to_compare") for gate in ("scores", "decisions"))
    step = next_step(PLAN, _progress(stage=LAST, n_scores=0, verdicts=(_verdict(), *silent)))
    assert step.action == "hold"
    assert step.missing == (Missing(what="scores", has=0, needs=5_000),)
    assert step.because == "stage 6 of 6 at 100%: 0 of 5000 scores"


def test_an_approval_counts_for_its_own_stage_only():
    high = {"risk_tier": "high", "stage": 3}
    assert next_step(PLAN, _progress(**high, approved_stages={0})).action == "hold"
    assert next_step(PLAN, _progress(**high, approved_stages={3})).action == "advance"


def test_a_broken_gate_rolls_back_from_a_stage_that_lacks_everything():
    verdicts = (_verdict(), _verdict("latency", "broken"), _verdict("scores", "broken"))
    progress = Progress(
        stage=2,
        risk_tier="high",
        n_requests=3,
        n_scores=3,
        n_entities=0,
        n_labels=0,
        elapsed_ms=1,
        verdicts=verdicts,
    )
    step = next_step(PLAN, progress)
    assert (step.action, step.stage, step.weight) == ("roll_back", 0, 0.0)
    assert step.broken == ("latency", "scores")
    assert step.because == "stage 3 of 6 at 30%: latency: latency broken; scores: scores broken"


@given(progresses())
def test_every_step_follows_the_rule(progress):
    step = next_step(PLAN, progress)
    stage = DEFAULT_STAGES[progress.stage]
    states = {verdict.state for verdict in progress.verdicts}
    is_ready = (
        progress.n_requests >= stage.minimum_requests
        and progress.n_scores >= stage.minimum_requests
        and progress.n_entities >= stage.minimum_entities
        and progress.elapsed_ms >= stage.minimum_ms
        and "doubtful" not in states
        and (
            progress.risk_tier not in stage.waits_for_person
            or progress.stage in progress.approved_stages
        )
    )
    onwards = "promote" if progress.stage == LAST else "advance"
    expected = "roll_back" if "broken" in states else (onwards if is_ready else "hold")
    assert step.action == expected
    assert bool(step.missing) == (step.action == "hold")
    assert bool(step.broken) == (step.action == "roll_back")
    assert step.because


def test_progress_counts_the_challenger_of_the_present_stage():
    counted = Counters(
        n_requests=5,
        scores=(4, *(0,) * (SCORE_BINS - 1)),
        lowest_score=0.0,
        highest_score=0.0,
        n_entities=3,
        labelled=(2, *(0,) * (SCORE_BINS - 1)),
    )
    period = Period(stage=2, weight=0.3, challenger=counted, champion=Counters(n_requests=9))
    verdicts = [_verdict()]
    progress = Progress.of(period, verdicts, risk_tier="high", elapsed_ms=7, approved_stages=[0])
    expected = Progress(
        stage=2,
        risk_tier="high",
        n_requests=5,
        n_scores=4,
        n_entities=3,
        n_labels=2,
        elapsed_ms=7,
        verdicts=(_verdict(),),
        approved_stages=frozenset({0}),
    )
    assert progress == expected


@pytest.mark.parametrize("fields", [{"stage": LAST + 1}, {"verdicts": ()}])
def test_a_rollout_is_never_judged_blind(fields):
    with pytest.raises(InvalidInputError):
        next_step(PLAN, _progress(**fields))


@pytest.mark.parametrize("weights", [(0.5, 0.5), (0.5, 0.15), ()])
def test_weights_must_grow(weights):
    stages = tuple(Stage(weight=w, minimum_requests=0, minimum_ms=0) for w in weights)
    with pytest.raises(ValidationError):
        RolloutPlan(stages=stages)


def test_a_plan_survives_json():
    assert RolloutPlan.model_validate_json(PLAN.model_dump_json()) == PLAN


def test_a_declaration_says_how_many_requests_of_an_entity_may_end_alike():
    with pytest.raises(ValidationError, match="requests_per_entity"):
        Rollout(assigned_by=("card_id",))
    said = Rollout(assigned_by=("card_id",), limits=Limits(requests_per_entity=1))
    assert Rollout.model_validate_json(said.model_dump_json()) == said


def test_a_declaration_says_whose_requests_stay_together():
    with pytest.raises(ValidationError, match="assigned_by"):
        Rollout(assigned_by=(), limits=Limits(requests_per_entity=1))


def test_at_once_waits_for_everybody_whom_a_stage_waits_for():
    said = Rollout(assigned_by=("card_id",), limits=Limits(requests_per_entity=1))
    (stage,) = said.at_once.stages
    assert (stage.weight, stage.waits_for_person) == (1.0, ("high",))
    assert stage.minimum_requests == DEFAULT_STAGES[-1].minimum_requests
