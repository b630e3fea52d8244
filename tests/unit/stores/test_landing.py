from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import ConfigurationError, IntegrityError, InvalidInputError
from core.mapping import read_mapping
from core.row_parser import raw_text
from stores import parquet_records
from stores.epochs import Malformed, landed_path, manifest_path
from stores.landing import landing_files
from stores.line_records import MAX_LINE_BYTES
from stores.log import SourceLog

ROOT = Path(__file__).parents[3]
MAPPING = read_mapping({"source": "payments", "fields": {"event_id": {"from": "id"}}})


@pytest.fixture
def log(tmp_path):
    return SourceLog(tmp_path / "log", "payments")


def written(tmp_path: Path, name: str, content: bytes | str | pa.Table) -> Path:
    path = tmp_path / name
    if isinstance(content, pa.Table):
        pq.write_table(content, path, row_group_size=3)
    else:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def landed(log: SourceLog, path: Path) -> list[dict | Malformed]:
    epoch = log.land(path, now_ms=5).epoch
    log.verify(epoch.epoch)
    return [record.raw for record in log.records(epoch.epoch)]


ROWS = [{"id": f"e{n}", "amount": n} for n in range(10)]
TABLE = pa.Table.from_pylist(ROWS)
NDJSON = "".join(json.dumps(row) + "\n" for row in ROWS)
CSV = "id,amount\n" + "".join(f"{row['id']},{row['amount']}\n" for row in ROWS)
TEXT_ROWS = [{name: str(value) for name, value in row.items()} for row in ROWS]
FILES = [("f.parquet", TABLE, ROWS), ("f.ndjson", NDJSON, ROWS), ("f.csv", CSV, TEXT_ROWS)]
FILES += [("f.JSONL", NDJSON.rstrip("\n"), ROWS)]


@pytest.mark.parametrize(("name", "content", "rows"), FILES)
def test_landed_file_is_a_sealed_epoch_of_its_records(log, tmp_path, name, content, rows):
    path = written(tmp_path, name, content)
    landing = log.land(path, MAPPING, now_ms=7, is_historic=True, delay_ms=3)
    epoch = landing.epoch
    assert landing.is_new
    assert (epoch.epoch, epoch.kind, epoch.sealed_at_ms) == (1, "file", 7)
    assert (epoch.is_historic, epoch.delay_ms, epoch.mapping) == (True, 3, MAPPING.document)
    assert epoch.rows == (None if name.endswith("csv") else 10)
    records = list(log.records(1))
    assert [record.raw for record in records] == rows
    assert {record.ingested_at_ms for record in records} == {7}
    path.unlink()
    assert [record for _, record in log.read_open()] == records


@pytest.mark.parametrize(("name", "content", "rows"), FILES)
def test_records_start_at_any_offset(log, tmp_path, name, content, rows):
    log.land(written(tmp_path, name, content), now_ms=7)
    offsets = [record.offset for record in log.records(1)]
    assert offsets == sorted(set(offsets))
    for index, offset in enumerate(offsets):
        assert [record.raw for record in log.records(1, offset)] == rows[index:]
    assert list(log.records(1, 2**32 - 1)) == []


def test_same_content_and_mapping_is_landed_once(log, tmp_path):
    path = written(tmp_path, "f.csv", CSV)
    first = log.land(path, now_ms=1)
    again = log.land(written(tmp_path, "copy.csv", CSV), now_ms=2)
    assert (first.is_new, again.is_new) == (True, False)
    assert again.epoch == first.epoch
    assert log.land(path, MAPPING, now_ms=3).epoch.epoch == 2
    assert log.land(path, now_ms=4, is_repeat_allowed=True).epoch.epoch == 3
    assert sorted(p.name for p in log.directory.glob("*landed*")) == [
        landed_path(log.directory, number, "csv").name for number in (1, 2, 3)
    ]


def test_landing_seals_what_was_appended_before(log, tmp_path):
    before = log.append([b'{"n": 1}'], now_ms=1)
    log.land(written(tmp_path, "f.csv", CSV), now_ms=2)
    after = log.append([b'{"n": 2}'], now_ms=3)
    assert [epoch.kind for epoch in log.epochs()] == ["events", "file"]
    places = [place for place, _ in log.read_open()]
    assert [places[0]] == before
    assert [places[-1]] == after
    assert places == sorted(places)


BAD_FILES = [
    ("f.txt", "a", "suffix says no known format.*'.txt'"),
    ("f", "a", "suffix"),
    ("f.csv", "", "is empty"),
    ("f.csv", "id,amount\n", "holds no row"),
    ("f.csv", "id,amount\n\n \n", "holds no row"),
    ("f.csv", "id,id\n1,2\n", "no distinct columns"),
    ("f.csv", "id,\n1,2\n", "no distinct columns"),
    ("f.csv", '"id\n1,2\n', "no distinct columns"),
    ("f.csv", "id\n" + "x" * (MAX_LINE_BYTES + 1), "line longer"),
    ("f.csv", "i\0d\n1\n", "not UTF-8 text"),
    ("f.csv", "id\n1\n".encode("utf-16"), "not UTF-8 text"),
    ("f.ndjson", "", "is empty"),
    ("f.ndjson", "\n \n", "holds no line"),
    ("f.ndjson", '\n [{"id": 1}]', "JSON array"),
    ("f.parquet", "", "is empty"),
    ("f.parquet", CSV, "cannot be read as Parquet"),
    ("f.parquet", TABLE.slice(0, 0), "holds no row"),
    ("f.parquet", pa.table({"id": [[1]]}), "nested"),
    ("f.parquet", pa.Table.from_arrays([pa.array([1])] * 2, ["a", "a"]), "two columns of one"),
]


@pytest.mark.parametrize(("name", "content", "message"), BAD_FILES)
def test_file_that_cannot_be_read_is_refused_and_nothing_landed(
    log, tmp_path, name, content, message
):
    path = written(tmp_path, name, content)
    with pytest.raises(InvalidInputError, match=message):
        log.land(path, now_ms=1)
    assert log.epochs() == []
    assert [p.name for p in log.directory.iterdir() if p.name != "lock"] == []


def test_parquet_cut_anywhere_is_refused(log, tmp_path):
    whole = written(tmp_path, "f.parquet", TABLE).read_bytes()
    for end in range(1, len(whole), 37):
        with pytest.raises(InvalidInputError, match="Parquet"):
            log.land(written(tmp_path, "cut.parquet", whole[:end]), now_ms=1)
    assert log.epochs() == []


def test_what_is_no_file_is_refused(log, tmp_path):
    with pytest.raises(InvalidInputError, match="no file of that name"):
        log.land(tmp_path / "absent.csv", now_ms=1)
    folder = tmp_path / "folder.csv"
    folder.mkdir()
    with pytest.raises(InvalidInputError, match="is not a file"):
        log.land(folder, now_ms=1)
    pipe = tmp_path / "pipe.csv"
    os.mkfifo(pipe)
    with pytest.raises(InvalidInputError, match="is not a file"):
        log.land(pipe, now_ms=1)


def test_wrong_mapping_or_delay_is_refused_and_nothing_landed(log, tmp_path):
    path = written(tmp_path, "f.csv", CSV)
    for document, message in [
        ({"source": "labels", "fields": {}}, "not for source payments"),
        ({"source": "payments", "fields": {"event_id": {"from": "ID"}}}, "lacks: ID"),
    ]:
        with pytest.raises(ConfigurationError, match=message):
            log.land(path, read_mapping(document), now_ms=1)
    for arguments in ({"delay_ms": 1}, {"delay_ms": -1, "is_historic": True}):
        with pytest.raises(InvalidInputError, match="delay"):
            log.land(path, now_ms=1, **arguments)
    assert log.epochs() == []


def test_blocks_of_a_parquet_file_are_its_records_wherever_they_are_cut(log, tmp_path, monkeypatch):
    monkeypatch.setattr(parquet_records, "_BATCH_ROWS", 3)
    path, rows = tmp_path / "f.parquet", [{"n": n, "even": n % 2 == 0} for n in range(11)]
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=5)
    log.land(path, now_ms=7)
    for first in range(12):
        for end in (None, *range(first, 13)):
            found: dict[int, Any] = {}
            for block in log.blocks(1, first, end):
                assert (block.rows > 0, block.ingested_at_ms) == (True, 7)
                found |= {block.first + n: block.record(n) for n in range(block.rows)}
            wanted = range(first, 11 if end is None else min(end, 11))
            assert found == {n: rows[n] for n in wanted}


def test_folder_gives_its_files_by_name(tmp_path):
    for name in ("b.csv", "a.parquet", "note.txt"):
        written(tmp_path, name, "x")
    assert [path.name for path in landing_files(tmp_path)] == ["a.parquet", "b.csv"]
    assert landing_files(tmp_path / "b.csv") == [tmp_path / "b.csv"]
    with pytest.raises(InvalidInputError, match="suffix"):
        landing_files(tmp_path / "note.txt")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidInputError, match="no file that can be landed"):
        landing_files(tmp_path / "empty")


def test_csv_reads_quotes_empty_cells_and_byte_order_mark(log, tmp_path):
    content = '\ufeffid,note\r\n1,"a, ""b""\nc"\r\n\r\n2,\r\n"3","é"\r\n'
    assert landed(log, written(tmp_path, "f.csv", content)) == [
        {"id": "1", "note": 'a, "b"\nc'},
        {"id": "2", "note": None},
        {"id": "3", "note": "é"},
    ]


def test_broken_csv_record_takes_no_other_with_it(log, tmp_path):
    lines = ["id,note", '1,"never closed', "2,b", "3", "4,d,e", '5,"x"y', "6,f", '7,"g', "8,h"]
    raws = landed(log, written(tmp_path, "f.csv", "\n".join(lines)))
    good = [raw["id"] for raw in raws if isinstance(raw, dict)]
    bad = [raw.raw for raw in raws if isinstance(raw, Malformed)]
    assert good == ["2", "6", "8"]
    assert bad == ['1,"never closed', "3", "4,d,e", '5,"x"y', '7,"g']


def test_unclosed_quote_before_very_many_rows_costs_one_row(log, tmp_path):
    content = 'id,note\n0,"open\n' + "".join(f"{n},x\n" for n in range(1, 50_000))
    raws = landed(log, written(tmp_path, "f.csv", content))
    assert isinstance(raws[0], Malformed)
    assert raws[1:] == [{"id": str(n), "note": "x"} for n in range(1, 50_000)]


@settings(max_examples=150, deadline=None)
@given(
    lines=st.lists(st.text(st.sampled_from('ab,"\r\n é\udcff'), max_size=8), min_size=1, max_size=8)
)
def test_csv_of_any_text_loses_no_line(tmp_path_factory, lines):
    folder = tmp_path_factory.mktemp("csv")
    content = "id,note\nx,y\n" + "\n".join(lines)
    path = written(folder, "f.csv", content.encode("utf-8", "surrogateescape"))
    raws = landed(SourceLog(folder / "log", "payments"), path)
    text = "".join(
        raw.raw if isinstance(raw, Malformed) else "".join(v or "" for v in raw.values())
        for raw in raws
    )
    for letter in "abé":
        assert text.count(letter) == content.count(letter, len("id,note"))


def test_csv_that_is_not_utf8_is_refused_by_row_and_storable(log, tmp_path):
    raws = landed(log, written(tmp_path, "f.csv", b"id\ncaf\xe9\n\xff,\xff\nok\n"))
    assert raws[0] == {"id": "caf\udce9"}
    assert raws[1] == Malformed("\\xff,\\xff", "does not have 1 cells")
    assert raws[2] == {"id": "ok"}
    for raw in raws:
        raw_text(raw).encode()


def test_ndjson_line_of_any_kind_is_a_record_or_malformed(log, tmp_path):
    lines = [
        b"\xef\xbb\xbf" + b'{"a": 1}',
        b"",
        b'{"a": NaN, "b": 1e999}',
        b'{"a": ' + b"9" * 5_000 + b"}",
        b"[" * 50_000,
        b"7",
        b'{"a": "\xff"}',
        b'{"a": "' + b"x" * MAX_LINE_BYTES + b'"}',
        b'{"a": "\\ud800"}',
        b'{"a": 2}',
    ]
    raws = landed(log, written(tmp_path, "f.ndjson", b"\n".join(lines)))
    kinds = ["malformed" if isinstance(raw, Malformed) else "row" for raw in raws]
    assert kinds == ["row", "row", *["malformed"] * 5, "row", "row"]
    assert raws[0] == {"a": 1}
    assert raws[-1] == {"a": 2}
    too_long = raws[6]
    assert isinstance(too_long, Malformed)
    assert "longer than" in too_long.message
    assert len(too_long.raw) <= MAX_LINE_BYTES


def test_parquet_values_come_plain_with_times_in_milliseconds(log, tmp_path):
    at = datetime(1969, 12, 31, 23, 59, 59, 999_900)
    table = pa.table(
        {
            "ns": pa.array([at, None], pa.timestamp("ns")),
            "us": pa.array([at, None], pa.timestamp("us", tz="Europe/Brussels")),
            "ms": pa.array([2**62, None], pa.timestamp("ms")),
            "s": pa.array([2, None], pa.timestamp("s")),
            "day": pa.array([date(1970, 1, 2), None]),
            "day64": pa.array([date(1970, 1, 2), None], pa.date64()),
            "time": pa.array([1, None], pa.time64("ns")),
            "word": pa.array(["a", None]).dictionary_encode(),
            "bytes": pa.array([b"\xff", None]),
            "bad": pa.array([b"\xff", None]).view(pa.string()),
            "money": pa.array([Decimal("1.50"), None]),
            "half": pa.array([1.5, None], pa.float16()),
            "big": pa.array([2**64 - 1, None], pa.uint64()),
            "nothing": pa.nulls(2),
        }
    )
    first, second = landed(log, written(tmp_path, "f.parquet", table))
    assert first == {
        "ns": -1,
        "us": -1,
        "ms": 2**62,
        "s": 2_000,
        "day": 86_400_000,
        "day64": 86_400_000,
        "time": "00:00:00.000000001",
        "word": "a",
        "bytes": "\udcff",
        "bad": "\udcff",
        "money": Decimal("1.50"),
        "half": 1.5,
        "big": 2**64 - 1,
        "nothing": None,
    }
    assert isinstance(second, dict)
    assert set(second.values()) == {None}
    raw_text(first).encode()


def test_parquet_damaged_after_landing_is_found(log, tmp_path):
    log.land(written(tmp_path, "f.parquet", TABLE), now_ms=1)
    path = landed_path(log.directory, 1, "parquet")
    content = bytearray(path.read_bytes())
    content[-40:] = bytes(40)
    path.write_bytes(content)
    with pytest.raises(IntegrityError, match="no longer be read"):
        list(log.records(1))


def _land(directory: Path, path: Path) -> int:
    return SourceLog(directory, "payments").land(path, now_ms=1).epoch.epoch


def test_processes_that_land_the_same_file_make_one_epoch(tmp_path):
    path = written(tmp_path, "f.csv", CSV)
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        numbers = pool.starmap(_land, [(tmp_path / "log", path)] * 6)
    assert set(numbers) == {1}
    assert len(SourceLog(tmp_path / "log", "payments").epochs()) == 1


def test_landing_after_a_crash_sweeps_what_was_left(log, tmp_path):
    stray = landed_path(log.directory, 1, "parquet")
    stray.write_bytes(b"half")
    dead = log.directory / ".staged-0000.csv"
    dead.write_bytes(b"half")
    log.append([b'{"n": 1}'], now_ms=1)
    log.land(written(tmp_path, "f.csv", CSV), now_ms=2)
    log.land(written(tmp_path, "g.csv", CSV + "e11,11\n"), now_ms=3)
    assert not dead.exists()
    assert [epoch.rows for epoch in log.epochs()] == [1, None, None]
    assert len(list(log.read_open())) == 1 + 10 + 11


def test_copy_named_without_a_manifest_is_written_over(log, tmp_path):
    log.land(written(tmp_path, "f.csv", CSV), now_ms=1)
    manifest_path(log.directory, 1).unlink()
    reopened = SourceLog(log.directory, "payments")
    epoch = reopened.land(written(tmp_path, "g.ndjson", NDJSON), now_ms=2).epoch
    assert epoch.epoch == 1
    assert [record.raw for record in reopened.records(1)] == ROWS
    assert len(list(log.directory.glob("*landed*"))) == 1


LANDER = """
import sys
from pathlib import Path
from stores.log import SourceLog
log = SourceLog(Path(sys.argv[1]), "payments")
number = 0
print("ready", flush=True)
while True:
    path = Path(sys.argv[1]) / f"in{number}.csv"
    path.write_text("id\\n" + "".join(f"{number}-{n}\\n" for n in range(2_000)))
    log.append([b'{"id": "%d"}' % number], now_ms=1)
    log.land(path, now_ms=1)
    number += 1
"""


def test_lander_killed_at_any_moment_leaves_whole_epochs(tmp_path):
    for turn in range(5):
        process = subprocess.Popen(
            [sys.executable, "-c", LANDER, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.03 + 0.011 * turn)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        log = SourceLog(tmp_path, "payments")
        numbers = [epoch.epoch for epoch in log.epochs()]
        assert numbers == list(range(1, len(numbers) + 1))
        for epoch in log.epochs():
            log.verify(epoch.epoch)
            rows = sum(1 for _ in log.records(epoch.epoch))
            assert rows == (2_000 if epoch.kind == "file" else epoch.rows)
    assert numbers
    log.land(written(tmp_path, "last.csv", CSV), now_ms=1)
    assert list(tmp_path.glob(".staged-*")) == []
