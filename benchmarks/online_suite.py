"""The online service against a hand-written twin, a bare echo, and servers of models alone.

All of them answer on the same machine as Redis and the load, so a figure holds only beside the
others of its run. Ours reads two entities, merges tiles, scores, decides and writes its record
before it answers; the twin is given its features ready-made and records nothing.
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import online, servers, wrk
from benchmarks.floors import Floor, Section
from benchmarks.measure import Measurement
from benchmarks.online import Target, number, share
from benchmarks.online_data import CANDIDATES, USE_CASE
from benchmarks.servers import Probe
from core.errors import PlatformError

TITLE = "Online: requests answered, two entities and 42 inputs each"
ROUTE = f"/v1/{USE_CASE}/predictions"
INFER = f"/v2/models/{USE_CASE}/infer"
CONNECTIONS = (1, 8, 32)
FULLEST = CONNECTIONS[-1]
PROVED_POINTS = 20
READY_LIMIT_S, WORKER_LIMIT_MB = 1.2, 250.0
GROWN_LIMIT_MB = 10.0  # what histograms, caches and the allocator settle to


@dataclass(frozen=True)
class Size:
    """How long, how often, how many."""

    cards: int
    seconds: int
    rounds: int
    starts: int
    long_s: int


FULL, SMALL = Size(2_000, 6, 3, 5, 180), Size(200, 1, 1, 1, 0)

Runs = dict[tuple[str, int], Measurement]
"""The middle run of a target at a number of connections."""


def run(home: Path, *, is_small: bool) -> Section:
    """All of it; ``is_small`` is to see that it runs."""
    size = SMALL if is_small else FULL
    section = Section(TITLE)
    folder = home / "online"
    folder.mkdir(parents=True, exist_ok=True)
    if not wrk.is_there():
        section.measurements.append(online.failed("everything", RuntimeError(wrk.MISSING)))
        return section
    try:
        # A Unix socket's name holds 107 bytes, which a folder of the project may not leave.
        with tempfile.TemporaryDirectory() as short, servers.redis(Path(short)) as redis_url:
            _with_redis(section, folder, redis_url, size)
    except PlatformError as error:
        section.measurements.append(online.failed("what was to come", error))
    return section


def _with_redis(section: Section, folder: Path, redis_url: str, size: Size) -> None:
    if section.add(online.prepared(folder, redis_url, size.cards)).failure:
        return
    _starts(section, folder, redis_url, size)
    with _targets(folder, redis_url) as (ours, twin, echo):
        _prove(section, folder, ours, twin)
        runs = _throughput(section, (ours, twin, echo), size)
        _open_loop(section, runs, ours, echo, size)
        _batch(section, folder, ours, runs, size)
        scored = _inference(section, folder, ours, size)
        _long_run(section, ours, size)
        most_mb = ours.server.worker_mb
    section.floors.append(Floor("MB of a worker, ours", most_mb, WORKER_LIMIT_MB, is_ceiling=True))
    shutil.rmtree(folder / "home")  # some hundred MB of records
    _model_only(section, folder, runs["ours", FULLEST], scored, size)


@contextmanager
def _targets(folder: Path, redis_url: str) -> Iterator[tuple[Target, Target, Target]]:
    """Ours, the twin and the echo, all up: those that are not asked rest."""
    points = folder / "points.ndjson"
    first = points.read_bytes().splitlines()[0]
    twin_command = online.peer_command("twin", str(folder), redis_url)
    echo_command = online.peer_command("echo")
    with ExitStack() as stack:
        service = stack.enter_context(servers.ours(folder / "home", redis_url, folder))
        twin = stack.enter_context(
            servers.running("twin", twin_command, Probe("/predictions", first), folder)
        )
        echo = stack.enter_context(servers.running("echo", echo_command, Probe("/", first), folder))
        yield (
            Target("ours", service, ROUTE, points),
            Target("twin", twin, "/predictions", points),
            Target("echo", echo, "/", points),
        )


def _starts(section: Section, folder: Path, redis_url: str, size: Size) -> None:
    """From the start of the process to the first good answer of ``/readyz``."""
    took: list[float] = []
    for _ in range(size.starts):
        with servers.ours(folder / "home", redis_url, folder) as server:
            took.append(server.ready_s)
            worker_mb = server.worker_mb
    median_s = statistics.median(took)
    said = {"seconds": median_s, "profile": f"median of {size.starts}, worst {max(took):.2f} s"}
    section.add(Measurement("ours, start to ready", median_s, worker_mb, said))
    what = "seconds from start to ready, ours"
    section.floors.append(Floor(what, median_s, READY_LIMIT_S, is_ceiling=True))


def _prove(section: Section, folder: Path, ours: Target, twin: Target) -> None:
    """The twin does the same work: its scores are ours at the instant of its features."""
    at = (folder / "at.txt").read_text()
    worst = online.largest_difference(ours, twin, at=at, points=PROVED_POINTS)
    what = f"largest difference of {PROVED_POINTS} scores, ours and twin"
    section.floors.append(Floor(what, worst, online.EQUAL_WITHIN, is_ceiling=True))


def _throughput(section: Section, targets: tuple[Target, ...], size: Size) -> Runs:
    """wrk at each number of connections, in turn, so that what disturbs disturbs all."""
    runs: Runs = {}
    for connections in CONNECTIONS:
        taken: dict[str, list[Measurement]] = {target.name: [] for target in targets}
        for _ in range(size.rounds):
            for target in targets:
                measurement = online.closed(target, connections=connections, seconds=size.seconds)
                taken[target.name].append(measurement)
        for name, measurements in taken.items():
            runs[name, connections] = section.add(online.middle(measurements))
    for connections in CONNECTIONS[1:]:
        ours, twin = runs["ours", connections], runs["twin", connections]
        rate = share(number(ours, "rate"), number(twin, "rate"))
        p99 = share(number(ours, "p99_ms"), number(twin, "p99_ms"))
        note = "3 is the aim" if connections == FULLEST else ""
        section.floors += [
            Floor(f"requests/s, ours / twin, c={connections}", rate, 2, note=note),
            Floor(f"p99, ours / twin, c={connections}", p99, 1, is_ceiling=True),
        ]
        cpu = share(number(twin, "cpu_us"), number(ours, "cpu_us"))
        if cpu is not None:
            section.notes.append(f"CPU a request, twin / ours, c={connections}: {cpu:.2f}")
    return runs


def _open_loop(section: Section, runs: Runs, ours: Target, echo: Target, size: Size) -> None:
    """Poisson arrivals at half of what ours can do, the same for the echo."""
    capacity = number(runs["ours", FULLEST], "rate")
    if capacity is None:
        return
    taken = [
        section.add(online.open_looped(target, rate=capacity / 2, seconds=2.0 * size.seconds))
        for target in (ours, echo)
    ]
    for key, limit in (("p50_ms", 3), ("p99_ms", 4)):
        value = share(number(taken[0], key), number(taken[1], key))
        what = f"open loop, {key.removesuffix('_ms')}, ours / echo"
        section.floors.append(Floor(what, value, limit, is_ceiling=True))
    late = [number(measurement, "lateness_p99_ms") for measurement in taken]
    said = " and ".join("nothing" if ms is None else f"{ms:.2f} ms" for ms in late)
    section.notes.append(f"open loop: the generator itself was late by {said} (p99)")


def _batch(section: Section, folder: Path, ours: Target, runs: Runs, size: Size) -> None:
    """Candidates in one request against one point in one request, one connection."""
    path, bodies = f"{ours.path}:batch", folder / "batches.ndjson"
    target = Target(f"ours, {CANDIDATES} points a request", ours.server, path, bodies)
    batch = section.add(online.closed(target, connections=1, seconds=size.seconds))
    value = share(number(batch, "p50_ms"), number(runs["ours", 1], "p50_ms"))
    what = f"p50 of {CANDIDATES} points in one request / of one"
    section.floors.append(Floor(what, value, 4, is_ceiling=True))


def _inference(section: Section, folder: Path, ours: Target, size: Size) -> Measurement:
    """The model alone over the Open Inference Protocol, features in the body, as its peers."""
    bodies = folder / "inference.ndjson"
    target = Target("ours, model only", ours.server, INFER, bodies)
    runs = [
        online.closed(target, connections=FULLEST, seconds=size.seconds) for _ in range(size.rounds)
    ]
    return section.add(online.middle(runs))


def _long_run(section: Section, ours: Target, size: Size) -> None:
    """A million requests, where they are asked for: memory must not grow with them."""
    if not size.long_s:
        return
    before_mb = ours.server.worker_mb
    run = section.add(online.closed(ours, connections=FULLEST, seconds=size.long_s))
    if not run.failure:
        asked = run.result["rate"] * run.seconds
        what = f"MB more of a worker after {asked:,.0f} requests more"
        grown_mb = run.peak_rss_mb - before_mb
        section.floors.append(Floor(what, grown_mb, GROWN_LIMIT_MB, is_ceiling=True))


def _model_only(
    section: Section, folder: Path, whole: Measurement, scored: Measurement, size: Size
) -> None:
    """Servers of the model alone, one after another, the features in the body.

    MLflow's is held against our model alone and against ``whole`` predictions, which read, decide
    and record besides.
    """
    ours = number(scored, "rate")
    rates = {
        name: number(online.measured_alone(section, name, folder, seconds=size.seconds), "rate")
        for name in online.MODEL_ONLY
    }
    others = [rate for name, rate in rates.items() if name != "mlflow" and rate is not None]
    best = max(others, default=None)
    section.floors += [
        Floor(
            "model only, requests/s, ours / mlflow models serve", share(ours, rates["mlflow"]), 20
        ),
        Floor(
            "requests/s with everything, ours / mlflow models serve",
            share(number(whole, "rate"), rates["mlflow"]),
            20,
        ),
        Floor("model only, requests/s, ours / best of BentoML, LitServe", share(ours, best), 5),
    ]
