from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from deltalake import DeltaTable
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
from shared_spark import ingested

from core.errors import ConfigurationError, IntegrityError, NotReadyError
from core.features.plan import feature_column
from orchestration.rebuild import recorded_arguments
from spark_jobs import training_set
from spark_jobs.delta import metadata_of, read_table
from spark_jobs.job import arguments_of
from stores.frames import plan_table
from stores.layout import Layout

pytestmark = pytest.mark.spark

COLUMNS = [feature_column(entry) for entry in PLAN.vector]


@pytest.fixture(scope="module")
def layout(spark, tmp_path_factory):
    """Sixty days of payments with their verdicts."""
    root = tmp_path_factory.mktemp("history")
    layout = Layout(root / "state")
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


def test_vectors_are_those_of_the_process_at_the_same_points(spark, layout, report):
    table = table_of(spark, layout, report.snapshot)
    assert len(table) == report.rows > 150
    rows = {
        name: DeltaTable(layout.events(name)).to_pyarrow_table() for name in report.read_versions
    }
    paid = rows["payments"].select(["event_id", "amount_minor"])
    points = table.join(paid, "example_id", "event_id").sort_by("example_id")
    wanted = plan_table(PLAN, rows, points)
    for column in COLUMNS:
        got, expected = table[column].to_numpy(), wanted[column].to_numpy()
        np.testing.assert_array_equal(got, expected, column)
    assert table[COLUMNS[3]].null_count > 0


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
    again = training_set.run(spark, arguments_for(layout, now_ms=NOW_MS + 5))
    assert (again.snapshot, again.version, again.is_new) == (
        report.snapshot,
        report.version,
        False,
    )


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
