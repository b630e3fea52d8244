"""Somebody is gone from a table, its older versions and its log; all else reads as before."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime

import pyarrow as pa
import pytest
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake

from core.erasing.sought import Sought
from stores.erasing.scanning import scan_tree
from stores.erasing.tables import count_in_table, erase_in_table
from stores.tables import epoch_said, removals_said

THEIRS, OTHER = "card-7", "card-71"
SOUGHT, OTHERS = Sought(THEIRS), Sought(OTHER)
STATISTICS = {"delta.dataSkippingStatsColumns": "event_id,at"}
DAYS = (date(2026, 1, 1), date(2026, 1, 2), date(2026, 1, 3))


def rows(cards, days=DAYS):
    pairs = [(card, day) for day in days for card in cards]
    return pa.table(
        {
            "event_id": [f"e{n}" for n in range(len(pairs))],
            "at": pa.array([datetime(2026, 1, 1, tzinfo=UTC)] * len(pairs)),
            "card": [card for card, _ in pairs],
            "words": [[f"of {card}"] for card, _ in pairs],
            "event_date": [day for _, day in pairs],
        }
    )


@pytest.fixture
def uri(tmp_path):
    uri = str(tmp_path / "it's" / "events")
    for number, days in ((1, DAYS[:2]), (2, DAYS[2:])):
        said = CommitProperties(
            app_transactions=[Transaction("ingest", number)],
            custom_metadata={"userMetadata": json.dumps({"epoch": number})},
        )
        cards = [OTHER, THEIRS] if number == 1 else [OTHER]
        write_deltalake(
            uri,
            rows(cards, days),
            mode="append",
            partition_by=["event_date"],
            configuration=STATISTICS,
            commit_properties=said,
        )
    return uri


def held(uri):
    return sorted(
        (str(row["event_date"]), row["event_id"], row["card"])
        for row in DeltaTable(uri).to_pyarrow_table().to_pylist()
    )


def test_rows_go_from_every_version_and_others_stay(uri, tmp_path):
    before = held(uri)
    third = [path for path in DeltaTable(uri).file_uris() if "2026-01-03" in path]
    assert erase_in_table(uri, SOUGHT) == {"rows": 2, "partitions": 2, "purged_files": 2}
    assert held(uri) == [row for row in before if row[2] != THEIRS]
    assert scan_tree(tmp_path, SOUGHT) == []
    assert scan_tree(tmp_path, OTHERS)
    table = DeltaTable(uri)
    assert set(third) <= set(table.file_uris())  # what held nobody was not touched
    assert table.transaction_version("ingest") == 2
    assert epoch_said(table) == 2
    assert [removal.newest_date for removal in removals_said(table)] == [None, None]


def test_twice_is_once(uri):
    erase_in_table(uri, SOUGHT)
    version = DeltaTable(uri).version()
    assert erase_in_table(uri, SOUGHT) == {"rows": 0, "partitions": 0, "purged_files": 0}
    assert DeltaTable(uri).version() == version


def test_a_date_that_held_nobody_else_is_empty(uri, tmp_path):
    alone = rows([THEIRS], DAYS[1:2])
    write_deltalake(uri, alone, mode="overwrite", predicate="event_date = '2026-01-02'")
    erase_in_table(uri, SOUGHT)
    assert {day for day, _, _ in held(uri)} == {"2026-01-01", "2026-01-03"}
    assert scan_tree(tmp_path, SOUGHT) == []


def test_older_versions_and_leftovers_are_purged_though_no_row_is_left(uri, tmp_path):
    table = DeltaTable(uri)
    table.delete(f"card = '{THEIRS}'")  # what a hand might do: files stay, the log names the card
    stray = tmp_path / "it's" / "events" / "_change_data"
    stray.mkdir()
    (stray / "part.bin").write_bytes(b" " + THEIRS.encode() + b" ")
    assert not count_in_table(uri, SOUGHT, "event_date")
    before = held(uri)
    erase_in_table(uri, SOUGHT)
    assert scan_tree(tmp_path, SOUGHT) == []
    assert held(uri) == before
    assert DeltaTable(uri).transaction_version("ingest") == 2


def test_it_is_told_which_partitions_hold_somebody(uri):
    assert count_in_table(uri, SOUGHT, "event_date") == {"2026-01-01": 1, "2026-01-02": 1}


def test_a_table_without_partitions_is_written_anew(tmp_path):
    uri = str(tmp_path / "t")
    write_deltalake(uri, rows([OTHER, THEIRS]))
    assert erase_in_table(uri, SOUGHT)["rows"] == 3
    assert scan_tree(tmp_path, SOUGHT) == []
    assert len(held(uri)) == 3


def test_refused_records_are_read_by_their_mapping(tmp_path):
    uri = str(tmp_path / "rejected")
    fields = {"card_id": {"from": "CUSTOMER", "convert": [{"prefix": "card-"}]}}
    mapping = json.dumps({"source": "payments", "fields": fields})
    raws = ['{"CUSTOMER": 7}', '{"CUSTOMER": 71}', "torn", None, '{"CUSTOMER": 7}']
    mappings = [mapping, mapping, mapping, mapping, None]
    write_deltalake(uri, pa.table({"raw": raws, "mapping": mappings, "n": [1, 2, 3, 4, 5]}))
    assert erase_in_table(uri, SOUGHT)["rows"] == 1
    assert sorted(DeltaTable(uri).to_pyarrow_table()["n"].to_pylist()) == [2, 3, 4, 5]
