"""Ctrl-C ends a command's child and all that it started; dead runs are put down as failed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.errors import DagsterExecutionInterruptedError

from orchestration.cli import INTERRUPTED, in_words
from orchestration.leftovers import TAG, close_leftovers, is_alive, process_mark
from orchestration.runs import seen

ROOT = Path(__file__).parents[3]

PARENT = """
import sys
from orchestration import supervised
try:
    command = [sys.executable, "-c", sys.argv[1]]
    code = supervised.supervise(command, dict(__import__("os").environ))
except KeyboardInterrupt:
    code = 130
raise SystemExit(code)
"""
CHILD = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
child = subprocess.Popen([sys.executable, "-c", deaf])
open({mark!r}, "w").write(str(child.pid))
time.sleep(60)
"""


def start(script: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-c", PARENT, script], cwd=ROOT)


def test_the_exit_code_of_the_child_is_ours():
    assert start("raise SystemExit(4)").wait(20) == 4


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_the_child_and_its_children_however_deaf(tmp_path, number):
    mark = tmp_path / "pid"
    parent = start(f"STOP = 0\n{CHILD.format(mark=str(mark))}")
    while not mark.exists() or not mark.read_text():
        time.sleep(0.02)
    grandchild = int(mark.read_text())
    assert is_running(grandchild)
    os.kill(parent.pid, number)
    assert parent.wait(20) == 130
    time.sleep(0.2)
    assert not is_running(grandchild)


def is_running(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


def test_a_mark_is_of_one_process_only():
    assert is_alive(process_mark())
    pid, _, started = process_mark().partition(":")
    assert not is_alive(f"{pid}:{int(started) + 1}")
    done = subprocess.Popen([sys.executable, "-c", "pass"])
    mark = process_mark(done.pid)
    done.wait()
    assert not is_alive(mark)
    assert not is_alive("nonsense")


@pytest.mark.parametrize(
    ("mark", "has_daemon", "is_closed"),
    [
        (None, True, False),
        (None, False, True),
        ("1:0", True, True),
        ("1:0", False, True),
        ("ours", True, False),
        ("ours", False, False),
    ],
)
@pytest.mark.parametrize("status", [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.NOT_STARTED])
def test_only_a_run_that_nobody_works_on_is_put_down_as_failed(mark, has_daemon, is_closed, status):
    @dg.op
    def nothing(): ...

    @dg.job
    def job():
        nothing()

    tags = {} if mark is None else {TAG: process_mark() if mark == "ours" else mark}
    with dg.DagsterInstance.ephemeral() as instance:
        run = instance.create_run_for_job(job, tags=tags, status=status)
        closed = close_leftovers(instance, has_daemon=has_daemon)
        is_closed = is_closed and (mark is not None or status == dg.DagsterRunStatus.STARTED)
        assert closed == ([run.run_id] if is_closed else [])
        expected = dg.DagsterRunStatus.FAILURE if is_closed else status
        found = instance.get_run_by_id(run.run_id)
        assert found is not None
        assert found.status == expected


def test_an_interrupt_is_seen_behind_what_a_step_raised_while_it_tidied_up():
    @dg.op
    def step() -> None:
        try:
            raise DagsterExecutionInterruptedError
        finally:
            raise RuntimeError("the JVM is gone")

    @dg.job
    def job() -> None:
        step()

    with pytest.raises(KeyboardInterrupt):
        seen(job.execute_in_process(raise_on_error=False))


@pytest.mark.parametrize(("is_child", "said"), [(True, ""), (False, "nothing was left running")])
def test_of_an_interrupt_the_parent_speaks_and_the_child_does_not(capsys, is_child, said):
    def interrupted() -> int:
        raise KeyboardInterrupt

    assert in_words(interrupted, is_child=is_child) == INTERRUPTED
    found = capsys.readouterr().err
    assert said in found
    assert bool(found) is bool(said)
