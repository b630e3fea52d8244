"""The controller: alone writes and signs ``channels.json``. ``python -m serving.controller``.

It takes requests from the shelf in order of arrival, verifies what they ask for, and answers
each with the reason. It trusts nobody's word: signature, digests, verdict and approvals are
checked here again, whoever asked.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial

from core.clock import Clock
from core.errors import InvalidInputError, NotReadyError, PlatformError
from serving.process import Stop, Told, run_process
from serving.settings import Settings
from stores.bundle import Manifest
from stores.channels import (
    FORMER_CHAMPIONS_KEPT,
    ChannelAnswer,
    ChannelRequest,
    Channels,
    ChannelState,
)
from stores.durable import exclusive_lock
from stores.shelf import Shelf
from stores.signing import KeyRing, Signer, ensure_signer

# People who must have approved a manifest before it may serve, by the use case's risk tier.
REQUIRED_APPROVALS = {"low": 0, "medium": 1, "high": 1}


class Controller:
    """Answers requests. Any number may run: a lock lets one work at a time."""

    def __init__(self, shelf: Shelf, keys: KeyRing, signer: Signer, clock: Clock) -> None:
        self._shelf = shelf
        self._keys = keys
        self._signer = signer
        self._clock = clock

    def work(self) -> list[ChannelAnswer]:
        """Answer every request that is waiting; the answers, in order."""
        board = self._shelf.board
        if not board.pending():
            return []
        with exclusive_lock(self._shelf.root / ".controller.lock"):
            return [self._answered(request_id) for request_id in board.pending()]

    def _answered(self, request_id: str) -> ChannelAnswer:
        board, request = self._shelf.board, None
        counter = 0
        try:
            channels = board.latest(self._keys)
            counter = channels.counter
            request = board.request(request_id)
            changed, because = self._decided(request, channels)
            code = "unchanged" if changed is None else "done"
            if changed is not None:
                board.write(changed, self._signer)
                counter = changed.counter
        except PlatformError as error:
            because, code = str(error), error.code
        answer = ChannelAnswer(
            request_id=request_id,
            request=request,
            is_accepted=code in ("done", "unchanged"),
            because=because,
            code=code,
            counter=counter,
            at_ms=self._clock.now_ms(),
        )
        board.answer(answer)
        return answer

    def _decided(self, request: ChannelRequest, channels: Channels) -> tuple[Channels | None, str]:
        """Channels after the request (None: as they are) and why."""
        state = channels.state(request.use_case)
        if request.action == "rollback":
            release = _former(request, state)
            because = self._fit_to_return(request.use_case, release)
            # A stack: going back twice goes further back, never to what was just left.
            former = state.former_champions[state.former_champions.index(release) + 1 :]
        else:
            release = _named(request)
            if state.champion == release:
                return None, f"release {release} is the champion already"
            because = self._fit_to_promote(request.use_case, release)
            past = dict.fromkeys((state.champion, *state.former_champions))
            former = tuple(n for n in past if n is not None and n != release)
        after = state.model_copy(
            update={"champion": release, "former_champions": former[:FORMER_CHAMPIONS_KEPT]}
        )
        changed = Channels(
            counter=channels.counter + 1,
            written_at_ms=self._clock.now_ms(),
            use_cases={**channels.use_cases, request.use_case: after},
        )
        return changed, because

    def _fit_to_promote(self, use_case: str, release: int) -> str:
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
        n_approvals = self._approved(manifest)
        return f"{verdict.because}; {n_approvals} approvals; signature and digests hold"

    def _fit_to_return(self, use_case: str, release: int) -> str:
        self._shelf.verified(use_case, release, self._keys)
        return f"release {release} was champion before; signature and digests hold"

    def _approved(self, manifest: Manifest) -> int:
        required = REQUIRED_APPROVALS[manifest.risk_tier]
        approvals = self._shelf.approvals(manifest.use_case, manifest.release, self._keys)
        if len(approvals) < required:
            raise NotReadyError(
                f"release {manifest.release} of {manifest.use_case} is not approved",
                found=f"{len(approvals)} of {required} approvals of this manifest "
                f"(risk tier {manifest.risk_tier})",
                remedy="have it approved, then ask again",
                code="not_approved",
            )
        return len(approvals)


def _named(request: ChannelRequest) -> int:
    if request.release is None:
        raise InvalidInputError(
            "a promotion names no release", remedy="say which release", code="no_release_named"
        )
    return request.release


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


def run(settings: Settings, clock: Clock, stop: Stop, told: Told, *, is_once: bool = False) -> None:
    """Work until ``stop(seconds)`` says so, or once."""
    layout = settings.layout
    signer = ensure_signer(layout.keys, "channels")
    layout.shelf.mkdir(parents=True, exist_ok=True)
    shelf = Shelf(layout.shelf)
    while True:
        # Keys are read anew: those of builders and approvers may appear after the controller.
        controller = Controller(shelf, KeyRing.from_directory(layout.keys), signer, clock)
        for answer in controller.work():
            word = "accepted" if answer.is_accepted else "refused"
            told(f"{word} {answer.request_id}: {answer.because}")
        if is_once or stop(settings.controller.poll_ms / 1_000):
            return


def main(arguments: Sequence[str] | None = None) -> int:
    """Start the controller; ends on SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m serving.controller", description=__doc__)
    parser.add_argument("--once", action="store_true", help="answer what is waiting, then end")
    given = parser.parse_args(arguments)
    return run_process("controller", partial(run, is_once=given.once))


if __name__ == "__main__":
    raise SystemExit(main())
