"""Every record of a landed file comes out: good ones plain, bad ones as they stood."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from example_counts import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from landed_files import FILES, TABLE, written

from core.errors import IntegrityError
from core.rows.row_parser import raw_text
from stores.log import parquet_records
from stores.log.epochs import Malformed, landed_path
from stores.log.line_records import MAX_LINE_BYTES
from stores.log.source_log import SourceLog


@pytest.fixture
def log(tmp_path):
    return SourceLog(tmp_path / "log", "payments")


def landed(log: SourceLog, path: Path) -> list[dict | Malformed]:
    epoch = log.land(path, now_ms=5).epoch
    log.verify(epoch.epoch)
    return [record.raw for record in log.records(epoch.epoch)]


@pytest.mark.parametrize(("name", "content", "rows"), FILES)
def test_records_start_at_any_offset(log, tmp_path, name, content, rows):
    log.land(written(tmp_path, name, content), now_ms=7)
    offsets = [record.offset for record in log.records(1)]
    assert offsets == sorted(set(offsets))
    for index, offset in enumerate(offsets):
        assert [record.raw for record in log.records(1, offset)] == rows[index:]
    assert list(log.records(1, 2**32 - 1)) == []


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


@settings(max_examples=examples(150), deadline=None)
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
