"""A folder with nothing to do does next to nothing, and is there when an event comes."""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from pathlib import Path

import pytest
from bundles import serve, shelve
from online_processes import folder
from payments import PAYMENTS, payment

from core.clock import SystemClock
from stores.layout import Layout
from stores.log import SourceLog
from stores.online import open_online_store
from stores.watermarks import decode_position, folded_key

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells of writes"),
]
NOW = SystemClock().now_ms
IDLE_S = 4.0
USER, SYSTEM = 11, 12  # of the fields of /proc/PID/stat behind the name
MAX_SHARE = 0.02


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


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    layout = Layout(tmp_path_factory.mktemp("home")).create()
    serve(layout, shelve(layout), counter=1)
    bench = Bench(layout)
    with folder(layout) as process:
        place = bench.append()
        process.wait_until(lambda: bench.is_folded(place))
        yield process, bench


def processor_s(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[USER]) + int(fields[SYSTEM])) / os.sysconf("SC_CLK_TCK")


def test_an_idle_folder_takes_less_than_a_fiftieth_of_a_core(started):
    """It took 5 to 8 % when it looked 200 times a second."""
    process, _ = started
    before_s = processor_s(process.process.pid)
    time.sleep(IDLE_S)
    assert (processor_s(process.process.pid) - before_s) / IDLE_S < MAX_SHARE


def test_an_event_wakes_a_folder_that_rests(started):
    _, bench = started
    waited_ms = []
    for _ in range(15):
        time.sleep(0.15)
        place, began_s = bench.append(), time.monotonic()
        while not bench.is_folded(place):
            assert time.monotonic() - began_s < 5
        waited_ms.append((time.monotonic() - began_s) * 1_000)
    assert statistics.median(waited_ms) < 20, waited_ms  # without being told: 50
