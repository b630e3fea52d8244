"""Servers of the online benchmark as real processes, each ended with its block.

Every server listens on a free port of 127.0.0.1, in its own process group, and writes what it
says to a file in ``logs``. How soon it answers its first request is measured.
"""

from __future__ import annotations

import http.client
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from redis import Redis, RedisError

from benchmarks.measure import largest_rss_bytes, tree_cpu_s
from core.errors import DependencyError
from orchestration.ending import end_group
from orchestration.processes import free_port

PROJECT = Path(__file__).parents[1]
READY_WITHIN_S, ENDS_WITHIN_S = 90.0, 15.0
LOOK_EVERY_S = 0.002
RESTS_WITHIN_S, REST_LOOK_S, RESTING_SHARE = 30.0, 0.5, 0.1
REDIS_MISSING = "redis-server is not installed (apt-get install redis-server)"


@dataclass(frozen=True)
class Probe:
    """A request that a server answers with 200 once it is ready. Without a body it is a GET."""

    path: str
    body: bytes | None = None

    def is_answered(self, port: int) -> bool:
        """Ask once."""
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        headers = {"Content-Type": "application/json"}
        try:
            connection.request(
                "GET" if self.body is None else "POST", self.path, self.body, headers
            )
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


@dataclass(frozen=True)
class Server:
    """A running server; ``ready_s`` is the time from its start to its first good answer."""

    pid: int
    port: int
    ready_s: float

    def url(self, path: str) -> str:
        """Address of one of its routes."""
        return f"http://127.0.0.1:{self.port}{path}"

    @property
    def cpu_s(self) -> float:
        """CPU seconds of all its processes so far."""
        return tree_cpu_s(self.pid)

    @property
    def worker_mb(self) -> float:
        """Resident memory of its largest process: a worker."""
        return largest_rss_bytes(self.pid) / 2**20


@contextmanager
def running(
    name: str,
    command_of: Callable[[int], list[str]],
    probe: Probe,
    logs: Path,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Server]:
    """A server that is ready; ``command_of`` gets the port.

    Raises
    ------
    DependencyError
        If it ends or stays silent before it is ready, with the last line it said.
    """
    port = free_port()
    log = logs / f"{name}.log"
    started = time.perf_counter()
    process = _started(command_of(port), log, environment or {})
    try:
        while not probe.is_answered(port):
            if process.poll() is not None or time.perf_counter() - started > READY_WITHIN_S:
                raise _silent(name, log)
            time.sleep(LOOK_EVERY_S)
        server = Server(process.pid, port, time.perf_counter() - started)
        _let_rest(server)
        yield server
    finally:
        end_group(process, within_s=ENDS_WITHIN_S)


def _let_rest(server: Server) -> None:
    """Wait until it hardly uses a CPU: its first worker answers before the others have started."""
    deadline = time.perf_counter() + RESTS_WITHIN_S
    before = server.cpu_s
    while time.perf_counter() < deadline:
        time.sleep(REST_LOOK_S)
        before, spent = server.cpu_s, server.cpu_s - before
        if spent < RESTING_SHARE * REST_LOOK_S:
            return


def _started(
    command: list[str], log: Path, environment: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("THROUGHLINE_")}
    with log.open("wb") as said:
        return subprocess.Popen(
            command,
            cwd=PROJECT,
            env={**clean, "OMP_NUM_THREADS": "1", **environment},
            stdout=said,
            stderr=said,
            start_new_session=True,
        )


def _silent(name: str, log: Path) -> DependencyError:
    said = (log.read_text(errors="replace").strip().splitlines() or ["nothing"])[-1]
    return DependencyError(f"{name} is not ready", found=said[:200], remedy=f"read {log}")


@contextmanager
def redis(folder: Path) -> Iterator[str]:
    """A redis-server on a Unix socket in ``folder``, nothing kept on disk; its URL."""
    if shutil.which("redis-server") is None:
        raise DependencyError(
            "no Redis for the benchmark", found=REDIS_MISSING, remedy="install it"
        )
    place = folder / "redis.sock"
    command = ["redis-server", "--port", "0", "--save", "", "--dir", str(folder)]
    process = _started([*command, "--unixsocket", str(place)], folder / "redis.log", {})
    try:
        deadline = time.perf_counter() + READY_WITHIN_S
        while not _pings(place):
            if process.poll() is not None or time.perf_counter() > deadline:
                raise _silent("redis-server", folder / "redis.log")
            time.sleep(LOOK_EVERY_S)
        yield f"unix://{place}"
    finally:
        end_group(process, within_s=ENDS_WITHIN_S)


def _pings(place: Path) -> bool:
    try:
        with Redis(unix_socket_path=str(place)) as client:
            return bool(client.ping())
    except RedisError:
        return False


@contextmanager
def ours(home: Path, redis_url: str, logs: Path, *, workers: int = 2) -> Iterator[Server]:
    """The service over ``home``, as it is delivered."""
    settings = {"HOME": home, "ONLINE_URL": redis_url, "HTTP__WORKERS": workers}
    given = {f"THROUGHLINE_{name}": str(value) for name, value in settings.items()}

    def command(port: int) -> list[str]:
        given["THROUGHLINE_HTTP__PORT"] = str(port)
        return [sys.executable, "-m", "serving.main"]

    with running("ours", command, Probe("/readyz"), logs, given) as server:
        yield server
