"""Workers as real processes: replaced when they end or stand still, ended with their parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WITHIN_S = 120.0
PROGRAM = """
    import os, sys, time
    from pathlib import Path
    from core.clock import SystemClock
    from serving import workers
    from serving.process import stop_on_signals

    workers.SILENT_S, workers.BEAT_EVERY_S, workers.REST_S = 4.0, 0.1, 0.1
    workers.AGAIN_S = 0.5
    folder, what = Path(sys.argv[1]), sys.argv[2]

    def work(place, started):
        (folder / str(os.getpid())).touch()
        n_so_far = len(list(folder.iterdir()))
        if what == "cannot start" and n_so_far > 1 or what == "not again" and 2 < n_so_far < 6:
            sys.exit(workers.CANNOT_START)
        if what != "cannot start":
            started()
        time.sleep(600)

    stop = stop_on_signals()
    given = dict(stop=stop, clock=SystemClock(), told=print, grace_s=1.0)
    sys.exit(workers.Workers(2, work, **given).run())
"""


@contextmanager
def parent(folder: Path, what: str = "work") -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-c", textwrap.dedent(PROGRAM), str(folder), what]
    process = subprocess.Popen(command, cwd=ROOT, start_new_session=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for pid in pids(folder):
            if runs(pid):
                os.kill(pid, signal.SIGKILL)


def pids(folder: Path) -> set[int]:
    return {int(path.name) for path in folder.iterdir()}


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_they_end_with_an_order_to_their_parent(tmp_path: Path, number: int):
    with parent(tmp_path) as process:
        until(lambda: len(pids(tmp_path)) == 2)
        process.send_signal(number)
        assert process.wait(WITHIN_S) == 0
        assert not any(map(runs, pids(tmp_path)))


@pytest.mark.slow  # a real process stands still until it is missed
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_one_that_is_killed_or_stands_still_is_replaced(tmp_path: Path, number: int):
    with parent(tmp_path) as process:
        until(lambda: len(pids(tmp_path)) == 2)
        hit, other = pids(tmp_path)
        os.kill(hit, number)
        until(lambda: len(pids(tmp_path)) == 3)
        assert [runs(hit), runs(other), process.poll()] == [False, True, None]


def test_all_end_when_their_parent_is_killed(tmp_path: Path):
    with parent(tmp_path) as process:
        until(lambda: len(pids(tmp_path)) == 2)
        process.kill()
        until(lambda: not any(map(runs, pids(tmp_path))))


def test_one_that_cannot_start_ends_all(tmp_path: Path):
    with parent(tmp_path, "cannot start") as process:
        assert process.wait(WITHIN_S) == 3
        assert not any(map(runs, pids(tmp_path)))


@pytest.mark.slow  # real processes, and a rest between them
def test_one_that_cannot_start_again_leaves_the_other_and_is_tried_until_it_can(tmp_path: Path):
    with parent(tmp_path, "not again") as process:
        until(lambda: len(pids(tmp_path)) == 2)
        time.sleep(0.5)  # what they say of themselves is read
        hit, other = pids(tmp_path)
        os.kill(hit, signal.SIGKILL)
        until(lambda: sum(map(runs, pids(tmp_path))) == 2 and len(pids(tmp_path)) == 6)
        assert [runs(other), process.poll()] == [True, None]


def test_all_end_when_the_last_that_had_started_cannot_start_again(tmp_path: Path):
    with parent(tmp_path, "not again") as process:
        until(lambda: len(pids(tmp_path)) == 2)
        for pid in pids(tmp_path):
            os.kill(pid, signal.SIGKILL)
        assert process.wait(WITHIN_S) == 3
