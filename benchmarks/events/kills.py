"""The folder killed at random while events come and base values move: what is counted in the end.

Base values are made here from the sealed log, as batch makes them from its tables, and put under
the running folder. In the end the counts that a read gives are those of the log, event by event.
"""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks import servers
from benchmarks.chaos.world import folder_process
from benchmarks.online_data import Log, based
from core.clock import SystemClock
from core.features.blob import base_key, delta_key
from core.features.fold import YOUNG_MS
from core.features.keys import LAST_OFFSET, entity_key, epoch_of, position
from core.features.plan import ViewPlan
from core.features.reading import read_view
from core.ports import OnlineStore
from stores.log.source_log import SourceLog
from stores.online.watermarks import covered_key, decode_position, encode_covered, folded_key

COUNT = "amount_minor_count_1d"
GOES_ON_WITHIN_S, LONGEST_LIFE_S, LOOK_EVERY_S = 30.0, 1.0, 0.01


@dataclass(frozen=True)
class Kills:
    """How often the folder was killed and base moved, how many events the log has, and a read."""

    kills: int
    rebases: int
    kept: int
    counted: dict[str, int]

    @property
    def wrong(self) -> int:
        """Events that some view counts too often or too seldom, added up."""
        return sum(abs(count - self.kept) for count in self.counted.values())


@dataclass(frozen=True)
class Bench:
    """What is under load: views of one source, its log and values, where processes say things."""

    home: Path
    url: str
    logs: Path
    views: Sequence[ViewPlan]
    log: SourceLog
    store: OnlineStore
    first_epoch: int
    cards: int


def killed_and_rebased(
    bench: Bench, load: subprocess.Popen[bytes], *, kills: int, seed: int = 5
) -> Kills:
    """Kill the folder while ``load`` sends, move base under it every other time, then count."""
    draw, rebases, n = random.Random(seed), 0, 0
    while n < kills or load.poll() is None:
        with folder_process(bench.home, bench.url, bench.logs) as process:
            _goes_on(bench, _folded(bench))
            if n % 2:
                rebases += _rebase(bench)
            time.sleep(draw.uniform(0, LONGEST_LIFE_S))
            process.kill()
            process.wait()
        n += 1
    with folder_process(bench.home, bench.url, bench.logs):
        last = max((place for place, _ in bench.log.read_open()), default=0)
        deadline = time.monotonic() + GOES_ON_WITHIN_S
        while _folded(bench) < last and time.monotonic() < deadline:
            time.sleep(LOOK_EVERY_S)
    kept = sum(1 for _ in bench.log.read_open(position(bench.first_epoch, 0) - 1))
    return Kills(n, rebases, kept, {view.name: _counted(bench, view) for view in bench.views})


def load_of(port: int, cards: int, to: Path, *, rate: float, seconds: float) -> list[str]:
    """Command of the load."""
    command = [sys.executable, "-m", "benchmarks.events.load", str(port), str(rate), str(seconds)]
    return [*command, "--cards", str(cards), "--run", "killed", "--to", str(to)]


def started(command: list[str]) -> subprocess.Popen[bytes]:
    """A load under way."""
    return subprocess.Popen(command, cwd=servers.PROJECT)


def _folded(bench: Bench) -> int:
    found = bench.store.read([folded_key(view.name) for view in bench.views])
    return min(0 if data is None else decode_position(data) for data in found)


def _goes_on(bench: Bench, before: int) -> None:
    """Wait until the folder has folded something, or is not going to."""
    deadline = time.monotonic() + GOES_ON_WITHIN_S
    last = max((place for place, _ in bench.log.read_open(before)), default=0)
    while _folded(bench) == before < last and time.monotonic() < deadline:
        time.sleep(LOOK_EVERY_S)


def _rebase(bench: Bench) -> int:
    """Seal the log and write base values of all it has, as batch does; whether there was any."""
    now_ms = SystemClock().now_ms()
    epoch = bench.log.seal(now_ms)
    if epoch is None:
        return 0
    rows = [
        record.raw
        for place, record in bench.log.read_open(position(bench.first_epoch, 0) - 1)
        if epoch_of(place) <= epoch and isinstance(record.raw, dict)
    ]
    log = Log(
        np.array([row["event_timestamp"] for row in rows]),
        {key: np.array([int(row[key][1:]) for row in rows]) for key in ("card_id", "terminal_id")},
        {name: [row[name] for row in rows] for name in ("amount_minor", "terminal_id")},
    )
    head_ms, is_in = now_ms - YOUNG_MS, np.ones(len(rows), bool)
    for view in bench.views:
        values = based(view, log, is_in, _entities(bench, view), epoch=epoch, head_ms=head_ms)
        bench.store.write(values)
        covered = encode_covered(position(epoch, LAST_OFFSET), head_ms)
        bench.store.write({covered_key(view.name): covered})
    return 1


def _entities(bench: Bench, view: ViewPlan) -> list[bytes]:
    (key,) = view.join_keys
    return [entity_key([f"{key[0]}{n}"]) for n in range(bench.cards + 1)]


def _counted(bench: Bench, view: ViewPlan) -> int:
    """Events of the last day as reads of all entities of a view count them."""
    place, at_ms = view.feature_names.index(COUNT), SystemClock().now_ms()
    entities = _entities(bench, view)
    base = bench.store.read([base_key(view.name, entity) for entity in entities])
    delta = bench.store.read([delta_key(view.name, entity) for entity in entities])
    found = (read_view(view, *each, at_ms).values[place] for each in zip(base, delta, strict=True))
    return sum(int(value or 0) for value in found)
