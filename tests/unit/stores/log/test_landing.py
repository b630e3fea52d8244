"""A landed file is a whole epoch of the log or nothing, once, whoever dies or lands beside."""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pytest
from landed_files import CSV, FILES, NDJSON, ROWS, TABLE, written

from core.errors import ConfigurationError, InvalidInputError
from core.mapping import read_mapping
from stores.log.epochs import landed_path, manifest_path
from stores.log.landing import landing_files, sweep
from stores.log.line_records import MAX_LINE_BYTES
from stores.log.source_log import SourceLog

ROOT = Path(__file__).parents[4]
MAPPING = read_mapping({"source": "payments", "fields": {"event_id": {"from": "id"}}})


@pytest.fixture
def log(tmp_path):
    return SourceLog(tmp_path / "log", "payments")


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


def _land(directory: Path, path: Path) -> int:
    return SourceLog(directory, "payments").land(path, now_ms=1).epoch.epoch


@pytest.mark.slow
def test_processes_that_land_the_same_file_make_one_epoch(tmp_path):
    path = written(tmp_path, "f.csv", CSV)
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        numbers = pool.starmap(_land, [(tmp_path / "log", path)] * 6)
    assert set(numbers) == {1}
    assert len(SourceLog(tmp_path / "log", "payments").epochs()) == 1


def test_a_copy_that_a_sweep_took_before_it_was_locked_is_made_again(log, tmp_path, monkeypatch):
    lock = fcntl.flock
    taken: list[Path] = []

    def locked_late(file, how):
        if how == fcntl.LOCK_EX and not taken:
            taken.extend(log.directory.glob(".staged-*"))
            sweep(log.directory)
        lock(file, how)

    monkeypatch.setattr(fcntl, "flock", locked_late)
    epoch = log.land(written(tmp_path, "f.csv", CSV), now_ms=1).epoch
    assert (epoch.epoch, len(taken)) == (1, 1)
    assert list(log.directory.glob(".staged-*")) == []


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
from stores.log.source_log import SourceLog
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


@pytest.mark.slow
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
