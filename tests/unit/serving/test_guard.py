from __future__ import annotations

import asyncio

import pytest
from bundles import REQUEST
from engines import Bench
from memory_store import MemoryOnlineStore

from core.breaker import Breaker, State
from core.clock import FixedClock
from core.errors import DependencyError, IntegrityError
from serving.guard import Guard, GuardedReader
from serving.ports import DirectReader
from stores.layout import Layout


class Dependency:
    """Answers, or does what it was told to do instead."""

    def __init__(self):
        self.fault = None
        self.asked = 0

    async def __call__(self):
        self.asked += 1
        if self.fault == "silent":
            await asyncio.sleep(5)
        if self.fault is not None:
            raise self.fault
        return self.asked

    async def read(self, keys):
        await self()
        return [None] * len(keys)

    def close(self):
        pass


class Guarded:
    def __init__(self, budget_ms=1_000):
        self.clock = FixedClock(0)
        self.told: list[str] = []
        self.changes: list[State] = []
        self.dependency = Dependency()
        self.guard = Guard(
            "the store",
            Breaker(most_failures=3, rest_s=1.0),
            self.clock,
            budget_ms=budget_ms,
            told=self.told.append,
            changed=self.changes.append,
        )

    def call(self):
        return asyncio.run(self.guard.call(self.dependency))

    def codes(self, count):
        found = []
        for _ in range(count):
            with pytest.raises((DependencyError, OSError)) as failed:
                self.call()
            found.append(getattr(failed.value, "code", "os"))
        return found


def test_what_goes_well_passes():
    guarded = Guarded()
    assert [guarded.call() for _ in range(3)] == [1, 2, 3]
    assert (guarded.told, guarded.changes) == ([], ["closed"])


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (DependencyError("down"), "dependency"),
        (ConnectionResetError(), "os"),
        ("silent", "dependency_slow"),
    ],
)
def test_what_keeps_failing_is_asked_no_more_and_tried_once_after_a_rest(fault, code):
    guarded = Guarded(budget_ms=5)
    guarded.dependency.fault = fault
    assert guarded.codes(5) == [code] * 3 + ["dependency_resting"] * 2
    guarded.clock.advance(1_000)
    assert guarded.codes(3) == [code] + ["dependency_resting"] * 2
    assert guarded.dependency.asked == 4
    assert guarded.changes == ["closed", "open"]
    guarded.clock.advance(1_000)
    guarded.dependency.fault = None
    assert [guarded.call() for _ in range(2)] == [5, 6]
    assert guarded.changes == ["closed", "open", "closed"]
    assert guarded.told == [
        "the store failed again and again; tried only now and then from here",
        "the store answers again",
    ]


def test_a_fault_of_what_was_kept_is_no_fault_of_the_dependency():
    guarded = Guarded()
    guarded.dependency.fault = IntegrityError("bytes")
    for _ in range(10):
        with pytest.raises(IntegrityError):
            guarded.call()
    assert guarded.changes == ["closed"]


def test_a_probe_whose_caller_leaves_holds_nobody_up():
    guarded = Guarded()
    guarded.dependency.fault = DependencyError("down")
    guarded.codes(3)
    guarded.dependency.fault = "silent"
    guarded.clock.advance(1_000)

    async def leave():
        task = asyncio.create_task(guarded.guard.call(guarded.dependency))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(leave())
    guarded.dependency.fault = None
    assert guarded.codes(1) == ["dependency_resting"]
    guarded.clock.advance(1_000)
    assert guarded.call() == 5


def test_callers_in_haste_leave_and_the_budget_counts_all_the_same():
    """With deadlines shorter than the budget nobody would ever see the store fail."""
    guarded = Guarded(budget_ms=60)
    guarded.dependency.fault = "silent"

    async def hasty():
        n_late = 0
        while guarded.changes[-1] == "closed":
            assert n_late < 1_000
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.005):
                    await guarded.guard.call(guarded.dependency)
            n_late += 1
        asked = [guarded.guard.call(guarded.dependency) for _ in range(3)]
        return [
            getattr(error, "code", "")
            for error in await asyncio.gather(*asked, return_exceptions=True)
        ]

    assert asyncio.run(hasty()) == ["dependency_resting"] * 3
    assert guarded.changes == ["closed", "open"]


def test_a_call_that_went_well_though_its_caller_had_left_counts():
    guarded = Guarded()
    guarded.dependency.fault = DependencyError("down")
    guarded.codes(3)
    guarded.clock.advance(1_000)

    async def slowly():
        await asyncio.sleep(0.02)
        return 1

    async def leave():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await guarded.guard.call(slowly)
        await asyncio.sleep(0.1)

    asyncio.run(leave())
    assert guarded.changes == ["closed", "open", "closed"]


def test_a_call_with_a_budget_of_its_own_ends_with_its_caller():
    guarded = Guarded(budget_ms=None)
    guarded.dependency.fault = "silent"

    async def leave():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.005):
                await guarded.guard.call(guarded.dependency, budget_s=0.02)
        return len(asyncio.all_tasks())

    assert asyncio.run(leave()) == 1
    with pytest.raises(DependencyError, match="more than 20 ms"):
        asyncio.run(guarded.guard.call(guarded.dependency, budget_s=0.02))


def test_one_probe_at_a_time_while_many_ask():
    guarded = Guarded()
    guarded.dependency.fault = DependencyError("down")
    guarded.codes(3)
    guarded.dependency.fault = None
    guarded.clock.advance(1_000)

    async def many():
        asked = [guarded.guard.call(guarded.dependency) for _ in range(20)]
        return await asyncio.gather(*asked, return_exceptions=True)

    found = asyncio.run(many())
    assert [isinstance(each, int) for each in found].count(True) >= 1
    assert guarded.changes[-1] == "closed"


def test_reads_go_through_the_guard():
    guarded = Guarded()
    store = MemoryOnlineStore()
    store.write({b"a": b"1"})
    reader = GuardedReader(DirectReader(store), guarded.guard)
    assert asyncio.run(reader.read([b"a", b"b"])) == [b"1", None]


def test_answers_leave_without_asking_a_store_that_keeps_failing(tmp_path):
    dependency = Dependency()
    dependency.fault = DependencyError("down")
    bench = Bench(Layout(tmp_path).create(), reader=dependency)
    answers = [asyncio.run(bench.engine.predict("toy", REQUEST)) for _ in range(30)]
    assert dependency.asked == 10
    assert {answer["degraded"]["level"] for answer in answers} == {"no_features"}
    assert "left alone" in answers[-1]["degraded"]["because"]
    dependency.fault = None
    bench.clock.advance(1_000)
    assert asyncio.run(bench.engine.predict("toy", REQUEST))["degraded"] is None
