"""Records through the engine: whole, masked as declared, sampled as declared."""

import asyncio
import json

import pytest
from bundles import CONTRACT, POLICY, REQUEST, TOY_PLAN
from engines import Bench

from core.contracts import FieldSpec
from core.packed_records import whole_record
from core.rollout.assignment import assignment_point
from serving.records import recording
from serving.records.replay import replayed
from stores.layout import Layout
from stores.masking import Mask
from stores.merging import compiled_merge

OUTPUTS = TOY_PLAN.transforms[0].outputs
PERSONAL_CARD = FieldSpec(name="card_id", type="string", column_class="personal", max_length=64)
SECRET_AMOUNT = FieldSpec(name="amount_minor", type="int64", column_class="sensitive")


def bench_of(tmp_path, **changes):
    return Bench(Layout(tmp_path).create(), **changes)


def predict(bench, card="c1", amount=1_250):
    entities = {"card_id": card, "terminal_id": "t1"}
    raw = {**REQUEST, "entities": entities, "inputs": {"amount_minor": amount}}
    return asyncio.run(bench.engine.predict("toy", raw))


def test_a_record_names_its_policy_and_the_rule_that_fired(tmp_path):
    bench = bench_of(tmp_path)
    fired = []
    for amount in (1_000, 11_000, 20_000):
        predict(bench, amount=amount)
        record = bench.records.last()
        assert record["policy"] == POLICY.model_dump(mode="json")
        assert record["policy_digest"] == POLICY.digest
        fired.append(record["rule"])
    assert fired == [None, 1, 0]


def test_a_personal_key_is_masked_and_no_other(tmp_path):
    contract = CONTRACT.model_copy(update={"keys": (PERSONAL_CARD, CONTRACT.keys[1])})
    bench = bench_of(tmp_path, contract=contract)
    predict(bench, card="card-secret")
    record = bench.records.last()
    assert record["entities"] == {
        "card_id": Mask(bytes(32)).of("card-secret"),
        "terminal_id": "t1",
    }
    assert record["masked"] == ["entities/card_id"]
    assert b"card-secret" not in bench.records.payloads[-1]


def test_a_masked_input_is_null_and_its_transforms_are_not_replayed(tmp_path):
    bench = bench_of(tmp_path, contract=CONTRACT.model_copy(update={"inputs": (SECRET_AMOUNT,)}))
    predict(bench)
    record = bench.records.last()
    assert record["inputs"] == {"amount_minor": None}
    assert record["masked"] == ["inputs/amount_minor"]
    result = replayed(record, bench.releases.served("toy").champion)
    assert result["is_equal"]
    assert result["unreplayable"]["names"] == [f"payment_v1:{name}" for name in OUTPUTS]
    assert result["compared"]["transforms"] == 0


def test_nothing_masked_is_nothing_unreplayable(tmp_path):
    bench = bench_of(tmp_path)
    predict(bench)
    result = replayed(bench.records.last(), bench.releases.served("toy").champion)
    assert result["unreplayable"] is None
    assert result["compared"]["transforms"] == len(OUTPUTS)


def test_a_sample_keeps_entities_whole_and_answers_the_others_without_an_id(tmp_path):
    bench = bench_of(tmp_path, record_share=0.3)
    cards = [f"card-{n}" for n in range(200)]
    answers = {card: [predict(bench, card) for _ in range(2)] for card in cards}
    kept = {card for card in cards if assignment_point("records:toy", [card]) < 0.3}
    assert 40 < len(kept) < 80
    for card, found in answers.items():
        assert [answer["prediction_id"] is not None for answer in found] == [card in kept] * 2
    recorded = [whole_record(payload)["entities"]["card_id"] for payload in bench.records.payloads]
    assert recorded == [card for card in cards if card in kept for _ in range(2)]


def test_a_batch_that_is_partly_in_the_sample_keeps_ids_in_their_places(tmp_path):
    bench = bench_of(tmp_path, record_share=0.5)
    points = [
        {"entities": {"card_id": f"card-{n}", "terminal_id": "t1"}, "inputs": {"amount_minor": n}}
        for n in range(1, 40)
    ]
    answers = asyncio.run(bench.engine.predict_many("toy", {"points": points}))["predictions"]
    ids = [answer["prediction_id"] for answer in answers]
    assert None in ids
    for point, record_id in zip(points, ids, strict=True):
        if record_id is not None:
            record = whole_record(bench.records.read(record_id))
            assert record["inputs"] == point["inputs"]


def test_a_high_risk_tier_is_never_sampled_whatever_the_manifest_says(tmp_path):
    bench = bench_of(tmp_path, record_share=0.01, risk_tier="high")
    assert all(predict(bench, f"card-{n}")["prediction_id"] for n in range(50))


@pytest.mark.parametrize("terminals", [["t1"] * 3, ["t1", "t2", "t3"], ["t1", "t1", "t2"]])
def test_records_of_candidates_say_what_each_says_alone(tmp_path, terminals):
    bench = bench_of(tmp_path)
    raws = [
        {"entities": {"card_id": "c1", "terminal_id": name}, "inputs": {"amount_minor": amount}}
        for name, amount in zip(terminals, (1_250, 1_750, 2_250), strict=True)
    ]
    asyncio.run(bench.engine.predict_many("toy", {"points": raws}))
    together = [whole_record(payload) for payload in bench.records.payloads]
    for raw in raws:
        asyncio.run(bench.engine.predict("toy", raw))
    alone = [whole_record(payload) for payload in bench.records.payloads[len(raws) :]]

    assert len({str(record["vector"]) for record in alone}) > 1
    assert [*map(_without_timings, together)] == [*map(_without_timings, alone)]
    assert all(record["timings_ms"].keys() == alone[0]["timings_ms"].keys() for record in together)


def _without_timings(record):
    return {name: value for name, value in record.items() if name != "timings_ms"}


def test_records_are_written_alike_without_a_compiler(tmp_path, monkeypatch):
    found = []
    for name, library in (("compiled", compiled_merge()), ("plain", None)):
        monkeypatch.setattr(recording, "compiled_merge", lambda library=library: library)
        bench = bench_of(tmp_path / name)
        predict(bench)
        found.append(bench.records.payloads)
    assert found[0] == found[1]


def test_members_that_would_be_null_are_left_out_and_read_as_null(tmp_path):
    bench = bench_of(tmp_path)
    predict(bench)
    kept, record = json.loads(bench.records.payloads[-1]), bench.records.last()
    absent = {"event_id", "rollout", "rule", "explanation", "degraded", "request_id", "traceparent"}
    assert not absent & kept.keys()
    assert {record[name] for name in absent} == {None}
