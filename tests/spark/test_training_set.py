from __future__ import annotations

import asyncio

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from bundles import CONTRACT, REQUEST
from deltalake import DeltaTable, write_deltalake
from engines import Bench
from payments import (
    DAY_MS,
    LABEL,
    NOW_MS,
    PAYMENTS,
    PLAN,
    VERDICTS,
    history,
    land_rows,
    payment,
    seal_events,
)
from served_world import write_events
from shared_spark import ingested

from core.errors import ConfigurationError, IntegrityError, NotReadyError
from core.features.keys import position
from core.features.plan import feature_column
from orchestration.rebuild import recorded_arguments
from spark_jobs import training_set
from spark_jobs.delta import metadata_of, read_table
from spark_jobs.job import arguments_of
from stores.durable import write_durably
from stores.frames.frames import plan_table
from stores.layout import Layout
from stores.masking import KEY_FILE, ensure_mask

pytestmark = pytest.mark.spark

CARD = PAYMENTS.field("card_id")
COLUMNS = [feature_column(entry) for entry in PLAN.vector]


@pytest.fixture(scope="module")
def layout(spark, tmp_path_factory):
    """Sixty days of payments with their verdicts, and the key that the tests' records have."""
    root = tmp_path_factory.mktemp("history")
    layout = Layout(root / "state").create()
    write_durably(layout.keys / KEY_FILE, bytes(32), mode=0o600)
    paid, judged = history(60, 6)
    for source, rows in ((PAYMENTS, paid), (VERDICTS, judged)):
        ingested(spark, layout, source, land_rows(layout, source, rows, root, NOW_MS))
    return layout


def arguments_for(layout, **changes):
    arguments = training_set.Arguments(
        root=str(layout.root),
        now_ms=NOW_MS,
        use_case="payments",
        plan=PLAN,
        label=LABEL,
        sources=(PAYMENTS, VERDICTS),
        start_date="2025-11-02",
        cut_ms=NOW_MS,
    )
    return arguments.model_copy(update=changes)


@pytest.fixture(scope="module")
def report(spark, layout):
    return training_set.run(spark, arguments_for(layout))


def table_of(spark, layout, snapshot):
    frame = read_table(spark, layout.training("payments")).where(f"snapshot = '{snapshot}'")
    return frame.orderBy("example_id").toArrow()


def test_a_key_that_is_a_number_is_masked_in_a_table_that_held_it_as_one(spark, tmp_path):
    layout = Layout(tmp_path).create()
    paid, judged = history(60, 2)
    for number, row in enumerate([*paid, *judged]):
        row["position"] = position(1, number)
    numbered = [row | {"card_id": int(row["card_id"][1:])} for row in paid]
    write_events(layout, "payments", numbered, epoch=1)
    write_events(layout, "verdicts", judged, epoch=1)
    held = {"snapshot": ["old"], "example_id": ["e"], "card_id": [7], "terminal_id": ["t"]}
    write_deltalake(layout.training("payments"), pa.table(held), partition_by=["snapshot"])
    numbers = CARD.model_copy(update={"type": "int64"})
    payments = PAYMENTS.model_copy(update={"fields": (*PAYMENTS.fields[:2], numbers)})
    made = training_set.run(spark, arguments_for(layout, sources=(payments, VERDICTS)))
    mask = ensure_mask(layout.keys)
    table = table_of(spark, layout, made.snapshot)
    assert set(table["card_id"].to_pylist()) == {mask.of(number) for number in range(5)}
    (kept,) = table_of(spark, layout, "old").to_pylist()
    assert {name: kept[name] for name in held} == {
        "snapshot": "old", "example_id": "e", "card_id": "7", "terminal_id": "t"
    }  # fmt: skip
    assert DeltaTable(layout.training("payments")).metadata().partition_columns == ["snapshot"]


def test_vectors_are_those_of_the_process_at_the_same_points(spark, layout, report):
    table = table_of(spark, layout, report.snapshot)
    assert len(table) == report.rows > 150
    rows = {
        name: DeltaTable(layout.events(name)).to_pyarrow_table() for name in report.read_versions
    }
    paid = rows["payments"].select(["event_id", "amount_minor", "card_id"])
    points = table.drop_columns(["card_id"]).join(paid, "example_id", "event_id")
    points = points.sort_by("example_id")
    wanted = plan_table(PLAN, rows, points)
    for column in COLUMNS:
        got, expected = table[column].to_numpy(), wanted[column].to_numpy()
        np.testing.assert_array_equal(got, expected, column)
    assert table[COLUMNS[3]].null_count > 0


def test_a_personal_key_stands_there_as_in_records(spark, layout, report, tmp_path):
    contract = CONTRACT.model_copy(update={"keys": (CARD, CONTRACT.keys[1])})
    bench = Bench(Layout(tmp_path).create(), contract=contract)
    asyncio.run(bench.engine.predict("toy", REQUEST))
    recorded = bench.records.last()["entities"]["card_id"]
    table = table_of(spark, layout, report.snapshot)
    cards = {row["event_id"]: row["card_id"] for row in history(60, 6)[0]}
    joined = table.filter(pc.equal(table["card_id"], recorded))["example_id"].to_pylist()
    assert REQUEST["entities"]["card_id"] == "c1"
    assert joined == [each for each in table["example_id"].to_pylist() if cards[each] == "c1"] != []
    assert not set(cards.values()) & set(table["card_id"].to_pylist())
    assert set(table["terminal_id"].to_pylist()) == {"t0", "t1", "t2"}
    assert report.masked_keys == ("card_id",)


def test_a_snapshot_from_before_keys_were_masked_is_rebuilt_as_it_was(spark, layout, report):
    formerly = training_set.run(spark, arguments_for(layout, masked_keys=()))
    recorded = recorded_arguments(layout, "payments", formerly.snapshot)
    assert recorded.pop("masked_keys") == []
    again = training_set.run(spark, arguments_of(training_set.Arguments, recorded))
    assert again.snapshot == formerly.snapshot != report.snapshot
    table = table_of(spark, layout, formerly.snapshot)
    assert set(table["card_id"].to_pylist()) == {"c0", "c1", "c2", "c3", "c4"}


def test_labels_are_those_known_at_the_cut_and_absent_means_none(spark, layout, report):
    table = table_of(spark, layout, report.snapshot)
    paid, judged = history(60, 6)
    fraud = {row["payment_id"] for row in judged if row["is_fraud"]}
    by_id = {row["event_id"]: row for row in paid}
    for example, label in zip(
        table["example_id"].to_pylist(), table["label"].to_pylist(), strict=True
    ):
        assert label == int(example in fraud)
        assert by_id[example]["event_timestamp"] <= NOW_MS - 7 * DAY_MS


def test_parts_are_in_time_order_with_the_gap_of_the_maturity(spark, layout, report):
    table = table_of(spark, layout, report.snapshot)
    stamps = table["event_timestamp"].cast(pa.timestamp("ms", tz="UTC")).cast(pa.int64())
    at_ms, parts = stamps.to_numpy(), np.array(table["split"].to_pylist())
    span = {p: (at_ms[parts == p].min(), at_ms[parts == p].max()) for p in training_set.PARTS}
    assert span["validation"][0] - span["train"][1] > 7 * DAY_MS
    assert span["test"][0] - span["validation"][1] > 7 * DAY_MS
    assert report.in_gap > 0
    assert sum(rows for rows, _ in report.parts.values()) == report.rows


def test_a_second_run_changes_nothing(spark, layout, report):
    before = DeltaTable(layout.training("payments")).version()
    again = training_set.run(spark, arguments_for(layout, now_ms=NOW_MS + 5))
    assert (again.snapshot, again.version, again.is_new) == (report.snapshot, before, False)
    assert DeltaTable(layout.training("payments")).version() == before


def test_a_stratified_split_cuts_each_class_in_the_same_shares(spark, layout):
    report = training_set.run(spark, arguments_for(layout, split="stratified", seed=3))
    rows, positive = map(sum, zip(*report.parts.values(), strict=True))
    assert report.in_gap == 0
    assert report.parts["test"] == (
        round((rows - positive) * 0.15) + round(positive * 0.15),
        round(positive * 0.15),
    )


def test_what_rules_read_stands_beside_the_vector_and_widens_the_table(spark, layout, report):
    wider = arguments_for(layout, beside=("request:amount_minor",))
    made = training_set.run(spark, wider)
    assert made.snapshot != report.snapshot
    table = table_of(spark, layout, made.snapshot)
    amounts = {row["event_id"]: float(row["amount_minor"]) for row in history(60, 6)[0]}
    wanted = [amounts[example] for example in table["example_id"].to_pylist()]
    assert table["request__amount_minor"].to_pylist() == wanted
    held = table_of(spark, layout, report.snapshot)
    assert held["request__amount_minor"].null_count == len(held) == report.rows
    assert held.select(COLUMNS).equals(table.select(COLUMNS))


def test_a_snapshot_is_rebuilt_bit_for_bit_from_its_versions(spark, layout, report):
    before = table_of(spark, layout, report.snapshot)
    late = payment("late", NOW_MS - 20 * DAY_MS, card_id="c1")
    newer = ingested(spark, layout, PAYMENTS, seal_events(layout, PAYMENTS, [late], NOW_MS - 1))

    recorded = recorded_arguments(layout, "payments", report.snapshot)
    rebuild = arguments_of(training_set.Arguments, recorded)
    again = training_set.run(spark, rebuild)
    assert (again.snapshot, again.is_new) == (report.snapshot, True)
    assert table_of(spark, layout, report.snapshot).equals(before)
    metadata = metadata_of(spark, layout.training("payments"), again.version)
    assert metadata == {"snapshot": report.snapshot, "read_versions": report.read_versions}

    stale = report.read_versions | {"payments": newer.events_version}
    with pytest.raises(IntegrityError, match="bit for bit"):
        training_set.run(spark, rebuild.model_copy(update={"read_versions": stale}))


def test_a_training_set_without_its_sources_says_what_to_do(spark, tmp_path):
    with pytest.raises(NotReadyError, match="ingest payments first"):
        training_set.run(spark, arguments_for(Layout(tmp_path)))
    with pytest.raises(NotReadyError, match="nothing is on record"):
        recorded_arguments(Layout(tmp_path), "payments", "0" * 32)
    keyless = PAYMENTS.model_copy(update={"fields": PAYMENTS.fields[:1]})
    with pytest.raises(ConfigurationError, match="no field card_id, amount_minor"):
        training_set.run(spark, arguments_for(Layout(tmp_path), sources=(keyless, VERDICTS)))
