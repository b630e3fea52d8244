from __future__ import annotations

import os

import pytest

from core.clock import DAY_MS, event_date
from stores.process_logs import former_logs, open_log

NOW_MS = 1_760_000_000_000


@pytest.fixture
def log(tmp_path):
    return tmp_path / "logs" / "service.log"


def written(log, text, at_ms):
    with open_log(log, now_ms=at_ms) as file:
        file.write(text)
    os.utime(log, ns=(at_ms * 1_000_000, at_ms * 1_000_000))


def test_a_day_s_starts_append_and_a_later_day_begins_anew(log):
    written(log, b"one\n", NOW_MS)
    written(log, b"two\n", NOW_MS + 1)
    assert (log.read_bytes(), former_logs(log.parent)) == (b"one\ntwo\n", [])
    written(log, b"three\n", NOW_MS + DAY_MS)
    assert log.read_bytes() == b"three\n"
    [former] = former_logs(log.parent)
    assert tuple(former) == (f"service.{event_date(NOW_MS)}.log", NOW_MS + 1, 8, 0, "", None, False)
    assert (log.parent / former.name).read_bytes() == b"one\ntwo\n"


def test_nothing_that_was_put_aside_is_written_over(log):
    for text in (b"one\n", b"two\n"):
        written(log, text, NOW_MS)
        open_log(log, now_ms=NOW_MS + DAY_MS).close()
    date = event_date(NOW_MS)
    names = [piece.name for piece in former_logs(log.parent)]
    assert names == [f"service.{date}-2.log", f"service.{date}.log"]


def test_who_has_the_file_open_goes_on_writing_to_it(log):
    written(log, b"", NOW_MS)
    with log.open("ab") as running:
        running.write(b"kept\n")
        running.flush()
        os.utime(log, ns=(NOW_MS * 1_000_000,) * 2)
        open_log(log, now_ms=NOW_MS + DAY_MS).close()
        running.write(b"later\n")
    [former] = former_logs(log.parent)
    assert (log.parent / former.name).read_bytes() == b"kept\nlater\n"
