import asyncio
import json

import pytest
from bundles import REQUEST, serve, shelve
from engines import Bench, KnownExplainer
from ladders import Failing, break_fallbacks, laddered

from core.errors import IntegrityError
from serving.console.passport import passport_page
from serving.errors import NotFoundError
from serving.records.passports import Passports
from serving.records.replay import replayed
from stores.layout import Layout


@pytest.fixture
def bench(tmp_path):
    bench = Bench(Layout(tmp_path).create())
    asyncio.run(bench.engine.predict("toy", REQUEST))
    return bench


@pytest.fixture
def record(bench):
    return bench.records.last()


def replay(bench, record):
    return replayed(record, bench.releases.served("toy").champion)


def passports(bench, explaining=None):
    return Passports(
        records=bench.records,
        releases=bench.releases,
        loader=bench.loader,
        explaining=explaining or KnownExplainer(),
        explain_budget_ms=100,
    )


def test_a_record_replays_equal(bench, record):
    result = replay(bench, record)
    assert result["is_equal"]
    assert result["differences"] == []
    assert result["recorded"] == result["replayed"]


def test_a_changed_feature_is_found_where_it_matters(bench, record):
    record["features"]["card_activity_v1"]["values"]["amount_minor_count_1d"] = 3.0
    assert replay(bench, record)["differences"] == [
        {
            "where": "vector",
            "name": "card_activity_v1:amount_minor_count_1d",
            "recorded": 0.0,
            "replayed": 3.0,
        }
    ]


def test_a_changed_input_is_found_in_its_transforms(bench, record):
    record["inputs"]["amount_minor"] = 1_251
    found = {(d["where"], d["name"]) for d in replay(bench, record)["differences"]}
    assert found == {("transforms", "payment_v1:amount"), ("vector", "payment_v1:amount")}


def test_one_ulp_in_the_vector_is_found(bench, record):
    record["vector"][0] = 1250.0001220703125
    (difference,) = replay(bench, record)["differences"]
    assert difference["name"] == "payment_v1:amount"


def test_a_changed_score_and_decision_are_found(bench, record):
    record["score"] += 2e-6
    record["decision"] = "BLOCK"
    assert [d["where"] for d in replay(bench, record)["differences"]] == ["score", "decision"]


def test_another_rule_than_the_one_that_fired_is_found(bench, record):
    record["rule"] = 0
    assert replay(bench, record)["differences"] == [
        {"where": "rule", "recorded": 0, "replayed": None}
    ]


def test_float_noise_in_a_score_is_none(bench, record):
    record["score"] += 1e-7
    assert replay(bench, record)["is_equal"]


def test_a_record_of_another_manifest_is_refused(bench, record):
    record["model"]["manifest_digest"] = "0" * 64
    with pytest.raises(IntegrityError) as refused:
        replay(bench, record)
    assert refused.value.code == "another_manifest"


def test_a_record_that_lacks_a_value_is_refused(bench, record):
    del record["features"]["terminal_risk_v1"]["values"]["is_fraud_mean_7d"]
    with pytest.raises(IntegrityError) as refused:
        replay(bench, record)
    assert refused.value.code == "record_incomplete"


def test_a_record_replays_with_its_own_release_though_another_serves(bench):
    serve(bench.layout, shelve(bench.layout, bias=9.0), counter=2)
    assert bench.watcher.look()
    result = asyncio.run(passports(bench).replay("toy-0"))
    assert result["is_equal"]
    assert result["prediction_id"] == "toy-0"
    assert result["model"]["release"] == 1


def test_a_record_whose_release_is_gone_says_so(bench):
    serve(bench.layout, shelve(bench.layout, bias=9.0), counter=2)
    assert bench.watcher.look()
    bundle = bench.shelf.bundle("toy", 1)
    bundle.rename(bundle.with_name("gone"))
    with pytest.raises(NotFoundError, match="not on the shelf") as gone:
        asyncio.run(passports(bench).replay("toy-0"))
    assert gone.value.code == "release_not_here"
    record = asyncio.run(passports(bench).explained("toy-0"))
    assert record["explanation"]["status"] == "unavailable"


def test_a_record_whose_release_was_changed_says_so(bench):
    serve(bench.layout, shelve(bench.layout, bias=9.0), counter=2)
    assert bench.watcher.look()
    model = bench.shelf.bundle("toy", 1) / "model.onnx"
    model.write_bytes(model.read_bytes() + b"x")
    with pytest.raises(IntegrityError, match="cannot be loaded") as changed:
        asyncio.run(passports(bench).replay("toy-0"))
    assert changed.value.code == "release_unusable"


def test_a_record_is_not_explained_by_another_manifest_of_its_number(bench):
    record = bench.records.last()
    record["model"]["manifest_digest"] = "0" * 64
    bench.records.payloads[0] = json.dumps(record).encode()
    explained = asyncio.run(passports(bench).explained("toy-0"))
    assert explained["explanation"]["status"] == "unavailable"


def test_a_record_is_explained_afterwards(bench):
    record = asyncio.run(passports(bench).explained("toy-0"))
    assert record["explanation"]["status"] == "exact"
    assert record["explanation"]["base"] == -4.0
    assert bench.records.last()["explanation"] is None


def test_an_explained_record_is_not_explained_again(bench):
    asyncio.run(bench.engine.predict("toy", {**REQUEST, "explain": True}))
    explaining = KnownExplainer("late")
    record = asyncio.run(passports(bench, explaining).explained("toy-1"))
    assert record["explanation"]["status"] == "exact"
    assert explaining.asked == []


def test_a_record_that_is_no_json_is_damage(bench):
    bench.records.payloads[0] = b"\xff"
    with pytest.raises(IntegrityError):
        asyncio.run(passports(bench).record("toy-0"))


def test_every_value_of_a_record_survives_json(bench, record):
    assert json.loads(json.dumps(record)) == record


def test_an_answer_from_a_lower_rung_is_not_explained_by_the_model(tmp_path):
    """The model's contributions do not add up to a fallback's score, nor to none at all."""
    bench = Bench(Layout(tmp_path).create(), reader=Failing(), **laddered())
    asyncio.run(bench.engine.predict("toy", REQUEST))
    break_fallbacks(bench)
    asyncio.run(bench.engine.predict("toy", REQUEST))
    explaining = KnownExplainer()
    for record_id, level in (("toy-0", "fallback"), ("toy-1", "default")):
        record = asyncio.run(passports(bench, explaining).explained(record_id))
        assert record["degraded"]["level"] == level
        assert record["explanation"]["status"] == "unavailable"
        page = passport_page(record)
        assert "own model did not give this answer" in page
        assert "explain=true" not in page
    assert explaining.asked == []
