"""Served predictions against the tables: equal when nothing is wrong, found out when something is.

The records come from the real engine over real folds; the faults are planted in them.
"""

import json
from collections import Counter

import numpy as np
import pytest
from bundles import TOY_PLAN
from deltalake import CommitProperties, DeltaTable
from ladders import aged, break_fallbacks, break_model, laddered
from served_world import EPOCHS, MASK, ServedWorld, write_events

from core.clock import DAY_MS, date_start_ms, event_date
from core.consent import OPTED_OUT, Consent
from core.features.keys import position
from core.features.plan import ViewPlan
from core.retention import NEWEST_REMOVED
from stores.layout import Layout
from stores.masking import Mask
from training.as_seen import NO_TABLE, NOT_INGESTED, NOT_READ, NOT_TO_BE_USED, NOT_USED
from training.served_parity import (
    MASKED,
    NO_RELEASE,
    NO_RUNG,
    REMOVED,
    bundles_on,
    served_parity,
)

N_POINTS = 2_000
POINTS_A_RUNG = 80


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return ServedWorld(Layout(tmp_path_factory.mktemp("home")).create(), N_POINTS)


@pytest.fixture
def records(world):
    return world.records


@pytest.fixture
def some(world):
    """Five hundred records, of every epoch."""
    return world.every(4)


@pytest.fixture
def chosen(world):
    """A hundred records, of every epoch."""
    return world.every(20)


def parity(world, records, layout=None, mask=MASK):
    return served_parity(records, bundles_on(world.layout), layout or world.layout, mask)


def test_what_was_served_is_what_the_tables_say(world, records):
    found = parity(world, records)
    assert found.is_equal, found.examples
    assert (found.records, found.unreplayable) == (N_POINTS, {})
    # five features, four outputs of the transform, five entries of the vector, one score
    assert found.values == N_POINTS * (4 + 4 + 5 + 1)
    assert found.one_ulp == 0


def test_the_world_has_what_could_go_wrong(records):
    reads = [r["features"] for r in records.values()]
    statuses = {(view, each["status"]) for read in reads for view, each in read.items()}
    assert {("card_activity_v1", s) for s in ("PRESENT", "NOT_FOUND")} <= statuses
    assert {("card_state_v1", s) for s in ("fresh", "stale", "missing")} <= statuses
    seen = {r["features"]["card_activity_v1"]["seen_position"] for r in records.values()}
    assert {place >> 32 for place in seen} == set(range(1, EPOCHS + 1))
    assert all(r["entities"]["card_id"].startswith("masked:") for r in records.values())


def test_a_unit_error_in_one_row_of_a_thousand_and_an_expired_ttl_are_both_found(world, records):
    rng = np.random.default_rng(1)
    present = [
        i for i, r in records.items() if r["features"]["card_activity_v1"]["status"] == "PRESENT"
    ]
    units = set(rng.choice(present, N_POINTS // 1_000, replace=False).tolist())
    for record_id in units:  # a mean in major units beside all those in minor ones
        values = records[record_id]["features"]["card_activity_v1"]["values"]
        values["amount_minor_mean_30d"] /= 100
    stale = [i for i, r in records.items() if r["features"]["card_state_v1"]["status"] == "stale"]
    expired = stale[0]
    read = records[expired]["features"]["card_state_v1"]
    read["status"], read["values"]["limit_minor"] = "fresh", 7_000.0
    found = parity(world, records)
    assert not found.is_equal
    assert found.unequal["features card_activity_v1:amount_minor_mean_30d"] == len(units)
    assert found.unequal["features card_state_v1:limit_minor"] == 1
    named = {each.prediction_id for each in found.examples if each.where == "features"}
    assert named == units | {expired}
    (limit,) = [e for e in found.examples if e.name == "card_state_v1:limit_minor"
                and e.where == "features"]  # fmt: skip
    assert (limit.recorded, limit.recomputed) == (7_000.0, None)


class ForgetfulView(ViewPlan):
    """A view of the toy's as a reader has it that takes no notice of a ttl.

    Values are stamped with the digest of their view; with one of its own it could read none.
    """

    @property
    def digest(self) -> str:
        return TOY_PLAN.view(self.name).digest


def test_a_unit_error_of_the_folder_and_a_ttl_the_reader_forgot_are_both_found(tmp_path):
    """Planted where they arise: the records are what engine and folds made of them."""
    declared = TOY_PLAN.view("card_state_v1").model_dump()
    state = ForgetfulView.model_validate(declared | {"ttl_ms": None})
    forgetful = TOY_PLAN.model_copy(update={"views": (*TOY_PLAN.views[:2], state)})
    layout = Layout(tmp_path).create()
    world = ServedWorld(layout, 400, in_major=["c1"], reader_plan=forgetful)
    records = world.records
    found = parity(world, records)
    of_card = {
        i
        for i, r in records.items()
        if r["entities"]["card_id"] == MASK.of("c1")
        and r["features"]["card_activity_v1"]["values"]["amount_minor_mean_30d"] is not None
    }
    expired = {i for i, r in records.items() if is_past_its_ttl(world, r)}
    assert found.unequal["features card_activity_v1:amount_minor_mean_30d"] == len(of_card) > 0
    assert found.unequal["features card_state_v1:limit_minor"] == len(expired) > 0
    assert {name for name in found.unequal if name.startswith("features")} == {
        "features card_activity_v1:amount_minor_mean_30d",
        "features card_state_v1:limit_minor",
    }
    named = {each.prediction_id for each in found.examples if each.where == "features"}
    assert named <= of_card | expired
    means = [e for e in found.examples if e.name == "card_activity_v1:amount_minor_mean_30d"]
    assert means
    assert all(float(e.recomputed) > 90 * float(e.recorded) for e in means)


def is_past_its_ttl(world, record):
    """Whether the newest word on a card that the read had seen was too old to be in force."""
    view, read = TOY_PLAN.view("card_state_v1"), record["features"]["card_state_v1"]
    at_ms = [
        row["event_timestamp"]
        for row in world.events["card_states"]
        if MASK.of(row["card_id"]) == record["entities"]["card_id"]
        and row["position"] <= (read["seen_position"] or 0)
    ]
    return bool(at_ms) and max(at_ms) < record["at_ms"] - view.ttl_ms


def test_one_ulp_is_counted_and_no_fault_and_two_are_one(world, records):
    mean = "amount_minor_mean_30d"
    chosen = [r for r in records.values() if r["features"]["card_activity_v1"]["values"][mean]][:2]
    for steps, record in enumerate(chosen, start=1):
        values = record["features"]["card_activity_v1"]["values"]
        value = np.float32(values[mean])
        for _ in range(steps):
            value = np.nextafter(value, np.float32(np.inf))
        values[mean] = float(value)
    found = parity(world, records)
    assert found.one_ulp >= 1
    assert found.unequal["features card_activity_v1:amount_minor_mean_30d"] == 1


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (lambda r: r["transforms"].update({"payment_v1:amount": 1.0}), "transforms"),
        (lambda r: r["vector"].__setitem__(2, 99.0), "vector"),
        (lambda r: r.update(score=r["score"] + 1e-4), "score"),
        (lambda r: r.update(decision="PERHAPS"), "decision"),
        (lambda r: r.update(rule=7), "rule"),
        (lambda r: r.update(score=float("nan")), "score"),
    ],
    ids=["transform", "vector", "score", "decision", "rule", "no score"],
)
def test_a_fault_is_found_in_the_step_where_it_arose(world, chosen, change, where):
    change(next(iter(chosen.values())))
    found = parity(world, chosen)
    assert where in {each.where for each in found.examples}
    assert not [each for each in found.examples if each.where == "features"]


def test_a_later_event_that_the_read_had_not_seen_changes_nothing(world, some):
    first = {i: r for i, r in some.items() if int(i.rpartition("-")[2]) < N_POINTS // EPOCHS}
    assert max(
        read["seen_position"] or 0 for r in first.values() for read in r["features"].values()
    ) < position(2, 0)
    assert parity(world, first).is_equal


def test_a_seen_position_that_is_wrong_is_found(world, some):
    late = {i: r for i, r in some.items() if int(i.rpartition("-")[2]) >= N_POINTS * 3 // 4}
    for record in late.values():
        read = record["features"]["card_activity_v1"]
        read["seen_position"] = position(1, 0) if read["seen_position"] else None
    assert not parity(world, late).is_equal


def test_values_that_were_lost_on_their_way_are_found(tmp_path):
    world = ServedWorld(Layout(tmp_path).create(), 400, lost=("c1", "c2"))
    found = served_parity(world.records, bundles_on(world.layout), world.layout, MASK)
    assert not found.is_equal
    named = {world.records[each.prediction_id]["entities"]["card_id"] for each in found.examples}
    assert named <= {MASK.of("c1"), MASK.of("c2")}
    statuses = {
        world.records[each.prediction_id]["features"]["card_activity_v1"]["status"]
        for each in found.examples
    }
    assert statuses == {"NOT_FOUND"}


def test_what_the_table_does_not_hold_yet_is_left_out_and_said(world, some, tmp_path):
    layout = Layout(tmp_path)
    for source, rows in world.events.items():
        early = [row for row in rows if row["position"] < position(3, 0)]
        write_events(layout, source, early, epoch=2)
    found = parity(world, some, layout)
    assert found.is_equal
    assert found.unreplayable[NOT_INGESTED] > 0
    assert parity(world, some, Layout(tmp_path / "empty")).unreplayable == {NO_TABLE: len(some) * 3}


def test_rows_that_were_removed_since_make_unreplayable_and_not_unequal(world, some, tmp_path):
    layout = Layout(tmp_path)
    for source, rows in world.events.items():
        write_events(layout, source, rows, epoch=EPOCHS)
    DeltaTable(layout.events("payments")).delete("card_id = 'c1'")
    found = parity(world, some, layout)
    assert found.is_equal
    of_card = [r for r in some.values() if r["entities"]["card_id"] == MASK.of("c1")]
    assert 0 < found.unreplayable[REMOVED] <= len(of_card)


def test_a_sweep_of_dates_that_no_view_looks_back_to_excuses_nothing(world, some, tmp_path):
    layout = Layout(tmp_path)
    for source, rows in world.events.items():
        write_events(layout, source, rows, epoch=EPOCHS)
    first_ms = min(record["at_ms"] for record in some.values())
    reach_ms = max(w.window_ms + w.grid_ms for w in TOY_PLAN.view("card_activity_v1").windows)
    seen = next(
        r for r in some.values() if r["features"]["card_activity_v1"]["status"] == "PRESENT"
    )
    seen["features"]["card_activity_v1"]["values"]["amount_minor_mean_30d"] /= 100
    swept(world, layout, event_date(first_ms - reach_ms - DAY_MS))
    found = parity(world, some, layout)
    assert found.unequal["features card_activity_v1:amount_minor_mean_30d"] == 1
    assert REMOVED not in found.unreplayable
    swept(world, layout, event_date(first_ms - reach_ms))
    found = parity(world, {"seen": {**seen, "at_ms": first_ms}}, layout)
    assert found.unreplayable[REMOVED] >= 1


def swept(world, layout, date):
    """As retention leaves the table of payments when the last row of an event date has gone."""
    row = {**world.events["payments"][0], "event_id": date, "event_timestamp": date_start_ms(date)}
    write_events(layout, "payments", [row], epoch=EPOCHS)
    said = json.dumps({"partitions": 1, NEWEST_REMOVED: date})
    DeltaTable(layout.events("payments")).delete(
        f"event_id = '{date}'",
        commit_properties=CommitProperties(custom_metadata={"userMetadata": said}),
    )


def test_rows_that_vanished_without_a_word_are_unequal(world, some, tmp_path):
    layout = Layout(tmp_path)
    for source, rows in world.events.items():
        kept = [row for row in rows if row.get("card_id") != "c1" or source != "payments"]
        write_events(layout, source, kept, epoch=EPOCHS)
    assert not parity(world, some, layout).is_equal


def test_values_that_the_store_did_not_give_are_not_compared(world, chosen):
    record = next(iter(chosen.values()))
    for read in record["features"].values():
        read["status"], read["seen_position"] = "unavailable", None
    assert parity(world, chosen).unreplayable == {NOT_READ: 3}


RUNGS = {
    "stale": ({"payments_s": 75}, lambda bench: None),
    "the fallback for one view": ({"verdicts_s": 90_000}, lambda bench: None),
    "the fallback for all": ({"payments_s": 5_000}, lambda bench: None),
    "the fallback for a model that fails": ({}, break_model),
    "rules and default": ({}, break_fallbacks),
}


@pytest.fixture(scope="module")
def laddered_world(tmp_path_factory):
    """Predictions from every rung of the ladder, the last ones without any model."""
    layout = Layout(tmp_path_factory.mktemp("laddered")).create()
    world = ServedWorld(layout, EPOCHS, **laddered())
    for ages_s, breaking in RUNGS.values():
        aged(world.bench, **ages_s)
        breaking(world.bench)
        world.predict(POINTS_A_RUNG)
    return world


def degraded(world):
    return {i: r for i, r in world.records.items() if r["degraded"] is not None}


def test_answers_from_every_rung_are_computed_again_from_that_rung(laddered_world):
    chosen = degraded(laddered_world)
    levels = Counter(record["degraded"]["level"] for record in chosen.values())
    assert levels["stale"] == POINTS_A_RUNG
    assert levels["fallback"] == 3 * POINTS_A_RUNG
    assert levels["rules"] > 0
    assert levels["default"] > 0
    assert sum(levels.values()) == POINTS_A_RUNG * len(RUNGS)
    found = parity(laddered_world, chosen)
    assert found.is_equal, found.examples
    assert found.unreplayable == {
        NOT_USED: 2 * POINTS_A_RUNG
    }  # of views that were too old there is no value


@pytest.mark.parametrize(
    ("level", "change", "where"),
    [
        ("fallback", {"score": 0.75}, "score"),
        ("fallback", {"score": None}, "score"),
        ("fallback", {"reason": "no_sign?"}, "reason"),
        ("rules", {"score": 0.75}, "score"),
        ("rules", {"decision": "PERHAPS"}, "decision"),
        ("default", {"reason": "large_unscored"}, "reason"),
    ],
)
def test_a_fault_on_a_lower_rung_is_found(laddered_world, level, change, where):
    chosen = degraded(laddered_world)
    broken, record = [(i, r) for i, r in chosen.items() if r["degraded"]["level"] == level][-1]
    record.update(change)
    found = parity(laddered_world, chosen)
    assert [(e.prediction_id, e.where) for e in found.examples] == [(broken, where)]


def test_an_answer_from_a_rung_that_the_release_does_not_have_is_said_to_be_so(world, chosen):
    first, second, third, *_ = chosen.values()
    first["degraded"] = {"level": "rules", "because": "the model failed"}
    second["degraded"] = {"level": "no_features", "because": "x"}
    third["degraded"] = {"level": "fallback", "because": "the model failed"}
    third["features"]["card_activity_v1"]["values"]["amount_minor_count_1d"] = 99.0
    found = parity(world, chosen)
    assert found.unreplayable == {NO_RUNG: 2}
    assert found.records == len(chosen)
    assert found.unequal["features card_activity_v1:amount_minor_count_1d"] == 1


def test_a_mask_by_another_key_finds_nobody(world, some):
    assert not parity(world, some, mask=Mask(b"x" * 32)).is_equal


def test_a_release_that_is_gone_is_said(world, chosen):
    found = served_parity(chosen, lambda *_: None, world.layout, MASK)
    assert found.unreplayable == {NO_RELEASE: len(chosen)}
    assert found.is_equal


def test_a_release_of_another_digest_is_not_the_one_that_served(world, chosen):
    for record in chosen.values():
        record["model"]["manifest_digest"] = "0" * 64
    assert parity(world, chosen).unreplayable == {NO_RELEASE: len(chosen)}


def test_a_masked_input_leaves_its_transform_out(world, chosen):
    for record in chosen.values():
        record["masked"] = [*record["masked"], "inputs/amount_minor"]
        record["inputs"]["amount_minor"] = None
    found = parity(world, chosen)
    assert found.is_equal
    assert found.unreplayable == {MASKED: len(chosen)}


def test_nothing_is_equal_to_nothing(world):
    found = parity(world, {})
    assert (found.is_equal, found.records) == (True, 0)


def test_who_had_opted_out_was_answered_so_and_an_answer_that_took_no_notice_is_found(tmp_path):
    limits = TOY_PLAN.view("card_state_v1").model_copy(update={"ttl_ms": None})
    plan = TOY_PLAN.model_copy(update={"views": (*TOY_PLAN.views[:2], limits)})
    out = {"source": "card_states", "column": "limit_minor", "keys": ("card_id",)}
    consent = Consent(**out, requests="without_features")  # any limit stands for a yes here
    layout = Layout(tmp_path).create()
    world = ServedWorld(layout, 120, **laddered(plan=plan, consent=consent))
    records = world.records
    levels = Counter((r["degraded"] or {}).get("because", "") for r in records.values())
    assert set(levels) == {"", OPTED_OUT}
    found = parity(world, records)
    assert found.is_equal, found.examples
    assert found.unreplayable == {NOT_TO_BE_USED: levels[OPTED_OUT]}
    ignored = next(i for i, r in records.items() if r["degraded"] is None)
    records[ignored]["features"]["card_state_v1"]["values"]["limit_minor"] = 1.0
    broken = {e.where for e in parity(world, records).examples if e.prediction_id == ignored}
    assert {"consent", "features"} <= broken  # and the tables never heard of such a word
