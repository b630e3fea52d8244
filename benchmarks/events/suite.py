"""Events: how soon one can be read after its answer, how many the folder folds, what is refused.

Service, folder, Redis and load share the machine. Payments by cards and terminals drawn evenly go
over HTTP into the log; the folder folds each into two views. An event counts as readable when
every view is folded beyond its position, which the folder writes with the values.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import online, servers
from benchmarks.chaos.world import folder_process, folding
from benchmarks.events.load import bodies, payments
from benchmarks.floors import Floor, Section
from benchmarks.load import percentile
from benchmarks.measure import Measurement, measure, tree_cpu_s
from benchmarks.servers import Server
from core.clock import SystemClock
from core.errors import PlatformError
from core.features.blob import DELTA, codec_of, delta_key
from core.features.keys import entity_key, position
from core.features.plan import ViewPlan
from stores.layout import Layout
from stores.log.source_log import SourceLog
from stores.online import open_online_store
from stores.online.watermarks import decode_position, folded_key
from stores.shelf.bundle import read_manifest
from stores.shelf.shelf import Shelf

TITLE = "Events: from the answer to the read, through log and folder"
SOURCE, USE_CASE = "transactions", "fraud"
READABLE_LIMIT_MS, FOLDED_FLOOR = 10.0, 10_000.0
PACE, STREAM, STREAM_SIZE = 1_000, 10_000, 100
OVERLOAD, OVERLOAD_SIZE = 100_000, 1_000
TAKES_AT_MOST_S, LOOK_EVERY_S = 120.0, 0.01
BEHIND_LIMIT_S = 2.0
FIRST_EPOCH = 2  # what was there before is told to be in epoch 1


@dataclass(frozen=True)
class Size:
    """How many cards, for how long, how large a backlog."""

    cards: int
    seconds: float
    backlog: int


FULL, SMALL = Size(2_000, 15.0, 200_000), Size(200, 3.0, 20_000)


@dataclass
class World:
    """The home under load, its log, and what reads its values."""

    folder: Path
    url: str
    size: Size

    def __post_init__(self) -> None:
        self.layout = Layout(self.folder / "home")
        manifest = read_manifest(Shelf(self.layout.shelf).bundle(USE_CASE, 1))
        self.views: tuple[ViewPlan, ...] = tuple(
            view for view in manifest.plan.views if view.source == SOURCE
        )
        self.log = SourceLog(self.layout.log_dir(SOURCE), SOURCE)
        self.store = open_online_store(self.url)
        self.accepted = 0

    def folded(self) -> int:
        """Position up to which every view is folded."""
        found = self.store.read([folded_key(view.name) for view in self.views])
        return min(0 if data is None else decode_position(data) for data in found)

    def caught_up_s(self, place: int) -> float:
        """Seconds until everything up to ``place`` is folded; infinite when it takes too long."""
        start_s = time.monotonic()
        while self.folded() < place:
            if time.monotonic() - start_s > TAKES_AT_MOST_S:
                return float("inf")
            time.sleep(LOOK_EVERY_S)
        return time.monotonic() - start_s

    def kept(self) -> int:
        """Events of this run in the log; no id is sent twice."""
        return sum(1 for _ in self.log.read_open(position(FIRST_EPOCH, 0) - 1))

    def rows(self) -> int:
        """Rows of this run in the values of all cards: all are young, so each stands alone."""
        view = next(view for view in self.views if view.join_keys == ("card_id",))
        codec = codec_of(view)
        keys = [entity_key([f"c{n}"]) for n in range(self.size.cards)]
        found = self.store.read([delta_key(view.name, key) for key in keys])
        deltas = (codec.decode(DELTA, data) for data in found if data is not None)
        return sum(row.epoch >= FIRST_EPOCH for delta in deltas for row in delta.rows)


def run(home: Path, *, is_small: bool) -> Section:
    """All of it; ``is_small`` is to see that it runs."""
    size = SMALL if is_small else FULL
    section, folder = Section(TITLE), home / "events"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory() as short, servers.redis(Path(short)) as url:
            command = [sys.executable, "-m", "benchmarks.chaos.world", str(folder), url]
            prepared = measure("prepared", [*command, str(size.cards)], timeout_s=300)
            if not section.add(prepared).failure:
                _measured(section, World(folder, url, size))
    except PlatformError as error:
        section.measurements.append(online.failed("what was to come", error))
    return section


def _measured(section: Section, world: World) -> None:
    _append(world, "first", 1)
    world.log.seal(SystemClock().now_ms())
    with servers.ours(world.layout.root, world.url, world.folder) as service:
        with folding(world.layout.root, world.url, world.folder):
            _readable(section, world, service)
            _streamed(section, world, service)
        _overloaded(section, world, service)
    _backlog(section, world)
    kept = world.kept()
    wrong = abs(world.rows() - kept)
    what = f"rows too many or too few in the values, of {kept:,} events in the log"
    section.floors.append(Floor(what, wrong, 0, is_ceiling=True))


def _readable(section: Section, world: World, service: Server) -> None:
    """Single events at a steady pace, and when each could be read."""
    _load(world, service, "warm", rate=PACE, seconds=2.0)
    result = _load(world, service, "paced", rate=PACE, seconds=world.size.seconds)
    said = f"readable after {_said(result)}"
    section.add(_measurement(f"{PACE:,} events/s, one a request", result, said))
    what = f"ms from an event's answer until it can be read, p99 at {PACE:,}/s"
    p99 = percentile(result["readable_ms"], 0.99)
    section.floors.append(Floor(what, p99, READABLE_LIMIT_MS, is_ceiling=True))


def _streamed(section: Section, world: World, service: Server) -> None:
    """Lists at ten times the pace: how far the folder lags, and how soon it has all."""
    result = _load(
        world, service, "stream", rate=STREAM, seconds=world.size.seconds, size=STREAM_SIZE
    )
    behind_s = result["behind_s"]
    said = f"readable after {_said(result)}; all folded {behind_s:.2f} s after the last answer"
    name = f"{STREAM:,} events/s, {STREAM_SIZE} a request"
    section.add(_measurement(name, result, said))
    share = result["accepted"] / (result["sent"] * STREAM_SIZE)
    section.floors += [
        Floor(f"share of {STREAM:,} events/s that was taken", share, 1),
        Floor("seconds the folder was behind at their end", behind_s, BEHIND_LIMIT_S, True),
    ]


def _overloaded(section: Section, world: World, service: Server) -> None:
    """More than can be taken, the folder away: what is refused is told, what is taken is kept."""
    rate, seconds = OVERLOAD, world.size.seconds / 3
    result = _load(world, service, "flood", rate=rate, seconds=seconds, size=OVERLOAD_SIZE)
    refused = result["errors"].get("429", 0)
    said = f"{result['accepted']:,} events taken, {refused} of {result['sent']} requests told 429"
    name = f"{rate:,} events/s, {OVERLOAD_SIZE:,} a request, no folder"
    section.add(_measurement(name, result, said))
    lost = max(0, world.accepted - world.kept())
    section.floors += [
        Floor("events taken and not in the log", lost, 0, is_ceiling=True),
        Floor(
            "requests neither taken nor told 429",
            sum(result["errors"].values()) - refused,
            0,
            is_ceiling=True,
        ),
    ]


def _backlog(section: Section, world: World) -> None:
    """A log full of events, and a folder that starts: how many it folds a second."""
    place = _append(world, "backlog", world.size.backlog)
    before, n = world.folded(), _between(world)
    with folder_process(world.layout.root, world.url, world.folder) as process:
        while world.folded() == before:
            time.sleep(LOOK_EVERY_S)
        start, cpu_s, first = time.monotonic(), tree_cpu_s(process.pid), world.folded()
        n -= sum(1 for at, _ in world.log.read_open(before) if at <= first)
        world.caught_up_s(place)
        seconds = time.monotonic() - start
        cpu_s = tree_cpu_s(process.pid) - cpu_s
    rate = n / seconds
    said = f"{rate:,.0f} events/s, {1e6 * cpu_s / n:,.0f} us of CPU each"
    result = {"seconds": seconds, "cpu_s": cpu_s, "rate": rate, "profile": said}
    section.add(Measurement(f"backlog of {n:,} events", seconds, 0.0, result))
    section.notes.append(f"with a core of its own the folder folds {n / cpu_s:,.0f} events/s")
    what = "events a second that the folder folds of a backlog"
    section.floors.append(Floor(what, rate, FOLDED_FLOOR))


def _between(world: World) -> int:
    return sum(1 for _ in world.log.read_open(world.folded()))


def _append(world: World, run_name: str, count: int) -> int:
    """Put events into the log as the service would; the last position."""
    now_ms, places = SystemClock().now_ms(), [0]
    drawn = payments(count, cards=world.size.cards, run=run_name, now_ms=now_ms)
    lines = bodies(drawn, 1)
    for start in range(0, count, STREAM_SIZE):
        places = world.log.append(lines[start : start + STREAM_SIZE], now_ms=now_ms)
    world.accepted += count if run_name != "first" else 0
    return places[-1]


def _load(
    world: World, service: Server, name: str, *, rate: float, seconds: float, size: int = 1
) -> dict[str, Any]:
    """One load with the folder watched; what came of it, with ``readable_ms`` in order."""
    to = world.folder / f"{name}.json"
    command = [sys.executable, "-m", "benchmarks.events.load", str(service.port)]
    command += [str(rate), str(seconds), "--size", str(size), "--cards", str(world.size.cards)]
    with _watched(world) as steps:
        subprocess.run(
            [*command, "--run", name, "--to", str(to)], cwd=servers.PROJECT, check=True, timeout=300
        )
        result: dict[str, Any] = json.loads(to.read_text())
        answers = result.pop("answers")
        ended_s = max((at for at, _ in answers), default=0.0)
        is_followed = name != "flood"
        if is_followed:
            world.caught_up_s(max((place for _, place in answers), default=0))
    world.accepted += result["accepted"]
    result["behind_s"] = max(0.0, steps[-1][0] - ended_s) if is_followed else 0.0
    result["readable_ms"] = _readable_ms(answers, steps) if is_followed else []
    return result


@contextmanager
def _watched(world: World) -> Iterator[list[tuple[float, int]]]:
    """Steps of the folder while the block runs; they are there once it has ended."""
    command = [sys.executable, "-m", "benchmarks.events.watch", world.url]
    steps: list[tuple[float, int]] = []
    with (
        (world.folder / "steps.txt").open("w+") as said,
        subprocess.Popen(
            [*command, *(view.name for view in world.views)],
            cwd=servers.PROJECT,
            stdin=subprocess.PIPE,
            stdout=said,
        ) as process,
    ):
        try:
            yield steps
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(timeout=30)
            said.seek(0)
            steps += [(float(at), int(place)) for at, place in map(str.split, said)]


def _readable_ms(answers: list[tuple[float, int]], steps: list[tuple[float, int]]) -> list[float]:
    """Milliseconds from each answer to the first step that covers it, ordered; 0 where before."""
    found, k = [], 0
    for at, place in sorted(answers, key=lambda answer: answer[1]):
        while k < len(steps) and steps[k][1] < place:
            k += 1
        folded_s = steps[k][0] if k < len(steps) else math.inf
        found.append(max(0.0, 1_000 * (folded_s - at)))
    return sorted(found)


def _said(result: dict[str, Any]) -> str:
    ordered = result["readable_ms"]
    p50, p99, worst = (percentile(ordered, share) for share in (0.5, 0.99, 1.0))
    return f"p50 {p50:.2f}, p99 {p99:.2f}, max {worst:.1f} ms"


def _measurement(name: str, result: dict[str, Any], said: str) -> Measurement:
    numbers = {key: value for key, value in result.items() if key != "readable_ms"}
    profile = f"{result['profile']}; {said}"
    return Measurement(name, result["seconds"], 0.0, {**numbers, "profile": profile})
