"""Rollouts of the toy release that pass in seconds, and workers' counts of them."""

from __future__ import annotations

from typing import Any

from bundles import USE_CASE
from payments import NOW_MS

from core.rollout.counters import Counters, latency_bin, score_bin
from core.rollout.limits import Limits
from core.rollout.published import StageCounts, WorkerCounts
from core.rollout.stages import Rollout, Stage
from stores.keys.signing import ensure_signer
from stores.layout import Layout
from stores.shelf.channels import Channels, ChannelState, RolloutState
from stores.shelf.shelf import Shelf

WEIGHTS = (0.05, 0.15, 0.30, 0.50, 0.75, 1.00)


def fast_rollout(
    *,
    weights: tuple[float, ...] = WEIGHTS,
    minimum_requests: int = 100,
    minimum_ms: int = 1_000,
    minimum_labels: int = 0,
    waits: tuple[Any, ...] = (),
    **limits: float,
) -> Rollout:
    """Stages that are over soon; each entity sends one request."""
    return Rollout(
        assigned_by=("card_id",),
        stages=tuple(
            Stage(
                weight=weight,
                minimum_requests=minimum_requests,
                minimum_ms=minimum_ms,
                minimum_labels=minimum_labels,
                waits_for_person=waits,
            )
            for weight in weights
        ),
        limits=Limits(requests_per_entity=1, **limits),
    )


def counted(n: int, *, errors: int = 0, latency_ms: float = 5.0, score: float = 0.02) -> Counters:
    """Counts of ``n`` requests of as many entities, all alike but for the errors."""
    scored = n - errors
    return Counters(
        n_requests=n,
        n_errors=errors,
        n_entities=n,
        latencies=_at(latency_bin(latency_ms), n, len(Counters().latencies)),
        scores=_at(score_bin(score), scored, len(Counters().scores)),
        lowest_score=score - 1e-3 if scored else None,
        highest_score=score if scored else None,
        decisions={"APPROVE": scored},
    )


def worker_counts(stage: int, n: int, weight: float, **challenger: Any) -> WorkerCounts:
    """Counts of ``n`` requests in a stage; ``challenger`` says how that arm differs."""
    n_challenger = round(n * weight)
    stages = {
        stage: StageCounts(
            champion=counted(n - n_challenger), challenger=counted(n_challenger, **challenger)
        )
    }
    return WorkerCounts(stages=stages)


def _at(place: int, n: int, length: int) -> tuple[int, ...]:
    return tuple(n if index == place else 0 for index in range(length))


def roll_out(
    layout: Layout,
    champion: int,
    challenger: int,
    *,
    weight: float,
    counter: int,
    shadow: int | None = None,
    experiment: str = "toy-2-2",
) -> ChannelState:
    """Write channels with a rollout at its only stage, as the controller would."""
    shelf = Shelf(layout.shelf)
    state = ChannelState(
        champion=champion,
        challenger=challenger,
        challenger_weight=weight,
        shadow=shadow,
        rollout=RolloutState(
            experiment=experiment,
            plan=fast_rollout(weights=(weight or 1.0,)),
            risk_tier="medium",
            started_at_ms=NOW_MS,
            stage_started_at_ms=NOW_MS,
        ),
    )
    channels = Channels(counter=counter, written_at_ms=NOW_MS, use_cases={USE_CASE: state})
    shelf.board.write(channels, ensure_signer(layout.keys, "channels"))
    return state


def request_of(card: int, amount_minor: int = 1_250) -> dict[str, Any]:
    """A request about one card."""
    return {
        "entities": {"card_id": f"card-{card}", "terminal_id": "t1"},
        "inputs": {"amount_minor": amount_minor},
    }
