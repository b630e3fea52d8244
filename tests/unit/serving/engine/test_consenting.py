"""Who opted out is answered as declared: without features of his, or by rules; others whole."""

from __future__ import annotations

import asyncio

import pytest
from bundles import REQUEST, TOY_PLAN
from engines import Bench
from ladders import DEGRADATION, Failing, aged, fallback_score
from payments import NOW_MS
from wishes import CONSENT, PLAN, WISH, asking, says

from core.consent import asked
from core.degradation import Freshness
from core.errors import ConfigurationError
from core.packed_records import whole_record
from serving.console.passport import passport_page
from serving.records.replay import replayed
from stores.layout import Layout
from stores.online.watermarks import Watermark, encode_watermark, watermark_key

OF_THE_CARD = {"card_activity_v1", "card_state_v1"}


def bench_of(tmp_path, *, by="without_features", reader=None, degradation=DEGRADATION):
    bench = Bench(Layout(tmp_path).create(), reader=reader, **asking(by, degradation))
    aged(bench)
    mark = encode_watermark(Watermark(NOW_MS - 1_000, 0, NOW_MS))
    bench.store.write({watermark_key("wishes"): mark})
    return bench


def ask(bench, card="c1", amount=1_250):
    raw = {"entities": {**REQUEST["entities"], "card_id": card}, "inputs": {"amount_minor": amount}}
    return asyncio.run(bench.engine.predict("toy", raw))


def statuses(answer):
    return {view: each["status"] for view, each in answer["features"].items()}


def test_who_opted_out_is_scored_without_features_and_the_record_says_so(tmp_path):
    bench = bench_of(tmp_path)
    says(bench, "c1", True)
    answer = ask(bench)
    assert answer["degraded"] == {"level": "fallback", "because": "the subject opted out"}
    assert answer["score"] == pytest.approx(fallback_score(1, 1_250), abs=1e-6)
    found = statuses(answer)
    assert {view for view, status in found.items() if status == "withheld"} == OF_THE_CARD
    assert found["wish_v1"] == "fresh"
    record = bench.records.last()
    assert record["features"]["wish_v1"]["values"] == {"is_out": 1.0}
    assert record["features"]["card_activity_v1"]["values"]["amount_minor_count_1d"] is None
    assert replayed(record, bench.releases.served("toy").champion)["is_equal"]
    page = passport_page({**record, "prediction_id": answer["prediction_id"]})
    assert "the subject opted out" in page
    assert ask(bench, "c2")["degraded"] is None


def test_the_last_word_counts_and_may_be_taken_back(tmp_path):
    bench = bench_of(tmp_path)
    says(bench, "c1", True, False)
    assert ask(bench)["degraded"] is None
    says(bench, "c1", True, False, True)
    assert ask(bench)["degraded"]["because"] == "the subject opted out"


def test_by_rules_no_model_is_asked_and_rules_see_the_request_alone(tmp_path):
    bench = bench_of(tmp_path, by="by_rules")
    says(bench, "c1", True)
    champion = bench.releases.served("toy").champion
    calls = champion.calls
    small, large = ask(bench), ask(bench, amount=9_000)
    assert (small["score"], small["decision"], small["degraded"]["level"]) == (
        None, "APPROVE", "default",
    )  # fmt: skip
    assert (large["score"], large["decision"], large["degraded"]["level"]) == (
        None, "REVIEW", "rules",
    )  # fmt: skip
    assert champion.calls == calls
    assert replayed(bench.records.last(), champion)["is_equal"]
    assert ask(bench, "c2")["score"] is not None


def test_in_a_list_each_is_answered_by_his_own_word(tmp_path):
    bench = bench_of(tmp_path)
    says(bench, "c1", True)
    points = [{**REQUEST, "entities": {"card_id": card, "terminal_id": "t"}} for card in
              ("c2", "c1", "c3")]  # fmt: skip
    found = asyncio.run(bench.engine.predict_many("toy", {"points": points}))["predictions"]
    assert [(each["degraded"] or {}).get("level") for each in found] == [None, "fallback", None]


@pytest.mark.parametrize(
    ("by", "level"), [("without_features", "fallback"), ("by_rules", "default")]
)
def test_who_cannot_be_asked_is_treated_as_if_he_had(tmp_path, by, level):
    answer = ask(bench_of(tmp_path, by=by, reader=Failing()))
    assert answer["degraded"] == {
        "level": level,
        "because": "the online store did not answer; whether the subject opted out is not known",
    }


def test_words_that_are_too_old_to_be_used_count_as_not_known(tmp_path):
    limit = Freshness(view="wish_v1", fresh_s=60, usable_s=600)
    bench = bench_of(tmp_path, degradation=DEGRADATION.model_copy(update={"freshness": (limit,)}))
    says(bench, "c1", False)
    assert ask(bench)["degraded"] is None
    bench.clock.advance(601_000)
    answer = ask(bench)
    assert answer["score"] == pytest.approx(fallback_score(1, 1_250), abs=1e-6)
    assert answer["degraded"]["because"].endswith("whether the subject opted out is not known")
    assert statuses(answer)["wish_v1"] == "expired"


def test_a_record_of_an_answer_that_took_no_notice_does_not_replay(tmp_path):
    bench = bench_of(tmp_path)
    ask(bench)
    record = whole_record(bench.records.payloads[-1])
    champion = bench.releases.served("toy").champion
    assert replayed(record, champion)["is_equal"]
    record["features"]["wish_v1"]["values"]["is_out"] = 1.0
    found = replayed(record, champion)
    assert [each["where"] for each in found["differences"]] == ["consent"]


@pytest.mark.parametrize(
    ("views", "wrong"),
    [
        (TOY_PLAN.views, "no view tells who opted out"),
        ((*TOY_PLAN.views, WISH.model_copy(update={"ttl_ms": 5})), "no view tells who opted out"),
        ((TOY_PLAN.view("terminal_risk_v1"), WISH), "no view of the subject could be withheld"),
    ],
)
def test_a_plan_that_could_not_follow_is_refused(views, wrong):
    with pytest.raises(ConfigurationError, match=wrong):
        asked(CONSENT, PLAN.model_copy(update={"views": views}))
