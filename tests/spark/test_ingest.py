from __future__ import annotations

import json
import shutil
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from grown_payments import CARD, GROWN, TERMINAL
from payments import DAY_MS, NOW_MS, PAYMENTS, VERDICTS, payment, seal_events
from shared_spark import ingested

from core.erasing.erasure import Tombstone
from core.erasing.sought import Sought
from core.errors import NotReadyError
from core.mapping import read_mapping
from spark_jobs import reading
from spark_jobs.delta import metadata_of, read_table, writer_number
from stores.erasing.log import erase_in_log
from stores.erasing.scanning import scan_tree
from stores.erasing.tables import erase_in_table
from stores.erasing.tombstones import Tombstones
from stores.layout import Layout
from stores.log.source_log import SourceLog
from stores.masking import ensure_mask

pytestmark = pytest.mark.spark


@pytest.fixture
def layout(tmp_path):
    return Layout(tmp_path)


def rows_of(spark, uri, *columns):
    return sorted(tuple(row) for row in read_table(spark, uri).select(*columns).collect())


KEYS = {"card_id": "c1", "terminal_id": "t1"}
MIXED: list[dict[str, Any] | bytes] = [
    payment("p1", NOW_MS - DAY_MS),
    payment("p2", NOW_MS - 2 * DAY_MS, amount_minor=7),
    payment("p1", NOW_MS - DAY_MS),  # again: ignored
    payment("p1", NOW_MS - DAY_MS, amount_minor=9),  # another payload: refused
    payment("p3", NOW_MS, amount_minor=0),  # out of range
    payment("p4", NOW_MS + DAY_MS),  # the future
    b'{"event_id": "p5"',  # torn
]


@pytest.fixture(scope="module")
def mixed(spark, tmp_path_factory):
    """A home whose first epoch is ingested, and the report of it; not to be written to."""
    layout = Layout(tmp_path_factory.mktemp("mixed"))
    return layout, ingested(spark, layout, PAYMENTS, seal_events(layout, PAYMENTS, MIXED))


@pytest.fixture
def begun(mixed, tmp_path):
    """The same home, to go on with."""
    shutil.copytree(mixed[0].root, tmp_path / "begun")
    return Layout(tmp_path / "begun")


def test_ingest_sorts_accepted_from_duplicates_and_refusals(spark, mixed):
    layout, report = mixed
    assert (report.accepted, report.duplicates) == (2, 1)
    assert report.rejected == {
        "duplicate_conflict": 1,
        "out_of_range": 1,
        "future_event": 1,
        "malformed": 1,
    }
    assert report.touched == {"2025-12-30": 1, "2025-12-31": 1}
    events = rows_of(spark, layout.events("payments"), "event_id", "amount_minor", "card_id")
    assert events == [("p1", 100, "c1"), ("p2", 7, "c1")]
    raw = dict(rows_of(spark, layout.rejected("payments"), "code", "raw"))
    assert raw["malformed"] == '{"event_id": "p5"'
    assert json.loads(raw["out_of_range"])["amount_minor"] == 0


def test_ingest_moves_its_cursor_in_the_commit_of_the_rows(spark, begun):
    first = 1
    assert writer_number(spark, begun.events("payments"), "ingest") == first
    nothing = ingested(spark, begun, PAYMENTS, first)
    assert nothing.epochs == ()
    second = seal_events(begun, PAYMENTS, [b"not json"])
    report = ingested(spark, begun, PAYMENTS, second)
    assert (report.epochs, report.accepted) == ((second,), 0)
    assert writer_number(spark, begun.events("payments"), "ingest") == second
    metadata = metadata_of(spark, begun.events("payments"), report.events_version)
    assert metadata == {"epoch": second, "source": "payments"}


def test_rows_of_a_later_epoch_meet_those_of_the_table(spark, begun):
    again = [
        payment("p1", NOW_MS - DAY_MS),
        payment("p2", NOW_MS - 2 * DAY_MS, amount_minor=8),
        payment("p9", NOW_MS - 40 * DAY_MS),
    ]
    report = ingested(spark, begun, PAYMENTS, seal_events(begun, PAYMENTS, again))
    assert (report.accepted, report.duplicates) == (1, 1)
    assert report.rejected == {"duplicate_conflict": 1}
    assert len(rows_of(spark, begun.events("payments"), "event_id")) == 3


def test_workers_and_driver_parse_alike(spark, mixed, layout):
    by_driver, _ = mixed  # so few bytes are parsed there
    epoch = seal_events(layout, PAYMENTS, MIXED)
    ingested(spark, layout, PAYMENTS, epoch, in_driver_below_bytes=0)
    driver, workers = (
        [
            rows_of(spark, where.events("payments"), "*"),
            rows_of(spark, where.rejected("payments"), "epoch", "offset", "code", "message"),
        ]
        for where in (by_driver, layout)
    )
    assert driver == workers


MAPPING = {
    "source": "payments",
    "fields": {
        "event_id": {"from": "ID", "convert": [{"prefix": "p"}]},
        "event_timestamp": {"from": "AT"},
        "amount_minor": {"from": "AMOUNT", "convert": ["to_minor_units"]},
        "card_id": {"constant": "c"},
        "terminal_id": {"constant": "t"},
    },
}


@pytest.mark.parametrize("limit", [10**9, 0], ids=["driver", "workers"])
def test_a_refused_row_of_a_file_keeps_its_record_and_its_mapping(
    spark, layout, tmp_path, limit, monkeypatch
):
    """Also where the row keeps the contract and only the rows beside it refuse it."""
    monkeypatch.setattr(reading, "SLICE_ROWS", 2)
    rows = {
        "ID": [1, 2, 1, 1, 3],
        "AT": pa.array([NOW_MS - DAY_MS] * 5, pa.timestamp("ms")),
        "AMOUNT": [1.0, -2.0, 1.0, 9.0, 3.0],
    }
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table(rows), path)
    log = SourceLog(layout.log_dir("payments"), "payments")
    landed = log.land(path, read_mapping(MAPPING), now_ms=NOW_MS, is_historic=True)
    epoch = landed.epoch.epoch
    report = ingested(spark, layout, PAYMENTS, epoch, in_driver_below_bytes=limit)
    assert (report.accepted, report.duplicates) == (2, 1)
    columns = ("offset", "code", "raw", "mapping")
    found = rows_of(spark, layout.rejected("payments"), *columns)
    assert [row[:2] for row in found] == [(1, "out_of_range"), (3, "duplicate_conflict")]
    at_ms = NOW_MS - DAY_MS
    assert [json.loads(row[2]) for row in found] == [
        {"ID": 2, "AT": at_ms, "AMOUNT": -2.0},
        {"ID": 1, "AT": at_ms, "AMOUNT": 9.0},
    ]
    assert {row[3] for row in found} == {json.dumps(landed.epoch.mapping, sort_keys=True)}


def test_a_reference_must_exist_when_its_row_comes(spark, layout, begun):
    verdict: dict[str, Any] = {"event_timestamp": NOW_MS, "terminal_id": "t1", "is_fraud": 1}
    rows = [
        verdict | {"event_id": "v1", "payment_id": "p1"},
        verdict | {"event_id": "v2", "payment_id": "nobody"},
    ]
    epoch = seal_events(layout, VERDICTS, rows)
    with pytest.raises(NotReadyError, match="ingest payments first"):
        ingested(spark, layout, VERDICTS, epoch)
    report = ingested(spark, begun, VERDICTS, seal_events(begun, VERDICTS, rows))
    assert (report.accepted, report.rejected) == (1, {"unknown_reference": 1})


def test_a_historic_file_is_available_when_it_happened(spark, layout, tmp_path):
    path = tmp_path / "old.csv"
    path.write_text("ID,AT,AMOUNT\n7,2025-01-02 00:00:00,1.25\n8,never,2\n")
    mapping = read_mapping(
        {
            "source": "payments",
            "fields": {
                "event_id": {"from": "ID", "convert": ["to_text"]},
                "event_timestamp": {"from": "AT"},
                "amount_minor": {"from": "AMOUNT", "convert": ["to_minor_units"]},
                "card_id": {"constant": "c"},
                "terminal_id": {"constant": "t"},
            },
        }
    )
    log = SourceLog(layout.log_dir("payments"), "payments")
    landed = log.land(path, mapping, now_ms=NOW_MS, is_historic=True, delay_ms=1_000)
    report = ingested(spark, layout, PAYMENTS, landed.epoch.epoch)
    assert (report.accepted, report.rejected) == (1, {"wrong_type": 1})
    row = read_table(spark, layout.events("payments")).first()
    assert (row.available_at - row.event_timestamp).total_seconds() == 1.0
    assert row.amount_minor == 125


def test_the_log_of_the_table_tells_no_personal_value(mixed):
    logs = [*(mixed[0].root / "lake" / "events").glob("*/_delta_log/*.json")]
    assert logs
    for path in logs:
        assert '\\"c1\\"' not in path.read_text()
        assert "deletionVector" not in path.read_text()


def test_somebody_who_was_forgotten_comes_back_in_no_way(spark, layout):
    card = "card-0a77"
    sought = Sought(card, [ensure_mask(layout.keys).of(card)])
    mine = [payment("p1", NOW_MS - DAY_MS, card_id=card), payment("p2", NOW_MS, card_id=card)]
    refused = [payment("p3", NOW_MS, card_id=card, amount_minor=0), payment("p4", NOW_MS - 1)]
    ingested(spark, layout, PAYMENTS, seal_events(layout, PAYMENTS, [*mine, *refused]))
    token = ensure_mask(layout.keys).of(card)
    Tombstones(layout).put(Tombstone(key="card_id", token=token, at_ms=NOW_MS))
    assert erase_in_log(layout.log_dir("payments"), sought, now_ms=NOW_MS) == 3
    assert erase_in_table(layout.events("payments"), sought)["rows"] == 2
    assert erase_in_table(layout.rejected("payments"), sought)["rows"] == 1
    assert rows_of(spark, layout.events("payments"), "event_id") == [("p4",)]
    late = [payment("p5", NOW_MS, card_id=card), payment("p6", NOW_MS - 1), refused[0]]
    report = ingested(spark, layout, PAYMENTS, seal_events(layout, PAYMENTS, late))
    assert (report.accepted, report.forgotten, report.rejected) == (1, 2, {})
    shutil.rmtree(layout.root / "lake")
    report = ingested(spark, layout, PAYMENTS, report.epochs[-1])
    assert (report.accepted, report.forgotten, report.rejected) == (2, 2, {})
    assert rows_of(spark, layout.events("payments"), "event_id") == [("p4",), ("p6",)]
    assert scan_tree(layout.root / "lake", sought) == []


def test_a_new_major_adds_its_columns_and_reads_rows_of_the_one_before(spark, begun):
    layout = begun
    grown = GROWN.model_copy(update={"fields": (TERMINAL, CARD, GROWN.fields[3])})  # no amount
    rows = [
        payment("p1", NOW_MS - DAY_MS),  # taken before the switch, and sent again
        payment("p6", NOW_MS),
        {"@contract": 2, "event_id": "p7", "event_timestamp": NOW_MS, "way": "web"} | KEYS,
    ]
    report = ingested(spark, layout, grown, seal_events(layout, grown, rows))
    assert (report.accepted, report.duplicates, report.rejected) == (2, 1, {})
    assert rows_of(spark, layout.events("payments"), "event_id", "amount_minor", "way") == [
        ("p1", 100, None),
        ("p2", 7, None),
        ("p6", None, "shop"),
        ("p7", None, "web"),
    ]
