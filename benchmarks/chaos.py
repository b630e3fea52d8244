"""What the service does while everything around it fails: ``python -m benchmarks.chaos``.

Prints one line a fault with its figures, then the floors that were promised, writes everything
to ``.throughline/bench/chaos.json``, and ends with 1 when a floor is missed. The figures of a
busy machine are worse; what is answered, labelled and kept must not be.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmarks import servers
from benchmarks.chaos_crowd import Crowd, crowded, missing
from benchmarks.chaos_faults import Fault, Figures, LockedFile, run_fault
from benchmarks.chaos_kills import Kills, killed_under_load
from benchmarks.chaos_load import answer_to
from benchmarks.chaos_world import RedisProcess, folding, redis_process
from benchmarks.faulty_proxy import FaultyProxy, to_unix_socket
from benchmarks.floors import Floor
from benchmarks.online_data import USE_CASE

ROUTE = f"/v1/{USE_CASE}/predictions"
CARDS, KILLS = 300, 4
RESETS, DELAY_S = 0.01, 0.5
READY_LIMIT_S = 1.2
ASKED_AT_LEAST = 2.9  # three times, less what a Poisson process misses its rate by
PREPARED_WITHIN_S = 300.0
# A line that a test printed, behind what pytest says of those before.
TOLD = re.compile(r"^[.FE]*(\w[\w ]*: (?:\d+ of \d+ requests|p99 without|refused by every).*)")
ROLLOUT_TESTS = (
    "tests/serving/test_rollouts.py",
    "tests/serving/test_canaries.py",
    "tests/serving/test_swaps.py",
)
KEY_TEST = "test_a_key_is_rotated_and_revoked_under_load_on_every_worker"
REVOKED_AFTER = re.compile(r"^key revoked: .* after ([\d.]+) s")
REVOKED_LIMIT_S = 5.0


@dataclass
class Report:
    """What was run, in lines, and what was promised."""

    lines: list[str] = field(default_factory=list)
    figures: dict[str, object] = field(default_factory=dict)
    floors: list[Floor] = field(default_factory=list)

    def tell(self, name: str, line: str, figures: object) -> None:
        """Keep one fault's figures and print its line."""
        print(line, flush=True)
        self.lines.append(line)
        self.figures[name] = figures

    def hold(self, what: str, value: float | None, limit: float, *, is_ceiling: bool) -> None:
        """Keep one promise."""
        self.floors.append(Floor(what, value, limit, is_ceiling=is_ceiling))

    def fault(self, found: Figures) -> None:
        """Figures of a dependency's fault, and what was promised of it."""
        name = found.name
        self.tell(name, found.said, asdict(found))
        self.hold(f"{name}: share answered", found.answered_share, 0.999, is_ceiling=False)
        self.hold(f"{name}: answers that do not say so", found.unlabelled, 0, is_ceiling=True)
        self.hold(f"{name}: p99, ms", found.p99_ms, 150, is_ceiling=True)
        self.hold(f"{name}: worst, ms", found.worst_ms, 500, is_ceiling=True)
        if found.failures_to_open is not None:
            self.hold(f"{name}: failures to open", found.failures_to_open, 20, is_ceiling=True)
        self.hold(f"{name}: s until whole again", found.closed_ms / 1_000, 10, is_ceiling=True)

    def kills(self, found: Kills) -> None:
        """What kills left."""
        self.tell("kills", found.said, asdict(found))
        self.hold("kills: answers missing from the log", found.missing, 0, is_ceiling=True)
        self.hold("kills: segments unreadable", found.unreadable, 0, is_ceiling=True)
        self.hold("kills: answers looked at", found.answered, 100, is_ceiling=False)

    def crowd(self, found: Crowd) -> None:
        """What a crowd met."""
        self.tell("overload", found.said, asdict(found))
        self.hold("overload: asked, of the peak", found.times, ASKED_AT_LEAST, is_ceiling=False)
        self.hold("overload: goodput, of the peak", found.share, 0.8, is_ceiling=False)
        self.hold("overload: accepted p99, ms", found.accepted_p99_ms, 100, is_ceiling=True)
        self.hold("overload: refused p99, ms", found.refused_p99_ms, 10, is_ceiling=True)
        self.hold("overload: refused without Retry-After", found.no_retry, 0, is_ceiling=True)
        self.hold("overload: neither answered nor refused", found.lost, 0, is_ceiling=True)
        self.hold("overload: health that failed", found.watched_failed, 0, is_ceiling=True)


@contextmanager
def _world(folder: Path) -> Iterator[RedisProcess]:
    """Redis with everything in it, the home beside, the folder at work."""
    # A Unix socket's name holds 107 bytes, which a folder of the project may not leave.
    with tempfile.TemporaryDirectory() as short, redis_process(Path(short)) as redis:
        prepare(folder, redis.url)
        redis.keep()
        with folding(folder / "home", redis.url, folder):
            yield redis


def prepare(folder: Path, url: str) -> None:
    """Make the home and its online values, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.chaos_world", str(folder), url, str(CARDS)]
    subprocess.run(command, cwd=servers.PROJECT, check=True, timeout=PREPARED_WITHIN_S)


def redis_faults(report: Report, folder: Path) -> None:
    """Redis killed, stopped, slow, resetting, swallowed; the service behind a proxy to it."""
    bodies = folder / "points.ndjson"
    with _world(folder) as redis, FaultyProxy(to_unix_socket(redis.socket)) as proxy:

        def switch(name: str, value: float) -> Callable[[], None]:
            return lambda: setattr(proxy, name, value)

        url = f"redis://127.0.0.1:{proxy.port}"
        faults = (
            Fault("redis killed", redis.kill, redis.start_again),
            Fault("redis stopped", redis.stop, redis.go_on),
            Fault("redis 500 ms slow", switch("delay_s", DELAY_S), proxy.heal),
            Fault("redis swallowed", switch("is_silent", 1), proxy.heal),
            Fault("redis resets 1 %", switch("reset_share", RESETS), proxy.heal, is_total=False),
        )
        with servers.ours(folder / "home", url, folder) as server:
            for fault in faults:
                report.fault(run_fault(fault, server, ROUTE, bodies, folder / "answers.ndjson"))
        report.kills(killed_under_load(folder, url, ROUTE, bodies, kills=KILLS))
        redis.kill()
        _cold(report, folder, url)


def overload(report: Report, folder: Path) -> None:
    """Three times as much asked of one worker as it can answer."""
    if lacking := missing():
        report.hold(f"overload ({lacking})", None, 0, is_ceiling=False)
        return
    with (
        _world(folder) as redis,
        servers.ours(folder / "home", redis.url, folder, workers=1) as server,
    ):
        report.crowd(crowded(server, ROUTE, folder / "points.ndjson", folder))


def sqlite_faults(report: Report, folder: Path) -> None:
    """The embedded file locked by another program, then removed."""
    bodies, database = folder / "points.ndjson", folder / "online.sqlite"
    for each in folder.glob("online.sqlite*"):
        each.unlink()
    url = f"sqlite:///{database}"
    prepare(folder, url)
    away = database.with_suffix(".away")
    with (
        folding(folder / "home", url, folder),
        servers.ours(folder / "home", url, folder) as server,
    ):
        locks = LockedFile(database)
        faults = (
            Fault("sqlite locked by a writer", locks.lock, locks.unlock, is_total=False),
            Fault("sqlite removed", lambda: _move(database, away), lambda: _move(away, database)),
        )
        for fault in faults:
            report.fault(run_fault(fault, server, ROUTE, bodies, folder / "answers.ndjson"))


def _move(there: Path, to: Path) -> None:
    if there.exists():
        there.rename(to)


def _cold(report: Report, folder: Path, url: str) -> None:
    """Start from the local shelf with every dependency down, and answer."""
    point = (folder / "points.ndjson").read_bytes().splitlines()[0]
    with servers.ours(folder / "home", url, folder) as server:
        found = answer_to(server.port, ROUTE, point)
        said = f"{found.status}, {found.level or 'whole'}: {found.because}"
        line = f"restart with everything down: ready in {server.ready_s:.2f} s, answers {said}"
        report.tell("restart", line, {"ready_s": server.ready_s, **asdict(found)})
        report.hold("restart: s to ready", server.ready_s, READY_LIMIT_S, is_ceiling=True)
        is_labelled = float(found.is_answered and found.level != "")
        report.hold("restart: answers, and says what it lacks", is_labelled, 1, is_ceiling=False)


def rollouts(report: Report, folder: Path) -> None:
    """Rollouts under traffic: bad challengers rolled back, a better one promoted, swaps."""
    _tested(report, "rollouts", ROLLOUT_TESTS, folder)


def keys(report: Report, folder: Path) -> None:
    """A key revoked while it is in use."""
    told = _tested(report, "keys", ("tests/serving/test_keys.py", "-k", KEY_TEST), folder)
    found = next((float(hit[1]) for hit in map(REVOKED_AFTER.match, told) if hit), None)
    report.hold(
        "keys: s until no worker takes one revoked", found, REVOKED_LIMIT_S, is_ceiling=True
    )


def _tested(report: Report, name: str, tests: Sequence[str], folder: Path) -> list[str]:
    """Run tests that drive real processes; the lines of figures that they told."""
    command = [sys.executable, "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider"]
    log = folder / f"{name}.log"
    with log.open("w") as said:
        done = subprocess.run(
            [*command, *tests], cwd=servers.PROJECT, stdout=said, stderr=said, timeout=1_800
        )
    lines = log.read_text().splitlines()
    told = [found[1] for found in map(TOLD.search, lines) if found is not None]
    last = (lines or ["nothing said"])[-1]
    for line in told:
        print(f"  {line}")
    report.tell(name, f"{name}: {last} ({log})", {"said": told, "last": last})
    report.hold(f"{name}: tests that failed", float(done.returncode != 0), 0, is_ceiling=True)
    return told


PARTS: dict[str, Callable[[Report, Path], None]] = {
    "redis": redis_faults,
    "overload": overload,
    "sqlite": sqlite_faults,
    "rollouts": rollouts,
    "keys": keys,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.chaos", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], help="which; all without")
    given = parser.parse_args()
    folder = servers.PROJECT / ".throughline" / "bench" / "chaos"
    folder.mkdir(parents=True, exist_ok=True)
    report = Report()
    for name in given.parts or PARTS:
        PARTS[name](report, folder)
    print()
    for floor in report.floors:
        print(floor.line())
    target = folder.parent / f"{'-'.join(['chaos', *given.parts])}.json"
    floors = [{**asdict(floor), "is_met": floor.is_met} for floor in report.floors]
    target.write_text(json.dumps({"figures": report.figures, "floors": floors}, indent=2))
    missed = [floor.what for floor in report.floors if not floor.is_met]
    print(f"\nwritten: {target}")
    print(f"{len(missed)} of {len(floors)} floors missed: {', '.join(missed) or 'none'}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
