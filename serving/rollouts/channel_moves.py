"""Moves of a use case's channels: the state before, the state after. Pure; the controller signs."""

from __future__ import annotations

from core.rollout.stages import RiskTier, Rollout, Step
from stores.shelf.channels import FORMER_CHAMPIONS_KEPT, ChannelState, KeptContract, RolloutState

_NO_ROLLOUT = {"challenger": None, "challenger_weight": 0.0, "rollout": None}
_NO_SHADOW = {"shadow": None, "shadow_experiment": ""}


def promoted(state: ChannelState, release: int) -> ChannelState:
    """``release`` is the champion. A rollout under way ends, whoever its challenger was."""
    past = dict.fromkeys((state.champion, *state.former_champions))
    former = tuple(n for n in past if n is not None and n != release)
    return _with(
        state,
        champion=release,
        former_champions=former[:FORMER_CHAMPIONS_KEPT],
        **_NO_ROLLOUT,
        **(_NO_SHADOW if state.shadow == release else {}),
    )


def followed(state: ChannelState, major: int, *, since_ms: int, until_ms: int) -> ChannelState:
    """The champion goes on answering callers of its contract, before another takes its place."""
    kept = KeptContract(major=major, release=state.champion, since_ms=since_ms, until_ms=until_ms)
    return _with(state, older=(*state.older, kept))


def answered_by(state: ChannelState, major: int, release: int) -> ChannelState:
    """Callers of an older contract are answered by another release of it."""
    return _with_older(state, major, release)


def ended(state: ChannelState, major: int) -> ChannelState:
    """The time of an older contract is over."""
    return _with_older(state, major, None)


def _with_older(state: ChannelState, major: int, release: int | None) -> ChannelState:
    older = (
        kept.model_copy(update={"release": release}) if kept.major == major else kept
        for kept in state.older
    )
    return _with(state, older=tuple(older))


def returned(state: ChannelState, release: int, major: int) -> ChannelState:
    """A former champion is champion again; a rollout under way ends.

    A stack: going back twice goes further back, never to what was just left. Its own contract,
    ``major``, is no older one then.
    """
    left = state.former_champions[state.former_champions.index(release) + 1 :]
    return _with(
        state,
        champion=release,
        former_champions=left,
        older=tuple(kept for kept in state.older if kept.major < major),
        **_NO_ROLLOUT,
        **(_NO_SHADOW if state.shadow == release else {}),
    )


def started(
    state: ChannelState,
    release: int,
    plan: Rollout,
    *,
    risk_tier: RiskTier,
    experiment: str,
    at_ms: int,
) -> ChannelState:
    """``release`` is the challenger, at the first stage of its plan."""
    rollout = RolloutState(
        experiment=experiment,
        plan=plan,
        risk_tier=risk_tier,
        started_at_ms=at_ms,
        stage_started_at_ms=at_ms,
    )
    return _with(
        state,
        challenger=release,
        challenger_weight=plan.stages[0].weight,
        rollout=rollout,
        **(_NO_SHADOW if state.shadow == release else {}),
    )


def advanced(state: ChannelState, rollout: RolloutState, step: Step, at_ms: int) -> ChannelState:
    """The rollout is in the step's stage."""
    later = rollout.model_copy(update={"stage": step.stage, "stage_started_at_ms": at_ms})
    return _with(state, challenger_weight=step.weight, rollout=later)


def held(state: ChannelState, rollout: RolloutState, *, is_held: bool) -> ChannelState:
    """A person keeps the rollout where it is, or lets it go on."""
    return _with(state, rollout=rollout.model_copy(update={"is_held": is_held}))


def approved(state: ChannelState, rollout: RolloutState, stage: int) -> ChannelState:
    """A person lets the rollout leave a stage."""
    stages = tuple(sorted({*rollout.approved_stages, stage}))
    return _with(state, rollout=rollout.model_copy(update={"approved_stages": stages}))


def withdrawn(state: ChannelState) -> ChannelState:
    """The champion answers everybody again."""
    return _with(state, **_NO_ROLLOUT)


def shadowed(state: ChannelState, release: int | None, experiment: str) -> ChannelState:
    """``release`` is asked beside the champion; None: nobody is any more."""
    if release is None:
        return _with(state, **_NO_SHADOW)
    return _with(state, shadow=release, shadow_experiment=experiment)


def _with(state: ChannelState, **changes: object) -> ChannelState:
    return ChannelState.model_validate({**dict(state), **changes})
