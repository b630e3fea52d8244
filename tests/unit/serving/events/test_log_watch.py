from __future__ import annotations

import json
import sys
import threading
import time

import pytest
from payments import NOW_MS, PAYMENTS, payment

from serving.events.log_watch import LONGEST_WAIT_S, LogWatch
from stores.log.source_log import SourceLog

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells of writes")
LINE = json.dumps(payment("e1", NOW_MS)).encode()


@pytest.fixture
def log(tmp_path):
    return SourceLog(tmp_path / "log", PAYMENTS.name)


@pytest.fixture
def watch():
    watch = LogWatch()
    yield watch
    watch.close()


def waited_s(watch, *folders):
    began_s = time.monotonic()
    assert watch.wait(folders)
    return time.monotonic() - began_s


def test_a_folder_that_was_not_watched_until_now_is_looked_at_at_once(watch, log, tmp_path):
    log.append([LINE], now_ms=NOW_MS)
    assert waited_s(watch, log.directory) < LONGEST_WAIT_S / 2
    assert waited_s(watch, log.directory) >= LONGEST_WAIT_S
    assert waited_s(watch, log.directory, tmp_path) < LONGEST_WAIT_S / 2


def test_what_was_written_since_the_last_wait_ends_the_next(watch, log, tmp_path):
    watch.wait([log.directory])
    (tmp_path / "landed.ndjson").write_bytes(LINE + b"\n")
    for write in (
        lambda: log.append([LINE], now_ms=NOW_MS),
        lambda: log.seal(NOW_MS),
        lambda: log.land(tmp_path / "landed.ndjson", now_ms=NOW_MS),
    ):
        write()
        assert waited_s(watch, log.directory) < LONGEST_WAIT_S / 2
        assert waited_s(watch, log.directory) >= LONGEST_WAIT_S


def test_a_write_wakes_who_waits(watch, log):
    watch.wait([log.directory])
    writer = threading.Timer(LONGEST_WAIT_S / 10, log.append, ([LINE],), {"now_ms": NOW_MS})
    writer.start()
    assert waited_s(watch, log.directory) < LONGEST_WAIT_S
    writer.join()


def test_reading_a_log_wakes_nobody(watch, log):
    log.append([LINE], now_ms=NOW_MS)
    watch.wait([log.directory])
    assert len(list(log.read_open())) == 1
    assert log.tip(0).open_bytes > 0
    assert waited_s(watch, log.directory) >= LONGEST_WAIT_S


def test_where_the_kernel_does_not_tell_the_caller_must_wait(watch, log, tmp_path):
    assert not watch.wait([tmp_path / "nowhere"])
    watch.close()
    assert not watch.wait([log.directory])
