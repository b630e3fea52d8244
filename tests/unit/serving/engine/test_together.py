from __future__ import annotations

import asyncio
from typing import cast

import pytest
from bundles import REQUEST
from engines import Bench
from payments import NOW_MS

from core.errors import DependencyError, InvalidInputError
from core.packed_records import whole_record
from serving.engine import together
from serving.engine.passes import Asked
from serving.models.releases import LoadedRelease
from stores.layout import Layout
from stores.online.watermarks import covered_key, encode_covered

NOTHING = cast(Asked, None)  # passes that are held look at no request
TOO_OLD = {**REQUEST, "at": NOW_MS - 60_000}


@pytest.fixture
def bench(tmp_path):
    return Bench(Layout(tmp_path).create(), is_any_time=True)


@pytest.fixture
def passes(bench, monkeypatch):
    """Number of points of every pass that was run."""
    sizes = []
    run = bench.engine._together._run

    async def counted(release, channel, requests):
        sizes.append(len(requests))
        return await run(release, channel, requests)

    monkeypatch.setattr(bench.engine._together, "_run", counted)
    return sizes


def asked(amount, card="c1"):
    return {
        "entities": {"card_id": card, "terminal_id": "t1"},
        "inputs": {"amount_minor": amount},
    }


def all_of(bench, *raws):
    async def together_now():
        calls = (bench.engine.predict("toy", raw) for raw in raws)
        return await asyncio.gather(*calls, return_exceptions=True)

    return asyncio.run(together_now())


def scores(answers):
    return [answer["score"] for answer in answers]


def test_requests_of_one_turn_share_a_pass_and_are_answered_as_if_alone(bench, passes):
    raws = [asked(100 * n, f"c{n % 3}") for n in range(1, 9)]
    shared = all_of(bench, *raws)
    assert passes == [8]
    alone = [all_of(bench, raw)[0] for raw in raws]
    assert passes == [8, *[1] * 8]
    assert scores(shared) == scores(alone)
    for answer, raw in zip(shared, raws, strict=True):
        record = whole_record(bench.records.read(answer["prediction_id"]))
        assert (record["inputs"], record["entities"]) == (raw["inputs"], raw["entities"])
        assert record["score"] == answer["score"]


def test_a_pass_takes_only_so_many_and_the_rest_go_in_the_next(bench, passes, monkeypatch):
    monkeypatch.setattr(together, "MOST_TOGETHER", 3)
    answers = all_of(bench, *[asked(n) for n in range(1, 8)])
    assert sorted(passes) == [1, 3, 3]
    assert len({answer["prediction_id"] for answer in answers}) == 7


def test_a_point_that_is_too_old_fails_alone(bench, passes):
    views = bench.releases.served("toy").champion.plan.views
    head_ms = NOW_MS - 1_000
    bench.store.write({covered_key(view.name): encode_covered(0, head_ms) for view in views})
    good, bad, other = all_of(bench, asked(1), TOO_OLD, asked(2))
    assert isinstance(bad, InvalidInputError)
    assert bad.code == "at_too_old"
    assert [good["degraded"], other["degraded"]] == [None, None]
    assert passes == [3, 1, 1, 1]
    assert len(bench.records.payloads) == 2


def test_a_request_that_breaks_the_contract_never_joins_a_pass(bench, passes):
    good, bad = all_of(bench, asked(1), {"entities": {}})
    assert isinstance(bad, InvalidInputError)
    assert good["decision"]
    assert passes == [1]


def test_without_records_nobody_is_answered(bench, monkeypatch):
    def full(use_case, payloads):
        raise DependencyError("a prediction record could not be kept", code="record_not_kept")

    monkeypatch.setattr(bench.records, "append_frames", full)
    assert {type(answer) for answer in all_of(bench, asked(1), asked(2))} == {DependencyError}


class Waiting:
    """A model that takes until it is told to go on."""

    def __init__(self, inner):
        self.inner, self.may_go = inner, asyncio.Event()

    async def score(self, vectors):
        await self.may_go.wait()
        return await self.inner.score(vectors)


@pytest.mark.parametrize(("leaving", "n_kept"), [((0,), 1), ((0, 1), 0)])
def test_an_answer_that_nobody_waits_for_leaves_no_record(bench, leaving, n_kept):
    """The challenger's, for one, in whose stead the champion answered: it would be its record."""
    champion = bench.releases.served("toy").champion

    async def some_leave():
        model = Waiting(champion.scorer)
        object.__setattr__(champion, "scorer", model)
        tasks = [asyncio.create_task(bench.engine.predict("toy", asked(n))) for n in (1, 2)]
        await asyncio.sleep(0.01)
        for place in leaving:
            tasks[place].cancel()
        await asyncio.sleep(0)
        model.may_go.set()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        again = await bench.engine.predict("toy", asked(3))  # the next pass goes as ever
        return found, again

    found, again = asyncio.run(some_leave())
    gone = [place for place, each in enumerate(found) if isinstance(each, asyncio.CancelledError)]
    assert tuple(gone) == leaving
    assert again["decision"]
    assert len(bench.records.payloads) == (0 if not n_kept else 2) + 1


@pytest.mark.parametrize("n_turns", range(6))
def test_who_leaves_at_any_turn_holds_up_nobody(bench, n_turns):
    async def one_leaves():
        tasks = [asyncio.create_task(bench.engine.predict("toy", asked(n))) for n in (1, 2)]
        for _ in range(n_turns):
            await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        async with asyncio.timeout(20):
            return await bench.engine.predict("toy", asked(3))

    assert asyncio.run(one_leaves())["decision"]


def test_who_goes_away_costs_the_others_nothing(bench):
    async def one_leaves():
        tasks = [asyncio.create_task(bench.engine.predict("toy", asked(n))) for n in (1, 2)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    gone, answer = asyncio.run(one_leaves())
    assert isinstance(gone, asyncio.CancelledError)
    assert answer["decision"]


def test_explained_requests_and_batches_have_passes_of_their_own(bench, passes):
    async def mixed():
        return await asyncio.gather(
            bench.engine.predict("toy", {**asked(1), "explain": True}),
            bench.engine.predict_many("toy", {"points": [asked(2), asked(3)]}),
            bench.engine.predict("toy", asked(4)),
        )

    explained, many, _ = asyncio.run(mixed())
    assert len(explained["reasons"]) > 1
    assert len(many["predictions"]) == 2
    assert passes == [1]


def test_who_leaves_before_the_pass_begins_is_not_scored(bench, passes):
    async def leave_early():
        leaving = asyncio.create_task(bench.engine.predict("toy", asked(1)))
        staying = asyncio.create_task(bench.engine.predict("toy", asked(2)))
        asyncio.get_running_loop().call_soon(leaving.cancel)
        return await asyncio.gather(leaving, staying, return_exceptions=True)

    gone, answer = asyncio.run(leave_early())
    assert isinstance(gone, asyncio.CancelledError)
    assert answer["decision"]
    assert passes == [1]


class HeldPasses:
    """Passes that end when they are let go."""

    def __init__(self):
        self.sizes = []
        self.go = asyncio.Event()

    async def run(self, release, channel, requests):
        self.sizes.append(len(requests))
        await self.go.wait()
        return [[{"channel": channel}] for _ in requests]


def test_those_that_come_while_a_pass_runs_go_together_when_it_ends(monkeypatch):
    monkeypatch.setattr(together, "LONGEST_HOLD_S", 60)
    passes, release = HeldPasses(), cast(LoadedRelease, object())

    async def come_later():
        gathered = together.Together(passes.run)
        tasks = [asyncio.create_task(gathered.ask(release, "champion", NOTHING))]
        for _ in range(3):
            await asyncio.sleep(0.01)
            tasks.append(asyncio.create_task(gathered.ask(release, "champion", NOTHING)))
        other = asyncio.create_task(gathered.ask(release, "challenger", NOTHING))
        await asyncio.sleep(0.01)
        assert passes.sizes == [1, 1]  # nobody waits for the pass of another channel
        passes.go.set()
        return await asyncio.gather(*tasks, other)

    assert len(asyncio.run(come_later())) == 5
    assert passes.sizes == [1, 1, 3]


def test_who_is_answered_and_asks_again_joins_those_who_waited_meanwhile(monkeypatch):
    monkeypatch.setattr(together, "LONGEST_HOLD_S", 60)
    passes, release = HeldPasses(), cast(LoadedRelease, object())

    async def come_again():
        gathered = together.Together(passes.run)

        async def twice():
            await gathered.ask(release, "champion", NOTHING)
            await gathered.ask(release, "champion", NOTHING)

        first = asyncio.create_task(twice())
        await asyncio.sleep(0.01)
        second = asyncio.create_task(gathered.ask(release, "champion", NOTHING))
        await asyncio.sleep(0.01)
        passes.go.set()
        await asyncio.gather(first, second)

    asyncio.run(come_again())
    assert passes.sizes == [1, 2]


def test_a_pass_that_takes_long_holds_nobody_up():
    passes, release = HeldPasses(), cast(LoadedRelease, object())

    async def come_later():
        gathered = together.Together(passes.run)
        tasks = []
        for _ in range(3):
            tasks.append(asyncio.create_task(gathered.ask(release, "champion", NOTHING)))
            await asyncio.sleep(20 * together.LONGEST_HOLD_S)
        assert passes.sizes == [1, 1, 1]
        passes.go.set()
        return await asyncio.gather(*tasks)

    assert len(asyncio.run(come_later())) == 3


def test_when_the_loop_ends_nobody_waits_for_ever():
    passes = HeldPasses()

    async def end():
        gathered = together.Together(passes.run)
        task = asyncio.create_task(gathered.ask(cast(LoadedRelease, object()), "champion", NOTHING))
        await asyncio.sleep(0.01)
        for running in gathered._running:
            running.cancel()
        return await asyncio.wait_for(asyncio.gather(task, return_exceptions=True), 5)

    (ended,) = asyncio.run(end())
    assert isinstance(ended, asyncio.CancelledError)
