"""Runs that say they are running though their process is gone, put down as failed.

A run in progress takes a place in the queue for ever when nobody notices that it ended. The
runs of the command line carry the process that does them; all others are the daemon's, and
gone when no daemon runs.
"""

import os
from pathlib import Path

import dagster as dg

TAG = "throughline/process"
IN_PROGRESS = [
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
START_TIME = 19  # of the fields of /proc/PID/stat behind the name


def process_mark(pid: int | None = None) -> str:
    """A process so named that its number given to another later is not taken for it."""
    number = os.getpid() if pid is None else pid
    return f"{number}:{_started(number)}"


def is_alive(mark: str) -> bool:
    """Whether the process of a mark is still there."""
    number, _, started = mark.partition(":")
    return number.isdigit() and _started(int(number)) == started


def close_leftovers(instance: dg.DagsterInstance, *, has_daemon: bool) -> list[str]:
    """Put down as failed what nobody works on; the ids.

    ``has_daemon`` spares the runs that carry no process: a daemon may be at work on them. One
    that was made and not started is the daemon's to start.
    """
    closed = []
    made = dg.DagsterRunStatus.NOT_STARTED
    for run in instance.get_runs(dg.RunsFilter(statuses=[made, *IN_PROGRESS])):
        mark = run.tags.get(TAG)
        is_spared = has_daemon or run.status == made
        if is_alive(mark) if mark else is_spared:
            continue
        instance.report_run_failed(run, "the process that did this run is gone")
        closed.append(run.run_id)
    return closed


def _started(pid: int) -> str:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return "gone"
    state, *fields = text.rpartition(")")[2].split()
    return "gone" if state == "Z" else fields[START_TIME - 1]
