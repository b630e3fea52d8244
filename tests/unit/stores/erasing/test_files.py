"""Somebody is taken out of files of every kind, and everybody else stays as they were."""

from __future__ import annotations

import base64
import bz2
import csv
import gzip
import hashlib
import json
import os
import sqlite3
import struct
import zipfile
from contextlib import closing

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.clock import FixedClock
from core.erasing.sought import Sought
from core.mapping import read_mapping
from stores.erasing.files import erase_in_file
from stores.erasing.log import erase_in_landing, erase_in_log
from stores.erasing.records import erase_in_segment
from stores.erasing.scanning import scan_file
from stores.log.source_log import SourceLog
from stores.records.segments import SegmentedRecordLog, read_record, scan

THEIRS = "card-7-ö7919"
OTHER = "card-7-ö79190"
SOUGHT, OTHERS = Sought(THEIRS), Sought(OTHER)
ROWS = [{"id": f"e{n}", "card": card, "n": n} for n, card in enumerate([OTHER, THEIRS, OTHER])]
TEXT = f"{OTHER} paid\n{THEIRS} paid\n{base64.b64encode(THEIRS.encode()).decode()}\n".encode()


def text_file(path):
    path.write_bytes(TEXT)


def packed(pack):
    return lambda path: path.write_bytes(pack(TEXT))


def zstd(content):
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(content)
    return sink.getvalue().to_pybytes()


def zipped(path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inner.txt", TEXT)


def lines(path):
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS))


def cells(path):
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(ROWS[0])
        writer.writerows(row.values() for row in ROWS)


def parquet(path):
    pq.write_table(pa.Table.from_pylist(ROWS), path)


def database(path):
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE runs (name TEXT, body BLOB)")
        connection.execute("CREATE TABLE tags (name TEXT PRIMARY KEY, n INT) WITHOUT ROWID")
        for card in (OTHER, THEIRS):
            connection.execute("INSERT INTO runs VALUES (?, ?)", (card, f"of {card}".encode()))
            connection.execute("INSERT INTO tags VALUES (?, 1)", (f"of {card}",))
        connection.execute("INSERT INTO runs VALUES (?, NULL)", (f"deleted {THEIRS}",))
        connection.execute("DELETE FROM runs WHERE body IS NULL")
        connection.commit()


KINDS = {
    "run.log": text_file,
    "a.txt.gz": packed(gzip.compress),
    "a.txt.bz2": packed(bz2.compress),
    "a.txt.zst": packed(zstd),
    "a.zip": zipped,
    "a.ndjson": lines,
    "a.csv": cells,
    "a.parquet": parquet,
    "a.db": database,
}


@pytest.mark.parametrize("name", KINDS)
def test_one_is_gone_from_a_file_and_the_other_stays(tmp_path, name):
    path = tmp_path / name
    KINDS[name](path)
    os.utime(path, (1, 1))
    before = {s.part for s in scan_file(path, name, OTHERS)}
    assert scan_file(path, name, SOUGHT)
    assert erase_in_file(path, SOUGHT) > 0
    assert scan_file(path, name, SOUGHT) == []
    assert {s.part for s in scan_file(path, name, OTHERS)} == before
    assert [p.name for p in tmp_path.iterdir()] == [name]
    assert 1 < path.stat().st_mtime < 2  # another for a list by dates, and no younger for a sweep
    assert erase_in_file(path, SOUGHT) == 0


def test_a_file_that_is_named_after_somebody_is_renamed(tmp_path):
    (tmp_path / f"{THEIRS}.txt").write_text("nothing")
    assert erase_in_file(tmp_path / f"{THEIRS}.txt", SOUGHT) == 1
    assert [path.read_text() for path in tmp_path.iterdir()] == ["nothing"]
    assert THEIRS not in next(tmp_path.iterdir()).name


def logged(directory, source_dir):
    """A log with an epoch of every format; position of every record that is not theirs."""
    log = SourceLog(directory, "payments")
    log.append([json.dumps(row, ensure_ascii=False).encode() for row in ROWS], now_ms=5)
    log.seal(5)
    for name, write in (("a.ndjson", lines), ("a.csv", cells), ("a.parquet", parquet)):
        write(source_dir / name)
        log.land(source_dir / name, now_ms=6)
    log.append([json.dumps(row, ensure_ascii=False).encode() for row in ROWS], now_ms=7)
    return log


def held(log):
    """Records with their positions, blank ones left out."""
    found = {}
    for position, record in log.read_open():
        if any(value is not None for value in record.raw.values()):
            found[position] = {k: str(v) for k, v in record.raw.items()}
    return found


def test_others_keep_their_positions_in_a_log(tmp_path):
    log = logged(tmp_path / "log", tmp_path)
    before = held(log)
    assert erase_in_log(log.directory, SOUGHT, now_ms=9) == 5
    after = held(log)
    assert after == {at: row for at, row in before.items() if row["card"] != THEIRS}
    assert len(after) == 10
    for epoch in log.epochs():
        log.verify(epoch.epoch)
    assert all(not scan_file(p, p.name, SOUGHT) for p in log.directory.iterdir())
    assert erase_in_log(log.directory, SOUGHT, now_ms=9) == 0


def test_an_epoch_that_a_kill_left_half_done_is_finished(tmp_path):
    log = logged(tmp_path / "log", tmp_path)
    old = {p.name: p.read_bytes() for p in log.directory.glob("*") if p.suffix != ".json"}
    erase_in_log(log.directory, SOUGHT, now_ms=9)
    whole = {p.name: p.read_bytes() for p in log.directory.glob("[0-9]*")}
    for name in old:  # as if it had died with every manifest written and no data
        if name in whole:
            (log.directory / name).write_bytes(old[name])
    assert erase_in_log(log.directory, SOUGHT, now_ms=10) == 5
    assert {p.name: p.read_bytes() for p in log.directory.glob("[0-9]*")} == whole


def test_an_erased_prediction_record_is_one_that_there_never_was(tmp_path):
    clock = FixedClock(1)
    records = SegmentedRecordLog(tmp_path, "fraud", clock)
    ids = records.append_many([json.dumps(row).encode() for row in ROWS])
    path = next(tmp_path.glob("*.open"))
    os.utime(path, (1, 1))
    assert erase_in_segment(path, SOUGHT) == 1
    assert 1 < path.stat().st_mtime < 2
    later = records.append(b'{"after": 1}')
    records.close()
    sealed = next(tmp_path.glob("*.sealed"))
    assert [offset for offset, _ in scan(sealed)] == [
        int(i.split("-")[-1]) for i in (ids[0], ids[2], later)
    ]
    assert read_record(tmp_path, later) == b'{"after": 1}'
    with pytest.raises(Exception, match="no such prediction record"):
        read_record(tmp_path, ids[1])
    assert erase_in_segment(sealed, SOUGHT) == 0


@pytest.mark.parametrize(("value", "n_erased"), [(4012888888881881.0, 1), (4012888888881882.0, 0)])
def test_a_number_among_the_packed_ones_of_a_record_is_found(tmp_path, value, n_erased):
    numbers = base64.urlsafe_b64encode(struct.pack("<2d2qB", value, 0.5, 1, 1, 0)).decode()
    fixed = dict.fromkeys(("use_case", "masked", "model", "policy_digest", "policy"))
    packed: dict[str, object] = {
        "version": 4,
        **fixed,
        "views": {"v": ["x"]},
        "outputs": [],
        "numbers": numbers,
    }
    records = SegmentedRecordLog(tmp_path, "fraud", FixedClock(1))
    records.append_many([json.dumps(packed).encode(), b'{"other": 1}', b"no record"])
    (path,) = tmp_path.glob("*.open")
    assert erase_in_segment(path, Sought("4012888888881881")) == n_erased
    assert len(list(scan(path))) == 3 - n_erased


MAPPING = {
    "source": "payments",
    "fields": {
        "event_id": {"from": "ID", "convert": ["to_text"]},
        "card_id": {"from": "CUSTOMER", "convert": [{"prefix": "card-"}]},
    },
}
FOREIGN = [{"ID": number, "CUSTOMER": number, "AMOUNT": 596} for number in (5961, 596, 95)]


def test_who_stands_under_another_name_in_a_mapped_file_is_found_by_its_mapping(tmp_path):
    log = SourceLog(tmp_path / "log", "payments")
    landing = tmp_path / "landing"
    landing.mkdir()
    pq.write_table(pa.Table.from_pylist(FOREIGN), landing / "a.parquet")
    (landing / "a.csv").write_text("ID,CUSTOMER,AMOUNT\n5961,5961,596\n596,596,596\n95,95,596\n")
    (landing / "a.ndjson").write_text("".join(json.dumps(row) + "\n" for row in FOREIGN))
    for path in sorted(landing.iterdir()):
        log.land(path, read_mapping(MAPPING), now_ms=1)
        os.utime(path, (1, 1))
    card = Sought("card-596")
    assert erase_in_log(log.directory, card, now_ms=2) == 3
    done = erase_in_landing(landing, log.directory, card)
    assert done == {"records": 3, "places_in_files": 0}
    assert {int(path.stat().st_mtime) for path in landing.iterdir()} == {1}
    for epoch in log.epochs():
        kept = [record.raw for record in log.records(epoch.epoch)]
        ids = [int(raw["ID"]) for raw in kept if isinstance(raw, dict) and raw["ID"]]
        assert ids == [5961, 95]
    landed = {hashlib.sha256(path.read_bytes()).hexdigest() for path in landing.iterdir()}
    assert landed == {epoch.sha256 for epoch in log.epochs()}  # still known as landed


def test_a_certificate_counts_records_of_landed_files_and_not_places(tmp_path):
    """Eight rows in one column of one file are eight records, and one place."""
    landing = tmp_path / "landing"
    landing.mkdir()
    rows = [{"id": f"e{n}", "card": OTHER if n % 3 else THEIRS, "n": n} for n in range(24)]
    pq.write_table(pa.Table.from_pylist(rows), landing / "a.parquet")
    (landing / "b.ndjson").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    (landing / f"{THEIRS}.md").write_text(f"about {THEIRS}")
    done = erase_in_landing(landing, tmp_path / "log", SOUGHT)
    assert done["records"] == 16
    assert done["places_in_files"] == 2
    assert erase_in_landing(landing, tmp_path / "log", SOUGHT) == {
        "records": 0,
        "places_in_files": 0,
    }
