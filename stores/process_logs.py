"""Logs of processes of this machine: one a name, begun anew by who starts on a later day.

::

    logs/<name>.log                what a process that runs writes
    logs/<name>.2026-03-01.log     what its forerunners wrote, by the date of the last line

A log is only ever renamed by who opens it, so no line is lost between a copy and a cut.
"""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from core.clock import event_date
from core.retention import Piece

_FORMER = re.compile(r".+\.\d{4}-\d{2}-\d{2}(-\d+)?\.log")


def open_log(path: Path, *, now_ms: int) -> BinaryIO:
    """A log to append to; what was written on a former day is put aside under its date."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileNotFoundError):  # there is none, or another process put it aside just now
        facts = path.stat()
        date = event_date(facts.st_mtime_ns // 1_000_000)
        if facts.st_size and date < event_date(now_ms):
            path.rename(_free(path, date))
    return path.open("ab")


def former_logs(folder: Path) -> list[Piece]:
    """Logs that no process writes to any more, from their last line on."""
    return [
        Piece(path.name, facts.st_mtime_ns // 1_000_000, facts.st_size)
        for path in sorted(folder.glob("*.log"))
        if _FORMER.fullmatch(path.name)
        for facts in [path.stat()]
    ]


def _free(path: Path, date: str) -> Path:
    former, n = path.with_name(f"{path.stem}.{date}.log"), 1
    while former.exists():
        n += 1
        former = path.with_name(f"{path.stem}.{date}-{n}.log")
    return former
