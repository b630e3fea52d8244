"""Inferences of one turn: answered as those with a task are, and none at another's cost."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import uvicorn
from access_keys import made_key
from bundles import TOY_PLAN, USE_CASE, expected_score
from engines import Bench
from prometheus_client import CollectorRegistry
from uvicorn.server import ServerState
from written_transport import WrittenTransport

from core.access import RateLimit
from core.clock import SystemClock
from serving.access import Access
from serving.engine.inference import Inference
from serving.engine.together import MOST_TOGETHER
from serving.models.batching import PLAIN, BatchingScorer
from serving.settings import HttpSettings
from serving.telemetry.metrics import Telemetry
from serving.telemetry.tracing import current
from serving.transport.door import Door
from serving.transport.rest import Services, build_app
from stores.keys.access_keys import AccessKeyFile
from stores.layout import Layout

WIDTH = len(TOY_PLAN.vector)
ROW = [1_250.0, 2.0, 3.5, 0.25, None]
SCORE = expected_score(ROW)
TRACE = re.compile(rb"x-request-id: [0-9a-f]{32}")


def body_of(row=ROW, n_rows=1, **more):
    tensor = {"name": "vector", "datatype": "FP32", "shape": [n_rows, WIDTH], "data": row}
    return json.dumps({"inputs": [tensor], **more}).encode()


def request_of(body, *headers, name=USE_CASE):
    lines = b"".join(b"%b\r\n" % each for each in headers)
    return (
        b"POST /v2/models/%b/infer HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n%b"
        b"Content-Length: %d\r\n\r\n%b" % (name.encode(), lines, len(body), body)
    )


class Model:
    """The toy's model, which counts how many rows it was asked for and may be told to fail."""

    def __init__(self, runner):
        self._runner = runner
        self.asked: list[int] = []
        self.fails_on: float | None = None
        self.is_broken = False

    def score(self, vectors):
        self.asked.append(len(vectors))
        if self.is_broken and (vectors == self.fails_on).any():
            raise RuntimeError("no model")
        scores = self._runner.score(vectors)
        return np.where((vectors == self.fails_on).any(axis=1), np.float32("nan"), scores)


class World:
    """An application with a toy's model, and connections to it."""

    def __init__(self, bench, access):
        served = bench.releases.served(USE_CASE)
        self.bench, self.model = bench, Model(served.champion.runner)
        self.serve(runner=self.model)
        self.registry = CollectorRegistry()
        nothing: Any = SimpleNamespace()
        telemetry = Telemetry(self.registry)
        inference = Inference(bench.releases, telemetry)
        services = Services(
            engine=bench.engine, passports=nothing, intake=nothing, health=nothing,
            releases=bench.releases, telemetry=telemetry, clock=SystemClock(),
            http=HttpSettings(), access=access, rollouts=nothing, scraping=nothing,
            inference=inference,
        )  # fmt: skip
        self.app: Any = build_app(services, lifespan=nothing)

    def serve(self, **changes):
        releases = self.bench.releases
        served = releases.served(USE_CASE)
        champion = replace(served.champion, **changes)
        changed = {USE_CASE: replace(served, champion=champion)}
        releases.roster = replace(releases.roster, use_cases=changed)

    def connected(self) -> Any:
        config = uvicorn.Config(self.app, lifespan="off", log_config=None, proxy_headers=False)
        config.load()
        config.loaded_app = self.app
        door: Any = Door(config, ServerState(), {}, asyncio.get_running_loop())
        door.connection_made(WrittenTransport())
        return door

    async def taught(self, *requests) -> None:
        """Have the heads of requests known."""
        door = self.connected()
        for request in requests * 2:
            door.data_received(request)
            await self.all_answered()
        self.model.asked.clear()

    async def all_answered(self):
        for _ in range(30):
            await asyncio.sleep(0)
        assert self.app.gate.n_inside == 0

    def counted(self, name, **labels):
        return self.registry.get_sample_value(name, labels) or 0


@pytest.fixture
def bench(tmp_path):
    return Bench(Layout(tmp_path).create())


@pytest.fixture
def world(bench):
    return World(bench, SimpleNamespace(is_open=True))


def answers_in(written):
    """Status and body of each answer that was written."""
    found, rest = [], b"".join(written)
    while rest:
        head, _, rest = rest.partition(b"\r\n\r\n")
        (length,) = re.findall(rb"content-length: (\d+)", head)
        found.append((int(head[9:12]), json.loads(rest[: int(length)])))
        rest = rest[int(length) :]
    return found


def scores_in(door):
    return [body["outputs"][0]["data"] for _, body in answers_in(door.transport.written)]


BODIES = {
    "plain": body_of(),
    "two rows": body_of(ROW * 2, 2),
    "an id": body_of(id="mine"),
    "in rows": body_of([ROW]),
    "a wrong type": body_of(["a"] * WIDTH),
    "no JSON": b"{" * 40,
    "too few": body_of([1.0]),
    "beyond float32": body_of([1e300, *ROW[1:]]),
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_whoever_asks_again_is_answered_as_at_first(world, body):
    async def run():
        door = world.connected()
        for _ in range(4):  # parsed, learnt, then known
            door.data_received(request_of(body))
            await world.all_answered()
        return door.transport.written

    written = [TRACE.sub(b"", each) for each in asyncio.run(run())]
    assert len(written) == 4
    assert len(set(written)) == 1


def test_those_of_one_turn_are_scored_by_one_call_each_with_its_own_scores(world):
    rows = [[float(n), *ROW[1:]] for n in range(5)]

    async def run():
        bodies = [body_of(row, id="ab"[n % 2]) for n, row in enumerate(rows)]
        await world.taught(*map(request_of, bodies))
        doors = [world.connected() for _ in bodies]
        for door, body in zip(doors, bodies, strict=True):
            door.data_received(request_of(body))
        assert world.app.gate.n_inside == 5
        await world.all_answered()
        return doors

    doors = asyncio.run(run())
    assert world.model.asked == [5]
    for n, door in enumerate(doors):
        ((status, answer),) = answers_in(door.transport.written)
        assert (status, answer["id"]) == (200, "ab"[n % 2])
        (score,) = answer["outputs"][0]["data"]
        assert score == pytest.approx(expected_score(rows[n]), abs=1e-6)


def test_more_than_go_together_are_answered_in_turns(world):
    async def run():
        await world.taught(request_of(body_of()))
        doors = [world.connected() for _ in range(2 * MOST_TOGETHER + 1)]
        for door in doors:
            door.data_received(request_of(body_of()))
        await world.all_answered()
        return doors

    assert all(scores_in(door)[0] == [pytest.approx(SCORE)] for door in asyncio.run(run()))
    assert world.model.asked == [MOST_TOGETHER, MOST_TOGETHER, 1]


@pytest.mark.parametrize("is_broken", [True, False], ids=["raises", "no number"])
def test_one_that_the_model_cannot_answer_fails_none_of_the_others(world, is_broken):
    bad = body_of([7_777.0, *ROW[1:]])
    world.model.is_broken = is_broken

    async def run():
        await world.taught(request_of(body_of()), request_of(bad))
        world.model.fails_on = 7_777.0
        doors = [world.connected() for _ in range(3)]
        for door, body in zip(doors, (body_of(), bad, body_of()), strict=True):
            door.data_received(request_of(body))
        await world.all_answered()
        return [answers_in(door.transport.written) for door in doors]

    (first,), (second,), (third,) = asyncio.run(run())
    assert (first[0], second[0], third[0]) == (200, 500, 200)
    code = "internal" if is_broken else "score_not_finite"
    assert second[1]["code"] == code
    assert world.model.asked == [3, 1, 1, 1]
    assert world.counted("throughline_refusals_total", code=code) == 1


def test_requests_and_rows_are_counted(world):
    async def run():
        body = body_of(ROW * 2, 2)
        await world.taught(request_of(body), request_of(body_of()))
        door = world.connected()
        door.data_received(request_of(body))
        await world.all_answered()

    asyncio.run(run())
    route = {"route": "/v2/models/{use_case}/infer", "status": "200"}
    assert world.counted("throughline_request_seconds_count", **route) == 5
    of_model = {"use_case": USE_CASE, "channel": "champion"}
    assert world.counted("throughline_inferred_rows_total", **of_model) == 8


def test_each_is_counted_as_of_its_own_trace(world, monkeypatch):
    seen = []
    requested = Telemetry.requested

    def noting(telemetry, *args):
        trace = current.get()
        seen.append(trace.request_id if trace else "")
        requested(telemetry, *args)

    async def run():
        await world.taught(request_of(body_of()), request_of(b"{" * 40))
        monkeypatch.setattr(Telemetry, "requested", noting)
        for n, body in enumerate((body_of(), b"{" * 40, body_of())):
            world.connected().data_received(request_of(body, b"X-Request-ID: mine-%d" % n))
        await world.all_answered()

    asyncio.run(run())
    assert sorted(seen) == ["mine-0", "mine-1", "mine-2"]


def test_what_comes_before_the_answer_is_answered_behind_it(world):
    async def run():
        await world.taught(request_of(body_of()), request_of(body_of(id="a")))
        door = world.connected()
        door.data_received(request_of(body_of(id="a")))
        door.data_received(request_of(body_of()) + request_of(body_of(id="b")))
        await world.all_answered()
        return answers_in(door.transport.written)

    found = asyncio.run(run())
    assert [body.get("id", "") for _, body in found] == ["a", "", "b"]


def test_whoever_has_gone_is_not_written_to_and_leaves_the_gate(world):
    async def run():
        await world.taught(request_of(body_of()))
        gone, there = world.connected(), world.connected()
        for door in (gone, there):
            door.data_received(request_of(body_of()))
        gone.connection_lost(None)
        await world.all_answered()
        return gone, there

    gone, there = asyncio.run(run())
    assert gone.transport.written == []
    assert len(there.transport.written) == 1


def test_a_connection_that_is_to_close_closes_behind_its_answer(world):
    async def run():
        await world.taught(request_of(body_of()))
        door = world.connected()
        door.data_received(request_of(body_of()))
        door.shutdown()
        await world.all_answered()
        return door.transport

    transport = asyncio.run(run())
    assert b"connection: close" in b"".join(transport.written)
    assert transport.is_closed


def test_a_model_that_others_would_wait_for_is_not_asked_on_the_loop(world):
    async def run():
        await world.taught(request_of(body_of()))
        world.serve(scorer=BatchingScorer(world.model, PLAIN))
        door = world.connected()
        door.data_received(request_of(body_of()))
        async with asyncio.timeout(10):
            while not door.transport.written:  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.001)
        return scores_in(door)

    assert asyncio.run(run()) == [[pytest.approx(SCORE)]]
    assert world.model.asked == [1]


OTHERS = {
    "time": (b"x-request-timeout-ms: 5000", 200),
    "no time": (b"x-request-timeout-ms: soon", 400),
    "bytes": (b"Inference-Header-Content-Length: 9999", 422),
}


@pytest.mark.parametrize(("header", "status"), OTHERS.values(), ids=OTHERS.keys())
def test_what_a_head_asks_for_beside_is_heeded(world, header, status):
    async def run():
        door = world.connected()
        for _ in range(3):
            door.data_received(request_of(body_of(), header))
            await world.all_answered()
        return [status for status, _ in answers_in(door.transport.written)]

    assert asyncio.run(run()) == [status] * 3


def with_key(key):
    return b"Authorization: Bearer " + key.encode()


def test_keys_open_and_are_charged_as_for_every_request(bench):
    scopes = [f"{USE_CASE}:predict"]
    slow = made_key(bench.layout, scopes, rate=RateLimit(per_s=0.01, burst=7))
    other = made_key(bench.layout, [f"{USE_CASE}:explain"])
    access = Access(AccessKeyFile(bench.layout.access), SystemClock(), print, n_workers=1)
    world = World(bench, access)

    async def run():
        found = []
        for headers in ([with_key(slow)], [with_key(other)], [with_key(slow), with_key(other)]):
            for _ in range(4):  # two of them parsed, two known
                door = world.connected()
                door.data_received(request_of(body_of(ROW * 2, 2), *headers))
                await world.all_answered()
                ((status, body),) = answers_in(door.transport.written)
                found.append((status, body.get("code"), door.transport.is_closed))
        return found

    assert asyncio.run(run()) == [
        *[(200, None, False)] * 3,
        (429, "rate_limited", False),
        *[(403, "not_in_scope", True)] * 4,
        *[(400, "several_keys", True)] * 4,
    ]
    assert {(each.code, n) for each, n in access.taken_refusals().items()} == {
        ("rate_limited", 1), ("not_in_scope", 4), ("several_keys", 4),
    }  # fmt: skip
