"""Calls while a rollout runs: who answers whom, what is counted, what happens to failures."""

import asyncio
import time
from collections import Counter

import numpy as np
import pytest
from bundles import expected_score, shelve
from engines import Bench, KnownExplainer
from payments import NOW_MS
from rollouts import request_of, roll_out

from core.errors import DependencyError, IntegrityError
from core.rollout.assignment import assignment_point
from core.rollout.outcomes import answer_of
from core.rollout.published import all_counts
from serving.engine.deadline import Deadline
from serving.engine.deadline import current as deadline
from serving.errors import BrokenContractError, LateError
from serving.models.batching import Batching, BatchingScorer
from serving.models.releases import Roster, Served
from serving.rollouts.counting import ANEW_EVERY, CountPublisher
from stores.layout import Layout
from stores.shared_counts.sqlite import SqliteSharedCounts

EXPERIMENT = "toy-2-2"
CARDS = range(200)
VECTOR = [1_250.0, None, 0.0, None, None]


class SplitBench(Bench):
    """A bench with a challenger of another bias at a weight."""

    def __init__(self, tmp_path, *, weight=0.3, bias=2.0, **changes):
        super().__init__(Layout(tmp_path).create(), **changes)
        shelve(self.layout, bias=bias)
        self.turn(weight, counter=2)

    def turn(self, weight, *, counter):
        roll_out(self.layout, 1, 2, weight=weight, counter=counter)
        assert self.watcher.look(), self.told

    @property
    def served(self):
        return self.releases.served("toy")

    def replace(self, **changes):
        """Serve with some releases replaced, as no shelf would let one."""
        served = self.served
        kept = {"champion": served.champion, "challenger": served.challenger, **changes}
        new = Served(served.state, **kept)
        roster = self.releases.roster
        self.releases.roster = type(roster)(roster.channels, {"toy": new})

    def with_scorer(self, scorer, channel="challenger"):
        release = self.served.releases[channel]
        changed = {name: getattr(release, name) for name in release.__dataclass_fields__}
        self.replace(**{channel: type(release)(**{**changed, "scorer": scorer})})

    def ask(self, card, **changes):
        return asyncio.run(self.engine.predict("toy", {**request_of(card), **changes}))

    def count(self, arm):
        return self.counting.experiment(EXPERIMENT).stage(0).arm(arm).counters()


@pytest.fixture
def bench(tmp_path):
    return SplitBench(tmp_path)


def channel_of(card, weight):
    point = assignment_point(EXPERIMENT, [f"card-{card}"])
    return "challenger" if point < weight else "champion"


def test_each_entity_is_answered_by_its_arm_by_the_published_hash(bench):
    for card in CARDS:
        answer = bench.ask(card)
        channel = channel_of(card, 0.3)
        assert answer["model"]["channel"] == channel
        assert answer["model"]["release"] == (2 if channel == "challenger" else 1)
        bias = 2.0 if channel == "challenger" else -4.0
        assert answer["score"] == pytest.approx(expected_score(VECTOR, bias=bias), abs=1e-6)
        assert bench.records.last()["model"]["channel"] == channel


def test_a_synthetic_request_is_the_champions_and_is_counted_for_nobody(bench):
    for card in range(20):
        answer = bench.ask(card, event_id=f"synthetic:{card}")
        assert answer["model"]["channel"] == "champion"
        assert bench.records.last()["rollout"] is None
    assert bench.count("champion").n_requests == bench.count("challenger").n_requests == 0


def test_a_record_says_its_event_and_where_in_the_rollout_it_was_assigned(bench):
    for card in range(20):
        bench.ask(card, event_id=f"p{card}")
        record = bench.records.last()
        assert record["event_id"] == f"p{card}"
        assert record["rollout"] == {"experiment": EXPERIMENT, "stage": 0}
        answer = answer_of(record, EXPERIMENT)
        assert answer == (f"p{card}", channel_of(card, 0.3), 0, record["score"], NOW_MS)


def test_who_met_the_challenger_meets_it_at_a_larger_share(bench):
    before = {card for card in CARDS if bench.ask(card)["model"]["channel"] == "challenger"}
    bench.turn(0.6, counter=3)
    after = {card for card in CARDS if bench.ask(card)["model"]["channel"] == "challenger"}
    assert before < after


@pytest.mark.parametrize(("weight", "channel"), [(0.0, "champion"), (1.0, "challenger")])
def test_blue_green_goes_all_at_once(tmp_path, weight, channel):
    bench = SplitBench(tmp_path, weight=weight)
    assert {bench.ask(card)["model"]["channel"] for card in CARDS} == {channel}


def test_a_batch_is_answered_in_order_each_point_by_its_arm(bench):
    points = [request_of(card) for card in CARDS]
    answers = asyncio.run(bench.engine.predict_many("toy", {"points": points}))["predictions"]
    channels = [answer["model"]["channel"] for answer in answers]
    assert channels == [channel_of(card, 0.3) for card in CARDS]
    for arm in ("champion", "challenger"):
        assert (bench.count(arm).n_requests, bench.count(arm).n_scores) == (1, channels.count(arm))


def test_requests_scores_decisions_are_counted_by_arm(bench):
    channels = Counter(bench.ask(card)["model"]["channel"] for card in CARDS)
    for arm in ("champion", "challenger"):
        found = bench.count(arm)
        assert found.n_requests == found.n_scores == sum(found.latencies) == channels[arm]
        assert (found.n_errors, found.n_degraded) == (0, 0)
        assert found.lowest_score == found.highest_score
    assert bench.count("champion").decisions == {"APPROVE": channels["champion"]}
    assert bench.count("challenger").decisions == {"BLOCK": channels["challenger"]}


class Failing:
    """A model that does not answer."""

    def __init__(self, error):
        self.error = error

    async def score(self, vectors):
        raise self.error


class Hanging:
    """A model that never answers."""

    async def score(self, vectors):
        await asyncio.Event().wait()


class NoNumber:
    """A model whose scores are no numbers."""

    async def score(self, vectors):
        return np.full(len(vectors), np.nan, dtype=np.float32)


def of_challenger(n=5):
    return [card for card in CARDS if channel_of(card, 0.3) == "challenger"][:n]


def of_champion(n):
    return [card for card in CARDS if channel_of(card, 0.3) == "champion"][:n]


@pytest.mark.parametrize(
    ("scorer", "n_nonfinite"),
    [(Failing(RuntimeError()), 0), (Failing(IntegrityError("x")), 0), (NoNumber(), 5)],
)
def test_where_the_challenger_fails_the_champion_answers_and_says_so(bench, scorer, n_nonfinite):
    bench.with_scorer(scorer)
    for card in of_challenger():
        answer = bench.ask(card)
        assert (answer["model"]["channel"], answer["degraded"]["level"]) == ("champion", "champion")
        assert bench.records.last()["degraded"] == answer["degraded"]
    found = bench.count("challenger")
    assert (found.n_requests, found.n_errors, found.n_scores) == (5, 5, 0)
    assert found.n_nonfinite == n_nonfinite
    assert bench.count("champion").n_requests == 0


def test_a_challenger_that_hangs_is_waited_for_no_longer_than_told(tmp_path):
    bench = SplitBench(tmp_path, patience_ms=20)
    bench.with_scorer(Hanging())
    assert bench.ask(of_challenger(1)[0])["model"]["channel"] == "champion"
    assert bench.count("challenger").n_errors == 1


def test_a_challenger_that_could_not_be_loaded_is_counted_as_failing(tmp_path):
    bench = Bench(Layout(tmp_path).create())
    roll_out(bench.layout, 1, 99, weight=1.0, counter=2)
    assert bench.watcher.look()
    assert "99" in bench.watcher.trouble
    answer = asyncio.run(bench.engine.predict("toy", request_of(1)))
    assert answer["degraded"]["level"] == "champion"
    assert bench.counting.experiment(EXPERIMENT).stage(0).challenger.n_errors == 1


def test_what_fails_for_both_is_counted_and_raised(bench):
    for channel in ("champion", "challenger"):
        bench.with_scorer(Failing(DependencyError("gone")), channel)
    for card in (*of_challenger(2), *[c for c in CARDS if channel_of(c, 0.3) == "champion"][:3]):
        with pytest.raises(DependencyError):
            bench.ask(card)
    assert (bench.count("challenger").n_errors, bench.count("champion").n_errors) == (2, 3)


def test_a_request_that_breaks_the_contract_is_counted_for_nobody(bench):
    for card in (*of_challenger(2), 1):
        with pytest.raises(BrokenContractError):
            bench.ask(card, inputs={"amount_minor": -1})
    assert bench.count("challenger").n_requests == bench.count("champion").n_requests == 0
    assert not bench.counting.experiment(EXPERIMENT).waiting


def test_one_bad_point_refuses_a_batch_before_any_arm_answers(bench):
    points = [request_of(card) for card in CARDS]
    points[7] = {}
    with pytest.raises(BrokenContractError) as refused:
        asyncio.run(bench.engine.predict_many("toy", {"points": points}))
    assert {fault.pointer.split("/")[2] for fault in refused.value.faults} == {"7"}
    assert bench.records.payloads == []


class Slow:
    """A model in a thread that takes its time."""

    def __init__(self, inner, ms):
        self.inner, self.ms = inner, ms

    async def score(self, vectors):
        await asyncio.sleep(self.ms / 1_000)
        return await self.inner.score(vectors)


class Late(Slow):
    """A model on the loop that takes its time: whoever is late is found to be so."""

    def __init__(self, inner, ms, clock):
        super().__init__(inner, ms)
        self.clock = clock

    async def score(self, vectors):
        self.clock.advance(self.ms)
        return await self.inner.score(vectors)


def ask_within(bench, card, timeout_ms, **changes):
    """The answer to a caller who waits for so long, None where it would come too late."""

    async def asked():
        until = Deadline(timeout_ms, bench.clock.monotonic_s() + timeout_ms / 1_000)
        carried = deadline.set(until)
        try:
            async with asyncio.timeout(timeout_ms / 1_000):
                return await bench.engine.predict("toy", {**request_of(card), **changes})
        except (TimeoutError, LateError):
            return None
        finally:
            deadline.reset(carried)

    return asyncio.run(asked())


def counted(bench, channel):
    found = bench.count(channel)
    return found.n_requests, found.n_errors


@pytest.mark.parametrize("is_on_loop", [True, False])
def test_a_callers_haste_is_counted_for_nobody(bench, is_on_loop):
    """A hundred callers who wait for less than the limit would else take a good release back."""
    served = bench.served
    for channel in ("champion", "challenger"):
        inner = served.releases[channel].scorer
        slow = Late(inner, 50, bench.clock) if is_on_loop else Slow(inner, 10_000)
        bench.with_scorer(slow, channel)
    for card in (*of_challenger(2), *of_champion(2)):
        assert ask_within(bench, card, 20) is None
        assert ask_within(bench, card, 20, explain=True) is None
    assert counted(bench, "challenger") == counted(bench, "champion") == (0, 0)


def test_a_caller_who_waits_for_as_long_as_the_limit_is_counted(bench):
    for channel in ("champion", "challenger"):
        bench.with_scorer(Slow(None, 10_000), channel)
    for card in (*of_challenger(2), *of_champion(1)):
        assert ask_within(bench, card, 150) is None
    assert (counted(bench, "challenger"), counted(bench, "champion")) == ((2, 2), (1, 1))


def test_a_slow_challenger_leaves_the_champion_time_to_answer(bench):
    bench.with_scorer(Hanging())
    for card in of_challenger(2):
        answer = ask_within(bench, card, 400)
        assert (answer["model"]["channel"], answer["degraded"]["level"]) == ("champion", "champion")
    assert counted(bench, "challenger") == (2, 2)


class Starting(KnownExplainer):
    """An explainer whose process takes its time to start."""

    async def explain(self, release, vectors, *, budget_ms):
        await asyncio.sleep(10)
        return await super().explain(release, vectors, budget_ms=budget_ms)


def test_an_explainer_that_starts_is_not_the_challengers_fault(tmp_path):
    bench = SplitBench(tmp_path, explaining=Starting())
    answer = bench.ask(of_challenger(1)[0], explain=True)
    assert (answer["model"]["channel"], answer["degraded"]) == ("challenger", None)
    assert answer["reasons"][1:] == [{"code": "explanation_late"}]
    assert counted(bench, "challenger") == (1, 0)


def test_who_waits_for_less_than_an_explanation_takes_is_answered_without(tmp_path):
    bench = SplitBench(tmp_path, explaining=Starting())
    for card in (*of_challenger(1), *of_champion(1)):
        answer = ask_within(bench, card, 500, explain=True)
        assert answer["reasons"][1:] == [{"code": "explanation_late"}]
        assert answer["degraded"] is None


class SilentReader:
    """A store that does not answer."""

    async def read(self, keys):
        raise DependencyError("down")

    def close(self):
        pass


def test_answers_without_features_are_counted_apart(tmp_path):
    bench = SplitBench(tmp_path, weight=1.0, reader=SilentReader())
    assert bench.ask(1)["degraded"]["level"] == "no_features"
    found = bench.count("challenger")
    assert (found.n_requests, found.n_degraded, found.n_scores, found.n_errors) == (1, 1, 0, 0)


class SlowRunner:
    """A model that takes its time."""

    def score(self, vectors):
        time.sleep(0.05)
        return np.full(len(vectors), 0.5, dtype=np.float32)


def test_a_slow_challenger_holds_up_nobody_else(bench):
    bench.with_scorer(BatchingScorer(SlowRunner(), Batching()))
    slow = of_challenger(1)[0]
    fast = next(card for card in CARDS if channel_of(card, 0.3) == "champion")

    async def both():
        waiting = asyncio.create_task(bench.engine.predict("toy", request_of(slow)))
        done = 0
        while not waiting.done():
            await bench.engine.predict("toy", request_of(fast))
            done += 1
        return done, (await waiting)["score"]

    done, score = asyncio.run(both())
    assert done > 5
    assert score == 0.5


def publisher(bench, store, told=None):
    return CountPublisher(
        bench.counting, store, "w1", live=bench.releases.experiments, clock=bench.clock,
        told=(told if told is not None else []).append,
    )  # fmt: skip


def test_what_is_counted_is_published_whole_and_entities_once(bench, tmp_path):
    store = SqliteSharedCounts(tmp_path / "counts.sqlite")
    other = SplitBench(tmp_path / "other")
    for _ in range(2):
        for each in (bench, other):
            for card in CARDS:
                each.ask(card)
            asyncio.run(publisher(each, store).publish())
    asyncio.run(publisher(bench, store).publish())
    counts = all_counts(store.read(EXPERIMENT)).stages[0]
    n_challenger = sum(channel_of(card, 0.3) == "challenger" for card in CARDS)
    assert counts.challenger.n_entities == n_challenger
    assert counts.champion.n_entities == len(CARDS) - n_challenger


class BrokenCounts(SqliteSharedCounts):
    """Counts that cannot be reached while ``is_down``."""

    is_down = True

    def _opened(self):
        if self.is_down:
            raise OSError("down")
        return super()._opened()


def test_counts_wait_for_a_store_that_is_down(bench, tmp_path):
    store, told = BrokenCounts(tmp_path / "counts.sqlite"), list[str]()
    publishing = publisher(bench, store, told)
    answer = bench.ask(of_challenger(1)[0])
    for _ in range(3):
        asyncio.run(publishing.publish())
    assert len(told) == 1
    assert answer["model"]["channel"] == "challenger"
    store.is_down = False
    asyncio.run(publishing.publish())
    document = store.read(EXPERIMENT)["w1"]
    assert b'"n_requests":1' in document
    assert b'"n_entities":1' in document


def test_an_experiment_that_ended_is_published_once_more_and_forgotten(bench, tmp_path):
    store = SqliteSharedCounts(tmp_path / "counts.sqlite")
    publishing = publisher(bench, store)
    bench.ask(1)
    bench.releases.roster = type(bench.releases.roster)()
    for _ in range(2):
        asyncio.run(publishing.publish())
    assert store.read(EXPERIMENT)
    assert list(bench.counting.experiments()) == []


def test_counts_outlive_a_challenger_that_made_room_for_another(bench, tmp_path):
    store = SqliteSharedCounts(tmp_path / "counts.sqlite")
    publishing = publisher(bench, store)
    bench.ask(1)
    roster = bench.releases.roster
    served = roster.use_cases["toy"]
    without = served.without({("toy", served.state.challenger)})
    assert without.state.rollout is None
    bench.releases.roster = Roster(roster.channels, {"toy": without})
    for _ in range(3):
        asyncio.run(publishing.publish())
    bench.releases.roster = roster
    bench.ask(1)
    asyncio.run(publishing.publish())
    counts = all_counts(store.read(EXPERIMENT)).stages[0]
    assert counts.champion.n_requests + counts.challenger.n_requests == 2


def test_a_store_that_was_emptied_has_all_again_though_nobody_asks(bench, tmp_path):
    store = SqliteSharedCounts(tmp_path / "counts.sqlite")
    publishing = publisher(bench, store)
    bench.ask(1)
    asyncio.run(publishing.publish())
    before = store.read(EXPERIMENT)
    store.forget(EXPERIMENT)
    for _ in range(ANEW_EVERY):
        asyncio.run(publishing.publish())
    assert store.read(EXPERIMENT) == before


def test_a_use_case_without_rollout_counts_nothing(tmp_path):
    bench = Bench(Layout(tmp_path).create())
    asyncio.run(bench.engine.predict("toy", request_of(1)))
    assert list(bench.counting.experiments()) == []
