"""The controller's look at a rollout: counts of all workers, gates, the next step, a report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from core.clock import Clock
from core.errors import PlatformError
from core.rollout.comparison import ShadowVerdict, shadow_verdict
from core.rollout.counters import Period
from core.rollout.gates import judged
from core.rollout.limits import Limits
from core.rollout.published import all_counts
from core.rollout.stages import Action, Progress, Step, next_step
from core.rollout.verdicts import Verdict
from serving.rollouts import channel_moves as moves
from serving.rollouts.channel_requests import Decisions
from stores.keys.signing import KeyRing
from stores.shared_counts import SharedCounts
from stores.shelf.bundle import read_manifest
from stores.shelf.channels import ChannelState, RolloutState
from stores.shelf.rollouts import (
    ArmSummary,
    Event,
    Report,
    RolloutReport,
    ShadowReport,
    StageSummary,
)
from stores.shelf.shelf import Shelf

WHO = "the gates"
_EVENTS: dict[Action, Event] = {
    "advance": "advanced",
    "promote": "promoted",
    "roll_back": "rolled_back",
}


@dataclass(frozen=True)
class Look:
    """What one look at a use case comes to. ``after`` is None where nothing moves."""

    report: Report
    after: ChannelState | None = None
    event: Event | None = None
    because: str = ""


class Judge:
    """Looks at rollouts and shadows. It changes nothing itself."""

    def __init__(self, shelf: Shelf, keys: KeyRing, clock: Clock, counts: SharedCounts) -> None:
        self._shelf = shelf
        self._decisions = Decisions(shelf, keys, clock)
        self._clock = clock
        self._counts = counts

    def look(self, use_case: str, state: ChannelState, last: Report) -> Look:
        """Where the rollout and the shadow of a use case stand, and what to do now.

        Counts that cannot be read move nothing: the report says so, and the next look tries
        again.
        """
        shadow = self._shadow(use_case, state) if state.shadow is not None else None
        rollout, challenger = state.rollout, state.challenger
        if rollout is None or challenger is None:
            return Look(Report(use_case=use_case, rollout=last.rollout, shadow=shadow))
        try:
            counts = all_counts(self._counts.read(rollout.experiment))
            periods = counts.periods(rollout.plan.stages, up_to=rollout.stage)
            verdicts = judged(periods, rollout.plan.limits, n_stages=len(rollout.plan.stages))
            step = self._step(use_case, state, rollout, periods, verdicts)
        except (PlatformError, ValueError, OverflowError) as error:
            report = self._report(state, rollout, challenger, trouble=str(error))
            return Look(Report(use_case=use_case, rollout=report, shadow=shadow))
        report = self._report(
            state, rollout, challenger, step=step, verdicts=verdicts, periods=periods
        )
        whole = Report(use_case=use_case, rollout=report, shadow=shadow)
        if step.action == "hold":
            return Look(whole)
        after = self._after(state, rollout, challenger, step)
        return Look(whole, after, _EVENTS[step.action], step.because)

    def forget(self, experiment: str) -> None:
        """Drop the counts of a rollout that has ended."""
        self._counts.forget(experiment)

    def _step(
        self,
        use_case: str,
        state: ChannelState,
        rollout: RolloutState,
        periods: Sequence[Period],
        verdicts: Sequence[Verdict],
    ) -> Step:
        progress = Progress.of(
            periods[-1],
            verdicts,
            risk_tier=rollout.risk_tier,
            elapsed_ms=max(0, self._clock.now_ms() - rollout.stage_started_at_ms),
            approved_stages=rollout.approved_stages,
        )
        step = next_step(rollout.plan, progress)
        if rollout.is_held and step.action in ("advance", "promote"):
            return _holding(step, state, rollout, "a person holds it")
        if step.action == "promote" and state.challenger is not None:
            try:
                self._decisions.fit_to_serve(use_case, state.challenger)
            except PlatformError as error:
                return _holding(step, state, rollout, str(error))
        return step

    def _after(
        self, state: ChannelState, rollout: RolloutState, challenger: int, step: Step
    ) -> ChannelState:
        if step.action == "advance":
            return moves.advanced(state, rollout, step, self._clock.now_ms())
        if step.action == "promote":
            return moves.promoted(state, challenger)
        return moves.withdrawn(state)

    def _report(
        self,
        state: ChannelState,
        rollout: RolloutState,
        challenger: int,
        *,
        step: Step | None = None,
        verdicts: Sequence[Verdict] = (),
        periods: Sequence[Period] = (),
        trouble: str = "",
    ) -> RolloutReport:
        return RolloutReport(
            experiment=rollout.experiment,
            champion=state.champion,
            challenger=challenger,
            risk_tier=rollout.risk_tier,
            started_at_ms=rollout.started_at_ms,
            at_ms=self._clock.now_ms(),
            stage=rollout.stage,
            n_stages=len(rollout.plan.stages),
            weight=state.challenger_weight,
            is_held=rollout.is_held,
            step=step,
            verdicts=tuple(verdicts),
            stages=tuple(_summary(period) for period in periods),
            trouble=trouble,
        )

    def _shadow(self, use_case: str, state: ChannelState) -> ShadowReport | None:
        if state.shadow is None:
            return None
        try:
            manifest = read_manifest(self._shelf.bundle(use_case, state.shadow))
            counts = all_counts(self._counts.read(state.shadow_experiment))
        except (PlatformError, ValueError, OverflowError) as error:
            unread = ShadowVerdict(state="too_few", because=(str(error),), numbers={})
            return ShadowReport(release=state.shadow, at_ms=self._clock.now_ms(), verdict=unread)
        limits = manifest.rollout.limits if manifest.rollout else Limits()
        return ShadowReport(
            release=state.shadow,
            at_ms=self._clock.now_ms(),
            verdict=shadow_verdict(counts.comparison, limits),
            flips=counts.comparison.flips,
        )


def _holding(step: Step, state: ChannelState, rollout: RolloutState, why: str) -> Step:
    return Step(
        action="hold",
        stage=rollout.stage,
        weight=state.challenger_weight,
        because=f"{step.because}; {why}",
    )


def _summary(period: Period) -> StageSummary:
    return StageSummary(
        stage=period.stage,
        weight=period.weight,
        champion=ArmSummary.of(period.champion),
        challenger=ArmSummary.of(period.challenger),
    )
