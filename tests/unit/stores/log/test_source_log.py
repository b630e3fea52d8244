from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from core.errors import DependencyError, IntegrityError, InvalidInputError
from core.features.keys import epoch_of, offset_of, position
from stores.log.epochs import Malformed, Record, appended_path, manifest_path
from stores.log.source_log import MAX_EVENT_BYTES, SourceLog

ROOT = Path(__file__).parents[4]


def event(number: int) -> bytes:
    return json.dumps({"n": number}).encode()


def content_of(record: Record) -> dict[str, Any]:
    assert isinstance(record.raw, dict)
    return record.raw


def numbers(log: SourceLog, after: int = 0) -> list[int]:
    return [content_of(record)["n"] for _, record in log.read_open(after)]


@pytest.fixture
def log(tmp_path):
    return SourceLog(tmp_path / "log", "payments")


def test_appended_events_come_back_in_order_with_their_positions(log):
    first = log.append([event(1), event(2)], now_ms=100)
    second = log.append([event(3)], now_ms=200)
    found = list(log.read_open())
    assert [place for place, _ in found] == first + second == sorted(first + second)
    assert [(record.raw["n"], record.ingested_at_ms) for _, record in found] == [
        (1, 100),
        (2, 100),
        (3, 200),
    ]


def test_reading_resumes_behind_any_position_across_epochs(log):
    places = []
    for number in range(9):
        places += log.append([event(number)], now_ms=number)
        if number % 3 == 1:
            log.seal(number)
    for number, place in enumerate(places):
        assert numbers(log, place) == list(range(number + 1, 9))
    assert numbers(log, position(2, 0) - 1) == [2, 3, 4, 5, 6, 7, 8]
    assert numbers(log, position(99, 0)) == []


def test_seal_closes_what_was_appended_and_numbers_have_no_gap(log):
    assert log.seal(1) is None
    log.append([event(1)], now_ms=1)
    assert log.seal(2) == 1
    assert log.seal(3) is None
    log.append([event(2), event(3)], now_ms=4)
    assert log.seal(5) == 2
    assert [(e.epoch, e.rows, e.kind, e.sealed_at_ms) for e in log.epochs()] == [
        (1, 1, "events", 2),
        (2, 2, "events", 5),
    ]
    assert [e.epoch for e in log.epochs(after=1)] == [2]
    assert [record.raw["n"] for record in log.records(2)] == [2, 3]
    log.verify(1)


def test_records_of_a_sealed_epoch_start_where_asked(log):
    places = log.append([event(n) for n in range(5)], now_ms=1)
    log.seal(2)
    found = [record.raw["n"] for record in log.records(1, offset_of(places[3]))]
    assert found == [3, 4]


def test_the_tip_moves_with_every_write_and_with_nothing_else(log, tmp_path):
    tips = [log.tip(0)]
    log.append([event(1)], now_ms=1)
    tips.append(log.tip(0))
    log.append([event(2)], now_ms=2)
    tips.append(log.tip(0))
    log.seal(3)
    tips.append(log.tip(0))
    (tmp_path / "file.ndjson").write_bytes(event(3) + b"\n")
    log.land(tmp_path / "file.ndjson", now_ms=4)
    tips.append(log.tip(0))
    assert len(set(tips)) == 5
    assert len(list(log.read_open())) == 3
    assert log.tip(0) == SourceLog(log.directory, log.source).tip(0) == tips[-1]


def test_the_tip_moves_when_a_torn_line_gives_way_to_one_of_its_length(log):
    log.append([event(1)], now_ms=1)
    path = log.directory / "0000000001.ndjson"
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:-1] + b"x")
    torn = log.tip(0)
    os.utime(path, ns=(0, 0))  # the writer died some time ago
    dead = log.tip(0)
    log.append([event(1)], now_ms=1)
    assert log.tip(0).open_bytes == dead.open_bytes == torn.open_bytes
    assert log.tip(0) != dead


@pytest.mark.parametrize("line", [b"", b"{}\n", b'{"a":\n1}', b"x" * (MAX_EVENT_BYTES + 1)])
def test_line_that_cannot_be_kept_is_refused_with_the_whole_call(log, line):
    with pytest.raises(InvalidInputError, match="cannot become a line"):
        log.append([event(1), line], now_ms=1)
    assert numbers(log) == []


def test_longest_event_is_kept(log):
    text = b'{"n": "' + b"x" * (MAX_EVENT_BYTES - 9) + b'"}'
    log.append([text, event(2)], now_ms=10**13)
    records = [record.raw for _, record in log.read_open()]
    assert len(records[0]["n"]) == MAX_EVENT_BYTES - 9
    assert records[1] == {"n": 2}


def test_append_of_nothing_is_nothing(log):
    assert log.append([], now_ms=1) == []
    assert log.seal(1) is None


def test_long_open_epoch_is_sealed_by_the_next_append(tmp_path):
    log = SourceLog(tmp_path, "payments", roll_bytes=100)
    places = [log.append([event(n)], now_ms=n)[0] for n in range(30)]
    assert len(log.epochs()) > 2
    assert all(epoch.bytes < 200 for epoch in log.epochs())
    assert numbers(log) == list(range(30))
    assert places == sorted(places)


def test_tail_cut_at_every_byte_loses_only_the_torn_line(log):
    log.append([event(1)], now_ms=1)
    size = appended_path(log.directory, 1).stat().st_size
    log.append([event(2), event(3)], now_ms=2)
    path = appended_path(log.directory, 1)
    whole = path.read_bytes()
    for end in range(size, len(whole) + 1):
        path.write_bytes(whole[:end])
        kept = whole[:end].count(b"\n")
        reopened = SourceLog(log.directory, "payments")
        assert numbers(reopened) == [1, 2, 3][:kept]
        reopened.append([event(4)], now_ms=3)
        assert numbers(reopened) == [*[1, 2, 3][:kept], 4]


def test_seal_cuts_a_torn_end_and_forgets_an_epoch_of_nothing_else(log):
    path = appended_path(log.directory, 1)
    path.write_bytes(b"17\t{")
    assert log.seal(1) is None
    log.append([event(1)], now_ms=1)
    with path.open("ab") as file:
        file.write(b"17\t{")
    assert log.seal(2) == 1
    assert path.read_bytes() == b'1\t{"n": 1}\n'
    log.verify(1)


def test_lines_that_are_no_events_are_malformed_and_hide_no_other(log):
    log.append([event(1)], now_ms=1)
    with appended_path(log.directory, 1).open("ab") as file:
        file.write(b'no time\n7\t[1]\n8\t{"a": \xff}\n9\t' + b"[" * 100_000 + b"\n")
    log.append([event(2)], now_ms=2)
    raws = [record.raw for _, record in log.read_open()]
    assert raws[0] == {"n": 1}
    assert raws[-1] == {"n": 2}
    assert all(isinstance(raw, Malformed) for raw in raws[1:-1])
    assert raws[1] == Malformed("no time", "has no time of arrival")
    assert raws[3] == Malformed('{"a": \\xff}', "is not UTF-8 text")
    assert len(raws) == 6


def test_appenders_in_threads_lose_and_mix_nothing(log):
    places: list[int] = []

    def work(worker: int) -> None:
        mine = SourceLog(log.directory, "payments", roll_bytes=2_000)
        for number in range(40):
            places.extend(mine.append([event(worker * 1_000 + number)] * 2, now_ms=1))
            if number % 15 == worker:
                mine.seal(1)

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = list(log.read_open())
    assert sorted(place for place, _ in found) == sorted(places)
    counts = sorted(record.raw["n"] for _, record in found)
    assert counts == sorted([w * 1_000 + n for w in range(4) for n in range(40)] * 2)
    for epoch in log.epochs():
        log.verify(epoch.epoch)


WRITER = """
import sys
from pathlib import Path
from stores.log.source_log import SourceLog
log = SourceLog(Path(sys.argv[1]), "payments", roll_bytes=3_000)
number = 0
while True:
    batch = [b'{"n": %d, "by": "%s"}' % (number + i, sys.argv[2].encode()) for i in range(7)]
    log.append(batch, now_ms=1)
    number += 7
    print(number, flush=True)
"""


@pytest.mark.slow
def test_writers_killed_at_any_moment_lose_no_answered_event(tmp_path):
    answered: dict[str, int] = {}
    for turn in range(4):
        names = [f"{turn}a", f"{turn}b"]
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", WRITER, str(tmp_path), name],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                text=True,
            )
            for name in names
        ]
        for process in processes:
            assert process.stdout is not None
            process.stdout.readline()
        time.sleep(0.02 + 0.013 * turn)
        for process in processes:
            process.send_signal(signal.SIGKILL)
        for name, process in zip(names, processes, strict=True):
            lines = process.communicate()[0].split("\n")
            answered[name] = int(lines[-2] if len(lines) > 1 else 7)
    log = SourceLog(tmp_path, "payments")
    log.append([event(-1)], now_ms=1)
    records = [record.raw for _, record in log.read_open()]
    assert not any(isinstance(raw, Malformed) for raw in records)
    for name, count in answered.items():
        mine = [raw["n"] for raw in records if isinstance(raw, dict) and raw.get("by") == name]
        assert mine[:count] == list(range(count))
        assert mine == list(range(len(mine)))
    for epoch in log.epochs():
        log.verify(epoch.epoch)


def test_reader_never_sees_a_position_twice_or_out_of_order_while_others_write(tmp_path):
    log = SourceLog(tmp_path, "payments", roll_bytes=500)
    is_done = threading.Event()

    def write() -> None:
        for number in range(150):
            log.append([event(number)], now_ms=number)
        is_done.set()

    writer = threading.Thread(target=write)
    writer.start()
    after, seen = 0, []
    while True:
        was_done = is_done.is_set()
        for place, record in SourceLog(tmp_path, "payments").read_open(after):
            assert place > after
            after = place
            seen.append(content_of(record)["n"])
        if was_done:
            break
    writer.join()
    assert seen == list(range(150))


def test_disk_that_takes_half_a_line_is_reported_and_healed(log, monkeypatch):
    log.append([event(1)], now_ms=1)
    write = os.write

    def full(descriptor: int, content: bytes) -> int:
        if len(content) <= 5:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, bytes(content)[:-5])

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(DependencyError, match="No space left") as caught:
        log.append([event(2), event(3)], now_ms=2)
    assert caught.value.is_retryable
    monkeypatch.undo()
    assert appended_path(log.directory, 1).read_bytes().endswith(b"\n")
    log.append([event(4)], now_ms=3)
    assert numbers(log) == [1, 2, 4]


def test_damage_is_found(log):
    log.append([event(1), event(2)], now_ms=1)
    log.seal(2)
    path = appended_path(log.directory, 1)
    content = path.read_bytes()
    path.write_bytes(content.replace(b"2}", b"3}"))
    with pytest.raises(IntegrityError, match="another digest"):
        log.verify(1)
    path.write_bytes(content[:-3])
    with pytest.raises(IntegrityError, match="shorter"):
        list(log.records(1))
    path.unlink()
    with pytest.raises(IntegrityError, match="no data file"):
        list(log.read_open())
    with pytest.raises(IntegrityError, match="manifest of epoch 7"):
        list(log.records(7))


def test_manifest_that_is_no_manifest_is_found(log):
    manifest_path(log.directory, 1).write_text("{")
    with pytest.raises(IntegrityError, match="manifest of epoch 1"):
        log.epochs()


def test_positions_name_epoch_and_byte(log):
    log.append([event(1)], now_ms=1)
    log.seal(1)
    place = log.append([event(1), event(2)], now_ms=22)[1]
    assert (epoch_of(place), offset_of(place)) == (2, len(b'22\t{"n": 1}\n'))
