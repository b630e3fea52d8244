"""Models that hang in their thread: who asks is told in time, and soon at once."""

from __future__ import annotations

import asyncio
import time

import numpy as np
import pytest
from bundles import REQUEST, logistic_onnx
from engines import Bench
from hanging_runner import hung

from core.clock import FixedClock
from serving.engine.inference import Inference
from serving.engine.tensors import Tensor
from serving.errors import SlowModelError
from serving.guard import MOST_FAILURES, REST_S
from serving.models.batching import Batching, BatchingScorer
from serving.models.limiting import BUDGET_A_ROW_S, BUDGET_S, FEW_ROWS, LimitedScorer, Limits
from serving.models.releases import scorer_of
from serving.models.runtime import OnnxSession
from serving.transport.problems import problem
from stores.layout import Layout

ROW = np.zeros((1, 5), dtype=np.float32)


class Limited:
    """A model that hangs, within limits."""

    def __init__(self, runner):
        self.clock = FixedClock(0)
        self.told: list[str] = []
        batched = BatchingScorer(runner, Batching())
        self.scorer = Limits(self.clock, self.told.append).of("the model of toy 1", batched)

    async def outcome(self, vectors=ROW):
        """What was told to who asked, and after how long."""
        began_s = time.monotonic()
        try:
            await self.scorer.score(vectors)
        except SlowModelError as error:
            return error.wrong, time.monotonic() - began_s
        return "", time.monotonic() - began_s


def served_by(bench, runner):
    """The bench's champion, asked as a slow model is."""
    champion = bench.releases.served("toy").champion
    limits = Limits(bench.clock, bench.told.append)
    scorer = limits.of("the model", BatchingScorer(runner, Batching()))
    object.__setattr__(champion, "scorer", scorer)
    return champion


@pytest.fixture
def bench(tmp_path):
    return Bench(Layout(tmp_path).create())


def test_a_model_that_hangs_is_waited_for_no_longer_than_its_budget_and_then_left_alone():
    with hung(OnnxSession(logistic_onnx(), 5)) as runner:
        limited = Limited(runner)

        async def again_and_again():
            found = [await limited.outcome() for _ in range(MOST_FAILURES + 3)]
            limited.clock.advance(int(REST_S * 1_000))
            return [*found, await limited.outcome(), await limited.outcome()]

        found = asyncio.run(again_and_again())
    slow, resting = "the model took too long", "again and again and is left alone"
    assert [wrong for wrong, _ in found[:MOST_FAILURES]] == [slow] * MOST_FAILURES
    assert all(resting in wrong for wrong, _ in found[MOST_FAILURES:-2])
    assert (found[-2][0], resting in found[-1][0]) == (slow, True)  # one try, after the rest
    assert runner.sizes == [1]  # nobody else is sent into a thread that hangs
    assert limited.told == [
        "the model of toy 1 failed again and again; tried only now and then from here"
    ]


def test_a_model_that_goes_on_again_is_asked_as_before():
    with hung(OnnxSession(logistic_onnx(), 5)) as runner:
        limited = Limited(runner)

        async def mended():
            for _ in range(MOST_FAILURES):
                await limited.outcome()
            runner.go_on.set()
            await asyncio.sleep(0.05)
            limited.clock.advance(int(REST_S * 1_000))
            return [await limited.outcome() for _ in range(3)]

        assert [wrong for wrong, _ in asyncio.run(mended())] == ["", "", ""]
    assert limited.told[-1] == "the model of toy 1 answers again"


def test_callers_in_haste_are_no_failures_of_a_model():
    with hung(OnnxSession(logistic_onnx(), 5)) as runner:
        limited = Limited(runner)

        async def hasty():
            for _ in range(2 * MOST_FAILURES):
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.005):
                        await limited.scorer.score(ROW)

        asyncio.run(hasty())
    assert limited.told == []


def test_long_lists_may_take_longer():
    with hung(OnnxSession(logistic_onnx(), 5)) as runner:
        limited = Limited(runner)
        n_rows = FEW_ROWS + 8

        async def both():
            return await asyncio.gather(
                limited.outcome(np.repeat(ROW, FEW_ROWS, axis=0)),
                limited.outcome(np.repeat(ROW, n_rows, axis=0)),
            )

        (_, few_s), (_, many_s) = asyncio.run(both())
    assert few_s < many_s
    assert many_s >= BUDGET_A_ROW_S * n_rows - 0.01


def test_models_that_others_would_wait_for_are_limited_and_quick_ones_are_not():
    model = OnnxSession(logistic_onnx(), 5)
    limits = Limits(FixedClock(0), print)
    assert not isinstance(scorer_of(model, 5, limits=limits), LimitedScorer)
    assert isinstance(scorer_of(model, 5, Batching(is_always=True), limits), LimitedScorer)


def test_without_a_ladder_all_who_share_a_pass_are_told_in_time(bench):
    """Each by itself once more they would wait for one budget after the other."""
    with hung(bench.releases.served("toy").champion.runner) as runner:
        served_by(bench, runner)

        async def together():
            asked = [bench.engine.predict("toy", REQUEST) for _ in range(8)]
            return await asyncio.gather(*asked, return_exceptions=True)

        began_s = time.monotonic()
        found = asyncio.run(together())
        assert time.monotonic() - began_s < 5 * BUDGET_S
    assert [type(each) for each in found] == [SlowModelError] * 8
    response = problem(found[0])
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")
    assert b'"code":"model_slow"' in response.body
    assert bench.records.payloads == []


def test_inference_alone_is_told_in_time_as_well(bench):
    with hung(bench.releases.served("toy").champion.runner) as runner:
        champion = served_by(bench, runner)
        inference = Inference(bench.releases, bench.observer)
        vector = Tensor("vector", np.zeros((1, len(champion.plan.vector)), dtype=np.float32))
        with pytest.raises(SlowModelError, match=r"took too long; found more than 0\.2 s"):
            asyncio.run(inference.infer("toy", "", [vector]))
