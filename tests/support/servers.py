"""Real servers for tests, each on a free port of this machine, ended with the test."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis

from orchestration.processes import free_port

START_WITHIN_S = 120


class RedisServer:
    """A running redis-server, reachable by port and by Unix socket."""

    def __init__(self, directory: Path, port: int, process: subprocess.Popen[bytes]) -> None:
        self.port = port
        self.url = f"redis://127.0.0.1:{port}/0"
        self.socket_url = f"unix://{directory}/redis.sock"
        self.cluster_url = f"redis+cluster://127.0.0.1:{port}"
        self._process = process

    def clear(self) -> None:
        """Forget everything that was written."""
        with redis.Redis(port=self.port) as client:
            client.flushall()

    def stop(self) -> None:
        """End it now, as a crash would."""
        self._process.kill()
        self._process.wait(timeout=60)


@contextmanager
def redis_server(
    directory: Path, *, is_cluster: bool = False, port: int = 0
) -> Iterator[RedisServer]:
    """A redis-server of its own; skips the test where the binary is missing.

    ``directory`` must have a short path: a Unix socket's name holds 107 bytes.
    """
    binary = shutil.which("redis-server")
    if binary is None:
        pytest.skip("redis-server is not installed (apt-get install redis-server)")
    port = port or free_port()
    options = ["--port", port, "--bind", "127.0.0.1", "--dir", directory, "--save", ""]
    options += ["--unixsocket", directory / "redis.sock", "--daemonize", "no"]
    if is_cluster:
        options += ["--cluster-enabled", "yes", "--cluster-port", free_port()]
    with (directory / "redis.log").open("wb") as log:
        process = subprocess.Popen([binary, *map(str, options)], stdout=log, stderr=log)
    server = RedisServer(directory, port, process)
    try:
        _wait_for(server, is_cluster=is_cluster)
        yield server
    finally:
        server.stop()


def _wait_for(server: RedisServer, *, is_cluster: bool) -> None:
    deadline = time.monotonic() + START_WITHIN_S
    client: Any = redis.Redis(port=server.port)  # execute_command has no annotations
    has_slots = False
    while True:
        try:
            if not is_cluster:
                client.ping()
                return
            if not has_slots:
                client.execute_command("CLUSTER ADDSLOTSRANGE", 0, 16_383)
                has_slots = True
            if client.execute_command("CLUSTER INFO")["cluster_state"] == "ok":
                return
        except redis.RedisError:
            pass
        if time.monotonic() > deadline:
            raise TimeoutError(f"redis-server did not answer within {START_WITHIN_S} s")
        time.sleep(0.02)
