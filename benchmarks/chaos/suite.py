"""What the service does while everything around it fails: ``python -m benchmarks.chaos``.

Prints one line a fault with its figures, then the floors that were promised, writes everything
to ``.throughline/bench/chaos.json``, and ends with 1 when a floor is missed. The figures of a
busy machine are worse; what is answered, labelled and kept must not be.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from benchmarks import servers
from benchmarks.chaos.batch import live_batch
from benchmarks.chaos.crowd import crowded, missing
from benchmarks.chaos.faults import Fault, LockedFile, run_fault
from benchmarks.chaos.faulty_proxy import FaultyProxy, to_unix_socket
from benchmarks.chaos.kills import killed_under_load
from benchmarks.chaos.load import answer_to
from benchmarks.chaos.report import Report
from benchmarks.chaos.shadow import beside_shadows
from benchmarks.chaos.shipping import shipped_under_load
from benchmarks.chaos.tests import bad_input, keys, rollouts
from benchmarks.chaos.world import (
    HASTY_FRESH_S,
    IS_HASTY,
    FolderProcess,
    RedisProcess,
    folding,
    redis_process,
)
from benchmarks.online_data import USE_CASE

ROUTE = f"/v1/{USE_CASE}/predictions"
CARDS, KILLS = 300, 4
RESETS, DELAY_S = 0.01, 0.5
READY_LIMIT_S = 1.2
PREPARED_WITHIN_S = 300.0


@contextmanager
def _world(folder: Path, *, is_hasty: bool = False) -> Iterator[tuple[RedisProcess, FolderProcess]]:
    """Redis with everything in it, the home beside, the folder at work."""
    # A Unix socket's name holds 107 bytes, which a folder of the project may not leave.
    with tempfile.TemporaryDirectory() as short, redis_process(Path(short)) as redis:
        prepare(folder, redis.url, *([IS_HASTY] if is_hasty else []))
        redis.keep()
        with folding(folder / "home", redis.url, folder) as process:
            yield redis, process


def prepare(folder: Path, url: str, *options: str) -> None:
    """Make the home and its online values, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.chaos.world", str(folder), url, str(CARDS)]
    subprocess.run([*command, *options], cwd=servers.PROJECT, check=True, timeout=PREPARED_WITHIN_S)


def redis_faults(report: Report, folder: Path) -> None:
    """Redis killed, stopped, slow, resetting, swallowed; the service behind a proxy to it."""
    bodies = folder / "points.ndjson"
    with _world(folder) as (redis, _), FaultyProxy(to_unix_socket(redis.socket)) as proxy:

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
        report.shipped(shipped_under_load(folder, url, ROUTE, bodies))
        redis.kill()
        _cold(report, folder, url)


def overload(report: Report, folder: Path) -> None:
    """Three times as much asked of one worker as it can answer."""
    if lacking := missing():
        report.hold(f"overload ({lacking})", None, 0, is_ceiling=False)
        return
    with (
        _world(folder) as (redis, _),
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
        row = (
            f"| start with every dependency down | answers at `{found.level or 'whole'}`; "
            f"{server.ready_s:.2f} s to ready | {READY_LIMIT_S} s |"
        )
        report.tell("restart", line, {"ready_s": server.ready_s, **asdict(found)}, [row])
        report.hold("restart: s to ready", server.ready_s, READY_LIMIT_S, is_ceiling=True)
        is_labelled = float(found.is_answered and found.level != "")
        report.hold("restart: answers, and says what it lacks", is_labelled, 1, is_ceiling=False)


def folder_killed(report: Report, folder: Path) -> None:
    """The folder killed: values grow old, and the limits of their age say what answers."""
    bodies = folder / "points.ndjson"
    with _world(folder, is_hasty=True) as (redis, folding):
        fault = Fault(
            "folder killed", folding.kill, folding.start_again, shows_after_s=HASTY_FRESH_S
        )
        with servers.ours(folder / "home", redis.url, folder) as server:
            report.aged(run_fault(fault, server, ROUTE, bodies, folder / "answers.ndjson"))


def shadows(report: Report, folder: Path) -> None:
    """Shadows that are whole, hang and crash beside a champion: what its answers notice."""
    with _world(folder) as (redis, _):
        report.shadows(beside_shadows(folder, redis.url, ROUTE, folder / "points.ndjson"))


def live(report: Report, folder: Path) -> None:
    """The folder killed at random while events come and the pipeline's own runs go round."""
    report.live(live_batch(folder))


PARTS: dict[str, Callable[[Report, Path], None]] = {
    "redis": redis_faults,
    "overload": overload,
    "sqlite": sqlite_faults,
    "folder": folder_killed,
    "batch": live,
    "shadow": shadows,
    "rollouts": rollouts,
    "input": bad_input,
    "keys": keys,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.chaos", description=__doc__)
    of = f"of {', '.join(PARTS)}; all without"
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], metavar="PART", help=of)
    given = parser.parse_args()
    folder = servers.PROJECT / ".throughline" / "bench" / "chaos"
    folder.mkdir(parents=True, exist_ok=True)
    report = Report()
    for name in given.parts or PARTS:
        PARTS[name](report, folder)
    missed = report.written(folder.parent / f"{'-'.join(['chaos', *given.parts])}.json")
    of_all = len(report.floors)
    print(f"{len(missed)} of {of_all} floors missed: {', '.join(missed) or 'none'}")
    return 1 if missed else 0
