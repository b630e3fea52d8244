"""All gates over a rollout: what the counts prove, and what they make doubtful.

A gate's evidence of each stage so far is joined by `log_e_over_stages`; a gate is broken once
that reaches ``1 / (alpha / gates)``. By Ville's inequality and the union bound the chance that
a challenger which keeps every limit is ever rolled back is at most ``alpha``, over all gates,
stages and looks, however often one looks. (A challenger that is tried again has another chance
of ``alpha``.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from core.errors import InvalidInputError
from core.rollout import health_gates, label_gates, sample_ratio, score_gates
from core.rollout.counters import Period
from core.rollout.evidence import Array, log_e_over_stages
from core.rollout.limits import GATE_NAMES, Limits
from core.rollout.tallies import Arms
from core.rollout.verdicts import Gate, Observation, State, Verdict

_FUNCTIONS = (
    (health_gates.errors_log_e, health_gates.errors_observed),
    (health_gates.errors_against_champion_log_e, health_gates.errors_against_champion_observed),
    (health_gates.latency_log_e, health_gates.latency_observed),
    (health_gates.latency_against_champion_log_e, health_gates.latency_against_champion_observed),
    (health_gates.soundness_log_e, health_gates.soundness_observed),
    (score_gates.scores_log_e, score_gates.scores_observed),
    (score_gates.decisions_log_e, score_gates.decisions_observed),
    (label_gates.calibration_log_e, label_gates.calibration_observed),
    (label_gates.outcome_log_e, label_gates.outcome_observed),
    (sample_ratio.exposure_log_e, sample_ratio.exposure_observed),
)
GATES = tuple(
    Gate(name, log_evidence, observed)
    for name, (log_evidence, observed) in zip(GATE_NAMES, _FUNCTIONS, strict=True)
)


def stage_log_evidence(gate: Gate, arms: Arms, limits: Limits) -> Array:
    """Evidence of one stage against one gate's promise, in nats.

    Requests of one entity go to one arm and may end alike, so that many of them are no more
    evidence than one. All counts are divided by ``m = requests_per_entity``: every likelihood
    ratio becomes its ``m``-th root, whose expectation over up to ``m`` requests that depend on
    each other in any way is at most 1, by Hoelder's inequality.
    """
    return gate.log_evidence(arms.shared_out(limits.requests_per_entity), limits)


def log_evidence(gate: Gate, arms: Sequence[Arms], limits: Limits, *, n_stages: int) -> Array:
    """Evidence against one gate's promise over the stages so far, in nats."""
    by_stage = [stage_log_evidence(gate, each, limits) for each in arms]
    return log_e_over_stages(by_stage, n_stages)


def judged(periods: Sequence[Period], limits: Limits, *, n_stages: int) -> tuple[Verdict, ...]:
    """Verdict of every gate on the stages so far.

    Parameters
    ----------
    periods
        One for each stage from the first to the present one, in order.
    limits
        Declared limits.
    n_stages
        Stages that the rollout has in all.

    Returns
    -------
    tuple
        One verdict for each of `GATES`, in their order.

    Raises
    ------
    InvalidInputError
        If the periods are not those of the stages 0, 1, 2 and so on.

    Examples
    --------
    >>> from core.rollout.counters import Counters
    >>> challenger = Counters(n_requests=1000, n_errors=50)
    >>> period = Period(stage=0, weight=0.05, challenger=challenger)
    >>> judged([period], Limits(), n_stages=6)[0].because
    '5.00% of 1000 challenger requests failed, the limit is 1.00%; proven'
    """
    if (
        not periods
        or len(periods) > n_stages
        or [p.stage for p in periods] != [*range(len(periods))]
    ):
        raise InvalidInputError(
            "periods are not those of the stages so far",
            found=f"stages {[period.stage for period in periods]} of {n_stages}",
            remedy="give one period for each stage from 0 on, in order",
        )
    arms = [Arms.of(period) for period in periods]
    return tuple(_verdict(gate, arms, limits, n_stages) for gate in GATES)


def _verdict(gate: Gate, arms: Sequence[Arms], limits: Limits, n_stages: int) -> Verdict:
    evidence = float(log_evidence(gate, arms, limits, n_stages=n_stages))
    log_limit = -math.log(limits.alpha_of_a_gate)
    seen = gate.observed(arms[-1], limits)
    state = _state(seen, is_proven=evidence >= log_limit)
    return Verdict(
        gate=gate.name,
        state=state,
        because=seen.sentence + _proof(state, arms[-1].weight),
        log_evidence=evidence,
        log_limit=log_limit,
        numbers=seen.numbers,
    )


def _state(seen: Observation, *, is_proven: bool) -> State:
    if is_proven:
        return "broken"
    if seen.is_empty:
        return "nothing_to_compare"
    return "doubtful" if seen.is_beyond else "passed"


def _proof(state: State, weight: float) -> str:
    if state == "nothing_to_compare":  # where all meet the challenger no champion's count will come
        return " yet" if weight < 1 else ""
    return {"broken": "; proven", "doubtful": "; not proven"}.get(state, "")
