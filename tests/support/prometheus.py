"""promtool and a real Prometheus, for tests; each skips where Debian's package is missing."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from orchestration.processes import free_port


def promtool(*arguments: Any, given: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run promtool; what it said."""
    return subprocess.run(
        [_binary("promtool"), *map(str, arguments)],
        input=given,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def _binary(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed (apt-get install prometheus)")
    return found


class Prometheus:
    """A running Prometheus."""

    def __init__(self, url: str) -> None:
        self.url = url

    def series(self, query: str) -> list[dict[str, Any]]:
        """What a query finds now: labels and value of each series."""
        answer = httpx.get(f"{self.url}/api/v1/query", params={"query": query}, timeout=60)
        found = answer.json()
        assert found["status"] == "success", (query, found)
        series: list[dict[str, Any]] = found["data"]["result"]
        return series

    def wait_for(self, query: str, within_s: float = 120.0) -> list[dict[str, Any]]:
        """Series of a query, once there are some."""
        deadline = time.monotonic() + within_s
        while not (found := self.series(query)):
            if time.monotonic() > deadline:
                raise AssertionError(f"no series within {within_s} s: {query}")
            time.sleep(0.1)
        return found


@contextmanager
def prometheus(
    directory: Path, jobs: Mapping[str, str], *, rules: Sequence[Path]
) -> Iterator[Prometheus]:
    """A Prometheus that scrapes ``jobs`` (name to ``host:port``) five times a second."""
    binary, port = _binary("prometheus"), free_port()
    config = {
        "global": {"scrape_interval": "200ms", "evaluation_interval": "1s"},
        "rule_files": [str(each) for each in rules],
        "scrape_configs": [
            {"job_name": name, "static_configs": [{"targets": [target]}]}
            for name, target in jobs.items()
        ],
    }
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "prometheus.yml").write_text(yaml.safe_dump(config))
    with (directory / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            [
                binary,
                f"--config.file={directory / 'prometheus.yml'}",
                f"--storage.tsdb.path={directory / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=log,
        )
    try:
        started = Prometheus(f"http://127.0.0.1:{port}")
        _wait_until_ready(started.url)
        yield started
    finally:
        process.kill()
        process.wait(timeout=60)


def _wait_until_ready(url: str) -> None:
    deadline = time.monotonic() + 120
    while True:
        try:
            if httpx.get(f"{url}/-/ready", timeout=20).status_code == 200:
                return
        except httpx.TransportError:
            pass
        if time.monotonic() > deadline:
            raise TimeoutError("Prometheus was not ready within 120 s")
        time.sleep(0.05)
