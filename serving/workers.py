"""Workers: processes that share one port, and all that was imported before they were forked.

Importing is most of a worker's start; done once, before the fork, it is waited for once, and its
memory is shared. Nothing that has threads or connections may exist by then. A worker that
ends is replaced; one that stands still is killed first. Where one cannot start all end, unless
another has started: then that one goes on, and from time to time it is tried whether two can.
Workers end when their parent does.
"""

from __future__ import annotations

import errno
import gc
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import NoReturn

from core.clock import Clock
from serving.process import Stop, Told, leave_after
from serving.telemetry.memory import leave_to_stay

CANNOT_START = 3
"""Exit status of a worker that would not start the next time either, as uvicorn has it."""

LOOK_EVERY_S, BEAT_EVERY_S, SILENT_S = 0.1, 1.0, 10.0
REST_S = 1.0
"""A worker that ended sooner is replaced only then: one that ends at once shall not spin."""
AGAIN_S = 10.0
"""After so long a worker that could not start is tried again, while others go on."""

_BEAT, _STARTED = b".", b"s"

Started = Callable[[], object]
Work = Callable[[int, Started], object]
"""What a worker does, by its place among them: that of one that has ended is its successor's. It
calls the other argument once it has started."""


@dataclass(slots=True)
class _Worker:
    place: int
    pid: int
    beats: int  # descriptor
    started_s: float
    heard_s: float
    has_started: bool = False


class Workers:
    """Keeps ``n`` workers running.

    Parameters
    ----------
    work
        What a worker does; it ends by itself on SIGTERM. An exit status of `CANNOT_START` ends
        all, unless another has started.
    stop
        Waits, and says whether to end; made by ``serving.process.stop_on_signals``.
    grace_s
        How long workers may take to end before they are killed.
    """

    def __init__(
        self, n: int, work: Work, *, stop: Stop, clock: Clock, told: Told, grace_s: float
    ) -> None:
        self._n = n
        self._work = work
        self._stop = stop
        self._clock = clock
        self._told = told
        self._grace_s = grace_s
        self._workers: list[_Worker] = []
        self._missing: list[tuple[float, int]] = []  # when to try again, and in which place

    def run(self) -> int:
        """Run them until told to stop; the exit status."""
        gc.collect()
        leave_to_stay()  # not looked at, its pages stay shared
        for place in range(self._n):
            self._workers.append(self._started(place))
        status = 0
        looked_s = self._clock.monotonic_s()
        while not status and not self._stop(LOOK_EVERY_S):
            now_s = self._clock.monotonic_s()
            was_away = now_s - looked_s > SILENT_S / 2  # stopped ourselves, as they may have been
            looked_s = now_s
            status = self._look(now_s, was_away=was_away)
        self._end()
        return status

    def _look(self, now_s: float, *, was_away: bool) -> int:
        """Replace those that ended, kill those that stand still; not 0 where none could start."""
        for worker in self._workers:
            self._hear(worker, now_s, was_away=was_away)
        for worker in list(self._workers):
            status = _ended(worker.pid)
            if status is None:
                continue
            self._workers.remove(worker)
            os.close(worker.beats)
            if status == CANNOT_START:
                if not any(other.has_started for other in self._workers):
                    return CANNOT_START
                self._told(
                    f"worker {worker.pid} cannot start; what runs goes on, and another is tried in "
                    f"{AGAIN_S:g} s"
                )
                self._missing.append((now_s + AGAIN_S, worker.place))
                continue
            self._told(f"worker {worker.pid} ended with status {status}; another starts")
            self._stop(max(0.0, worker.started_s + REST_S - now_s))
            self._workers.append(self._started(worker.place))
        self._try_again(now_s)
        return 0

    def _hear(self, worker: _Worker, now_s: float, *, was_away: bool) -> None:
        """Take what a worker says of itself, and kill one that says nothing."""
        said = _said(worker.beats)
        worker.has_started |= _STARTED in said
        if was_away or said:
            worker.heard_s = now_s
        elif now_s - worker.heard_s > SILENT_S:
            self._told(f"worker {worker.pid} stood still for {SILENT_S:g} s and was killed")
            os.kill(worker.pid, signal.SIGKILL)
            worker.heard_s = now_s

    def _try_again(self, now_s: float) -> None:
        """Start in those places whose rest is over."""
        due = [each for each in self._missing if now_s >= each[0]]
        for each in due:
            self._missing.remove(each)
            self._workers.append(self._started(each[1]))

    def _started(self, place: int) -> _Worker:
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        pid = os.fork()
        if pid == 0:
            for worker in self._workers:
                os.close(worker.beats)
            os.close(reader)
            self._be_worker(place, writer)
        os.close(writer)
        now_s = self._clock.monotonic_s()
        return _Worker(place, pid, reader, now_s, now_s)

    def _be_worker(self, place: int, beats: int) -> NoReturn:
        """Work in this process, and never come back from it."""

        def work() -> int:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent says when to end
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
            threading.Thread(target=_beat, args=(beats,), daemon=True).start()
            self._work(place, lambda: os.write(beats, _STARTED))
            return 0

        leave_after(work)  # what the parent registered for its own end is not ours

    def _end(self) -> None:
        """Ask all to end, wait for them, kill those that do not."""
        for worker in self._workers:
            with suppress(ProcessLookupError):
                os.kill(worker.pid, signal.SIGTERM)
        deadline_s = self._clock.monotonic_s() + self._grace_s
        for worker in self._workers:
            while _ended(worker.pid) is None:
                if self._clock.monotonic_s() > deadline_s:
                    os.kill(worker.pid, signal.SIGKILL)
                    os.waitpid(worker.pid, 0)
                    break
                select.select([], [], [], LOOK_EVERY_S / 10)
            os.close(worker.beats)


def _ended(pid: int) -> int | None:
    """Exit status of a child, minus the signal that ended it; None while it runs."""
    found, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None


def _said(beats: int) -> bytes:
    with suppress(BlockingIOError):
        return os.read(beats, 4_096)
    return b""


def _beat(beats: int) -> None:
    """Tell the parent that this process runs; end with it."""
    while True:
        try:
            os.write(beats, _BEAT)
        except OSError as error:
            if error.errno == errno.EPIPE:
                os.kill(os.getpid(), signal.SIGTERM)
            return
        time.sleep(BEAT_EVERY_S)
