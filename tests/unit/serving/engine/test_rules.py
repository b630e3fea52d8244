"""Rules over features and request fields, decided, recorded and replayed by the service."""

from __future__ import annotations

import asyncio

import pytest
from bundles import CONTRACT, REQUEST, TOY_PLAN, bundle_files, shelve
from engines import Bench
from payments import NOW_MS

from core.decisions import DecisionPolicy, Rule
from core.errors import ConfigurationError, IntegrityError
from core.features.blob import delta_key
from core.features.fold import FoldEvent, fold
from core.features.keys import entity_key
from serving.records.replay import replayed
from stores.layout import Layout
from stores.shelf.bundle import GOLDEN
from stores.shelf.golden import Golden
from training.rule_cases import rule_cases

SEEN = "card_activity_v1.amount_minor_count_1d"
POLICY = DecisionPolicy(
    rules=(
        Rule(decision="BLOCK", above=0.9, reason="very_likely"),
        Rule(
            decision="REVIEW",
            when=f"request.amount_minor >= 5_000 and {SEEN} == 0",
            reason="large_and_unseen",
        ),
        Rule(decision="REVIEW", when="payment_v1.amount_over_mean > 3", reason="unlike_the_card"),
    ),
    default="APPROVE",
    default_reason="no_sign",
)


@pytest.fixture
def bench(tmp_path):
    return Bench(Layout(tmp_path).create(), decisions=POLICY)


def asked(bench, *amounts, card="c1"):
    points = [
        {"entities": {**REQUEST["entities"], "card_id": card}, "inputs": {"amount_minor": amount}}
        for amount in amounts
    ]
    return asyncio.run(bench.engine.predict_many("toy", {"points": points}))["predictions"]


def pays(bench, card, amount):
    view = bench.releases.served("toy").champion.plan.view("card_activity_v1")
    event = FoldEvent(1, 0, "e0", NOW_MS - 9_000, NOW_MS - 9_000, {"amount_minor": amount})
    delta = fold(view, None, [event], now_ms=NOW_MS, base_epoch=-1)
    bench.store.write({delta_key(view.name, entity_key([card])): delta})


def test_the_first_rule_that_holds_decides_and_the_record_says_which(bench):
    pays(bench, "seen", 1_000)
    for card, amount, decision, reason, rule in [
        ("seen", 30_000, "BLOCK", "very_likely", 0),
        ("new", 5_000, "REVIEW", "large_and_unseen", 1),
        ("new", 4_999, "APPROVE", "no_sign", None),
        ("seen", 5_000, "REVIEW", "unlike_the_card", 2),
        ("seen", 3_000, "APPROVE", "no_sign", None),
    ]:
        (answer,) = asked(bench, amount, card=card)
        record = bench.records.last()
        assert (answer["decision"], answer["reasons"]) == (decision, [{"code": reason}])
        assert (record["decision"], record["reason"], record["rule"]) == (decision, reason, rule)
        assert record["policy"] == POLICY.model_dump(mode="json")


def test_two_rules_of_one_reason_are_told_apart(tmp_path):
    rules = tuple(
        Rule(decision="REVIEW", when=f"request.amount_minor == {amount}", reason="odd")
        for amount in (7, 8)
    )
    policy = POLICY.model_copy(update={"rules": rules})
    bench = Bench(Layout(tmp_path).create(), decisions=policy)
    asked(bench, 8)
    assert bench.records.last()["rule"] == 1


def test_a_long_list_is_decided_as_its_points_alone(bench):
    amounts = [*range(4_990, 5_010), *range(20_000, 20_020)]
    together = [answer["decision"] for answer in asked(bench, *amounts)]
    assert together == [asked(bench, amount)[0]["decision"] for amount in amounts]
    assert set(together) == {"APPROVE", "REVIEW", "BLOCK"}


def test_a_rule_does_not_fire_on_what_could_not_be_read(tmp_path):
    class Unreachable:
        async def read(self, keys):
            raise OSError("down")

        def close(self):
            pass

    bench = Bench(Layout(tmp_path).create(), decisions=POLICY, reader=Unreachable())
    (answer,) = asked(bench, 6_000)
    assert answer["degraded"]["level"] == "no_features"
    assert answer["decision"] == "APPROVE"


def test_a_record_replays_by_its_rules(bench):
    asked(bench, 5_000)
    champion = bench.releases.served("toy").champion
    assert replayed(bench.records.last(), champion)["is_equal"]
    changed = bench.records.last()
    changed["features"]["card_activity_v1"]["values"]["amount_minor_count_1d"] = 1.0
    where = [each["where"] for each in replayed(changed, champion)["differences"]]
    assert where == ["vector", "rule", "decision", "reason"]


def test_a_decision_on_a_masked_input_is_said_to_be_unreplayable(tmp_path):
    (amount,) = CONTRACT.inputs
    hidden = amount.model_copy(update={"column_class": "personal"})
    contract = CONTRACT.model_copy(update={"inputs": (hidden,)})
    bench = Bench(Layout(tmp_path).create(), decisions=POLICY, contract=contract)
    asked(bench, 5_000)
    result = replayed(bench.records.last(), bench.releases.served("toy").champion)
    assert result["is_equal"]
    assert "decision" in result["unreplayable"]["names"]


def test_a_release_whose_rules_mean_another_thing_than_when_built_is_not_loaded(bench):
    files = bundle_files()
    golden = Golden.model_validate_json(files[GOLDEN])
    cases = rule_cases(POLICY, TOY_PLAN, 1)
    for rules in (cases.rules, (*cases.rules[1:], 1)):
        held = cases.model_copy(update={"rules": rules})
        with_cases = golden.model_copy(update={"rule_cases": held}).model_dump_json().encode()
        release = shelve(bench.layout, decisions=POLICY, files={**files, GOLDEN: with_cases})
        if rules == cases.rules:
            bench.loader.load("toy", release)
            continue
        with pytest.raises(IntegrityError, match="do not decide their golden cases"):
            bench.loader.load("toy", release)


def test_a_release_whose_rules_read_what_its_plan_lacks_is_not_loaded(tmp_path):
    bench = Bench(Layout(tmp_path).create())
    rule = Rule(decision="D", when="gone_v1.count > 1", reason="r")
    policy = DecisionPolicy(rules=(rule,), default="A", default_reason="r")
    release = shelve(bench.layout, decisions=policy)
    with pytest.raises(ConfigurationError, match=r"rule 1: .* `gone_v1.count`"):
        bench.loader.load("toy", release)
