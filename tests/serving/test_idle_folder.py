"""A folder with nothing to do does next to nothing, and is there when an event comes."""

from __future__ import annotations

import json
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from bundles import serve, shelve
from online_processes import OnlineProcess, folder
from payments import PAYMENTS, payment
from resting_folder import REST_S

from core.clock import SystemClock
from stores.layout import Layout
from stores.log.source_log import SourceLog
from stores.online import open_online_store
from stores.online.watermarks import decode_position, folded_key

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells of writes"),
]
NOW = SystemClock().now_ms
IDLE_S = 4.0
MOST_LOOKS_PER_S = 40


class Bench:
    """The log of a home, and how far its folder has come."""

    def __init__(self, layout):
        self._log = SourceLog(layout.log_dir(PAYMENTS.name), PAYMENTS.name)
        self._store = open_online_store(layout.online_url)
        self._n = 0

    def append(self):
        self._n += 1
        line = json.dumps(payment(f"e{self._n}", NOW() - 1_000)).encode()
        return self._log.append([line], now_ms=NOW())[0]

    def is_folded(self, place):
        found = self._store.read([folded_key("card_activity_v1")])[0]
        return found is not None and decode_position(found) >= place


@pytest.fixture
def layout(tmp_path):
    layout = Layout(tmp_path).create()
    serve(layout, shelve(layout), counter=1)
    return layout


@pytest.fixture
def started(layout):
    bench = Bench(layout)
    with folder(layout) as process:
        place = bench.append()
        process.wait_until(lambda: bench.is_folded(place))
        yield process


def n_waits(pid):
    """How often the threads of a process went to sleep of their own accord."""
    found = 0
    for thread in Path(f"/proc/{pid}/task").iterdir():
        lines = dict(line.split(":", 1) for line in (thread / "status").read_text().splitlines())
        found += int(lines["voluntary_ctxt_switches"])
    return found


def test_an_idle_folder_looks_seldom(started):
    """It took 5 to 8 % of a core when it looked 200 times a second."""
    before, began_s = n_waits(started.process.pid), time.monotonic()
    time.sleep(IDLE_S)
    looks_per_s = (n_waits(started.process.pid) - before) / (time.monotonic() - began_s)
    assert looks_per_s < MOST_LOOKS_PER_S


def test_an_event_wakes_a_folder_that_rests(layout):
    """Eight events are each seen in less than half of the time in which it looks by itself."""
    bench, waited_s = Bench(layout), []
    process = OnlineProcess("tests.support.resting_folder", layout)
    try:
        for _ in range(1 + 8):
            place, began_s = bench.append(), time.monotonic()
            process.wait_until(partial(bench.is_folded, place))
            waited_s.append(time.monotonic() - began_s)
            time.sleep(0.15)
    finally:
        process.kill()
    assert max(waited_s[1:]) < REST_S / 2, waited_s  # the first waits for it to start
