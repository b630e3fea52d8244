"""The ladder rung by rung, in the engine: what is answered, recorded, counted and replayed."""

from __future__ import annotations

import asyncio
import json

import numpy as np
import pytest
from bundles import REQUEST, expected_score, shelve
from engines import Bench
from hanging_runner import hung
from ladders import (
    DEGRADATION,
    Broken,
    Failing,
    aged,
    break_fallbacks,
    break_model,
    fallback_score,
    laddered,
)
from memory_store import MemoryOnlineStore
from payments import NOW_MS

from core.degradation import Freshness, Lapse
from core.errors import DependencyError, IntegrityError
from core.packed_records import whole_record
from serving.console.passport import passport_page
from serving.engine.descent import judged
from serving.guard import MOST_FAILURES
from serving.models.batching import Batching, BatchingScorer
from serving.models.limiting import Limits
from serving.ports import DirectScorer
from serving.records.replay import replayed
from stores.layout import Layout
from stores.online.watermarks import Watermark, encode_watermark, watermark_key


@pytest.fixture
def layout(tmp_path):
    return Layout(tmp_path).create()


def bench_of(layout, *, reader=None, fallbacks=(0, 1), ages=None):
    bench = Bench(layout, reader=reader, **laddered(fallbacks))
    aged(bench, **(ages or {}))
    return bench


def ask(bench, amount=1_250, **more):
    raw = {**REQUEST, "inputs": {"amount_minor": amount}, **more}
    answer = asyncio.run(bench.engine.predict("toy", raw))
    record = bench.records.last()
    assert record["degraded"] == answer["degraded"]
    assert (record["score"], record["decision"]) == (answer["score"], answer["decision"])
    level = answer["degraded"]["level"] if answer["degraded"] else ""
    assert bench.observer.predictions[-1][2:] == (answer["decision"], level)
    return answer


def replay_of(bench):
    return replayed(bench.records.last(), bench.releases.served("toy").champion)


def test_the_top_what_is_fresh_is_whole(layout):
    bench = bench_of(layout, ages={"payments_s": 60, "verdicts_s": 600})
    answer = ask(bench)
    assert answer["degraded"] is None
    assert answer["score"] == pytest.approx(expected_score([1_250, None, 0, None, None]), abs=1e-6)


def test_rung_1_a_source_behind_within_its_limit_is_scored_and_labelled_stale(layout):
    answer = ask(bench := bench_of(layout, ages={"payments_s": 75}))
    assert answer["degraded"] == {
        "level": "stale",
        "because": "events of card_activity_v1 are known up to 75 s ago, 60 s is fresh",
    }
    assert answer["score"] == pytest.approx(expected_score([1_250, None, 0, None, None]), abs=1e-6)
    assert answer["features"]["card_activity_v1"] == {"status": "NOT_FOUND", "age_ms": 75_000}
    assert replay_of(bench)["is_equal"]


def test_rung_2_beyond_its_limit_a_view_is_done_without(layout):
    answer = ask(bench := bench_of(layout, ages={"verdicts_s": 90_000}))
    assert answer["degraded"]["level"] == "fallback"
    assert "terminal_risk_v1" in answer["degraded"]["because"]
    assert answer["score"] == pytest.approx(fallback_score(0, 1_250), abs=1e-6)
    assert answer["features"]["terminal_risk_v1"]["status"] == "expired"
    assert answer["features"]["card_activity_v1"]["status"] == "NOT_FOUND"
    assert replay_of(bench)["is_equal"]


@pytest.mark.parametrize(
    ("age_s", "level", "status"),
    [(3_600, None, "missing"), (3_601, "stale", "missing"), (7_201, "fallback", "expired")],
)
def test_attributes_have_limits_too_of_their_source_and_not_of_their_row(
    layout, age_s, level, status
):
    limit = Freshness(view="card_state_v1", fresh_s=3_600, usable_s=7_200)
    changed = DEGRADATION.model_copy(update={"freshness": (*DEGRADATION.freshness, limit)})
    bench = Bench(layout, **laddered(degradation=changed))
    aged(bench, card_states_s=age_s)
    answer = ask(bench)
    assert (answer["degraded"] or {}).get("level") == level
    assert answer["features"]["card_state_v1"] == {"status": status, "age_ms": None}
    assert replay_of(bench)["is_equal"]


def test_rung_2_without_the_store_the_model_of_the_request_alone_answers(layout):
    answer = ask(bench := bench_of(layout, reader=Failing()))
    assert answer["degraded"] == {
        "level": "fallback",
        "because": "the online store did not answer",
    }
    assert answer["score"] == pytest.approx(fallback_score(1, 1_250), abs=1e-6)
    assert {each["status"] for each in answer["features"].values()} == {"unavailable"}
    assert replay_of(bench)["is_equal"]


def test_rung_2_where_nobody_knows_how_old_events_are_they_are_not_used(layout):
    bench = Bench(layout, **laddered())
    answer = ask(bench)
    assert answer["degraded"]["level"] == "fallback"
    assert "is not known" in answer["degraded"]["because"]


@pytest.mark.parametrize("error", [None, RuntimeError("onnx"), DependencyError("too slow")])
def test_rung_2_a_model_that_fails_is_answered_for(layout, error):
    bench = bench_of(layout)
    break_model(bench, error)
    answer = ask(bench)
    assert answer["degraded"]["level"] == "fallback"
    assert "the model failed" in answer["degraded"]["because"]
    assert answer["score"] == pytest.approx(fallback_score(0, 1_250), abs=1e-6)
    assert replay_of(bench)["is_equal"]


def test_rung_2_a_model_that_takes_too_long_is_answered_for_and_then_left_alone(layout):
    bench = bench_of(layout)
    champion = bench.releases.served("toy").champion
    with hung(champion.runner) as runner:
        limits = Limits(bench.clock, bench.told.append)
        scorer = limits.of("the model", BatchingScorer(runner, Batching()))
        object.__setattr__(champion, "scorer", scorer)
        found = [ask(bench)["degraded"] for _ in range(MOST_FAILURES + 1)]
    assert found[0] == {"level": "fallback", "because": "the model took too long"}
    assert found[-1] == {
        "level": "fallback",
        "because": "the model took too long again and again and is left alone",
    }
    assert bench.told[-1].startswith("the model failed again and again")


@pytest.mark.parametrize("payments_s", [0, 75])
def test_a_challenger_that_fails_goes_down_no_ladder(layout, payments_s):
    bench = bench_of(layout, ages={"payments_s": payments_s})
    champion = bench.releases.served("toy").champion
    vectors = np.zeros((1, 5), dtype=np.float32)
    lapses = None if not payments_s else [Lapse(frozenset(), "late")]
    object.__setattr__(champion, "scorer", DirectScorer(Broken(RuntimeError("onnx"))))
    with pytest.raises(RuntimeError):
        asyncio.run(judged(champion, vectors, {}, lapses, may_descend=False))


@pytest.mark.parametrize(("amount", "level", "decision", "reason", "rule"), [
    (5_000, "rules", "REVIEW", "large_unscored", 0),
    (4_999, "default", "APPROVE", "small_unscored", None),
])  # fmt: skip
def test_rungs_3_and_4_without_any_model_rules_decide_and_else_the_default(
    layout, amount, level, decision, reason, rule
):
    bench = bench_of(layout, reader=Failing(), fallbacks=())
    answer = ask(bench, amount)
    assert (answer["score"], answer["decision"]) == (None, decision)
    assert answer["reasons"] == [{"code": reason}]
    assert answer["degraded"]["level"] == level
    record = bench.records.last()
    assert record["rule"] == rule
    assert record["policy"] == DEGRADATION.unscored.model_dump(mode="json")
    assert record["policy_digest"] == DEGRADATION.unscored.digest
    assert replay_of(bench)["is_equal"]
    page = passport_page({**record, "prediction_id": "toy-0"})
    assert "no score" in page
    assert decision in page


def test_rung_3_when_model_and_fallback_fail_both_reasons_are_told(layout):
    bench = bench_of(layout)
    break_model(bench)
    break_fallbacks(bench)
    answer = ask(bench, 9_000)
    assert (answer["score"], answer["decision"]) == (None, "REVIEW")
    because = answer["degraded"]["because"]
    assert "the model failed" in because
    assert "the fallback failed" in because


def test_points_of_one_request_stand_on_their_own_rungs(layout):
    bench = Bench(layout, is_any_time=True, **laddered())
    aged(bench, payments_s=50)
    points = [{**REQUEST, "at": NOW_MS + ahead_s * 1_000} for ahead_s in (0, 60, 1_000, 0)]
    found = asyncio.run(bench.engine.predict_many("toy", {"points": points}))["predictions"]
    levels = [each["degraded"] and each["degraded"]["level"] for each in found]
    assert levels == [None, "stale", "fallback", None]
    kept = [whole_record(payload)["degraded"] for payload in bench.records.payloads]
    assert [each and each["level"] for each in kept] == levels
    assert found[0]["score"] == found[1]["score"] == found[3]["score"]


def test_only_the_release_s_own_model_is_explained(layout):
    bench = bench_of(layout, reader=Failing())
    answer = ask(bench, explain=True)
    assert answer["reasons"][1:] == [{"code": "explanation_unavailable"}]
    whole = bench_of(Layout(layout.root / "other").create())
    assert ask(whole, explain=True)["reasons"][1]["code"] == "contribution"


def test_without_a_declared_ladder_nothing_changes(layout):
    bench = Bench(layout)
    aged(bench, payments_s=1e6)
    assert ask(bench)["degraded"] is None
    break_model(bench)
    with pytest.raises(IntegrityError):
        ask(bench)


def test_a_fallback_that_does_not_answer_its_golden_points_is_not_loaded(layout):
    given = laddered()
    golden = json.loads(given["files"]["fallback-0.golden.json"])
    golden["scores"][0] += 0.01
    given["files"]["fallback-0.golden.json"] = json.dumps(golden).encode()
    bench = Bench(layout)
    release = shelve(layout, **given)
    with pytest.raises(IntegrityError):
        bench.loader.load("toy", release)


def test_the_store_may_come_back_at_any_time(layout):
    store = MemoryOnlineStore()

    class Sometimes:
        is_down = True

        async def read(self, keys):
            if self.is_down:
                raise ConnectionResetError
            return store.read(keys)

        def close(self):
            pass

    reader = Sometimes()
    bench = bench_of(layout, reader=reader)
    for source in ("payments", "verdicts"):
        mark = Watermark(NOW_MS, 0, NOW_MS)
        store.write({watermark_key(source): encode_watermark(mark)})
    assert ask(bench)["degraded"]["level"] == "fallback"
    reader.is_down = False
    assert ask(bench)["degraded"] is None
