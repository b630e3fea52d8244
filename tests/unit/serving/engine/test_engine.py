import asyncio
import json

import numpy as np
import pytest
from bundles import REQUEST, TOY_PLAN, expected_score
from engines import Bench, KnownExplainer
from payments import DAY_MS, NOW_MS

from core.errors import DependencyError, IntegrityError, InvalidInputError
from core.features.blob import delta_key
from core.features.fold import YOUNG_MS, FoldEvent, fold
from core.features.keys import entity_key, position
from core.packed_records import whole_record
from serving.engine import deadline
from serving.engine.calls import MAX_FAULTS
from serving.engine.engine import MAX_POINTS
from serving.engine.features import FeatureReading
from serving.errors import BrokenContractError, LateError, ListTooLongError, NotFoundError
from serving.records.replay import replayed
from stores.layout import Layout
from stores.online.watermarks import (
    Watermark,
    covered_key,
    encode_covered,
    encode_watermark,
    watermark_key,
)

STAGES = ["validate", "read", "transform", "score", "explain", "record"]


@pytest.fixture
def layout(tmp_path):
    return Layout(tmp_path).create()


@pytest.fixture
def bench(layout):
    return Bench(layout)


def predict(bench, raw=None, use_case="toy"):
    return asyncio.run(bench.engine.predict(use_case, raw or REQUEST))


def give_events(bench, view_name, key, values, event_ms=NOW_MS - 60_000, epoch=1):
    view = bench.releases.served("toy").champion.plan.view(view_name)
    events = [
        FoldEvent(epoch, n, f"e{n}", event_ms + n, event_ms + n, each)
        for n, each in enumerate(values)
    ]
    delta = fold(view, None, events, now_ms=NOW_MS, base_epoch=-1)
    bench.store.write({delta_key(view_name, entity_key([key])): delta})


def test_an_answer_has_the_shape_that_is_promised(bench):
    answer = predict(bench)
    assert answer["score"] == pytest.approx(expected_score([1_250, None, 0, None, None]), abs=1e-7)
    assert answer == {
        "prediction_id": "toy-0",
        "score": answer["score"],
        "decision": "APPROVE",
        "reasons": [{"code": "no_sign"}],
        "model": {
            "name": "toy",
            "version": bench.releases.served("toy").champion.manifest_digest[:12],
            "release": 1,
            "channel": "champion",
        },
        "features": {
            "card_activity_v1": {"status": "NOT_FOUND", "age_ms": None},
            "terminal_risk_v1": {"status": "NOT_FOUND", "age_ms": None},
            "card_state_v1": {"status": "missing", "age_ms": None},
        },
        "degraded": None,
        "timings_ms": dict.fromkeys(STAGES, 0.0),
    }


def test_features_reach_the_model_in_the_plan_s_order(bench):
    give_events(bench, "card_activity_v1", "c1", [{"amount_minor": 500}, {"amount_minor": 1_500}])
    give_events(bench, "terminal_risk_v1", "t1", [{"is_fraud": 1}, {"is_fraud": 0}])
    give_events(bench, "card_state_v1", "c1", [{"limit_minor": 7_000}])
    answer = predict(bench)
    vector = [1_250.0, 1.25, 2.0, 0.5, 7_000.0]
    assert bench.records.last()["vector"] == vector
    assert answer["score"] == pytest.approx(expected_score(vector), abs=1e-6)


@pytest.mark.parametrize(
    ("amount", "decision", "reason"),
    [(1_000, "APPROVE", "no_sign"), (11_000, "REVIEW", "likely"), (20_000, "BLOCK", "very_likely")],
)
def test_the_declared_policy_decides(bench, amount, decision, reason):
    answer = predict(bench, {**REQUEST, "inputs": {"amount_minor": amount}})
    assert answer["decision"] == decision
    assert answer["reasons"] == [{"code": reason}]


def test_ages_are_those_of_sources_and_rows(bench):
    mark = Watermark(NOW_MS - 40, position(1, 0), NOW_MS)
    bench.store.write({watermark_key("payments"): encode_watermark(mark)})
    give_events(bench, "card_activity_v1", "c1", [{"amount_minor": 500}])
    give_events(bench, "card_state_v1", "c1", [{"limit_minor": 7_000}], NOW_MS - 90_000)
    features = predict(bench)["features"]
    assert features["card_activity_v1"] == {"status": "PRESENT", "age_ms": 40}
    assert features["terminal_risk_v1"] == {"status": "NOT_FOUND", "age_ms": None}
    assert features["card_state_v1"] == {"status": "fresh", "age_ms": 90_000}


def test_a_read_has_seen_what_was_folded_for_everybody_though_it_found_nothing(bench):
    mark = Watermark(NOW_MS - 40, position(7, 3), NOW_MS)
    bench.store.write({watermark_key("payments"): encode_watermark(mark)})
    give_events(bench, "terminal_risk_v1", "t1", [{"is_fraud": 1}], epoch=9)
    predict(bench)
    found = bench.records.last()["features"]
    assert found["card_activity_v1"]["status"] == "NOT_FOUND"
    assert found["card_activity_v1"]["seen_position"] == position(7, 3)
    assert found["terminal_risk_v1"]["seen_position"] == position(9, 0)
    assert found["card_state_v1"]["seen_position"] is None


def test_the_record_holds_all_that_was_known(bench):
    give_events(bench, "card_activity_v1", "c1", [{"amount_minor": 500}])
    answer = predict(bench, {**REQUEST, "explain": True})
    record = bench.records.last()
    champion = bench.releases.served("toy").champion
    assert record["entities"] == REQUEST["entities"]
    assert record["inputs"] == REQUEST["inputs"]
    assert (record["received_at_ms"], record["at_ms"]) == (NOW_MS, NOW_MS)
    assert record["features"]["card_activity_v1"] == {
        "status": "PRESENT",
        "age_ms": None,
        "seen_position": position(1, 0),
        "values": {"amount_minor_count_1d": 1.0, "amount_minor_mean_30d": 500.0},
    }
    assert record["features"]["terminal_risk_v1"]["values"] == {"is_fraud_mean_7d": None}
    assert record["transforms"]["payment_v1:amount_over_mean"] == 2.5
    assert record["score"] == answer["score"]
    assert (record["decision"], record["reason"]) == ("APPROVE", "no_sign")
    assert record["policy_digest"] == champion.manifest.decisions.digest
    assert record["model"]["manifest_digest"] == champion.manifest.digest
    assert record["model"]["plan_digest"] == TOY_PLAN.digest
    assert record["explanation"]["status"] == "exact"
    assert list(record["timings_ms"]) == STAGES[:-1]


def test_the_vector_survives_the_record_bit_by_bit(bench):
    give_events(bench, "card_activity_v1", "c1", [{"amount_minor": 3}, {"amount_minor": 7}] * 50)
    predict(bench, {**REQUEST, "inputs": {"amount_minor": 9_999_999}})
    vector = np.array(bench.records.last()["vector"], dtype=np.float32)
    assert vector[1] == np.float32(9_999_999 / 5.0)


def test_an_explanation_gives_the_largest_contributions_with_their_values(bench):
    reasons = predict(bench, {**REQUEST, "explain": True})["reasons"]
    assert reasons[0] == {"code": "no_sign"}
    assert reasons[1] == {
        "code": "contribution",
        "feature": "card_state_v1:limit_minor",
        "value": None,
        "contribution": 4.0,
    }
    assert [reason["contribution"] for reason in reasons[1:]] == [4.0, 3.0, 2.0, 1.0, 0.0]


@pytest.mark.parametrize("status", ["late", "unavailable", "not_offered"])
def test_an_answer_says_why_it_is_not_explained(layout, status):
    bench = Bench(layout, explaining=KnownExplainer(status))
    answer = predict(bench, {**REQUEST, "explain": True})
    assert answer["reasons"] == [{"code": "no_sign"}, {"code": f"explanation_{status}"}]
    assert bench.records.last()["explanation"]["status"] == status


def test_only_who_asks_is_explained(layout):
    explaining = KnownExplainer()
    bench = Bench(layout, explaining=explaining)
    points = [{**REQUEST, "explain": n % 2 == 0} for n in range(5)]
    answers = asyncio.run(bench.engine.predict_many("toy", {"points": points}))["predictions"]
    assert explaining.asked == [3]
    assert [len(answer["reasons"]) > 1 for answer in answers] == [n % 2 == 0 for n in range(5)]


def test_a_batch_answers_each_point_as_if_it_were_alone(bench):
    give_events(bench, "card_activity_v1", "c1", [{"amount_minor": 500}])
    give_events(bench, "card_activity_v1", "c2", [{"amount_minor": 900}] * 3)
    points = [
        {"entities": {"card_id": card, "terminal_id": "t1"}, "inputs": {"amount_minor": amount}}
        for card, amount in [("c1", 100), ("c2", 20_000), ("c1", 300), ("c3", 5)]
    ]
    alone = [predict(bench, point) for point in points]
    together = asyncio.run(bench.engine.predict_many("toy", {"points": points}))["predictions"]
    for one, other in zip(alone, together, strict=True):
        assert one["score"] == pytest.approx(other["score"], abs=1e-7)
        assert one["decision"] == other["decision"]
    assert len({answer["prediction_id"] for answer in alone + together}) == 8


@pytest.mark.parametrize(
    "raw", [{}, [], None, {"points": []}, {"points": {}}, {"points": [1], "x": 1}]
)
def test_a_batch_that_is_none_is_refused(bench, raw):
    with pytest.raises(BrokenContractError):
        asyncio.run(bench.engine.predict_many("toy", raw))


def test_a_batch_that_is_too_large_is_refused(bench):
    with pytest.raises(ListTooLongError):
        asyncio.run(bench.engine.predict_many("toy", {"points": [REQUEST] * (MAX_POINTS + 1)}))


def test_a_batch_with_faults_lists_them_with_their_places(bench):
    points = [REQUEST, {**REQUEST, "inputs": {}}, REQUEST, {}]
    with pytest.raises(BrokenContractError) as broken:
        asyncio.run(bench.engine.predict_many("toy", {"points": points}))
    pointers = {fault.pointer for fault in broken.value.faults}
    assert pointers == {
        "/points/1/inputs/amount_minor", "/points/3/entities", "/points/3/inputs/amount_minor"
    }  # fmt: skip
    assert bench.records.payloads == []


def test_a_list_of_faults_has_an_end(bench):
    with pytest.raises(BrokenContractError) as broken:
        asyncio.run(bench.engine.predict_many("toy", {"points": [{}] * 500}))
    assert len(broken.value.faults) == MAX_FAULTS


def test_an_unknown_use_case_is_not_found_and_not_repeated(bench):
    with pytest.raises(NotFoundError) as unknown:
        predict(bench, use_case="secret-name")
    assert unknown.value.code == "unknown_use_case"
    assert "secret-name" not in str(unknown.value)


class FailingReader:
    def __init__(self, error):
        self.error = error

    async def read(self, keys):
        if self.error is None:
            await asyncio.sleep(5)
        raise self.error

    def close(self):
        pass


@pytest.mark.parametrize(
    ("error", "because"),
    [
        (DependencyError("down"), "did not answer"),
        (ConnectionResetError(), "did not answer"),
        (IntegrityError("bytes"), "cannot be read"),
        (None, "took too long"),
    ],
)
def test_without_its_features_an_answer_leaves_labelled(layout, error, because):
    bench = Bench(layout, reader=FailingReader(error), read_budget_ms=20)
    answer = predict(bench)
    assert answer["degraded"]["level"] == "no_features"
    assert because in answer["degraded"]["because"]
    assert {each["status"] for each in answer["features"].values()} == {"unavailable"}
    vector = [1_250.0, None, None, None, None]
    assert bench.records.last()["vector"] == vector
    assert answer["score"] == pytest.approx(expected_score(vector), abs=1e-7)
    assert bench.records.last()["degraded"] == answer["degraded"]
    assert bench.observer.predictions == [("toy", "champion", "APPROVE", "no_features")]


class LingeringReader:
    """A store that holds up the loop, as the embedded one may: no timer fires meanwhile."""

    def __init__(self, bench_of):
        self.bench_of = bench_of

    async def read(self, keys):
        self.bench_of().clock.advance(50)
        return [None] * len(keys)

    def close(self):
        pass


def asked_within(bench, ms, raw=None):
    async def run():
        deadline.current.set(deadline.Deadline(ms, bench.clock.monotonic_s() + ms / 1_000))
        return await bench.engine.predict_many("toy", {"points": [raw or REQUEST] * 3})

    return asyncio.run(run())


def test_who_is_late_before_the_record_is_refused_and_leaves_none(layout):
    bench = Bench(layout, reader=LingeringReader(lambda: bench))
    with pytest.raises(LateError, match="40 ms"):
        asked_within(bench, 40)
    assert bench.records.payloads == []
    assert bench.observer.predictions == []
    assert len(asked_within(bench, 400)["predictions"]) == 3


def test_a_caller_in_haste_is_answered_without_what_would_come_too_late(layout):
    bench = Bench(layout, reader=FailingReader(None), read_budget_ms=60_000)
    for answer in asked_within(bench, 100)["predictions"]:
        assert answer["degraded"] == {
            "level": "no_features",
            "because": "the online store did not answer in the time that the caller gives",
        }
    assert bench.changes == ["closed"]  # a store is not to blame for a caller's haste


def test_a_point_before_what_is_kept_is_refused(layout):
    bench = Bench(layout, is_any_time=True)
    give_events(bench, "card_activity_v1", "c1", [{"amount_minor": 500}])
    at_ms = NOW_MS - DAY_MS - 12_345
    with pytest.raises(InvalidInputError) as refused:
        predict(bench, {**REQUEST, "at": at_ms})
    assert refused.value.code == "at_too_old"
    first_ms, said = NOW_MS - YOUNG_MS, str(refused.value)
    assert f"one {first_ms - at_ms} ms before {first_ms}, the first instant" in said
    assert str(at_ms) not in said


def test_a_point_before_the_last_base_is_refused_though_nothing_is_held_of_its_card(layout):
    """Batch writes no base where no window holds a row: the view's mark speaks for such cards."""
    bench = Bench(layout, is_any_time=True)
    mark = encode_covered(position(3, 0), NOW_MS - YOUNG_MS)
    bench.store.write({covered_key("card_activity_v1"): mark})
    at_the_head = {**REQUEST, "at": NOW_MS - YOUNG_MS}
    assert predict(bench, at_the_head)["features"]["card_activity_v1"]["status"] == "NOT_FOUND"
    with pytest.raises(InvalidInputError) as refused:
        predict(bench, {**REQUEST, "at": NOW_MS - YOUNG_MS - 1})
    assert refused.value.code == "at_too_old"


@pytest.mark.parametrize("library", ["compiled", "python"])
def test_after_the_clock_was_put_back_who_asks_about_now_is_answered(layout, library, monkeypatch):
    bench = Bench(layout)
    champion = bench.releases.served("toy").champion
    if library == "python":
        in_python = FeatureReading(champion.plan, None)
        monkeypatch.setitem(champion.__dict__, "features", in_python)
    give_events(bench, "card_activity_v1", "c1", [{"amount_minor": 500}, {"amount_minor": 1_500}])
    give_events(bench, "terminal_risk_v1", "t1", [{"is_fraud": 1}], event_ms=NOW_MS - 400_000)
    mark = encode_covered(position(3, 0), NOW_MS - YOUNG_MS + 7)
    bench.store.write({covered_key("terminal_risk_v1"): mark})
    other = {**REQUEST, "entities": {"card_id": "c2", "terminal_id": "t2"}}
    bench.clock.advance(-DAY_MS)

    answer = predict(bench)
    record = whole_record(bench.records.payloads[0])
    assert record["received_at_ms"] == NOW_MS - DAY_MS
    assert record["at_ms"] == NOW_MS - YOUNG_MS + 7  # the latest of what its views can answer
    assert answer["features"]["card_activity_v1"]["status"] == "PRESENT"
    assert replayed(record, champion)["is_equal"]
    both = asyncio.run(bench.engine.predict_many("toy", {"points": [REQUEST, other]}))
    assert [each["degraded"] for each in both["predictions"]] == [None, None]
    with pytest.raises(InvalidInputError) as refused:
        predict(bench, {**REQUEST, "at": NOW_MS - DAY_MS + 1})
    assert refused.value.code == "at_too_old"


def test_no_answer_leaves_without_its_record(bench, monkeypatch):
    def refuse(use_case, payloads):
        raise DependencyError("disk full", code="record_not_kept")

    monkeypatch.setattr(bench.records, "append_frames", refuse)
    with pytest.raises(DependencyError):
        predict(bench)
    assert bench.observer.predictions == []


class NanRunner:
    def score(self, vectors):
        return np.full(len(vectors), np.nan, dtype=np.float32)


def test_a_score_that_is_no_number_is_no_decision(bench, monkeypatch):
    from serving.ports import DirectScorer

    served = bench.releases.served("toy")
    object.__setattr__(served.champion, "scorer", DirectScorer(NanRunner()))
    with pytest.raises(IntegrityError) as refused:
        predict(bench)
    assert refused.value.code == "score_not_finite"
    assert bench.records.payloads == []


def test_a_request_in_flight_keeps_the_release_it_began_with(layout):
    from bundles import serve, shelve

    class SwappingReader:
        async def read(self, keys):
            serve(layout, shelve(layout, bias=9.0), counter=2)
            assert swapping.watcher.look()
            return [None] * len(keys)

        def close(self):
            pass

    swapping = Bench(layout, reader=SwappingReader())
    answer = predict(swapping)
    assert answer["model"]["release"] == 1
    assert answer["decision"] == "APPROVE"
    assert swapping.records.last()["model"]["release"] == 1
    assert swapping.releases.served("toy").champion.manifest.release == 2


def test_stages_are_timed_and_answers_counted(bench):
    predict(bench)
    assert bench.observer.stages == STAGES
    assert bench.observer.predictions == [("toy", "champion", "APPROVE", "")]


def test_a_synthetic_request_is_recorded_and_counted_nowhere(bench):
    predict(bench, REQUEST | {"event_id": "synthetic:1"})
    assert bench.records.last()["event_id"] == "synthetic:1"
    assert bench.observer.predictions == []
    assert (bench.observer.stages, bench.observer.contracts) == ([], [])


def test_the_record_is_json_without_nan(bench):
    predict(bench)

    def refuse(constant):
        raise AssertionError(constant)

    json.loads(bench.records.payloads[0], parse_constant=refuse)
