"""The shadow's keeper: ``python -m serving.rollouts.shadow_keeper``, one beside each worker.

It starts scorers, waits for them and kills those that hang, so that the service does none of it:
the service writes a request and reads an answer. What a scorer needs is imported here once, all but
ONNX Runtime, whose thread a fork would not take along; so a scorer that died is replaced within a
tenth of the processor's time that a program takes from its start. Requests and answers go over the
socket that is its standard input. It ends when that closes, and the kernel ends it with its parent.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import BinaryIO, NoReturn

import msgspec

from core.clock import Clock, SystemClock
from serving.child import be_called, end_with_parent, limit_oneself, take_what_is_left
from serving.own_time import OwnTime
from serving.rollouts.shadow_messages import Answer, Errand, Reply

SCORER_NAME = "shadow-scorer"
MAX_REPLY_BYTES = 1 << 20
START_PATIENCE_S = 30.0
"""Of a scorer's own time, until it has a release ready."""

MOST_SCORERS = 4
"""At once, each with a model of its own: of more, the one asked longest ago goes. A model that
hangs, or takes all the memory that one may, does so to no other."""

LONGEST_LOOK_S, LOOKS = 0.1, 5
"""How often one that is silent is looked at: so often within its patience, and no seldomer."""

_READ_BYTES = 1 << 16
_CLOSED_FROM = 3

Work = Callable[[BinaryIO, BinaryIO], None]
"""What a scorer does: answer requests, a line each, until they end."""


class Scorer:
    """A forked process that does ``work`` for one model."""

    def __init__(self, work: Work, clock: Clock) -> None:
        theirs, self._requests = os.pipe()
        self._replies, answers = os.pipe()
        self._clock = clock
        self._begun = b""
        self._is_warm = False
        parent = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._requests)
            os.close(self._replies)
            _be_scorer(work, theirs, answers, parent)
        os.close(theirs)
        os.close(answers)
        os.set_blocking(self._requests, False)

    def ask(self, line: bytes, errand: Errand, found: list[Reply]) -> None:
        """Fill ``found`` with the replies to ``line``: that it is ready, then one for each pass.

        Raises
        ------
        TimeoutError
            If it took longer for one than its patience, of its own time.
        EOFError, OSError, ValueError
            If it ended, spoke nonsense, or has no such release.
        """
        poll, own, left = select.poll(), None, memoryview(line)
        poll.register(self._replies, select.POLLIN)
        poll.register(self._requests, select.POLLOUT)
        look_s = min(LONGEST_LOOK_S, errand.patience_s / LOOKS)
        while len(found) <= len(errand.sizes):
            ready = [descriptor for descriptor, _ in poll.poll(look_s * 1_000)]
            if self._requests in ready:
                left = left[os.write(self._requests, left) :]
                if not left:
                    poll.unregister(self._requests)
            if self._replies in ready and self._heard(found):
                own = None
            if not ready:  # its time counts from the first look at which it was silent
                own = own or OwnTime(self.pid, self._clock)
                _wait_no_longer(own, errand.patience_s, is_warm=self._is_warm or bool(found))
        self._is_warm = True

    def end(self) -> None:
        """Kill it."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self._requests)
        os.close(self._replies)

    def _heard(self, found: list[Reply]) -> bool:
        """Read what is there; whether that was a reply."""
        heard = os.read(self._replies, _READ_BYTES)
        if not heard:
            raise EOFError("it ended")
        *lines, self._begun = (self._begun + heard).split(b"\n")
        if len(self._begun) > MAX_REPLY_BYTES:
            raise ValueError(f"a reply of more than {MAX_REPLY_BYTES:,} bytes")
        for each in lines:
            found.append(_reply.decode(each))
            if len(found) == 1 and found[0].trouble:
                raise ValueError(found[0].trouble)
        return bool(lines)


class Keeper:
    """Has a scorer answer for each model, a new one where the last one failed."""

    def __init__(self, work: Work, clock: Clock) -> None:
        self._work, self._clock = work, clock
        self._scorers: dict[str, Scorer] = {}  # by the model's digest, asked longest ago first

    def answer(self, line: bytes) -> Answer:
        """What became of a request; the scorer that failed at it is gone."""
        errand, found, failure = _errand.decode(line), list[Reply](), ""
        scorer = self._scorer(errand.digest)
        try:
            scorer.ask(line, errand, found)
        except (OSError, ValueError, EOFError) as error:  # TimeoutError is an OSError
            failure = repr(error)
            self._scorers.pop(errand.digest).end()
        return Answer(found[1:], scorer.pid, failure)

    def close(self) -> None:
        """End the scorers."""
        while self._scorers:
            self._scorers.popitem()[1].end()

    def _scorer(self, digest: str) -> Scorer:
        scorer = self._scorers.pop(digest, None)
        if scorer is None:
            while len(self._scorers) >= MOST_SCORERS:
                self._scorers.pop(next(iter(self._scorers))).end()
            scorer = Scorer(self._work, self._clock)
        self._scorers[digest] = scorer
        return scorer


def _wait_no_longer(own: OwnTime, patience_s: float, *, is_warm: bool) -> None:
    """Raise TimeoutError where a scorer has used up its time."""
    spent_s = own.spent_s()
    if spent_s >= (patience_s if is_warm else START_PATIENCE_S):
        raise TimeoutError(f"no answer for {spent_s:.3g} s of its own time")


def _be_scorer(work: Work, requests: int, replies: int, parent: int) -> NoReturn:
    """Work in this process, and never come back from it."""
    try:
        end_with_parent()
        if os.getppid() == parent:  # else it ended before that
            be_called(SCORER_NAME)
            # The service's socket is the keeper's, and so are the pipes of other scorers: nothing
            # that a model does shall reach them.
            os.dup2(requests, 0)
            os.dup2(replies, _CLOSED_FROM)
            os.closerange(_CLOSED_FROM + 1, os.sysconf("SC_OPEN_MAX"))
            with open(0, "rb", closefd=False) as asked, open(_CLOSED_FROM, "wb") as told:
                work(asked, told)
    finally:
        os._exit(0)


def keep(service: socket.socket, keeper: Keeper) -> None:
    """Answer the service until it closes the socket."""
    with service, service.makefile("rb") as requests:
        for line in requests:
            service.sendall(_encoder.encode(keeper.answer(line)) + b"\n")


def main(*, stand_back: Callable[[], None] = take_what_is_left) -> None:
    """Keep a service's shadow until the service closes standard input."""
    stand_back()  # before the imports, which are a fifth of a second of work
    limit_oneself()
    os.closerange(_CLOSED_FROM, os.sysconf("SC_OPEN_MAX"))
    os.dup2(2, 1)  # what a library prints is no answer, and nobody reads it for one
    from serving.rollouts.shadow_scorer import serve

    gc.collect()
    gc.freeze()  # not looked at, its pages stay shared with scorers
    with suppress(ConnectionError):
        keep(socket.socket(fileno=0), Keeper(serve, SystemClock()))


_encoder = msgspec.json.Encoder()
_errand = msgspec.json.Decoder(Errand)
_reply = msgspec.json.Decoder(Reply)

if __name__ == "__main__":
    main()
