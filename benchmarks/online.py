"""The online benchmark's measurements: a target, a load, and what it took."""

from __future__ import annotations

import http.client
import json
import math
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import open_loop, wrk
from benchmarks.floors import Section
from benchmarks.load import CONNECTIONS as LOADED
from benchmarks.load import request_bytes
from benchmarks.measure import Measurement, measure
from benchmarks.peers import PROJECT, environment_of
from benchmarks.servers import Probe, Server, running
from core.errors import DependencyError, PlatformError

PEERS = Path(__file__).parent / "peers"
MODEL_ONLY = {
    "mlflow": ("mlflow==3.17.2", "onnx==1.23.2", "onnxruntime==1.31.1"),
    "bentoml": ("bentoml==1.4.39", "onnxruntime==1.31.1"),
    "litserve": ("litserve==0.2.19", "onnxruntime==1.31.1"),
}
"""Peers that only score: each in an environment of its own, never in our lock."""
# Nothing is sent to anybody, and no line is logged a request: ours logs none either.
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "BENTOML_DO_NOT_TRACK": "True",
    "DO_NOT_TRACK": "1",
    "UVICORN_ACCESS_LOG": "false",
    "UVICORN_LOG_LEVEL": "warning",
}
EQUAL_WITHIN = 1e-6  # a score of ours and the twin's on the same features


@dataclass(frozen=True)
class Target:
    """A route of a running server, and the file of bodies it is asked with."""

    name: str
    server: Server
    path: str
    bodies: Path

    @property
    def url(self) -> str:
        """Address of the route."""
        return self.server.url(self.path)


def closed(target: Target, *, connections: int, seconds: int) -> Measurement:
    """One run of wrk against a target; memory is that of a worker."""
    name = f"{target.name}, wrk c={connections}"
    before = target.server.cpu_s
    try:
        said = wrk.closed_loop(target.url, target.bodies, connections=connections, seconds=seconds)
    except (PlatformError, subprocess.TimeoutExpired) as error:
        return failed(name, error)
    times = _costs(target.server.cpu_s - before, said.rate * seconds)
    result = {**asdict(said), "seconds": float(seconds), **times}
    result["profile"] = f"{said.said}, {times['cpu_us']:,.0f} us of CPU each"
    failure = f"{said.errors:,} of its answers were errors" if said.errors else ""
    return Measurement(name, float(seconds), target.server.worker_mb, result, failure)


def _costs(cpu_s: float, answers: float) -> dict[str, float]:
    """What a server spent; of Redis and the load, which all of them share, nothing is in it."""
    return {"cpu_s": cpu_s, "cpu_us": 1e6 * cpu_s / answers if answers else math.inf}


def open_looped(target: Target, *, rate: float, seconds: float) -> Measurement:
    """One open-loop load against a target, from a process of its own; memory is a worker's."""
    name = f"{target.name}, open loop at {rate:,.0f}/s"
    server, bodies = target.server, target.bodies.read_bytes().splitlines()
    requests = [request_bytes("127.0.0.1", server.port, target.path, each) for each in bodies]
    before = server.cpu_s
    try:  # not by `measure`: what it looks at ten times a second would be in the tail
        with tempfile.TemporaryDirectory() as folder:
            found = open_loop.asked(
                server.port, requests, rate=rate, seconds=seconds,
                connections=LOADED, folder=Path(folder), is_woken=True,
            )  # fmt: skip
    except (PlatformError, subprocess.TimeoutExpired) as error:
        return failed(name, error)
    outcome = open_loop.outcome_of(found)
    result = asdict(outcome) | _costs(server.cpu_s - before, outcome.answered)
    result["profile"] = f"{outcome.said}, {result['cpu_us']:,.0f} us of CPU each"
    failure = f"not all was answered well: {result['profile']}" if outcome.errors else ""
    return Measurement(name, seconds, server.worker_mb, result, failure)


def failed(name: str, error: Exception) -> Measurement:
    """A row that says why there is no result."""
    return Measurement(name, 0.0, 0.0, failure=" ".join(str(error).split())[:300])


def middle(runs: list[Measurement]) -> Measurement:
    """The run whose rate is the median; the first that failed, if any did."""
    for run in runs:
        if run.failure:
            return run
    rate = statistics.median_low([run.result["rate"] for run in runs])
    return next(run for run in runs if run.result["rate"] == rate)


def number(measurement: Measurement | None, key: str) -> float | None:
    """What a measurement says of ``key``; None where it has no result."""
    if measurement is None or measurement.failure or key not in measurement.result:
        return None
    return float(measurement.result[key])


def share(above: float | None, below: float | None) -> float | None:
    """Their ratio; None where one is missing or nothing is below."""
    return above / below if above is not None and below else None


def _score(target: Target, body: Mapping[str, Any]) -> float:
    connection = http.client.HTTPConnection("127.0.0.1", target.server.port, timeout=10)
    headers = {"Content-Type": "application/json"}
    try:
        connection.request("POST", target.path, json.dumps(body), headers)
        return float(json.loads(connection.getresponse().read())["score"])
    except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
        raise DependencyError(
            f"{target.name} gives no score",
            found=f"{type(error).__name__}: {error}",
            remedy="read its log beside the bodies",
        ) from error
    finally:
        connection.close()


def largest_difference(ours: Target, twin: Target, *, at: str, points: int) -> float:
    """Largest difference of scores between ours and the twin at one instant.

    Without it the twin could be fast because it does something else.
    """
    lines = ours.bodies.read_text().splitlines()[:points]
    bodies = [{**json.loads(line), "at": at} for line in lines]
    return max(abs(_score(ours, body) - _score(twin, body)) for body in bodies)


@dataclass
class ModelOnly:
    """A peer that only scores: how it starts, and where it is asked."""

    name: str
    version: str
    command_of: Callable[[int], list[str]]
    path: str
    bodies: str
    environment: dict[str, str] = field(default_factory=dict)

    def serve(self, folder: Path) -> AbstractContextManager[Server]:
        """Start it; ready when it scores."""
        first = (folder / self.bodies).read_bytes().splitlines()[0]
        return running(
            self.name, self.command_of, Probe(self.path, first), folder, self.environment
        )


def model_only(name: str, folder: Path) -> ModelOnly:
    """One of `MODEL_ONLY`, its environment made on first use."""
    python = environment_of(name, *MODEL_ONLY[name])
    tool = str(python.with_name(name))
    model = str(folder / "model.onnx")
    path = f"{python.parent}:/usr/local/bin:/usr/bin:/bin"  # its tools start each other by name
    environment = {**QUIET, "PATH": path, "VIRTUAL_ENV": str(python.parents[1])}
    environment |= {"BENCH_MODEL": model, "BENTOML_HOME": str(folder / "bentoml")}
    version = MODEL_ONLY[name][0]
    if name == "mlflow":
        options = ["--env-manager", "local", "--workers", "2", "--host", "127.0.0.1"]

        def mlflow(port: int) -> list[str]:
            return [
                tool,
                "models",
                "serve",
                "-m",
                str(folder / "mlflow"),
                *options,
                "-p",
                str(port),
            ]

        return ModelOnly(name, version, mlflow, "/invocations", "mlflow.ndjson", environment)
    if name == "bentoml":
        where = ["--working-dir", str(PEERS), "--host", "127.0.0.1", "--port"]

        def bentoml(port: int) -> list[str]:
            return [tool, "serve", "bento_scorer:Scorer", *where, str(port)]

        return ModelOnly(name, version, bentoml, "/score", "vectors.ndjson", environment)

    def litserve(port: int) -> list[str]:
        return [str(python), str(PEERS / "litserve_scorer.py"), str(port), model]

    return ModelOnly(name, version, litserve, "/predict", "vectors.ndjson", environment)


def measured_alone(section: Section, name: str, folder: Path, *, seconds: int) -> Measurement:
    """A model-only peer, started for this, under 32 connections; or why it could not be."""
    try:
        peer = model_only(name, folder)
        with peer.serve(folder) as server:
            title = f"{peer.version}, model only"
            target = Target(title, server, peer.path, folder / peer.bodies)
            return section.add(closed(target, connections=32, seconds=seconds))
    except subprocess.CalledProcessError as error:
        reason = f"cannot be installed here (exit status {error.returncode})"
        return section.add(failed(f"{MODEL_ONLY[name][0]}, model only", RuntimeError(reason)))
    except PlatformError as error:
        return section.add(failed(f"{MODEL_ONLY[name][0]}, model only", error))


def peer_command(module: str, *arguments: str) -> Callable[[int], list[str]]:
    """Command of a peer that runs in our own environment."""
    return lambda port: [sys.executable, "-m", f"benchmarks.peers.{module}", str(port), *arguments]


def prepared(folder: Path, redis_url: str, cards: int) -> Measurement:
    """Home, online values and bodies, made by a process of its own."""
    command = [sys.executable, "-m", "benchmarks.online_data", str(folder), redis_url, str(cards)]
    return measure("prepared", command, timeout_s=600, environment={"PYTHONPATH": str(PROJECT)})
