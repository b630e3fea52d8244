"""kill -9 under load: whether every answer is in the log, and what comes up with nothing around."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks import servers
from benchmarks.chaos.load import Answer, read_answers
from core.errors import IntegrityError, PlatformError
from stores.layout import Layout
from stores.records.segments import read_record, records_of, seal_abandoned

RATE, SECONDS = 300.0, 5.0
EARLIEST_S, LATEST_S = 1.5, 3.5
LOAD_WITHIN_S = 60.0


@dataclass(frozen=True)
class Kills:
    """What several kills under load left.

    ``missing`` are answers whose record cannot be found; ``unreadable`` sealed segments that are
    not made of whole records.
    """

    kills: int
    answered: int
    missing: int
    segments: int
    unreadable: int

    @property
    def said(self) -> str:
        """One line."""
        return (
            f"kill -9 under load, {self.kills} times: {self.answered:,} predictions answered, "
            f"{self.missing} missing from the log; {self.segments} segments, "
            f"{self.unreadable} unreadable"
        )

    @property
    def rows(self) -> list[str]:
        """Row of the page."""
        return [
            f"| kill -9 of all processes under {RATE:.0f} predictions a second, {self.kills} times "
            f"| {self.missing} of {self.answered:,} answered missing from the log, "
            f"{self.unreadable} of {self.segments} segments unreadable | 0, 0 |"
        ]


def killed_under_load(
    folder: Path, url: str, path: str, bodies: Path, *, kills: int, seed: int = 3
) -> Kills:
    """Kill every process of the service at random moments of a load; look at the log."""
    chance = random.Random(seed)
    answers: list[Answer] = []
    for _ in range(kills):
        out = folder / "killed.ndjson"
        with servers.ours(folder / "home", url, folder) as server:
            command = [sys.executable, "-m", "benchmarks.chaos.load", str(server.port), path]
            command += [str(bodies), str(RATE), str(SECONDS), str(out)]
            load = subprocess.Popen(command, cwd=servers.PROJECT)
            time.sleep(chance.uniform(EARLIEST_S, LATEST_S))
            os.killpg(server.pid, signal.SIGKILL)
            load.wait(timeout=LOAD_WITHIN_S)
        answers += [each for each in read_answers(out) if each.is_answered]
    return _found(folder, answers, kills)


def _found(folder: Path, answers: list[Answer], kills: int) -> Kills:
    use_case = answers[0].prediction_id.partition("-")[0] if answers else "none"
    directory = Layout(folder / "home").records(use_case)
    seal_abandoned(directory)
    sealed = [*directory.glob("*.sealed"), *directory.glob("shipped/*.sealed")]
    return Kills(
        kills=kills,
        answered=len(answers),
        missing=sum(not _is_kept(directory, each.prediction_id) for each in answers),
        segments=len(sealed),
        unreadable=sum(not _is_whole(each) for each in sealed),
    )


def _is_kept(directory: Path, record_id: str) -> bool:
    try:
        return bool(read_record(directory, record_id))
    except PlatformError:
        return False


def _is_whole(segment: Path) -> bool:
    try:
        return bool(records_of(segment.read_bytes()))
    except IntegrityError:
        return False
