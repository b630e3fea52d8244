"""Two majors of a contract at once: each caller is answered by what it speaks, until its day."""

from __future__ import annotations

import asyncio

import pytest
from bundles import CONTRACT, REQUEST, shelve
from desks import Desk
from engines import Bench, KnownExplainer

from core.clock import DAY_MS
from serving.engine.speaking import older_headers
from serving.errors import BrokenContractError, ContractEndedError, NotFoundError
from serving.records.passports import Passports
from serving.transport.openapi import openapi_of
from stores.layout import Layout

SMALL = CONTRACT.inputs[0].model_copy(update={"maximum": 500})
TWO = CONTRACT.model_copy(update={"version": "2.1", "inputs": (SMALL,), "keeps_previous_days": 30})
OLD_STYLE = {**REQUEST, "inputs": {"amount_minor": 1_250}}
NEW_STYLE = {**REQUEST, "inputs": {"amount_minor": 400}}


@pytest.fixture
def bench(tmp_path):
    """Release 1 speaks contract 1, the champion, release 2, contract 2.1."""
    bench = Bench(Layout(tmp_path).create())
    desk = Desk(bench.layout)
    assert desk.ask("promote", shelve(bench.layout, contract=TWO, bias=-3.0)).is_accepted
    assert bench.watcher.look()
    return bench


def answer(bench, raw, said=None):
    return asyncio.run(bench.engine.predict("toy", raw, said))


def model(bench, raw, said=None):
    found = answer(bench, raw, said)["model"]
    return found["release"], found["channel"]


def test_each_caller_is_answered_by_what_it_speaks(bench):
    assert model(bench, NEW_STYLE, "2") == (2, "champion")
    assert model(bench, NEW_STYLE, "2.1") == (2, "champion")
    assert model(bench, OLD_STYLE, "1") == (1, "contract_1")
    assert model(bench, OLD_STYLE) == (1, "contract_1")  # it was there before there were two
    with pytest.raises(BrokenContractError):
        answer(bench, OLD_STYLE, "2")
    assert bench.observer.contracts == [2, 2, 1, 1, 2]


@pytest.mark.parametrize("said", ["3", "2.2", "1.1", "0", "", "two", "2.", "2.1.0"])
def test_a_contract_that_nobody_serves_is_told_with_those_that_are(bench, said):
    with pytest.raises(NotFoundError) as told:
        answer(bench, NEW_STYLE, said)
    assert told.value.code == "unknown_contract"
    assert "found served: 1 until 20" in str(told.value)
    assert "2.1" in str(told.value)


def test_after_its_day_callers_of_the_older_one_are_told_so_at_once(bench):
    (kept,) = bench.releases.served("toy").state.older
    bench.clock.advance(kept.until_ms - bench.clock.now_ms() - 1)
    assert model(bench, OLD_STYLE, "1") == (1, "contract_1")
    bench.clock.advance(1)
    for said in ("1", None):  # silence keeps its meaning
        with pytest.raises(ContractEndedError) as told:
            answer(bench, OLD_STYLE, said)
        assert "speak contract 2" in str(told.value)
    assert model(bench, NEW_STYLE, "2") == (2, "champion")


def test_its_release_leaves_memory_and_what_it_decided_is_replayed_all_the_same(bench):
    desk = Desk(bench.layout)
    record_id = answer(bench, OLD_STYLE)["prediction_id"]
    desk.clock.advance(31 * DAY_MS)
    assert desk.controller().look()
    assert bench.watcher.look()
    assert bench.releases.served("toy").older == {}
    passports = Passports(
        records=bench.records,
        releases=bench.releases,
        loader=bench.loader,
        explaining=KnownExplainer(),
        explain_budget_ms=100,
    )
    assert bench.records.last()["model"]["channel"] == "contract_1"
    assert asyncio.run(passports.replay(record_id))["is_equal"]
    with pytest.raises(ContractEndedError):
        answer(bench, OLD_STYLE, "1")


def test_answers_of_an_older_contract_say_since_when_and_until_when(bench):
    headers = older_headers(bench.releases, "toy", "1", bench.clock)
    assert headers["throughline-contract"] == "1.0"
    (kept,) = bench.releases.served("toy").state.older
    assert headers["Deprecation"] == f"@{kept.since_ms // 1_000}"
    assert headers["Sunset"].endswith(" GMT")
    assert older_headers(bench.releases, "toy", "2", bench.clock) == {}


def test_openapi_tells_of_both(bench):
    document = openapi_of(bench.releases.roster, {}, is_open=True)
    schemas = document["components"]["schemas"]
    found = {
        name: schemas[name]["properties"]["inputs"]["properties"]["amount_minor"]["maximum"]
        for name in ("toy_request", "toy_request_1")
    }
    assert found == {"toy_request": 500, "toy_request_1": 10_000_000}
    operation = document["paths"]["/v1/toy/predictions"]["post"]
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    assert [each["$ref"].rpartition("/")[2] for each in schema["anyOf"]] == [*found]
    (said,) = [p for p in operation["parameters"] if p["name"] == "throughline-contract"]
    assert "1 where nothing is said" in said["description"]
    assert {"Deprecation", "Sunset"} <= operation["responses"]["200"]["headers"].keys()
    assert {"404", "410"} <= operation["responses"].keys()
    plain = document["paths"]["/v2/models/toy/infer"]["post"]["responses"]["200"]["headers"]
    assert "Sunset" not in plain


def test_a_restarted_service_serves_both_again(bench):
    bench.releases.roster = type(bench.releases.roster)()
    assert bench.new_watcher().look()
    assert model(bench, OLD_STYLE, "1") == (1, "contract_1")
