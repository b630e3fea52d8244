from __future__ import annotations

import json
from datetime import UTC, date, datetime

import pytest
from grown_payments import GROWN
from payments import NOW_MS, PAYMENTS, payment

from core.contracts import FieldSpec, Source
from core.erasing.erasure import FORGOTTEN
from core.features.keys import position
from spark_jobs.parsing import EpochReader, parsed_schema
from stores.erasing.tombstones import Forgotten
from stores.log.epochs import Block, Epoch, Malformed, Record
from stores.masking import Mask

MANIFEST = Epoch(
    epoch=3,
    source="payments",
    kind="events",
    format="ndjson",
    files=("3.ndjson",),
    sha256="0" * 64,
    bytes=1,
    sealed_at_ms=NOW_MS,
)


def parsed(raw, source=PAYMENTS, **changes):
    epoch = MANIFEST.model_copy(update=changes)
    reader = EpochReader(source, epoch, now_ms=NOW_MS)
    (batch,) = reader.batches([Record(70, raw, NOW_MS - 5)])
    (row,) = batch.to_pylist()
    return row


def test_a_live_row_is_available_when_it_was_ingested():
    row = parsed(payment("p1", NOW_MS - 60_000))
    assert row["code"] is None
    assert (row["event_id"], row["amount_minor"], row["partition"]) == ("p1", 100, 0)
    assert row["position"] == position(3, 70)
    assert row["event_timestamp"] == datetime(2025, 12, 31, 23, 59, tzinfo=UTC)
    assert row["available_at"] == row["ingested_at"]
    assert row["event_date"] == date(2025, 12, 31)
    assert row["raw"] is None


def test_a_historic_row_is_available_a_delay_after_it_happened():
    row = parsed(payment("p1", NOW_MS - 60_000), is_historic=True, delay_ms=1_000)
    assert (row["available_at"] - row["event_timestamp"]).total_seconds() == 1.0


@pytest.mark.parametrize(
    ("raw", "code", "event_id"),
    [
        (payment("p1", NOW_MS, amount_minor=0), "out_of_range", "p1"),
        (payment("p1", NOW_MS + 10**9), "future_event", "p1"),
        (payment("p1", NOW_MS) | {"more": 1}, "unknown_field", "p1"),
        ({"event_timestamp": NOW_MS}, "missing_field", None),
        ({"event_id": 7}, "wrong_type", None),
        ({"event_id": "\ud800"}, "wrong_type", "?"),
        (Malformed("{torn", "is not JSON"), "malformed", None),
    ],
)
def test_a_refused_record_keeps_what_came_and_the_date_it_came(raw, code, event_id):
    row = parsed(raw)
    assert (row["code"], row["event_id"]) == (code, event_id)
    assert row["event_timestamp"] is None
    assert row["event_date"] == date(2025, 12, 31)
    assert row["raw"] == "{torn" if isinstance(raw, Malformed) else json.loads(row["raw"]) == raw


def test_a_mapping_that_refuses_is_told_like_the_contract():
    mapping = {
        "source": "payments",
        "fields": {"amount_minor": {"from": "AMOUNT", "convert": ["to_minor_units"]}},
    }
    row = parsed({"AMOUNT": "much"}, mapping=mapping)
    assert (row["code"], row["field"]) == ("wrong_type", "amount_minor")
    assert json.loads(row["raw"]) == {"AMOUNT": "much"}


def test_every_declared_type_has_a_column():
    kinds = ("int64", "float64", "string", "bool", "timestamp")
    fields = tuple(FieldSpec(name=f"a_{kind}", type=kind, is_nullable=True) for kind in kinds)
    source = Source(name="all", description="", owner="", fields=fields)
    values = {"a_int64": 1, "a_float64": 0.5, "a_string": "x", "a_bool": True, "a_timestamp": 1_500}
    row = parsed({"event_id": "e", "event_timestamp": 0} | values, source)
    assert row["a_timestamp"] == datetime(1970, 1, 1, 0, 0, 1, 500_000, tzinfo=UTC)
    assert [row[name] for name in values][:4] == [1, 0.5, "x", True]
    empty = parsed({"event_id": "e", "event_timestamp": 0}, source)
    assert [empty[name] for name in values] == [None] * 5
    assert list(row) == parsed_schema(source).names


def test_batches_are_cut_and_keep_the_order():
    reader = EpochReader(PAYMENTS, MANIFEST, now_ms=NOW_MS)
    records = (Record(n, payment(f"p{n}", NOW_MS), NOW_MS) for n in range(45_000))
    sizes = [batch.num_rows for batch in reader.batches(records)]
    assert sizes == [20_000, 20_000, 5_000]
    assert list(reader.batches([])) == []


MASK_KEY = b"k" * 32
SOMEBODY = Forgotten(frozenset({"card_id"}), frozenset({Mask(MASK_KEY).of("c7")}), MASK_KEY)
ROWS = [
    payment("p1", NOW_MS - 1, card_id="c1"),
    payment("p2", NOW_MS - 1, card_id="c7"),
    payment("p3", NOW_MS - 1, card_id="c7", amount_minor=0),  # refused, and of the same card
    dict.fromkeys(payment("p4", NOW_MS)),  # blanked
    payment("p5", NOW_MS - 1, card_id="c1", amount_minor=0),
]


@pytest.mark.parametrize("is_columns", [False, True])
def test_nothing_is_kept_of_a_row_of_somebody_who_was_forgotten(is_columns):
    reader = EpochReader(PAYMENTS, MANIFEST, now_ms=NOW_MS, forgotten=SOMEBODY)
    columns = {name: [row[name] for row in ROWS] for name in ROWS[0]}
    blocks = [Block(0, len(ROWS), columns, NOW_MS)]
    records = [Record(n, row, NOW_MS) for n, row in enumerate(ROWS)]
    (batch,) = reader.block_batches(blocks) if is_columns else reader.batches(records)
    rows = batch.to_pylist()
    assert [row["code"] for row in rows] == [None, FORGOTTEN, FORGOTTEN, FORGOTTEN, "out_of_range"]
    for row in rows[1:4]:
        told = {name for name, value in row.items() if value is not None}
        assert not told & {"event_id", "card_id", "amount_minor", "raw", "payload_digest"}
    assert (rows[0]["card_id"], rows[4]["event_id"]) == ("c1", "p5")


def test_a_refused_record_is_known_by_what_its_mapping_makes_of_it():
    mapping = {
        "source": "payments",
        "fields": {
            "event_id": {"from": "ID"},
            "card_id": {"from": "CARD", "convert": [{"prefix": "c"}]},
        },
    }
    epoch = MANIFEST.model_copy(update={"mapping": mapping})
    reader = EpochReader(PAYMENTS, epoch, now_ms=NOW_MS, forgotten=SOMEBODY)
    records = [Record(n, {"ID": f"p{n}", "CARD": card}, NOW_MS) for n, card in enumerate((7, 71))]
    (batch,) = reader.batches(records)
    assert batch.column("code").to_pylist() == [FORGOTTEN, "missing_field"]


def test_records_and_columns_of_a_former_contract_are_rows_of_the_present():
    was = parsed(payment("p1", NOW_MS))
    rows = [
        parsed(payment("p1", NOW_MS), GROWN, kind="file"),
        parsed({"@contract": 2, **payment("p1", NOW_MS, way="web")}, GROWN),
        parsed(payment("p1", NOW_MS, way="web"), GROWN, kind="file", contract=2),
    ]
    assert [(row["code"], row["way"]) for row in rows] == [
        (None, "shop"),
        (None, "web"),
        (None, "web"),
    ]
    assert rows[0]["payload_digest"] == was["payload_digest"]
    columns = {name: [value] for name, value in payment("p1", NOW_MS).items()}
    for contract, code in ((1, None), (2, "missing_field")):
        epoch = MANIFEST.model_copy(update={"kind": "file", "contract": contract})
        reader = EpochReader(GROWN, epoch, now_ms=NOW_MS)
        (batch,) = reader.block_batches([Block(0, 1, columns, NOW_MS)])
        assert batch["code"].to_pylist() == [code]
