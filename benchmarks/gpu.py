"""The network on CPU and GPU: ``python -m benchmarks.gpu``; says why not where there is no GPU.

For the fraud network and for a large one: the largest difference of scores, and for each batch
size rows a second and how long a call takes (one caller), on one CPU thread and on the GPU. Then
the batcher: requests of one row from many callers at once, with and without it.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.networks import LARGE_HIDDEN, drawn_rows, fraud_network, network_model
from core.errors import PlatformError
from serving.models.batching import Batching, BatchingScorer
from serving.models.devices import Device
from serving.models.runtime import check_device, runner_on
from serving.telemetry.gpu_metrics import Gpus

WIDTH = 42
"""Inputs of fraud's plan."""
BATCHES = (1, 8, 64, 512, 4_096, 32_768)
SECONDS_A_SIZE = 1.0
LEAST_CALLS = 5
WARM_CALLS = 5
PARITY_ROWS = 20_000
CALLERS, CALLS_EACH = 256, 40
Score = Callable[[NDArray[np.float32]], NDArray[np.float32]]


class Timed(NamedTuple):
    """What calls of one batch size took."""

    rows_a_second: float
    p50_ms: float
    p99_ms: float


def missing_gpu() -> str:
    """Why models cannot run on a GPU here; nothing when they can."""
    try:
        check_device("cuda")
        runner_on(network_model(2, (2,)), 2, device="cuda")
    except PlatformError as error:
        return str(error)
    return ""


def timed(score: Score, rows: NDArray[np.float32]) -> Timed:
    """Call again and again with the same rows, for a second and a few calls at least."""
    for _ in range(WARM_CALLS):
        score(rows)
    spent: list[float] = []
    began_s = time.perf_counter()
    while len(spent) < LEAST_CALLS or time.perf_counter() - began_s < SECONDS_A_SIZE:
        start_s = time.perf_counter()
        score(rows)
        spent.append(time.perf_counter() - start_s)
    p50, p99 = np.quantile(spent, (0.5, 0.99)) * 1_000
    return Timed(len(rows) * len(spent) / sum(spent), float(p50), float(p99))


def batched(score: Score, *, most_rows: int) -> Timed:
    """Many callers with one row each, all at once; ``most_rows`` 1 is without batches."""

    class Runner:
        def score(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
            return score(vectors)

    scorer = BatchingScorer(Runner(), Batching(most_rows=most_rows))
    rows = drawn_rows(CALLERS, WIDTH, seed=9)
    spent: list[float] = []

    async def caller(row: NDArray[np.float32]) -> None:
        for _ in range(CALLS_EACH):
            start_s = time.perf_counter()
            await scorer.score(row)
            spent.append(time.perf_counter() - start_s)

    async def all_callers() -> None:
        await asyncio.gather(*(caller(row.reshape(1, -1)) for row in rows))

    began_s = time.perf_counter()
    asyncio.run(all_callers())
    total_s = time.perf_counter() - began_s
    p50, p99 = np.quantile(spent, (0.5, 0.99)) * 1_000
    return Timed(len(spent) / total_s, float(p50), float(p99))


def compared(name: str, model: bytes, devices: tuple[Device, ...]) -> dict[str, object]:
    """One network on the devices: difference, batch sizes, batcher. Printed as it comes."""
    runners = {device: runner_on(model, WIDTH, device=device) for device in devices}
    rows = drawn_rows(PARITY_ROWS, WIDTH, seed=7)
    scores = {device: runner.score(rows) for device, runner in runners.items()}
    reference = scores[devices[0]]
    worst = max(float(np.abs(found - reference).max()) for found in scores.values())
    _say(f"\n{name}, {len(model) >> 10} KiB: largest difference {worst:.2e}")
    _say(f"{'rows':>8} {'device':>7} {'rows/s':>14} {'p50 ms':>9} {'p99 ms':>9}")
    found: dict[str, object] = {"largest_difference": worst}
    for n_rows in BATCHES:
        for device, runner in runners.items():
            one = timed(runner.score, rows[np.arange(n_rows) % PARITY_ROWS])
            found[f"{device} {n_rows}"] = one._asdict()
            _line(f"{n_rows:>8}", device, one)
    for most_rows in (1, 1_024):
        for device, runner in runners.items():
            one = batched(runner.score, most_rows=most_rows)
            found[f"{device} callers, batches of {most_rows}"] = one._asdict()
            _line(f"{CALLERS}x1<{most_rows}", device, one)
    return found


def _line(what: str, device: str, one: Timed) -> None:
    _say(f"{what:>8} {device:>7} {one.rows_a_second:>14,.0f} {one.p50_ms:>9.3f} {one.p99_ms:>9.3f}")


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> int:
    """Compare, or say why not; the results as JSON in the last line."""
    missing = missing_gpu()
    if missing:
        _say(f"skipped: {missing}")
        return 0
    devices: tuple[Device, ...] = ("cpu", "cuda")
    results: dict[str, object] = {
        "fraud": compared("the fraud network", fraud_network(WIDTH), devices),
        "large": compared(
            f"a network of {LARGE_HIDDEN}", network_model(WIDTH, LARGE_HIDDEN), devices
        ),
    }
    gpus = Gpus.found()
    results["gpus"] = [state._asdict() for state in gpus.states()] if gpus is not None else []
    _say(json.dumps(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
