"""Batch beside events, live: ingest, tiles and re-bases run while the folder is killed at random.

Payments come at a steady pace over HTTP: a tenth of them days late, some minutes late, one in fifty
sent again. Meanwhile the folder is killed and stays away for a while, again and again, and the
pipeline's own runs go round: the ingest job (Spark), tiles of the touched dates, online values.
Somebody asks for predictions as of all instants that may be asked. In the end every value that
was served is held to the oracle over the table, as its read had seen the log.
"""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import servers
from benchmarks.chaos.batch_proof import Compared, Kept, Read, compared, event_rows, kept
from benchmarks.chaos.world import folder_process
from benchmarks.events.load import HOST, payments
from benchmarks.online_data import USE_CASE, fraud
from benchmarks.online_model import model_of, put_on_shelf
from core.clock import DAY_MS, SystemClock
from core.errors import DependencyError
from core.features.keys import entity_key
from core.features.plan import ViewPlan
from core.ports import OnlineStore
from orchestration.recorded import recorded_predictions
from orchestration.runs import Runs
from orchestration.settings import Settings
from stores.layout import Layout
from stores.log.source_log import SourceLog
from stores.online import open_online_store
from stores.online.watermarks import decode_position, folded_key

SOURCE = "transactions"
CARDS, HISTORY, HISTORY_DAYS = 120, 6_000, 20
RATE, AGAIN, LOAD_S, ROUNDS, KILLS = 150, 0.02, 15, 3, 5
LONGEST_LIFE_S, LONGEST_AWAY_S = 4.0, 6.0
ASK_EVERY_S, OLDEST_ASKED_MS = 0.05, 240_000
AGES_MS = (0, 60_000, 200_000)
GOES_ON_WITHIN_S, LOOK_EVERY_S = 60.0, 0.02


@dataclass
class World:
    """A home under load, and how its values are reached."""

    folder: Path
    url: str
    layout: Layout = field(init=False)
    views: tuple[ViewPlan, ...] = field(init=False)
    log: SourceLog = field(init=False)
    store: OnlineStore = field(init=False)

    def __post_init__(self) -> None:
        use_case, plan = fraud()
        self.layout = Layout(self.folder / "home").create()
        put_on_shelf(
            self.layout, use_case, plan, model_of(self.folder, plan), SystemClock().now_ms()
        )
        self.views = tuple(view for view in plan.views if view.source == SOURCE)
        self.log = SourceLog(self.layout.log_dir(SOURCE), SOURCE)
        self.store = open_online_store(self.url)

    def land_history(self) -> None:
        """Payments of the last weeks, as a file that was landed."""
        now_ms = SystemClock().now_ms()
        age_ms = np.random.default_rng(1).integers(DAY_MS // 24, HISTORY_DAYS * DAY_MS, HISTORY)
        drawn = payments(HISTORY, cards=CARDS, run="before", now_ms=now_ms)
        path = self.folder / "before.ndjson"
        with path.open("w") as file:
            for event, age in zip(drawn, age_ms.tolist(), strict=True):
                file.write(json.dumps(event | {"event_timestamp": now_ms - age}) + "\n")
        self.log.land(path, now_ms=now_ms, is_historic=True)

    def folded(self) -> int:
        """Position up to which every view is folded."""
        found = self.store.read([folded_key(view.name) for view in self.views])
        return min(0 if data is None else decode_position(data) for data in found)

    def folds_on(self, before: int) -> None:
        """Wait until the folder has folded something beyond ``before``, or has nothing to."""
        deadline = time.monotonic() + GOES_ON_WITHIN_S
        last = max((place for place, _ in self.log.read_open(before)), default=0)
        while self.folded() == before < last and time.monotonic() < deadline:
            time.sleep(LOOK_EVERY_S)

    def come_level(self) -> None:
        """Wait until all that was appended is folded."""
        last = max((place for place, _ in self.log.read_open()), default=0)
        deadline = time.monotonic() + GOES_ON_WITHIN_S
        while self.folded() < last:
            if time.monotonic() > deadline:
                raise DependencyError("the folder did not come up to the end of the log")
            time.sleep(LOOK_EVERY_S)


class Sending(threading.Thread):
    """Payments at a steady pace, one load after another."""

    def __init__(self, world: World, port: int) -> None:
        super().__init__(daemon=True)
        self._world, self._port, self._is_over = world, port, threading.Event()
        self.told: set[int] = set()
        """Places in the log that senders were told."""

    def run(self) -> None:
        """Until told to stop; the load in hand is ended in good order."""
        to, number = self._world.folder / "live.json", 0
        while not self._is_over.is_set():
            number += 1
            command = [sys.executable, "-m", "benchmarks.events.load", str(self._port), str(RATE)]
            command += [str(LOAD_S), "--cards", str(CARDS), "--run", f"live{number}", "--late"]
            command += ["--again", str(AGAIN), "--to", str(to)]
            subprocess.run(command, cwd=servers.PROJECT, check=True)
            self.told |= {place for _, place in json.loads(to.read_text())["answers"]}

    def end(self) -> None:
        """Stop."""
        self._is_over.set()
        self.join()


class Killing(threading.Thread):
    """The folder, started, killed and left away for a while, each for a time that is drawn."""

    def __init__(self, world: World, seed: int = 5) -> None:
        super().__init__(daemon=True)
        self._world, self._draw, self._is_over = world, random.Random(seed), threading.Event()
        self.kills = 0

    def run(self) -> None:
        """Until told to stop."""
        world = self._world
        while not self._is_over.is_set():
            with folder_process(world.layout.root, world.url, world.folder) as process:
                world.folds_on(world.folded())
                self._is_over.wait(self._draw.uniform(0, LONGEST_LIFE_S))
                process.kill()
                process.wait()
                self.kills += 1
            self._is_over.wait(self._draw.uniform(0, LONGEST_AWAY_S))

    def end(self) -> None:
        """Stop; nobody folds afterwards."""
        self._is_over.set()
        self.join(timeout=2 * GOES_ON_WITHIN_S)


class Asking(threading.Thread):
    """Predictions one after another, each as of an instant of the last minutes."""

    def __init__(self, port: int, seed: int = 7) -> None:
        super().__init__(daemon=True)
        self._port, self._draw, self._is_over = port, random.Random(seed), threading.Event()
        self.cards: dict[str, str] = {}
        """Card that was asked about, by prediction."""

    def run(self) -> None:
        """Until told to stop."""
        while not self._is_over.wait(ASK_EVERY_S):
            draw, now_ms = self._draw, SystemClock().now_ms()
            age_ms = draw.choice((0, draw.randint(0, OLDEST_ASKED_MS)))
            card, terminal = draw.randrange(CARDS), draw.randrange(CARDS // 2 + 1)
            self.cards |= asked(self._port, [point(card, terminal, now_ms - age_ms)])

    def end(self) -> None:
        """Stop."""
        self._is_over.set()
        self.join(timeout=GOES_ON_WITHIN_S)


@dataclass(frozen=True)
class Live:
    """What a live run of batch beside events left."""

    kills: int
    rounds: int
    events: Kept
    under_load: Compared
    at_rest: Compared

    @property
    def said(self) -> str:
        """One line."""
        under, rest, kept = self.under_load, self.at_rest, self.events
        return (
            f"batch beside events: folder killed {self.kills} times, {self.rounds} rounds of "
            f"ingest, tiles and re-base; of {kept.acknowledged:,} acknowledged events "
            f"{kept.missing} not in the table, {kept.doubled} twice; {under.wrong} of "
            f"{under.values:,} values served meanwhile and {rest.wrong} of {rest.values:,} at "
            f"rest are not the oracle's {under.worst or rest.worst}"
        ).rstrip()

    @property
    def rows(self) -> list[str]:
        """Row of the page."""
        under, rest, kept = self.under_load, self.at_rest, self.events
        return [
            f"| {RATE} events a second, late and repeated ones among them, while the folder is "
            f"killed {self.kills} times at random and batch goes round {self.rounds} times "
            f"(ingest, tiles, re-base) | of {kept.acknowledged:,} acknowledged events "
            f"{kept.missing} not in the table, {kept.doubled} in it twice; {under.wrong} of "
            f"{under.values:,} values that {under.reads:,} reads served meanwhile and {rest.wrong} "
            f"of {rest.values:,} at rest are not the oracle's | 0, 0; 0, 0 |"
        ]


def live_batch(folder: Path) -> Live:
    """Events, kills and the pipeline's own runs at once, on a Redis of its own; what is counted."""
    shutil.rmtree(folder / "home", ignore_errors=True)
    with tempfile.TemporaryDirectory() as short, servers.redis(Path(short)) as url:
        return lived(World(folder, url))


def lived(world: World) -> Live:
    """The run itself."""
    settings = Settings(home=world.layout.root, online_url=world.url)
    with (
        Runs(settings, print) as runs,
        servers.ours(world.layout.root, world.url, world.folder) as service,
    ):
        world.land_history()
        round_of(runs, world.views)
        sending, killing = Sending(world, service.port), Killing(world)
        asking = Asking(service.port)
        for each in (sending, killing, asking):
            each.start()
        rounds = 0
        while rounds < ROUNDS or killing.kills < KILLS:  # one that finds nothing does not count
            rounds += round_of(runs, world.views)
        sending.end()
        killing.end()
        with folder_process(world.layout.root, world.url, world.folder):
            world.come_level()
            resting = resting_reads(service.port)
            rounds += round_of(runs, world.views)
            resting |= resting_reads(service.port)
        asking.end()
    rows = {view.name: event_rows(world.layout, view) for view in world.views}
    return Live(
        kills=killing.kills,
        rounds=rounds,
        events=kept(acknowledged(world.log, sending.told), world.layout, SOURCE),
        under_load=compared(served(world, asking.cards), world.views, rows),
        at_rest=compared(served(world, resting), world.views, rows, is_whole=True),
    )


def round_of(runs: Runs, views: Sequence[ViewPlan]) -> int:
    """What orchestration does of itself when events wait; whether there was anything to do."""
    from assets import names
    from orchestration.ingest import ingest_name

    report: dict[str, Any] = runs.job(ingest_name(SOURCE)).only_output or {}
    dates = sorted(report.get("touched", ()))
    if not dates:
        return 0
    runs.assets([names.tiles(view.name) for view in views], dates=(dates[0], dates[-1]))
    runs.assets([names.online(view.name) for view in views])
    return 1


def point(card: int, terminal: int, at_ms: int) -> dict[str, Any]:
    """Body of a point."""
    entities = {"card_id": f"c{card}", "terminal_id": f"t{terminal}"}
    return {"entities": entities, "inputs": {"amount_minor": 1_000}, "at": at_ms}


def asked(port: int, points: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Predictions of points by id, each with its card; none where the service did not answer."""
    connection = HTTPConnection(HOST, port, timeout=GOES_ON_WITHIN_S)
    try:
        body = json.dumps({"points": points})
        headers = {"Content-Type": "application/json"}
        connection.request("POST", f"/v1/{USE_CASE}/predictions:batch", body, headers)
        answer = connection.getresponse()
        said = json.loads(answer.read())
    except (OSError, HTTPException):
        return {}
    finally:
        connection.close()
    answers = said["predictions"] if answer.status == 200 else []
    ids = [each["prediction_id"] for each in answers]
    return dict(zip(ids, [each["entities"]["card_id"] for each in points], strict=False))


def resting_reads(port: int) -> dict[str, str]:
    """Every card and terminal, as of several instants."""
    now_ms = SystemClock().now_ms()
    found: dict[str, str] = {}
    for age_ms in AGES_MS:
        points = [point(n, n % (CARDS // 2 + 1), now_ms - age_ms) for n in range(CARDS)]
        found |= asked(port, points)
    return found


def served(world: World, cards: Mapping[str, str]) -> Iterator[Read]:
    """What the records of predictions say; ``cards`` has the card of each."""
    for record_id, record in recorded_predictions(world.layout, USE_CASE):
        if record_id in cards:
            yield from reads_of(world.views, record, cards[record_id])


def reads_of(views: Sequence[ViewPlan], record: dict[str, Any], card: str) -> Iterator[Read]:
    """What a record says of each view that was read; the record has a mask in place of the card."""
    keys = record["entities"] | {"card_id": card}
    for view in views:
        held = record["features"][view.name]
        if held["status"] != "unavailable":
            entity = entity_key([keys[name] for name in view.join_keys])
            yield Read(view.name, entity, record["at_ms"], held["seen_position"], held["values"])


def acknowledged(log: SourceLog, told: set[int]) -> Iterator[str]:
    """Ids of the events whose senders were told these places; a place with none has no such id."""
    at = {place: record.raw for place, record in log.read_open()}
    for place in told:
        raw = at.get(place)
        yield raw["event_id"] if isinstance(raw, dict) else f"nothing at {place}"
