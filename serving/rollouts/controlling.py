"""What the controller does: it answers requests, looks at rollouts, signs the channels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import partial

from core.audit.records import LONGEST_WHY, Entry
from core.clock import Clock
from core.errors import IntegrityError, PlatformError
from serving.background import PendingError
from serving.rollouts import channel_moves as moves
from serving.rollouts.channel_requests import WAYS_BACK, Decisions, Move, Tries
from serving.rollouts.judging import WHO, Judge
from serving.rollouts.move_records import REFUSED, MoveRecords, numbers_of, rollout_entry
from serving.rollouts.older_contracts import over
from serving.rollouts.refusals import overtaken
from stores.durable import exclusive_lock
from stores.keys.signing import KeyRing, Signer
from stores.shared_counts import SharedCounts
from stores.shelf.channels import (
    ChannelAnswer,
    ChannelRequest,
    Channels,
    ChannelState,
    KeptContract,
)
from stores.shelf.rollouts import AuditEntry, Ending, Event, RolloutBoard
from stores.shelf.shelf import Shelf

LOCK = ".controller.lock"
WHO_ENDS = "the declared time"
Stepped = tuple[Channels, list[str]]
Step = Callable[[Channels], Stepped]
"""A step of a look: the channels after it, and what it did."""

_ENDINGS: dict[Event, Ending] = {
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
        trials: Tries | None = None,
    ) -> None:
        self._shelf = shelf
        self._keys = keys
        self._signer = signer
        self._clock = clock
        self._decisions = Decisions(shelf, keys, clock, trials)
        self._judge = Judge(shelf, keys, clock, counts)
        self._rollouts = RolloutBoard(shelf.root)
        self._records = MoveRecords(shelf)
        self.troubles: tuple[str, ...] = ()
        """What kept use cases where they were at the last look, a sentence each."""

    def work(self) -> list[ChannelAnswer]:
        """Answer the requests that wait; the answers, in order.

        One whose model is being tried goes on waiting, and what was asked of its use case after it
        too. A way back waits for nobody: what waits before it is refused.
        """
        if not self._shelf.board.pending():
            return []
        with self._alone():
            return list(self._answers())

    def look(self) -> list[str]:
        """Look once at rollouts, shadows and older contracts; what was done about them.

        Each by itself: what is wrong with one (``troubles``) holds up no other.
        """
        self.troubles = ()
        now_ms, board = self._clock.now_ms(), self._shelf.board
        known = board.read(self._keys)
        is_due = any(
            _is_watched(state) or over(state, now_ms) for state in known.use_cases.values()
        )
        if not is_due and not board.is_behind(known):
            return []
        done: list[str] = []
        with self._alone():
            channels = self._latest()
            for use_case, step in self._steps(channels, now_ms):
                try:
                    channels, sentences = step(channels)
                    done += sentences
                except (PlatformError, OSError) as error:
                    self.troubles += (f"{use_case}: {error}",)
                    channels = self._latest()
        return done

    def sign(self) -> None:
        """Sign what others wrote into the audit log, and the channels after a key was rotated."""
        self._records.sign(self._clock.now_ms())
        board = self._shelf.board
        if board.signed_by() not in ("", self._signer.key_id):
            with self._alone():
                board.write(board.latest(self._keys), self._signer)

    def _alone(self) -> AbstractContextManager[None]:
        return exclusive_lock(self._shelf.root / LOCK)

    def _latest(self) -> Channels:
        """Channels to go on from; put where all look, if whoever signed them came no further."""
        board = self._shelf.board
        channels = board.latest(self._keys)
        if board.is_behind(board.read(self._keys)):
            board.write(channels, self._signer)
        return channels

    def _steps(self, channels: Channels, now_ms: int) -> Iterator[tuple[str, Step]]:
        """What a look does, each for a use case."""
        for use_case, state in sorted(channels.use_cases.items()):
            if _is_watched(state):
                yield use_case, partial(self._looked, use_case)
            for kept in over(state, now_ms):
                yield use_case, partial(self._end, use_case, kept)

    def _end(self, use_case: str, kept: KeptContract, channels: Channels) -> Stepped:
        """Nobody answers callers of an older contract any more."""
        after = moves.ended(channels.state(use_case), kept.major)
        why = "the time that was declared for it is over"
        changed = self._put(channels, use_case, after, WHO_ENDS, why, None)
        return changed, [f"{use_case}: the time of contract {kept.major} is over"]

    def _looked(self, use_case: str, channels: Channels) -> Stepped:
        state = channels.state(use_case)
        look = self._judge.look(use_case, state, self._rollouts.last_report(use_case))
        if look.after is None or look.event is None:
            self._rollouts.write_report(look.report)
            return channels, []
        entry = self._entry(use_case, channels, look.event, look.after, WHO, look.because)
        entry = entry.model_copy(update={"numbers": numbers_of(look)})
        changed = self._put(channels, use_case, look.after, WHO, look.because, entry)
        with suppress(OSError):  # the move is made, whatever can be written about it
            self._rollouts.write_report(look.report)
        self._ended(use_case, state, look.event)
        return changed, [f"{use_case}: {look.event} release {entry.release}: {look.because}"]

    def _answers(self) -> Iterator[ChannelAnswer]:
        board = self._shelf.board
        waiting: dict[str, list[str]] = {}
        for request_id in board.pending():
            asked = None
            with suppress(PlatformError):
                asked = board.request(request_id)
            behind = waiting.setdefault(asked.use_case, []) if asked is not None else []
            if behind and asked is not None and asked.action not in WAYS_BACK:
                behind.append(request_id)
                continue
            for each in behind:
                yield self._answered(each, is_overtaken=True)
            behind.clear()
            try:
                yield self._answered(request_id)
            except PendingError:
                behind.append(request_id)

    def _answered(self, request_id: str, *, is_overtaken: bool = False) -> ChannelAnswer:
        board, request = self._shelf.board, None
        counter = 0
        try:
            channels = self._latest()
            counter = channels.counter
            request = board.request(request_id)
            if is_overtaken:
                raise overtaken(request)
            because, code, counter = self._carried_out(request, channels)
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

    def _carried_out(self, request: ChannelRequest, channels: Channels) -> tuple[str, str, int]:
        """Why a request was followed, with which code, and the counter after it."""
        state = channels.state(request.use_case)
        if state.request_id == request.request_id:
            return (
                "it was carried out before; only the answer was missing",
                "done",
                channels.counter,
            )
        move = self._decisions.on(request, channels)
        if move.after == state:
            return move.because, "unchanged", channels.counter
        return move.because, "done", self._moved(request, channels, move)

    def _refused(
        self, request: ChannelRequest | None, request_id: str, because: str, code: str
    ) -> None:
        about = {"request": request_id, "code": code}
        if request is not None:
            about |= request.model_dump(mode="json", include={"action", "use_case", "release"})
        entry = Entry(
            at_ms=self._clock.now_ms(),
            what=REFUSED,
            who=request.who if request is not None else "nobody known",
            why=because[:LONGEST_WHY],
            about=about,
        )
        with suppress(PlatformError):  # the answer says so in any case
            self._records.refused(entry)

    def _moved(self, request: ChannelRequest, channels: Channels, move: Move) -> int:
        entry, why = None, f"{request.why}; {move.because}"
        use_case, who = request.use_case, request.who
        # Were the answer never written, the request would be read again, and followed once more.
        after = move.after.model_copy(update={"request_id": request.request_id})
        if move.event is not None:
            entry = self._entry(use_case, channels, move.event, after, who, why)
        self._begin_at_nothing(channels.state(use_case), after)
        changed = self._put(channels, use_case, after, who, why, entry)
        if move.event is not None:
            self._ended(use_case, channels.state(use_case), move.event)
        return changed.counter

    def _begin_at_nothing(self, before: ChannelState, after: ChannelState) -> None:
        """Forget counts of a new experiment's name: a shelf made anew gives names once more."""
        for name in set(after.experiments) - set(before.experiments):
            with suppress(PlatformError):
                self._judge.forget(name)

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
        with suppress(IntegrityError) if _is_way_back(before, after) else nullcontext():
            self._records.moved(use_case, before, changed, who, why, entry)
        self._shelf.board.write(changed, self._signer)
        return changed

    def _entry(
        self,
        use_case: str,
        channels: Channels,
        event: Event,
        after: ChannelState,
        who: str,
        why: str,
    ) -> AuditEntry:
        at_ms = self._clock.now_ms()
        return rollout_entry(use_case, channels, event, after, who=who, why=why, at_ms=at_ms)

    def _ended(self, use_case: str, before: ChannelState, event: Event) -> None:
        """Say in the report how a rollout ended, and forget its counts. Without either it has."""
        if event not in _ENDINGS or before.rollout is None:
            return
        with suppress(OSError):
            self._rollouts.write_ending(use_case, before.rollout.experiment, _ENDINGS[event])
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
