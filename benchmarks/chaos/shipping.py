"""How soon a record is in shared storage after its answer, under load.

Storage is looked at again and again, as another machine would; when a segment is seen for the
first time it counts as there.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import servers
from benchmarks.chaos.load import Answer, read_answers
from stores.layout import Layout
from stores.records.ids import parse_record_id
from stores.records.shared import open_segments

RATE, SECONDS = 300.0, 15.0
LOAD_WITHIN_S, COMES_WITHIN_S, LOOK_EVERY_S = 60.0, 30.0, 0.05


@dataclass(frozen=True)
class Shipped:
    """Seconds from an answer until its record was in shared storage.

    ``missing`` are records that were not there in half a minute.
    """

    records: int
    segments: int
    missing: int
    worst_s: float
    p50_s: float

    @property
    def said(self) -> str:
        """One line."""
        return (
            f"shipped: {self.records:,} records in {self.segments} segments were in shared storage "
            f"{self.p50_s:.1f} s after their answers in the middle, {self.worst_s:.1f} s at worst; "
            f"{self.missing} never came"
        )

    @property
    def rows(self) -> list[str]:
        """Row of the page."""
        return [
            f"| from an answer until its record is in shared storage, {self.records:,} of "
            f"{RATE:.0f} a second | {self.p50_s:.1f} s in the middle, {self.worst_s:.1f} s at "
            f"worst; {self.missing} never came | 10 s, 0 |"
        ]


def shipped_under_load(folder: Path, url: str, path: str, bodies: Path) -> Shipped:
    """Load a service for some segments' time, and wait until every record is shared."""
    out = folder / "shipped.ndjson"
    command = [sys.executable, "-m", "benchmarks.chaos.load"]
    with servers.ours(folder / "home", url, folder) as server:
        command += [str(server.port), path, str(bodies), str(RATE), str(SECONDS), str(out)]
        use_case = path.split("/")[2]
        with _Watch(Layout(folder / "home").segments(use_case)) as watch:
            subprocess.run(command, cwd=servers.PROJECT, check=True, timeout=LOAD_WITHIN_S)
            answers = [each for each in read_answers(out) if each.is_answered]
            watch.wait_for({segment_of(each) for each in answers})
    return shipped_of(answers, watch.seen_s)


def shipped_of(answers: Sequence[Answer], seen_s: Mapping[str, float]) -> Shipped:
    """Figures of answers, and of when each segment was first seen, in epoch seconds."""
    named = [(each, segment_of(each)) for each in answers]
    lags_s = sorted(
        seen_s[name] - (each.at_s + each.ms / 1_000) for each, name in named if name in seen_s
    )
    return Shipped(
        records=len(answers),
        segments=len({name for _, name in named}),
        missing=len(answers) - len(lags_s),
        worst_s=lags_s[-1] if lags_s else COMES_WITHIN_S,
        p50_s=lags_s[len(lags_s) // 2] if lags_s else COMES_WITHIN_S,
    )


def segment_of(answer: Answer) -> str:
    """Name of the segment that has an answer's record."""
    return parse_record_id(answer.prediction_id).segment_name


class _Watch:
    """Notes when each segment is first seen in shared storage."""

    def __init__(self, uri: str) -> None:
        self.seen_s: dict[str, float] = {}
        self._store = open_segments(uri)
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> _Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join(timeout=10)

    def wait_for(self, names: set[str]) -> None:
        """Until all are there, or it has taken too long."""
        deadline = time.monotonic() + COMES_WITHIN_S
        while not names <= self.seen_s.keys() and time.monotonic() < deadline:
            time.sleep(LOOK_EVERY_S)

    def _look(self) -> None:
        while not self._is_over.wait(LOOK_EVERY_S):
            found = self._store.waiting()
            now_s = time.time()
            for segment in found:
                self.seen_s.setdefault(segment.name, now_s)
