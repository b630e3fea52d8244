"""Shadows: what they are asked, what is made of their answers, and that nobody waits."""

import asyncio
import itertools
import os
import signal
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
from bundles import TOY_PLAN, manifest_of, shelve
from challengers import challenger_files
from engines import Bench, InProcessScores, turns
from rollouts import request_of, roll_out
from wishes import asking, says

from core.errors import DependencyError
from serving.rollouts.shadow_process import ShadowProcess
from serving.rollouts.shadows import POINTS_A_CALL, POINTS_A_TURN, PROCESS_FAILED, QUEUE_PASSES
from stores.keys.signing import ensure_signer
from stores.layout import Layout
from stores.shelf.bundle import MODEL
from stores.shelf.channels import Channels, ChannelState

EXPERIMENT = "toy-shadow-2-2"
ROW = np.array([1_250.0, np.nan, 0.0, np.nan, np.nan], dtype=np.float32)


class ShadowBench(Bench):
    """A bench whose champion has a shadow."""

    def __init__(self, tmp_path, *, scores=None, **shadow):
        super().__init__(Layout(tmp_path).create(), shadow_scores=scores)
        self.shadow = shelve(self.layout, **shadow)
        self.try_it(EXPERIMENT, counter=2)

    def try_it(self, experiment, *, counter):
        """Put the shadow beside the champion, under this name."""
        state = ChannelState(champion=1, shadow=self.shadow, shadow_experiment=experiment)
        channels = Channels(counter=counter, written_at_ms=0, use_cases={"toy": state})
        self.shelf.board.write(channels, ensure_signer(self.layout.keys, "channels"))
        assert self.watcher.look(), self.told

    def ask(self, n, **changes):
        """Answers to ``n`` requests, and what the comparison came to."""

        async def asked():
            answers = []
            async with self.comparing():
                for card in range(n):
                    answers.append(
                        await self.engine.predict("toy", {**request_of(card, 5_000), **changes})
                    )
                    await asyncio.sleep(0)
                await turns()
            return answers

        return asyncio.run(asked()), self.comparison

    def ask_before_comparing(self, n):
        """What the comparison came to of ``n`` requests that all waited for it."""

        async def asked():
            for card in range(n):
                await self.engine.predict("toy", request_of(card))
            await self.compare()

        asyncio.run(asked())
        return self.comparison

    @property
    def comparison(self):
        return self.counting.comparison(EXPERIMENT).comparison()


def test_a_shadow_answers_nobody_and_is_compared(tmp_path):
    answers, found = ShadowBench(tmp_path, bias=2.0).ask(20)
    assert {answer["model"]["release"] for answer in answers} == {1}
    assert found.champion.n_scores == found.shadow.n_scores == 20
    assert found.flips == {"APPROVE -> BLOCK": 20}
    assert found.shadow.n_requests == sum(found.shadow.latencies) == 20
    assert found.difference_ppm == found.absolute_difference_ppm > 0


def test_a_synthetic_request_is_not_compared(tmp_path):
    _, found = ShadowBench(tmp_path, bias=2.0).ask(5, event_id="synthetic:1")
    assert found.champion.n_scores == found.shadow.n_scores == found.n_dropped == 0


def test_a_shadow_of_the_same_model_agrees(tmp_path):
    _, found = ShadowBench(tmp_path).ask(20)
    assert (found.flips, found.absolute_difference_ppm, found.shadow.n_scores) == ({}, 0, 20)


def test_a_shadow_of_another_plan_reads_for_itself(tmp_path):
    views = tuple(reversed(TOY_PLAN.views))
    plan = TOY_PLAN.model_copy(update={"views": views})
    assert plan.digest != TOY_PLAN.digest
    _, found = ShadowBench(tmp_path, plan=plan).ask(20)
    assert (found.absolute_difference_ppm, found.shadow.n_scores) == (0, 20)


class Seeing(InProcessScores):
    """Keeps the vectors that it is asked for."""

    def __init__(self):
        self.seen = []

    async def score(self, release, passes):
        self.seen += [vector for vectors in passes for vector in vectors.tolist()]
        return await super().score(release, passes)


def test_a_shadow_that_asks_who_opted_out_is_shown_nothing_of_them(tmp_path):
    """The champion's plan asks nobody; the shadow read for itself, and took it all."""
    seeing = Seeing()
    bench = ShadowBench(tmp_path, scores=seeing, **asking())
    says(bench, "card-1", True)
    bench.ask(3)
    read = [np.isnan(vector).tolist() for vector in seeing.seen]
    assert read[0] == read[2] != read[1]
    assert np.isnan(seeing.seen[1]).sum() > np.isnan(seeing.seen[0]).sum()


def test_a_shadow_s_nan_is_no_score(tmp_path):
    _, found = ShadowBench(tmp_path, files=challenger_files("nan")).ask(10)
    assert (found.shadow.n_nonfinite, found.shadow.n_scores, found.champion.n_scores) == (10, 0, 0)


class NoScores(InProcessScores):
    """A process that cannot score."""

    def __init__(self, code):
        self.code = code

    async def score(self, release, passes):
        raise DependencyError("gone", code=self.code)


def test_after_a_process_failed_what_comes_is_dropped_for_a_while(tmp_path):
    answers, found = ShadowBench(tmp_path, scores=NoScores(PROCESS_FAILED)).ask(10)
    assert len(answers) == 10
    assert found.shadow.n_errors >= 1
    assert found.n_dropped >= 1
    assert found.shadow.n_errors + found.n_dropped == 10


def test_a_process_that_keeps_failing_is_started_less_and_less_often(tmp_path):
    bench = ShadowBench(tmp_path, scores=NoScores(PROCESS_FAILED))
    failures_s: list[int] = []

    async def asked():
        async with bench.comparing():
            for second in range(400):
                before = bench.comparison.shadow.n_errors
                await bench.engine.predict("toy", request_of(second))
                for _ in range(3):
                    await asyncio.sleep(0)
                if bench.comparison.shadow.n_errors > before:
                    failures_s.append(second)
                bench.clock.advance(1_000)

    asyncio.run(asked())
    rests_s = [after - before for before, after in itertools.pairwise(failures_s)]
    assert rests_s == [1, 2, 4, 8, 16, 32, 60, 60, 60, 60, 60]


def test_the_rest_of_one_experiment_is_none_of_another_s(tmp_path):
    """A shadow put in place of one that hung was not asked for up to a minute."""
    bench = ShadowBench(tmp_path, scores=NoScores(PROCESS_FAILED))
    tried = [EXPERIMENT, "another", EXPERIMENT]

    def found():
        counts = [bench.counting.comparison(each).comparison() for each in tried[:2]]
        return [(each.shadow.n_errors, each.n_dropped) for each in counts]

    async def asked():
        async with bench.comparing():
            for n, experiment in enumerate(tried, start=1):
                bench.try_it(experiment, counter=n + 2)
                await bench.engine.predict("toy", request_of(n))
                for _ in range(10):
                    await asyncio.sleep(0)

    asyncio.run(asyncio.wait_for(asked(), 60))
    assert found() == [(1, 1), (1, 0)]


class FailsForOne(InProcessScores):
    """A process that ends at what it is asked first."""

    is_first = True

    async def score(self, release, passes):
        is_first, self.is_first = self.is_first, False
        return [] if is_first else await super().score(release, passes)


def test_what_waits_for_one_experiment_outlives_the_failure_of_another(tmp_path):
    bench = ShadowBench(tmp_path, scores=FailsForOne())

    async def asked():
        await bench.engine.predict("toy", request_of(1))
        bench.try_it("another", counter=3)
        for card in range(4):
            await bench.engine.predict("toy", request_of(card))
        await bench.compare()

    asyncio.run(asked())
    other = bench.counting.comparison("another").comparison()
    assert (bench.comparison.n_ended, other.shadow.n_scores, other.n_dropped) == (1, 4, 0)


def test_what_waits_when_a_process_fails_is_dropped(tmp_path):
    found = ShadowBench(tmp_path, scores=NoScores(PROCESS_FAILED)).ask_before_comparing(10)
    assert (found.shadow.n_errors, found.n_dropped) == (1, 9)


def test_a_row_that_a_shadow_fails_on_costs_no_other(tmp_path):
    _, found = ShadowBench(tmp_path, scores=NoScores("dependency")).ask(10)
    assert (found.shadow.n_errors, found.n_dropped) == (10, 0)


class DiesAtTheThird(InProcessScores):
    """A process that scores two passes and is gone at the next."""

    async def score(self, release, passes):
        return (await super().score(release, passes))[:2]


def test_a_pass_that_ends_the_process_fails_and_what_waited_behind_it_is_dropped(tmp_path):
    found = ShadowBench(tmp_path, scores=DiesAtTheThird()).ask_before_comparing(10)
    assert (found.shadow.n_scores, found.shadow.n_errors, found.n_dropped) == (2, 1, 7)
    assert found.n_ended == 1


class Telling(InProcessScores):
    """Tells how many points it was asked for in each call."""

    def __init__(self):
        self.sizes = []

    async def score(self, release, passes):
        self.sizes.append([len(vectors) for vectors in passes])
        return await super().score(release, passes)


def test_a_call_holds_so_many_points_or_one_pass_and_others_get_turns_while_they_are_compared(
    tmp_path,
):
    telling, seen = Telling(), [0]
    bench = ShadowBench(tmp_path, scores=telling)
    sizes = [POINTS_A_CALL - 10, 10, 1, POINTS_A_CALL + 1, 2]

    async def asked():
        for size in sizes:
            points = [request_of(card) for card in range(size)]
            await bench.engine.predict_many("toy", {"points": points})
        async with bench.comparing():
            while seen[-1] < sum(sizes):
                seen.append(bench.comparison.champion.n_scores)
                await asyncio.sleep(0)

    asyncio.run(asyncio.wait_for(asked(), 60))
    assert telling.sizes == [sizes[:2], sizes[2:3], sizes[3:4], sizes[4:]]
    assert max(after - before for before, after in itertools.pairwise(seen)) <= POINTS_A_TURN


class Hanging(InProcessScores):
    """A process that never answers."""

    n_asked = 0

    async def score(self, release, passes):
        self.n_asked += len(passes)
        await asyncio.Event().wait()
        raise AssertionError


def test_what_finds_the_queue_full_is_dropped_and_counted(tmp_path):
    hanging = Hanging()
    bench = ShadowBench(tmp_path, scores=hanging)
    answers, found = bench.ask(QUEUE_PASSES + 50)
    assert len(answers) == QUEUE_PASSES + 50
    assert found.n_dropped == 50 - hanging.n_asked  # those were taken out of the queue


def test_degraded_answers_and_those_of_a_challenger_are_not_compared(tmp_path):
    bench = Bench(Layout(tmp_path).create())
    for bias in (2.0, 1.0):
        shelve(bench.layout, bias=bias)
    roll_out(bench.layout, 1, 2, weight=1.0, counter=2, shadow=3)
    assert bench.watcher.look()

    async def asked():
        await bench.engine.predict("toy", request_of(1))
        await bench.compare()

    asyncio.run(asked())
    found = bench.counting.comparison("").comparison()
    assert (found.n_dropped, found.shadow.n_requests, found.shadow.n_errors) == (0, 0, 0)


def test_a_shadow_is_warm_and_named_by_health(tmp_path):
    bench = ShadowBench(tmp_path)
    assert bench.releases.served("toy").releases["shadow"].manifest.release == bench.shadow
    assert any("shadow 2" in sentence for sentence in bench.told)


AS_OTHERS = (
    sys.executable,
    "-c",
    "from serving.rollouts.shadow_keeper import main; main(stand_back=lambda: None)",
)
"""A keeper that takes its part of the machine: on a busy one it would wait at its priority."""


@pytest.fixture
def scored(tmp_path):
    """Runs a coroutine with a real process for one release."""

    def run(work, *, files=None, command=AS_OTHERS):
        bench = ShadowBench(tmp_path, files=files)
        release = bench.releases.served("toy").shadow
        process = ShadowProcess(bench.shelf.bundle, patience_s=20.0, command=command)

        async def in_process():
            try:
                return await work(process, release)
            finally:
                await process.close()

        return asyncio.run(in_process())

    return run


def test_the_process_scores_as_the_model_does(scored):
    async def work(process, release):
        passes = [[ROW, ROW], [ROW]]
        return await process.score(release, passes), release.runner.score(ROW[np.newaxis])

    found, expected = scored(work)
    assert [each.scores for each in found] == [[float(expected[0])] * 2, [float(expected[0])]]
    assert all(0 < each.spent_ms < 1_000 for each in found)


FAILS = np.array([2_000, 0, 0, 0, 0], dtype=np.float32)
SMALL = np.array([100, 0, 0, 0, 0], dtype=np.float32)


def test_a_row_that_the_model_fails_on_is_told_and_the_next_is_scored(scored):
    async def work(process, release):
        return await process.score(release, [[ROW], [FAILS], [ROW]])

    found = scored(work, files=challenger_files("errors"))
    assert ["" if each.trouble == "" else "failed" for each in found] == ["", "failed", ""]
    assert found[2].scores[0] == pytest.approx(0.0293, abs=1e-3)


@pytest.mark.slow
def test_a_model_that_hangs_is_killed_and_what_it_scored_before_is_kept(scored):
    """At its first pass, too: it once was given the half minute that a start may take."""

    async def work(process, release):
        process.patience_s = 0.2
        with pytest.raises(DependencyError, match="of its own time"):
            await process.score(release, [[ROW]])
        kept = await process.score(release, [[SMALL], [SMALL], [ROW], [SMALL]])
        killed = process.scorer
        with pytest.raises(ProcessLookupError):
            os.kill(killed, 0)
        await process.score(release, [[SMALL]])
        return len(kept), killed != process.scorer

    assert scored(work, files=challenger_files("hang")) == (2, True)


@pytest.mark.slow
def test_whatever_is_killed_is_started_anew(scored):
    async def work(process, release):
        for whose in ("scorer", "keeper"):
            await process.score(release, [[ROW]])
            killed = getattr(process, whose)
            os.kill(killed, signal.SIGKILL)
            with pytest.raises(DependencyError, match="process failed"):
                await process.score(release, [[ROW]])
            (found,) = await process.score(release, [[ROW]])
            assert len(found.scores) == 1
            assert killed != getattr(process, whose)
        ended = process.scorer, process.keeper
        await process.close()
        return ended

    for each in scored(work):
        assert not is_at_work(each)


def is_at_work(pid):
    """Whether a process goes on within a minute; a scorer is ended by the kernel, in its time."""
    for _ in range(600):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        time.sleep(0.1)
    return True


def test_a_process_that_talks_nonsense_is_a_failure(scored):
    async def work(process, release):
        with pytest.raises(DependencyError):
            await process.score(release, [[ROW]])

    scored(work, command=(sys.executable, "-c", "print('hello')"))


def test_a_model_that_changed_is_not_scored(scored):
    async def work(process, release):
        manifest = release.manifest.model_copy(update={"files": {MODEL: manifest_of(7).digest}})
        changed = replace(release, manifest=manifest)
        with pytest.raises(DependencyError, match="IntegrityError"):
            await process.score(changed, [[ROW]])

    scored(work)
