"""Batches: their size, their deadline, their order, and that who asks cannot tell."""

from __future__ import annotations

import asyncio
import threading
import time

import numpy as np
import pytest
from bundles import logistic_onnx
from hypothesis import given
from hypothesis import strategies as st

from core.errors import OverloadedError
from serving.models.batching import Batching, BatchingScorer
from serving.models.releases import scorer_of
from serving.models.runtime import OnnxSession


class GatedRunner:
    """Answers the first column; each call waits until it is let through."""

    def __init__(self, *, is_open=False):
        self.gate = threading.Semaphore(1_000 if is_open else 0)
        self.sizes = []
        self.fails_on = None

    def score(self, vectors):
        self.sizes.append(len(vectors))
        assert self.gate.acquire(timeout=10)
        if self.fails_on is not None and self.fails_on in vectors[:, 0]:
            raise ValueError("this row")
        return vectors[:, 0].copy()


def rows(*values):
    return np.array([[value, 0.0] for value in values], dtype=np.float32)


async def asked(scorer, *values):
    return asyncio.create_task(scorer.score(rows(*values)))


async def settle():
    for _ in range(5):
        await asyncio.sleep(0.002)


def test_an_idle_model_is_asked_at_once_and_alone():
    runner = GatedRunner(is_open=True)
    scorer = BatchingScorer(runner, Batching(wait_s=30.0))

    async def one_by_one():
        began_s = time.perf_counter()
        found = [float((await scorer.score(rows(value)))[0]) for value in range(20)]
        return found, time.perf_counter() - began_s

    found, spent_s = asyncio.run(one_by_one())
    assert found == [float(value) for value in range(20)]
    assert runner.sizes == [1] * 20
    assert spent_s < 5  # and not 30 each


def test_rows_gather_while_the_model_is_busy_and_everybody_gets_their_own():
    runner = GatedRunner()
    scorer = BatchingScorer(runner, Batching(most_rows=100))

    async def together():
        waiting = [await asked(scorer, 0)]
        await settle()
        waiting += [await asked(scorer, n, n + 0.5) for n in range(1, 11)]
        await settle()
        runner.gate.release(2)
        return [scores.tolist() for scores in await asyncio.gather(*waiting)]

    assert asyncio.run(together()) == [[0.0]] + [[float(n), n + 0.5] for n in range(1, 11)]
    assert runner.sizes == [1, 20]


def test_a_batch_is_no_larger_than_it_may_be_and_requests_are_not_cut():
    runner = GatedRunner()
    scorer = BatchingScorer(runner, Batching(most_rows=5))

    async def together():
        waiting = [await asked(scorer, 0)]
        await settle()
        for values in ((1, 2), (3, 4), (5, 6), tuple(range(7, 17)), (17,)):
            waiting.append(await asked(scorer, *values))
        await settle()
        runner.gate.release(10)
        return np.concatenate(await asyncio.gather(*waiting)).tolist()

    assert asyncio.run(together()) == [float(n) for n in range(18)]
    assert runner.sizes == [1, 4, 2, 10, 1]


def test_after_a_shared_batch_the_next_waits_for_company_no_longer_than_it_may():
    runner = GatedRunner()
    scorer = BatchingScorer(runner, Batching(most_rows=100, wait_s=0.2))

    async def shared_then_alone():
        first = [await asked(scorer, 0)]
        await settle()
        first += [await asked(scorer, 1), await asked(scorer, 2)]
        await settle()
        runner.gate.release(10)
        await asyncio.gather(*first)
        began_s = time.perf_counter()
        await scorer.score(rows(3))
        waited_s = time.perf_counter() - began_s
        began_s = time.perf_counter()
        await scorer.score(rows(4))  # the one before was alone: nobody else is there
        return waited_s, time.perf_counter() - began_s

    waited_s, at_once_s = asyncio.run(shared_then_alone())
    assert 0.15 <= waited_s < 2
    assert at_once_s < 0.15
    assert runner.sizes == [1, 2, 1, 1]


def test_a_full_batch_does_not_wait():
    runner = GatedRunner()
    scorer = BatchingScorer(runner, Batching(most_rows=2, wait_s=30.0))

    async def filled():
        first = [await asked(scorer, n) for n in range(5)]
        await settle()
        runner.gate.release(10)
        await asyncio.gather(*first[:5])
        second = [await asked(scorer, n) for n in range(2)]
        await asyncio.wait_for(asyncio.gather(*second), timeout=5)

    asyncio.run(filled())


def test_one_that_fails_does_not_fail_its_neighbours():
    runner = GatedRunner()
    runner.fails_on = 2.0
    scorer = BatchingScorer(runner, Batching())

    async def together():
        waiting = [await asked(scorer, n) for n in range(4)]
        await settle()
        runner.gate.release(10)
        return await asyncio.gather(*waiting, return_exceptions=True)

    found = asyncio.run(together())
    assert [type(each).__name__ for each in found] == [
        "ndarray",
        "ndarray",
        "ValueError",
        "ndarray",
    ]
    assert found[3].tolist() == [3.0]


def test_who_has_gone_is_left_out():
    runner = GatedRunner()
    scorer = BatchingScorer(runner, Batching())

    async def given_up():
        first = await asked(scorer, 0)
        await settle()
        gone, stays = await asked(scorer, 1), await asked(scorer, 2)
        await settle()
        gone.cancel()
        await settle()
        runner.gate.release(10)
        return (await first).tolist() + (await stays).tolist()

    assert asyncio.run(given_up()) == [0.0, 2.0]
    assert runner.sizes == [1, 1]


def test_who_went_while_a_failed_batch_is_run_again_is_left_out():
    runner = GatedRunner()
    runner.fails_on = 1.0
    scorer = BatchingScorer(runner, Batching())

    async def given_up():
        first = await asked(scorer, 0)
        await settle()
        waiting = [await asked(scorer, n) for n in (1, 2, 3)]
        await settle()
        runner.gate.release(2)  # the batch fails; now each by itself
        await settle()
        waiting[1].cancel()
        runner.gate.release(10)
        return await asyncio.gather(first, *waiting, return_exceptions=True)

    found = asyncio.run(given_up())
    assert [type(each).__name__ for each in found[1:3]] == ["ValueError", "CancelledError"]
    assert (found[0].tolist(), found[3].tolist()) == ([0.0], [3.0])
    assert runner.sizes == [1, 3, 1, 1]


def test_rows_that_nobody_waits_for_leave_the_queue_to_others():
    """Behind a model that hangs no batch would ever take them out."""
    runner = GatedRunner()
    scorer = BatchingScorer(runner, Batching(most_waiting_rows=3))

    async def crowded():
        first = await asked(scorer, 0)
        await settle()
        gone = [await asked(scorer, 1, 2), await asked(scorer, 3)]
        await settle()
        for each in gone:
            each.cancel()
        await settle()
        last = await asked(scorer, 4, 5, 6)
        await settle()
        runner.gate.release(10)
        return (await first).tolist() + (await last).tolist()

    assert asyncio.run(crowded()) == [0.0, 4.0, 5.0, 6.0]
    assert runner.sizes == [1, 3]


def test_a_queue_that_is_full_refuses_at_once():
    runner = GatedRunner()
    scorer = BatchingScorer(runner, Batching(most_rows=2, most_waiting_rows=3))

    async def crowded():
        waiting = [await asked(scorer, 0), await asked(scorer, 1, 2), await asked(scorer, 3)]
        await settle()
        with pytest.raises(OverloadedError, match="3 waiting, 3 may"):
            await scorer.score(rows(4))
        runner.gate.release(10)
        return np.concatenate(await asyncio.gather(*waiting)).tolist()

    assert asyncio.run(crowded()) == [0.0, 1.0, 2.0, 3.0]


@given(sizes=st.lists(st.integers(1, 7), min_size=1, max_size=30), most=st.integers(1, 12))
def test_every_row_comes_back_to_whoever_sent_it(sizes, most):
    runner = GatedRunner(is_open=True)
    scorer = BatchingScorer(runner, Batching(most_rows=most, wait_s=0.0))
    values = iter(range(1_000))
    sent = [[float(next(values)) for _ in range(size)] for size in sizes]

    async def all_at_once():
        return await asyncio.gather(*(scorer.score(rows(*each)) for each in sent))

    assert [scores.tolist() for scores in asyncio.run(all_at_once())] == sent
    assert sum(runner.sizes) == sum(sizes)
    assert all(size <= max(most, max(sizes)) for size in runner.sizes)


def test_scores_in_a_batch_are_those_alone():
    model = OnnxSession(logistic_onnx(), 5)
    scorer = scorer_of(model, 5, Batching(is_always=True))
    assert isinstance(scorer, BatchingScorer)
    vectors = np.random.default_rng(4).normal(size=(200, 5)).astype(np.float32)

    async def all_at_once():
        return await asyncio.gather(*(scorer.score(row.reshape(1, -1)) for row in vectors))

    found = np.concatenate(asyncio.run(all_at_once()))
    np.testing.assert_allclose(found, model.score(vectors), atol=1e-7)
