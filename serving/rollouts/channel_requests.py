"""What the controller makes of each request: the channels after it, or why not.

It trusts nobody's word: signature, digests, verdict and approvals are checked here again, and the
model is tried in a process of its own, whoever asked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from core.clock import DAY_MS, Clock
from core.errors import InvalidInputError, NotReadyError
from core.interface import Compatibility, following
from core.rows.event_versions import following_sources
from core.sign_offs import roles_of
from core.versions import major_of
from serving.rollouts import channel_moves as moves
from serving.rollouts.refusals import no_rollout_across, refuses_callers, unreadable
from stores.keys.signing import KeyRing
from stores.shelf.archives import refuse_archived
from stores.shelf.bundle import Manifest
from stores.shelf.channels import Asked, ChannelRequest, Channels, ChannelState, RolloutState
from stores.shelf.in_use import interfaces_served, sources_served
from stores.shelf.papers import StageApproval, signed_bytes
from stores.shelf.returning import refusal_of
from stores.shelf.rollouts import Event
from stores.shelf.shelf import Shelf

WAYS_BACK: tuple[Asked, ...] = ("rollback", "withdraw")
"""Asked for when something does harm: they wait for nobody."""


class Tries(Protocol):
    """Whatever tries a release before it serves."""

    def measured_bytes(self, folder: Path, digest: str) -> int:
        """Memory that it takes; PlatformError when it is bad, PendingError while that is open."""
        ...


@dataclass(frozen=True)
class Move:
    """What a request comes to. ``event`` is what the audit of rollouts will say, if anything."""

    after: ChannelState
    because: str
    event: Event | None = None


class Decisions:
    """Answers requests about one state of the shelf. Without ``trials`` no model is tried."""

    def __init__(
        self, shelf: Shelf, keys: KeyRing, clock: Clock, trials: Tries | None = None
    ) -> None:
        self._shelf = shelf
        self._trials = trials
        self._keys = keys
        self._clock = clock

    def on(self, request: ChannelRequest, channels: Channels) -> Move:
        """Move that a request asks for; one to the state as it is changes nothing.

        Raises
        ------
        PlatformError
            If it is refused; the words are for whoever asked.
        PendingError
            If it depends on a trial that goes on.
        """
        decide: dict[str, Callable[[ChannelRequest, Channels, ChannelState], Move]] = {
            "promote": self._promote,
            "rollback": self._rollback,
            "start": self._start,
            "hold": self._hold,
            "resume": self._hold,
            "approve_stage": self._approve_stage,
            "withdraw": self._withdraw,
            "shadow": self._shadow,
        }
        try:
            return decide[request.action](request, channels, channels.state(request.use_case))
        except OSError as error:  # of one release: what else is asked for must not wait for it
            raise unreadable(request, error) from error

    def fit_to_serve(self, use_case: str, release: int) -> tuple[Manifest, str]:
        """Manifest of a release that may serve everybody, and why it may.

        Raises
        ------
        PlatformError
            If it is archived, unsigned, changed, judged unfit, not approved, or its model fails.
        """
        refuse_archived(self._shelf, use_case, release)
        manifest = self._shelf.verified(use_case, release, self._keys).manifest
        verdict = self._shelf.verdict(use_case, release, self._keys)
        if verdict is None:
            raise NotReadyError(
                f"the declared rule has not judged release {release} of {use_case}",
                found="no verdict on this manifest",
                remedy="materialise the release asset, which judges and signs",
                code="no_verdict",
            )
        if not verdict.is_passed:
            raise InvalidInputError(
                f"the declared rule refused release {release} of {use_case}",
                found=verdict.because,
                remedy="train a better candidate, or declare another rule",
                code="verdict_refused",
            )
        signed_off = self._signed_off(manifest)
        self._try(manifest)
        return manifest, f"{verdict.because}; {signed_off}; signature and digests hold"

    def _promote(self, request: ChannelRequest, channels: Channels, state: ChannelState) -> Move:
        release = _named(request)
        if state.champion == release:
            return Move(state, f"release {release} is the champion already")
        manifest, because = self.fit_to_serve(request.use_case, release)
        contract = self._follow(manifest, channels)
        if release in (kept.release for kept in state.older):
            return Move(state, f"release {release} answers its contract already")
        if any(kept.major == manifest.contract.major for kept in state.older):
            return _of_older(state, manifest, because)
        if contract is not None and contract.word == "new_major":
            state, because = self._followed(state, manifest, contract), _joined(because, contract)
        event: Event | None = None
        if state.rollout is not None:
            event = "promoted" if state.challenger == release else "overtaken"
        return Move(moves.promoted(state, release), because, event)

    def _rollback(self, request: ChannelRequest, channels: Channels, state: ChannelState) -> Move:
        release = _former(request, state)
        refuse_archived(self._shelf, request.use_case, release)
        refusal = refusal_of(self._shelf, channels, request.use_case, release)
        if refusal and not request.may_refuse:
            raise refuses_callers(refusal, request.use_case, release)
        contract = self._shelf.verified(request.use_case, release, self._keys).manifest.contract
        event: Event | None = None if state.rollout is None else "overtaken"
        because = f"release {release} was champion before; signature and digests hold"
        return Move(moves.returned(state, release, contract.major), because, event)

    def _start(self, request: ChannelRequest, channels: Channels, state: ChannelState) -> Move:
        release = _named(request)
        if state.rollout is not None and state.challenger == release:
            return Move(state, f"release {release} is being rolled out already")
        _refuse_second(request, state, release)
        manifest, because = self.fit_to_serve(request.use_case, release)
        contract = self._follow(manifest, channels)
        if contract is not None and contract.word == "new_major":
            raise no_rollout_across(contract, manifest)
        if manifest.rollout is None:
            raise InvalidInputError(
                f"release {release} of {request.use_case} has no rollout to go through",
                found="none was declared when it was built",
                remedy="promote it, or declare a Rollout in the use case and build again",
                code="no_rollout_declared",
            )
        plan = manifest.rollout.at_once if request.is_at_once else manifest.rollout
        experiment = f"{request.use_case}-{release}-{channels.counter + 1}"
        after = moves.started(
            state,
            release,
            plan,
            risk_tier=manifest.risk_tier,
            experiment=experiment,
            at_ms=self._clock.now_ms(),
        )
        weights = ", ".join(f"{stage.weight:.0%}" for stage in plan.stages)
        return Move(after, f"{because}; stages {weights}", "started")

    def _hold(self, request: ChannelRequest, channels: Channels, state: ChannelState) -> Move:
        del channels
        rollout = _running(request, state)
        is_held = request.action == "hold"
        if rollout.is_held == is_held:
            return Move(state, "it is held already" if is_held else "nobody holds it")
        after = moves.held(state, rollout, is_held=is_held)
        return Move(after, request.why, "held" if is_held else "resumed")

    def _approve_stage(
        self, request: ChannelRequest, channels: Channels, state: ChannelState
    ) -> Move:
        del channels
        rollout = _running(request, state)
        stage = _said(request, rollout, self._keys)
        if stage in rollout.approved_stages:
            return Move(state, f"stage {stage + 1} is approved already")
        because = f"{request.who} lets the rollout leave stage {stage + 1}"
        return Move(moves.approved(state, rollout, stage), because, "approved")

    def _withdraw(self, request: ChannelRequest, channels: Channels, state: ChannelState) -> Move:
        del channels
        because = f"release {state.champion} answers everybody"
        if state.rollout is None:
            return Move(state, f"{because} already")
        return Move(moves.withdrawn(state), because, "withdrawn")

    def _shadow(self, request: ChannelRequest, channels: Channels, state: ChannelState) -> Move:
        release = request.release
        if release == state.shadow:
            return Move(state, f"the shadow is {release or 'none'} already")
        if release is None:
            return Move(moves.shadowed(state, None, ""), "no shadow any more", "shadow_removed")
        if state.champion is None or release in (state.champion, state.challenger):
            raise InvalidInputError(
                f"release {release} cannot be a shadow",
                found=f"champion {state.champion}, challenger {state.challenger}",
                remedy="name a release that does not serve, beside a champion that does",
                code="no_shadow_of_itself",
            )
        refuse_archived(self._shelf, request.use_case, release)
        self._try(self._shelf.verified(request.use_case, release, self._keys).manifest)
        experiment = f"{request.use_case}-shadow-{release}-{channels.counter + 1}"
        because = f"release {release} is scored beside the champion; signature and digests hold"
        return Move(moves.shadowed(state, release, experiment), because, "shadow_set")

    def _follow(self, manifest: Manifest, channels: Channels) -> Compatibility | None:
        """How a contract follows those that are served; InvalidInputError where it breaks one.

        The contracts of its sources are held to those that events are taken by, too.
        """
        state = channels.state(manifest.use_case)
        served = interfaces_served(self._shelf, manifest.use_case, state)
        contract = following(manifest.interface, served)
        sources, now_ms = sources_served(self._shelf, channels), self._clock.now_ms()
        events = following_sources(manifest.contract.sources, sources, now_ms)
        for found in (contract, *events):
            if found is not None and not found.is_allowed:
                raise InvalidInputError(
                    f"release {manifest.release} of {manifest.use_case} leaves callers behind",
                    found=found.sentence(),
                    remedy="build it so; to go back to a former champion, `throughline rollback`",
                    code=f"contract_{found.word}",
                )
        return contract

    def _followed(
        self, state: ChannelState, manifest: Manifest, contract: Compatibility
    ) -> ChannelState:
        """The channels, the champion kept for callers of its contract as long as is declared."""
        now_ms = self._clock.now_ms()
        until_ms = now_ms + manifest.contract.keeps_previous_days * DAY_MS
        return moves.followed(state, major_of(contract.before), since_ms=now_ms, until_ms=until_ms)

    def _try(self, manifest: Manifest) -> None:
        """Load a model that was never tried; IntegrityError when it fails, crashes or hangs."""
        if self._trials is not None:
            folder = self._shelf.bundle(manifest.use_case, manifest.release)
            self._trials.measured_bytes(folder, manifest.digest)

    def _signed_off(self, manifest: Manifest) -> str:
        """Which roles signed off; NotReadyError while any is missing."""
        use_case, release = manifest.use_case, manifest.release
        missing = self._shelf.missing_approvals(use_case, release, self._keys, self._clock.now_ms())
        roles = roles_of(manifest.risk_tier, manifest.sign_offs)
        if missing:
            given = self._shelf.approvals(use_case, release, self._keys)
            raise NotReadyError(
                f"release {release} of {use_case} is not signed off by {' and '.join(missing)}",
                found=f"{len(given)} approvals of this manifest; risk tier {manifest.risk_tier} "
                f"takes {' and '.join(roles)}, each of another person, none of its author, "
                "none expired",
                remedy=f"`throughline approve {use_case} {release} --role {missing[0]}`",
                code="not_approved",
            )
        return f"signed off by {' and '.join(roles)}" if roles else "no sign-off asked for"


def _of_older(state: ChannelState, manifest: Manifest, because: str) -> Move:
    """Another release for callers of an older contract; the champion stays."""
    major = manifest.contract.major
    after = moves.answered_by(state, major, manifest.release)
    return Move(after, f"{because}; it answers callers of contract {major}")


def _joined(because: str, contract: Compatibility) -> str:
    return f"{because}; {contract.sentence()}"


def _named(request: ChannelRequest) -> int:
    if request.release is None:
        raise InvalidInputError(
            f"the request to {request.action} names no release",
            remedy="say which release",
            code="no_release_named",
        )
    return request.release


def _running(request: ChannelRequest, state: ChannelState) -> RolloutState:
    if state.rollout is None:
        raise NotReadyError(
            f"no rollout of {request.use_case} is under way",
            found=f"champion {state.champion} alone",
            remedy="start one: `throughline rollout start`",
            code="no_rollout",
        )
    return state.rollout


def _refuse_second(request: ChannelRequest, state: ChannelState, release: int) -> None:
    if state.champion is None or state.champion == release:
        raise InvalidInputError(
            f"a rollout of release {release} has nothing to be compared with",
            found=f"champion {state.champion}",
            remedy="promote the first release; start rollouts of later ones",
            code="no_other_champion",
        )
    if state.rollout is not None:
        raise InvalidInputError(
            f"a rollout of {request.use_case} is under way",
            found=f"release {state.challenger} at {state.challenger_weight:.0%}",
            remedy="wait for its end, or withdraw it: `throughline rollout rollback`",
            code="rollout_running",
        )


def _said(request: ChannelRequest, rollout: RolloutState, keys: KeyRing) -> int:
    """Stage that a signed word is about, when it is about the present one of this rollout."""
    approval: StageApproval | None = request.approval
    if approval is None:
        raise InvalidInputError(
            "the request carries no approval", remedy="sign one", code="no_approval"
        )
    said = approval.statement
    keys.verify("approval", signed_bytes(said), approval.signature)
    if said.who != request.who:
        raise InvalidInputError(
            "the approval was signed by another than who asks",
            found=f"the word of {said.who!r} in a request of {request.who!r}",
            remedy="have whoever signed it ask",
            code="another_approver",
        )
    about = (said.use_case, said.experiment, said.stage)
    if about != (request.use_case, rollout.experiment, rollout.stage):
        raise InvalidInputError(
            "the approval is about another stage",
            found=f"stage {said.stage + 1} of {said.experiment}; "
            f"stage {rollout.stage + 1} of {rollout.experiment} is under way",
            remedy="look at the rollout as it stands, and approve that",
            code="another_stage",
        )
    return said.stage


def _former(request: ChannelRequest, state: ChannelState) -> int:
    if not state.former_champions:
        raise NotReadyError(
            f"{request.use_case} has nothing to roll back to",
            found=f"champion {state.champion}, none before it",
            remedy="promote another release instead",
            code="no_former_champion",
        )
    release = request.release or state.former_champions[0]
    if release not in state.former_champions:
        raise InvalidInputError(
            f"release {release} of {request.use_case} was not champion before",
            found=f"former champions {list(state.former_champions)}",
            remedy="name one of these, or promote the release",
            code="not_a_former_champion",
        )
    return release
