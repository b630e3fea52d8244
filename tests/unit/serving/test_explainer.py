import asyncio
import gc
import io
import json
import os
import shutil
import signal
import sys

import numpy as np
import pytest
from bundles import BIAS, WEIGHTS, shelve
from engines import Bench

from serving import explainer_client
from serving.explainer import KEPT, ExplainerHost, Request, serve
from serving.explainer_client import ExplainerProcess
from stores.layout import Layout

VECTOR = np.array([1_250.0, np.nan, 2.0, 0.5, 7_000.0], dtype=np.float32)


@pytest.fixture
def bench(tmp_path):
    return Bench(Layout(tmp_path).create())


@pytest.fixture
def release(bench):
    return bench.releases.served("toy").champion


def client(bench, **changes):
    return ExplainerProcess(bench.shelf.bundle, **({"start_budget_ms": 30_000} | changes))


def ask(bench, release, vectors=(VECTOR,), budget_ms=30_000, **changes):
    async def asked():
        process = client(bench, **changes)
        try:
            return await process.explain(release, list(vectors), budget_ms=budget_ms)
        finally:
            await process.close()

    return asyncio.run(asked())


def test_contributions_of_the_process_add_up_to_the_log_odds(bench, release):
    (explanation,) = ask(bench, release)
    assert explanation.status == "exact"
    assert explanation.features == release.plan.vector
    filled = np.nan_to_num(VECTOR.astype(np.float64))
    np.testing.assert_allclose(explanation.contributions, filled * WEIGHTS, rtol=1e-6)
    assert explanation.base == BIAS
    score = float(release.runner.score(VECTOR[None])[0])
    total = explanation.base + sum(explanation.contributions)
    assert np.log(score / (1 - score)) == pytest.approx(total, abs=1e-5)


def test_many_vectors_are_explained_in_order(bench, release):
    vectors = [VECTOR * n for n in (1, 2, 3)]
    first = [each.contributions[0] for each in ask(bench, release, vectors)]
    assert first == pytest.approx([0.5, 1.0, 1.5], rel=1e-6)


def test_one_process_serves_many_askers_and_releases(bench, release):
    other = bench.loader.load("toy", shelve(bench.layout, bias=1.0))

    async def asked():
        process = client(bench)
        try:
            return await asyncio.gather(
                *(process.explain(r, [VECTOR], budget_ms=30_000) for r in [release, other] * 5)
            )
        finally:
            await process.close()

    bases = [each.base for (each,) in asyncio.run(asked())]
    assert bases == [BIAS, 1.0] * 5


def test_late_is_an_answer(bench, release):
    sleeping = (sys.executable, "-c", "import time; time.sleep(60)")
    (explanation,) = ask(bench, release, budget_ms=30, start_budget_ms=50, command=sleeping)
    assert explanation.status == "late"


@pytest.mark.parametrize("program", ["", "import os; os.kill(os.getpid(), 9)", "print('x')"])
def test_an_explainer_that_ends_is_unavailable(bench, release, program):
    command = (sys.executable, "-c", program)
    (explanation,) = ask(bench, release, command=command)
    assert explanation.status == "unavailable"


def test_a_missing_explainer_is_unavailable(bench, release):
    (explanation,) = ask(bench, release, command=("/no/such/program",))
    assert explanation.status == "unavailable"


def test_after_a_crash_the_next_asker_gets_a_new_process(bench, release):
    async def asked():
        process = client(bench)
        try:
            await process.explain(release, [VECTOR], budget_ms=30_000)
            process._process.kill()
            await process._listener
            return await process.explain(release, [VECTOR], budget_ms=30_000)
        finally:
            await process.close()

    (explanation,) = asyncio.run(asked())
    assert explanation.status == "exact"


def test_a_process_that_hangs_is_ended_and_another_is_started(bench, release, monkeypatch):
    async def asked():
        process = client(bench)
        try:
            await process.explain(release, [VECTOR], budget_ms=30_000)
            stopped = process._process
            os.kill(stopped.pid, signal.SIGSTOP)
            monkeypatch.setattr(explainer_client, "HANGS_AFTER_S", 0.2)
            (late,) = await process.explain(release, [VECTOR], budget_ms=10)
            await asyncio.wait_for(process._listener, 30)
            code = await stopped.end()
            monkeypatch.undo()
            (exact,) = await process.explain(release, [VECTOR], budget_ms=30_000)
            return late.status, code, exact.status
        finally:
            await process.close()

    assert asyncio.run(asked()) == ("late", -signal.SIGKILL, "exact")


def test_an_end_that_the_pipe_tells_of_first_leaves_no_line_in_the_log(bench, release, caplog):
    """The process dies while a request larger than a pipe is written to it."""
    command = (sys.executable, "-c", "import sys, time; sys.stdin.buffer.read(1); time.sleep(0.1)")
    (explanation, *_) = ask(bench, release, [VECTOR] * 10_000, command=command)
    assert explanation.status == "unavailable"
    gc.collect()
    assert [record for record in caplog.records if "never retrieved" in record.getMessage()] == []


def test_the_process_ends_with_its_client(bench, release):
    async def asked():
        process = client(bench)
        await process.explain(release, [VECTOR], budget_ms=30_000)
        child = process._process
        assert os.getsid(child.pid) == child.pid  # Ctrl-C is not for it
        await process.close()
        return child.pid

    with pytest.raises(ProcessLookupError):
        os.kill(asyncio.run(asked()), 0)


def test_a_model_that_offers_none_starts_no_process(bench):
    silent = bench.loader.load("toy", shelve(bench.layout, explainer="none"))
    (explanation,) = ask(bench, silent, command=("/no/such/program",))
    assert explanation.status == "not_offered"


def test_a_bundle_that_changed_is_not_explained(bench, release):
    path = bench.shelf.bundle("toy", 1) / "explainer.json"
    path.write_bytes(path.read_bytes() + b" ")
    (explanation,) = ask(bench, release)
    assert explanation.status == "unavailable"


def test_a_release_that_left_the_shelf_is_not_explained(bench, release):
    shutil.rmtree(bench.shelf.bundle("toy", 1))
    (explanation,) = ask(bench, release)
    assert explanation.status == "unavailable"


def test_the_host_refuses_another_manifest_than_was_asked_for(bench):
    bundle = str(bench.shelf.bundle("toy", 1))
    reply = ExplainerHost().reply(Request(1, bundle, "0" * 64, [[1.0] * 5]))
    assert (reply.number, reply.status) == (1, "unavailable")


def test_the_host_holds_those_of_several_releases_and_no_more_than_it_may(bench):
    """While a rollout runs champion and challenger are explained in turns."""
    host = ExplainerHost()
    releases = [1, *(shelve(bench.layout, bias=float(n)) for n in range(KEPT))]
    bundles = {n: bench.shelf.bundle("toy", n) for n in releases}
    digests = {n: bench.shelf.statement("toy", n).manifest_digest for n in releases}

    def status(release):
        asked = Request(1, str(bundles[release]), digests[release], [[1.0] * 5])
        return host.reply(asked).status

    assert [status(release) for release in releases] == ["exact"] * (KEPT + 1)
    for bundle in bundles.values():
        shutil.rmtree(bundle)
    assert [status(release) for release in releases] == ["unavailable", *["exact"] * KEPT]


def test_the_host_speaks_json_lines(bench, release):
    request = {
        "number": 7,
        "bundle": str(bench.shelf.bundle("toy", 1)),
        "manifest_digest": release.manifest_digest,
        "vectors": [[1.0, None, 0.0, 0.0, 0.0]],
    }
    replies = io.BytesIO()
    serve(io.BytesIO(json.dumps(request).encode() + b"\n"), replies)
    reply = json.loads(replies.getvalue())
    assert (reply["number"], reply["status"]) == (7, "exact")
    assert reply["contributions"][0] == pytest.approx([WEIGHTS[0], 0, 0, 0, 0, BIAS])
