"""The controller: alone writes and signs ``channels.json``. ``python -m serving.controller``.

It takes requests from the shelf in order of arrival, verifies what they ask for, and answers
each with the reason. While a rollout runs it looks at what the workers counted, judges, and
moves the stages by itself; what it did and why is in the audit log, which it signs.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from contextlib import closing, nullcontext, suppress
from functools import partial
from typing import Any, Literal

from core.audit.records import LONGEST_WHY, Entry
from core.clock import Clock
from core.errors import IntegrityError, PlatformError
from serving.configuration import note_configuration
from serving.models.trials import Trials
from serving.process import Stop, Told, run_process
from serving.rollouts import channel_moves as moves
from serving.rollouts.channel_requests import Decisions, Move
from serving.rollouts.judging import WHO, Judge, Look
from serving.rollouts.older_contracts import contract_entries, over
from serving.settings import Settings
from serving.telemetry.log_lines import Trouble
from serving.telemetry.process_metrics import ControllerMetrics, served_metrics
from serving.telemetry.repeats import Repeats
from stores.audit.log import AuditLog
from stores.durable import exclusive_lock
from stores.keys.signing import KeyRing, Signer, ensure_signer
from stores.shared_counts import SharedCounts, open_shared_counts
from stores.shelf.bundle import read_manifest
from stores.shelf.channels import (
    ChannelAnswer,
    ChannelRequest,
    Channels,
    ChannelState,
    KeptContract,
)
from stores.shelf.rollouts import AuditEntry, Event, RolloutBoard, RolloutReport
from stores.shelf.shelf import Shelf

WHO_ENDS = "the declared time"
REST_S = 2.0
"""Before what could not be written is tried again: each try is told in the audit log first."""

_ENDINGS: dict[Event, Literal["promoted", "rolled_back", "withdrawn", "overtaken"]] = {
    "promoted": "promoted",
    "rolled_back": "rolled_back",
    "withdrawn": "withdrawn",
    "overtaken": "overtaken",
}


class Controller:
    """Answers requests and moves rollouts. Any number may run: a lock lets one work at a time."""

    def __init__(
        self,
        shelf: Shelf,
        keys: KeyRing,
        signer: Signer,
        clock: Clock,
        counts: SharedCounts,
        trials: Trials | None = None,
    ) -> None:
        self._shelf = shelf
        self._keys = keys
        self._signer = signer
        self._clock = clock
        self._decisions = Decisions(shelf, keys, clock, trials)
        self._judge = Judge(shelf, keys, clock, counts)
        self._rollouts = RolloutBoard(shelf.root)
        self._audit = AuditLog.beside(shelf.root, is_signing=True)

    def work(self) -> list[ChannelAnswer]:
        """Answer every request that is waiting; the answers, in order."""
        board = self._shelf.board
        if not board.pending():
            return []
        with exclusive_lock(self._shelf.root / ".controller.lock"):
            return [self._answered(request_id) for request_id in board.pending()]

    def look(self) -> list[str]:
        """Look once at rollouts, shadows and older contracts; what was done about them."""
        now_ms = self._clock.now_ms()
        states = self._shelf.board.read(self._keys).use_cases.values()
        if not any(_is_watched(state) or over(state, now_ms) for state in states):
            return []
        with exclusive_lock(self._shelf.root / ".controller.lock"):
            channels = self._shelf.board.latest(self._keys)
            done: list[str] = []
            for use_case, state in sorted(channels.use_cases.items()):
                for kept in over(state, now_ms):
                    channels = self._end(use_case, channels, kept)
                    done.append(f"{use_case}: the time of contract {kept.major} is over")
                if _is_watched(state):
                    channels, sentences = self._looked(use_case, channels)
                    done += sentences
            return done

    def sign(self) -> None:
        """Sign what others wrote into the audit log, and the channels after a key was rotated."""
        self._audit.sign(self._clock.now_ms())
        board = self._shelf.board
        if board.signed_by() not in ("", self._signer.key_id):
            with exclusive_lock(self._shelf.root / ".controller.lock"):
                board.write(board.latest(self._keys), self._signer)

    def _end(self, use_case: str, channels: Channels, kept: KeptContract) -> Channels:
        """Nobody answers callers of an older contract any more."""
        after = moves.ended(channels.state(use_case), kept.major)
        why = "the time that was declared for it is over"
        return self._put(channels, use_case, after, WHO_ENDS, why, None)

    def _looked(self, use_case: str, channels: Channels) -> tuple[Channels, list[str]]:
        state = channels.state(use_case)
        last = self._rollouts.report(use_case)
        look = self._judge.look(use_case, state, last)
        if look.after is None or look.event is None:
            self._rollouts.write_report(look.report)
            return channels, []
        entry = self._entry(use_case, channels, look.event, look.because, WHO, look.after)
        entry = entry.model_copy(update=_numbers(look))
        after = self._put(channels, use_case, look.after, WHO, look.because, entry)
        self._rollouts.write_report(look.report)
        self._ended(use_case, state, look.event)
        return after, [f"{use_case}: {look.event} release {entry.release}: {look.because}"]

    def _answered(self, request_id: str) -> ChannelAnswer:
        board, request = self._shelf.board, None
        counter = 0
        try:
            channels = board.latest(self._keys)
            counter = channels.counter
            request = board.request(request_id)
            move = self._decisions.on(request, channels)
            because, code = move.because, "unchanged"
            if move.after != channels.state(request.use_case):
                counter, code = self._moved(request, channels, move), "done"
        except PlatformError as error:
            because, code = str(error), error.code
            self._refused(request, request_id, because, code)
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

    def _refused(
        self, request: ChannelRequest | None, request_id: str, because: str, code: str
    ) -> None:
        about = {"request": request_id, "code": code}
        if request is not None:
            about |= request.model_dump(mode="json", include={"action", "use_case", "release"})
        entry = Entry(
            at_ms=self._clock.now_ms(),
            what="request_refused",
            who=request.who if request is not None else "nobody known",
            why=because[:LONGEST_WHY],
            about=about,
        )
        with suppress(PlatformError):  # the answer says so in any case
            self._audit.append([entry])

    def _moved(self, request: ChannelRequest, channels: Channels, move: Move) -> int:
        entry, why = None, f"{request.why}; {move.because}"
        if move.event is not None:
            entry = self._entry(
                request.use_case, channels, move.event, why, request.who, move.after
            )
        after = self._put(channels, request.use_case, move.after, request.who, why, entry)
        if move.event is not None:
            self._ended(request.use_case, channels.state(request.use_case), move.event)
        return after.counter

    def _put(
        self,
        channels: Channels,
        use_case: str,
        after: ChannelState,
        who: str,
        why: str,
        entry: AuditEntry | None,
    ) -> Channels:
        """Channels with a use case's state replaced; audited first, so nothing moves unsaid.

        Only the way back is open while the audit log is not what was written: a release that
        does harm must not stay for that. The history of the channels tells of it then.
        """
        changed = Channels(
            counter=channels.counter + 1,
            written_at_ms=self._clock.now_ms(),
            use_cases={**channels.use_cases, use_case: after},
        )
        before = channels.state(use_case)
        entries = [] if entry is None else [entry.in_log()]
        if after.champion != before.champion:
            entries.append(self._champion_entry(use_case, before, changed, who, why))
        entries += contract_entries(use_case, before, changed, who, why)
        with suppress(IntegrityError) if _is_way_back(before, after) else nullcontext():
            self._audit.append(entries)
        self._shelf.board.write(changed, self._signer)
        return changed

    def _champion_entry(
        self, use_case: str, before: ChannelState, changed: Channels, who: str, why: str
    ) -> Entry:
        champion = changed.state(use_case).champion
        about: dict[str, Any] = {
            "use_case": use_case,
            "release": champion,
            "before": before.champion,
            "counter": changed.counter,
        }
        if champion is not None:
            about["manifest_digest"] = self._shelf.statement(use_case, champion).manifest_digest
            about["contract"] = self._major(use_case, champion)
        return Entry(
            at_ms=changed.written_at_ms,
            what="rolled_back" if champion in before.former_champions else "promoted",
            who=who,
            why=why[:LONGEST_WHY],
            about=about,
        )

    def _major(self, use_case: str, release: int) -> int:
        return read_manifest(self._shelf.bundle(use_case, release)).contract.major

    def _entry(
        self,
        use_case: str,
        channels: Channels,
        event: Event,
        why: str,
        who: str,
        after: ChannelState,
    ) -> AuditEntry:
        before = channels.state(use_case)
        rollout = after.rollout or before.rollout
        is_shadow = event in ("shadow_set", "shadow_removed")
        release = (after.shadow or before.shadow) if is_shadow else after.challenger
        return AuditEntry(
            at_ms=self._clock.now_ms(),
            event=event,
            use_case=use_case,
            release=release or before.challenger,
            experiment=rollout.experiment if rollout is not None and not is_shadow else "",
            who=who,
            why=why[:LONGEST_WHY],
            counter=channels.counter + 1,
            stage=rollout.stage if rollout is not None else 0,
            weight=after.challenger_weight,
        )

    def _ended(self, use_case: str, before: ChannelState, event: Event) -> None:
        """Say in the report how a rollout ended, and forget its counts."""
        if event not in _ENDINGS or before.rollout is None:
            return
        report = self._rollouts.report(use_case)
        rollout = report.rollout
        if rollout is None or rollout.experiment != before.rollout.experiment:
            return  # over before the first look: the audit alone tells of it
        over: RolloutReport = rollout.model_copy(update={"ended": _ENDINGS[event]})
        self._rollouts.write_report(report.model_copy(update={"rollout": over}))
        with suppress(PlatformError):  # what nobody writes to goes by its age
            self._judge.forget(before.rollout.experiment)


def _is_way_back(before: ChannelState, after: ChannelState) -> bool:
    """Whether nobody is given a release that he was not given before, and none is watched."""
    known = {*before.releases, *before.former_champions}
    older = {kept.release for kept in after.older if kept.release is not None}
    is_known = after.champion in (before.champion, *before.former_champions) and older <= known
    return is_known and after.challenger is None and after.shadow in (None, before.shadow)


def _is_watched(state: ChannelState) -> bool:
    return state.rollout is not None or state.shadow is not None


def _numbers(look: Look) -> dict[str, Any]:
    """Counts and verdicts that a move was made on, as the audit keeps them."""
    rollout = look.report.rollout
    if rollout is None:
        return {}
    return {
        "numbers": {
            "verdicts": [verdict.model_dump(mode="json") for verdict in rollout.verdicts],
            "stages": [stage.model_dump(mode="json") for stage in rollout.stages],
        }
    }


def run(settings: Settings, clock: Clock, stop: Stop, told: Told, *, is_once: bool = False) -> None:
    """Work until ``stop(seconds)`` says so, or once."""
    layout = settings.layout
    if not is_once:
        note_configuration("controller", settings, clock, told)
    layout.shelf.mkdir(parents=True, exist_ok=True)
    shelf = Shelf(layout.shelf)
    patience_ms = min(settings.controller.trial_ms, settings.models.patience_ms)
    trials = Trials(layout.state / "trials", patience_s=patience_ms / 1_000)
    counts = open_shared_counts(settings.online, layout.shared_counts)
    look_s = settings.controller.look_ms / 1_000
    looked_s, trouble = clock.monotonic_s() - look_s, ""
    metrics, ports, repeats = ControllerMetrics(), settings.metrics, Repeats(clock)
    port = 0 if is_once else ports.controller_port
    with served_metrics(metrics.registry, host=ports.host, port=port), closing(counts):
        while True:
            # Keys are read anew: those of builders and approvers may appear after the controller.
            signer, keys = (
                ensure_signer(layout.keys, "channels"),
                KeyRing.from_directory(layout.keys),
            )
            controller = Controller(shelf, keys, signer, clock, counts, trials)
            if is_once:
                _work(controller, metrics, told)
                return
            pause_s = settings.controller.poll_ms / 1_000
            try:
                _work(controller, metrics, told)
            except OSError as error:
                pause_s = max(pause_s, REST_S)
                repeats.met("requests", partial(_cannot_work, error, told))
            if clock.monotonic_s() - looked_s >= look_s:
                looked_s = clock.monotonic_s()
                before, trouble = trouble, _looked(controller, told)
                metrics.held(is_held=bool(trouble))
                if trouble and trouble != before:
                    told(Trouble(trouble))
            if stop(pause_s):
                return


def _work(controller: Controller, metrics: ControllerMetrics, told: Told) -> None:
    """Let it answer what waits, and say how."""
    for answer in controller.work():
        word = "accepted" if answer.is_accepted else "refused"
        told(f"{word} {answer.request_id}: {answer.because}")
        metrics.answered(is_accepted=answer.is_accepted)


def _cannot_work(error: OSError, told: Told, repeats: str) -> None:
    because = os.strerror(error.errno or 0)
    told(Trouble(f"requests wait: the shelf cannot be read or written ({because}){repeats}"))


def _looked(controller: Controller, told: Told) -> str:
    """Let it look at rollouts and sign the audit log; what is wrong, if anything is."""
    troubles = []
    try:
        for sentence in controller.look():
            told(sentence)
    except (PlatformError, OSError) as error:
        troubles.append(f"rollouts stay where they are: {error}")
    try:
        controller.sign()
    except (PlatformError, OSError) as error:
        troubles.append(f"the audit log is not signed: {error}")
    return "; ".join(troubles)


def main(arguments: Sequence[str] | None = None) -> int:
    """Start the controller; ends on SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m serving.controller", description=__doc__)
    parser.add_argument("--once", action="store_true", help="answer what is waiting, then end")
    given = parser.parse_args(arguments)
    return run_process("controller", partial(run, is_once=given.once))


if __name__ == "__main__":
    raise SystemExit(main())
