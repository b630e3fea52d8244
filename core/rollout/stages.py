r"""The stages of a rollout, and the next step from where it stands: a pure state machine.

::

    stage 0 -> stage 1 -> ... -> last stage -> promoted
       \____________\________________\______-> rolled back

A broken gate rolls back at once, from any stage. Else a stage is left once it has run for its
time, with its requests, with no gate in doubt (one that has nothing to compare is not), and with a
person's approval where the tier asks for it. Everything else holds, and says in numbers what is
missing.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import pairwise
from typing import Literal

from pydantic import Field, NonNegativeInt, model_validator

from core.clock import MINUTE_MS
from core.errors import InvalidInputError
from core.features.plan import Frozen
from core.plural import counted
from core.rollout.counters import Period
from core.rollout.limits import Limits
from core.rollout.verdicts import Verdict

RiskTier = Literal["low", "medium", "high"]
Action = Literal["advance", "promote", "hold", "roll_back"]
_DIGITS = 3


class Stage(Frozen):
    """One setting of the challenger's share, and what must have happened before it is left.

    Minima count the challenger's requests, its new entities and its labels of this stage, and
    milliseconds in it. As many scores as requests must have come, too: degraded answers have none,
    and a release that never scored is proven by nothing. ``waits_for_person`` names the risk tiers
    that leave it by approval only.
    """

    weight: float = Field(gt=0, le=1)
    minimum_requests: NonNegativeInt
    minimum_ms: NonNegativeInt
    minimum_entities: NonNegativeInt = 0
    minimum_labels: NonNegativeInt = 0
    waits_for_person: tuple[RiskTier, ...] = ()


# Requests: what the gates need to see at each share. Time: long enough for an hour's habits.
DEFAULT_STAGES = (
    Stage(
        weight=0.05,
        minimum_requests=1_000,
        minimum_ms=15 * MINUTE_MS,
        minimum_entities=100,  # without them the ratio of the arms is not checked
        waits_for_person=("high",),
    ),
    Stage(weight=0.15, minimum_requests=2_000, minimum_ms=15 * MINUTE_MS),
    Stage(weight=0.30, minimum_requests=3_000, minimum_ms=30 * MINUTE_MS),
    Stage(
        weight=0.50,
        minimum_requests=5_000,
        minimum_ms=30 * MINUTE_MS,
        waits_for_person=("high",),
    ),
    Stage(weight=0.75, minimum_requests=5_000, minimum_ms=30 * MINUTE_MS),
    Stage(weight=1.00, minimum_requests=5_000, minimum_ms=60 * MINUTE_MS),
)


class RolloutPlan(Frozen):
    """Stages in order and the limits that hold in all of them."""

    stages: tuple[Stage, ...] = Field(default=DEFAULT_STAGES, min_length=1)
    limits: Limits = Limits()

    @model_validator(mode="after")
    def _grows(self) -> RolloutPlan:
        if any(after.weight <= before.weight for before, after in pairwise(self.stages)):
            raise ValueError("weights of stages must grow: an entity never changes back")
        return self


class Rollout(RolloutPlan):
    """A plan as a use case declares it, which is where a rollout begins.

    ``assigned_by`` are the join keys of the entity that keeps its arm: all requests about it are
    answered by one release. ``limits.requests_per_entity`` must be said: nobody but who knows
    the use case can, and the gates prove nothing while it is wrong.

    Examples
    --------
    >>> Rollout(assigned_by=("card_id",), limits=Limits(requests_per_entity=3)).stages[0].weight
    0.05
    """

    assigned_by: tuple[str, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _says_how_often(self) -> Rollout:
        if "requests_per_entity" not in self.limits.model_fields_set:
            raise ValueError(
                "limits must say requests_per_entity: how many requests of one entity in a "
                "stage may end alike"
            )
        return self

    @property
    def at_once(self) -> Rollout:
        """Blue-green: everything at once, with the minima and the waits of all stages.

        Nothing is compared with the champion then, as it answers nothing; the absolute limits
        hold, and the champion stays warm.
        """
        last = self.stages[-1]
        waits = {tier: None for stage in self.stages for tier in stage.waits_for_person}
        return self.model_copy(
            update={"stages": (last.model_copy(update={"waits_for_person": tuple(waits)}),)}
        )


class Progress(Frozen):
    """Where a rollout stands: counts of the present stage's challenger, verdicts, approvals.

    ``approved_stages`` are those that a person has allowed to be left, in this rollout.
    """

    stage: NonNegativeInt
    risk_tier: RiskTier
    n_requests: NonNegativeInt
    n_scores: NonNegativeInt
    n_entities: NonNegativeInt
    n_labels: NonNegativeInt
    elapsed_ms: NonNegativeInt
    verdicts: tuple[Verdict, ...]
    approved_stages: frozenset[int] = frozenset()

    @classmethod
    def of(
        cls,
        period: Period,
        verdicts: Sequence[Verdict],
        *,
        risk_tier: RiskTier,
        elapsed_ms: int,
        approved_stages: Collection[int] = (),
    ) -> Progress:
        """Progress of the present stage, from its period and what the gates made of it."""
        challenger = period.challenger
        return cls(
            stage=period.stage,
            risk_tier=risk_tier,
            n_requests=challenger.n_requests,
            n_scores=challenger.n_scores,
            n_entities=challenger.n_entities,
            n_labels=challenger.n_labels,
            elapsed_ms=elapsed_ms,
            verdicts=tuple(verdicts),
            approved_stages=frozenset(approved_stages),
        )


class Missing(Frozen):
    """One thing a stage waits for: how much there is and how much there must be."""

    what: Literal["requests", "scores", "entities", "labels", "ms", "approvals", "gates"]
    has: int
    needs: int


class Step(Frozen):
    """What to do now. ``stage`` and ``weight`` are those after it; 0 after a rollback.

    ``promote`` makes the challenger the champion. ``broken`` are the gates that were broken.
    """

    action: Action
    stage: int
    weight: float
    because: str
    missing: tuple[Missing, ...] = ()
    broken: tuple[str, ...] = ()


def next_step(plan: RolloutPlan, progress: Progress) -> Step:
    """Step that follows from where a rollout stands.

    Raises
    ------
    InvalidInputError
        If the plan has no such stage, or there is no verdict: a rollout is never judged blind.

    Examples
    --------
    >>> passed = Verdict(gate="errors", state="passed", because="0.00% failed",
    ...     log_evidence=-2.0, log_limit=6.9, numbers={})
    >>> progress = Progress(stage=1, risk_tier="low", n_requests=1500,
    ...     n_scores=2000, n_entities=0, n_labels=0, elapsed_ms=900_000, verdicts=(passed,))
    >>> step = next_step(RolloutPlan(), progress)
    >>> step.action, step.because
    ('hold', 'stage 2 of 6 at 15%: 1500 of 2000 requests')
    """
    if progress.stage >= len(plan.stages) or not progress.verdicts:
        raise InvalidInputError(
            "a rollout's progress cannot be judged",
            found=f"stage {progress.stage} of {len(plan.stages)}, "
            f"{len(progress.verdicts)} verdicts",
            remedy="give a stage of the plan and the verdict of every gate",
        )
    stage = plan.stages[progress.stage]
    broken = [verdict for verdict in progress.verdicts if verdict.state == "broken"]
    at = f"stage {progress.stage + 1} of {len(plan.stages)} at {stage.weight * 100:.{_DIGITS}g}%"
    if broken:
        because = "; ".join(f"{verdict.gate}: {verdict.because}" for verdict in broken)
        names = tuple(verdict.gate for verdict in broken)
        return Step(
            action="roll_back", stage=0, weight=0.0, because=f"{at}: {because}", broken=names
        )
    missing = _missing(stage, progress)
    if missing:
        because = ", ".join(_in_words(each, progress) for each in missing)
        return Step(
            action="hold",
            stage=progress.stage,
            weight=stage.weight,
            because=f"{at}: {because}",
            missing=missing,
        )
    return _onwards(plan, progress, f"{at}: {progress.n_requests} requests")


def _onwards(plan: RolloutPlan, progress: Progress, because: str) -> Step:
    because = f"{because} in {progress.elapsed_ms} ms, {_passed_in_words(progress)}"
    following = progress.stage + 1
    if following == len(plan.stages):
        weight = plan.stages[-1].weight
        return Step(action="promote", stage=progress.stage, weight=weight, because=because)
    weight = plan.stages[following].weight
    return Step(action="advance", stage=following, weight=weight, because=because)


def _compared(progress: Progress) -> list[Verdict]:
    """Verdicts of the gates that had something to look at."""
    return [verdict for verdict in progress.verdicts if verdict.state != "nothing_to_compare"]


def _passed_in_words(progress: Progress) -> str:
    compared = _compared(progress)
    if len(compared) == len(progress.verdicts):
        return f"all {len(compared)} gates passed"
    silent = [v.gate for v in progress.verdicts if v.state == "nothing_to_compare"]
    return f"{counted(len(compared), 'gates')} passed, nothing to compare for {', '.join(silent)}"


def _missing(stage: Stage, progress: Progress) -> tuple[Missing, ...]:
    compared = _compared(progress)
    passed = sum(verdict.state == "passed" for verdict in compared)
    needs_person = progress.risk_tier in stage.waits_for_person
    is_approved = progress.stage in progress.approved_stages
    wanted = (
        Missing(what="requests", has=progress.n_requests, needs=stage.minimum_requests),
        Missing(
            what="scores",
            has=progress.n_scores,
            needs=min(stage.minimum_requests, progress.n_requests),
        ),
        Missing(what="entities", has=progress.n_entities, needs=stage.minimum_entities),
        Missing(what="labels", has=progress.n_labels, needs=stage.minimum_labels),
        Missing(what="ms", has=progress.elapsed_ms, needs=stage.minimum_ms),
        Missing(what="gates", has=passed, needs=len(compared)),
        Missing(what="approvals", has=int(is_approved), needs=int(needs_person)),
    )
    return tuple(each for each in wanted if each.has < each.needs)


def _in_words(missing: Missing, progress: Progress) -> str:
    words = f"{missing.has} of {missing.needs} {missing.what}"
    if missing.what == "approvals":
        return f"{words} (risk tier {progress.risk_tier})"
    if missing.what == "gates":
        doubtful = [v for v in progress.verdicts if v.state == "doubtful"]
        reasons = "; ".join(f"{verdict.gate}: {verdict.because}" for verdict in doubtful)
        return f"{words} passed ({reasons})"
    return words
