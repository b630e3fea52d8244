"""A large release comes to one use case, and a hanging one to another, while a third answers."""

from __future__ import annotations

import threading
import time

import httpx
import pytest
from bundles import REQUEST, serve, shelve
from large_models import files_of, hanging_model, large_model
from online_processes import OnlineProcess, service

from benchmarks.gpu import missing_gpu
from orchestration.processes import free_port
from stores.layout import Layout

pytestmark = pytest.mark.slow
LARGE_BYTES = 32 << 20
HANGS_FOR_S = 120.0
CUDA_BUILD = "tests.support.cuda_build"


class Traffic:
    """Predictions one after another; when each was asked, and how long it took."""

    def __init__(self, url: str) -> None:
        self._url = f"{url}/v1/toy/predictions"
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._ask)
        self.taken: list[tuple[float, float]] = []
        self.failed: list[str] = []

    def __enter__(self) -> Traffic:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _ask(self) -> None:
        with httpx.Client(timeout=60) as client:
            while not self._stop.wait(0.005):
                began_s = time.monotonic()
                answer = client.post(self._url, json=REQUEST)
                self.taken.append((began_s, (time.monotonic() - began_s) * 1_000))
                if answer.status_code != 200:
                    self.failed.append(answer.text)

    def between(self, from_s: float, until_s: float) -> list[float]:
        return sorted(ms for at_s, ms in self.taken if from_s <= at_s < until_s)


def p99(times_ms: list[float]) -> float:
    return times_ms[int(len(times_ms) * 0.99)]


def champions(url: str) -> dict[str, int]:
    serving = httpx.get(f"{url}/readyz", timeout=60).json()["serving"]
    return {name: each["champion"] for name, each in serving.items()}


def memory_of(use_case: str, url: str) -> float | None:
    """Bytes that its models take, once that is told."""
    for line in httpx.get(f"{url}/metrics", timeout=60).text.splitlines():
        if line.startswith("throughline_model_memory_bytes") and f'use_case="{use_case}"' in line:
            return float(line.rpartition(" ")[2])
    return None


@pytest.fixture
def layout(tmp_path):
    layout = Layout(tmp_path / "home").create()
    serve(layout, shelve(layout), counter=1)
    return layout


def test_loading_a_large_release_stalls_no_other(layout):
    large = shelve(layout, files=files_of(large_model(LARGE_BYTES)), use_case="large")
    with service(layout) as running, Traffic(running.url) as traffic:
        before_s = time.monotonic()
        running.wait_until(lambda: len(traffic.taken) >= 100)
        begun_s = time.monotonic()
        serve(layout, large, counter=2, use_case="large")
        running.wait_until(lambda: "large" in champions(running.url))
        loaded_s = time.monotonic()
        held = running.wait_until(lambda: memory_of("large", running.url))
    quiet, loading = traffic.between(before_s, begun_s), traffic.between(begun_s, loaded_s)
    print(
        f"\nalone: {len(quiet)} requests, p99 {p99(quiet):.1f} ms, worst {quiet[-1]:.1f} ms; "
        f"while {LARGE_BYTES >> 20} MiB load for {loaded_s - begun_s:.1f} s: {len(loading)}, "
        f"p99 {p99(loading):.1f} ms, worst {loading[-1]:.1f} ms"
    )
    assert traffic.failed == []
    assert len(loading) >= 20
    # A load that held the loop would show as its seconds; how quick answers are, a busy machine
    # does not tell.
    assert loading[-1] <= max(1_000.0, (loaded_s - begun_s) * 1_000 / 3)
    assert held > LARGE_BYTES


def test_a_release_that_hangs_keeps_no_other_from_being_moved(layout):
    second = shelve(layout)
    hanging = shelve(layout, files=files_of(hanging_model()), use_case="hanging")
    with (
        service(layout, MODELS__PATIENCE_MS=int(HANGS_FOR_S * 1_000)) as running,
        Traffic(running.url) as traffic,
    ):
        serve(layout, second, counter=2)
        running.wait_until(lambda: champions(running.url) == {"toy": 2})
        serve(layout, hanging, counter=3, use_case="hanging")
        time.sleep(2)  # its trial is under way
        began_s = time.monotonic()
        serve(layout, 1, counter=4)
        running.wait_until(lambda: champions(running.url) == {"toy": 1})
        assert time.monotonic() - began_s < HANGS_FOR_S / 3
    assert traffic.failed == []


@pytest.mark.skipif(not missing_gpu(), reason="there is a GPU, so asking for one is no fault")
@pytest.mark.parametrize("n_workers", [1, 2])
def test_a_service_asked_for_a_gpu_that_is_not_there_does_not_start(layout, n_workers):
    said = refusal("serving.main", layout, n_workers)
    assert "run on cuda" in said


@pytest.mark.skipif(not missing_gpu(), reason="there is a GPU, so asking for one is no fault")
@pytest.mark.parametrize("n_workers", [1, 2])
def test_a_service_asked_for_a_gpu_does_not_start_while_a_champion_would_run_elsewhere(
    layout, n_workers
):
    said = refusal(CUDA_BUILD, layout, n_workers)
    for fact in (
        "toy 1: a model was asked to run on cuda and would not",
        "a session on CPUExecutionProvider",
        "THROUGHLINE_MODELS__IS_CPU_ALLOWED=true",
    ):
        assert fact in said


@pytest.mark.skipif(not missing_gpu(), reason="there is a GPU, so asking for one is no fault")
def test_a_service_that_may_use_the_cpu_instead_starts_and_answers(layout):
    started = OnlineProcess(
        CUDA_BUILD, layout, free_port(), MODELS__DEVICE="cuda", MODELS__IS_CPU_ALLOWED=True
    )
    try:
        url = f"{started.wait_until_ready().url}/v1/toy/predictions"
        assert httpx.post(url, json=REQUEST, timeout=60).status_code == 200
    finally:
        started.end()


def refusal(module: str, layout: Layout, n_workers: int) -> str:
    """What a service says that was asked for CUDA and does not start."""
    asked = {"MODELS__DEVICE": "cuda", "HTTP__WORKERS": n_workers}
    started = OnlineProcess(module, layout, free_port(), **asked)
    try:
        assert started.process.wait(timeout=60) != 0
    finally:
        started.end()
    return started.log.read_text()
