"""On a real GPU: placement, parity, batches, a service, its metrics. Skips where there is none.

uv sync --extra serving-gpu --group gpu && pytest tests/gpu
"""

from __future__ import annotations

import asyncio
import os

import httpx
import numpy as np
import pytest
from bundles import WEIGHTS, bundle_files, serve, shelve
from fraud_network import scored, serve_fraud_network
from online_processes import OnlineProcess, service

from benchmarks.gpu import missing_gpu
from benchmarks.networks import (
    LARGE_HIDDEN,
    drawn_rows,
    fraud_network,
    network_model,
    trees_model,
)
from core.errors import ConfigurationError, IntegrityError
from orchestration.processes import free_port
from serving.models.batching import Batching, BatchingScorer
from serving.models.devices import CUDA
from serving.models.runtime import OnnxSession, placement_of, runner_on
from serving.telemetry.gpu_metrics import Gpus
from stores.layout import Layout
from stores.shelf.bundle import GOLDEN, MODEL
from stores.shelf.golden import golden_of

pytestmark = pytest.mark.gpu
WIDTH = 42
TOLERANCE = 1e-5  # as between the trained model and its export: float32 sums in another order


@pytest.fixture(autouse=True, scope="module")
def a_gpu():
    missing = missing_gpu()
    if missing:
        pytest.skip(f"no GPU: {missing}")


@pytest.mark.parametrize("hidden", [None, LARGE_HIDDEN], ids=["fraud", "large"])
def test_the_network_runs_whole_on_the_gpu_and_scores_as_on_the_cpu(hidden):
    model = fraud_network(WIDTH) if hidden is None else network_model(WIDTH, hidden)
    assert {node.provider for node in placement_of(model, WIDTH, "cuda")
            if not node.operator.startswith("Memcpy")} == {CUDA}  # fmt: skip
    on_gpu, on_cpu = runner_on(model, WIDTH, device="cuda"), OnnxSession(model, WIDTH)
    rows = drawn_rows(20_000, WIDTH, seed=3)
    rows[0], rows[1] = np.nan, 3e38
    for n_rows in (1, 7, 1_024, len(rows)):
        found, expected = on_gpu.score(rows[:n_rows]), on_cpu.score(rows[:n_rows])
        np.testing.assert_allclose(found, expected, atol=TOLERANCE, rtol=0)


def test_trees_are_refused_unless_the_cpu_is_allowed():
    trees = trees_model(WIDTH)
    with pytest.raises(ConfigurationError, match="trees have no CUDA kernel") as caught:
        runner_on(trees, WIDTH, device="cuda")
    assert caught.value.code == "device_not_got"
    rows = drawn_rows(100, WIDTH, seed=3)
    allowed = runner_on(trees, WIDTH, device="cuda", is_cpu_allowed=True)
    np.testing.assert_array_equal(allowed.score(rows), OnnxSession(trees, WIDTH).score(rows))


def test_a_fork_cannot_use_the_session_and_is_told():
    runner = runner_on(network_model(WIDTH), WIDTH, device="cuda")
    rows = drawn_rows(1, WIDTH, seed=3)
    runner.score(rows)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            runner.score(rows)
        except IntegrityError as error:
            code = 42 if error.code == "forked_session" else 2
        os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 42
    assert runner.score(rows).shape == (1,)


def test_rows_of_many_callers_are_scored_together_and_as_alone():
    runner = runner_on(network_model(WIDTH, LARGE_HIDDEN), WIDTH, device="cuda")
    sizes: list[int] = []

    class Watched:
        def score(self, vectors):
            sizes.append(len(vectors))
            return runner.score(vectors)

    rows = drawn_rows(500, WIDTH, seed=3)
    scorer = BatchingScorer(Watched(), Batching(most_rows=256))

    async def all_at_once():
        return await asyncio.gather(*(scorer.score(row.reshape(1, -1)) for row in rows))

    found = np.concatenate(asyncio.run(all_at_once()))
    np.testing.assert_allclose(found, runner.score(rows), atol=TOLERANCE, rtol=0)
    assert 2 < max(sizes) <= 256


def test_memory_and_utilisation_are_told():
    gpus = Gpus.found()
    assert gpus is not None, "nvidia-ml-py is not installed (extra serving-gpu)"
    states = gpus.states()
    assert states
    assert all(0 < state.memory_used_bytes <= state.memory_total_bytes for state in states)
    assert all(0 <= state.utilisation <= 1 for state in states)


@pytest.fixture
def layout(tmp_path):
    return Layout(tmp_path / "home").create()


def test_a_service_of_two_workers_serves_the_fraud_network_from_the_gpu(layout):
    model = serve_fraud_network(layout)
    with (
        service(layout, MODELS__DEVICE="cuda", HTTP__WORKERS=2) as running,
        httpx.Client(base_url=running.url, timeout=30) as client,
    ):
        found = [scored(client) for _ in range(50)]
        metrics = client.get("/metrics").text
    for score, vector in found:
        assert score == pytest.approx(float(model.score(vector)[0]), abs=TOLERANCE)
    assert 'throughline_gpu_memory_used_bytes{gpu="0"}' in metrics
    assert "throughline_gpu_utilisation_ratio" in metrics


def trees_files():
    """A bundle whose model is trees."""
    rows = drawn_rows(16, len(WEIGHTS), seed=4)
    model = trees_model(len(WEIGHTS))
    scores = OnnxSession(model, len(WEIGHTS)).score(rows).astype(np.float64)
    golden = golden_of(rows, scores).model_dump_json().encode()
    return {**bundle_files(), MODEL: model, GOLDEN: golden}


def test_trees_that_come_later_are_refused_and_what_serves_goes_on(layout):
    serve_fraud_network(layout)
    trees = shelve(layout, files=trees_files(), use_case="trees")
    with (
        service(layout, MODELS__DEVICE="cuda") as running,
        httpx.Client(base_url=running.url, timeout=30) as client,
    ):
        serve(layout, trees, counter=2, use_case="trees")
        running.wait_until(lambda: "trees have no CUDA kernel" in running.log.read_text())
        assert "trees" not in client.get("/readyz").json()["serving"]
        assert 0 <= scored(client)[0] <= 1


def test_a_service_asked_for_the_gpu_does_not_start_with_trees_on_its_shelf(layout):
    trees = shelve(layout, files=trees_files(), use_case="trees")
    serve(layout, trees, counter=1, use_case="trees")
    started = OnlineProcess("serving.main", layout, free_port(), MODELS__DEVICE="cuda")
    try:
        assert started.process.wait(timeout=120) != 0
    finally:
        started.end()
    said = started.log.read_text()
    assert "trees have no CUDA kernel" in said
    assert "THROUGHLINE_MODELS__IS_CPU_ALLOWED=true" in said
