"""Ctrl-C in the middle of an ingest, then two at once: nothing lost, doubled or left running."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import dagster as dg
import pytest
from shared_spark import skip_without_spark

from assets import names
from assets.tables import read_columns
from core.clock import DAY_MS, SystemClock
from orchestration.cli import INTERRUPTED
from orchestration.ingest import announced_epoch
from orchestration.instance import open_instance
from stores.layout import Layout

pytestmark = [pytest.mark.spark, pytest.mark.slow, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
N_ROWS, N_DAYS = 300, 3
LAUNCHES = ("in_process", "pipes")


@pytest.fixture
def home(tmp_path):
    """Folder of an installation with a landing file in it."""
    skip_without_spark()
    end_ms = SystemClock().now_ms()
    rows = [
        {
            "event_id": f"e{number}",
            "event_timestamp": end_ms - DAY_MS * (number % N_DAYS),
            "terminal_id": "t1",
            "amount_minor": 100 + number,
            "card_id": f"c{number % 7}",
        }
        for number in range(N_ROWS)
    ]
    (tmp_path / "payments.ndjson").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path / "home"


def start(home, launch):
    """``throughline ingest`` as a shell starts it: in a process group of its own."""
    variables = {"THROUGHLINE_HOME": str(home), "THROUGHLINE_LAUNCH": launch}
    words = ["ingest", "transactions", str(home.parent / "payments.ndjson"), "--historic"]
    return subprocess.Popen(
        [sys.executable, "-m", "orchestration.cli", *words],
        cwd=ROOT,
        env=os.environ | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def left_of(home, *, named=""):
    """Processes that were started for a home: children inherit the variable that names it."""
    mark = f"THROUGHLINE_HOME={home}\0".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            name = (folder / "comm").read_text().strip()
            if mark in (folder / "environ").read_bytes() and name.startswith(named):
                found.append((folder.name, name))
        except OSError:
            continue
    return found


def interrupt(home, launch):
    """Start an ingest and press Ctrl-C while its JVM starts or works."""
    interrupted = start(home, launch)
    while not left_of(home, named="java"):
        assert interrupted.poll() is None
        time.sleep(0.1)
    time.sleep(2.0)
    os.killpg(interrupted.pid, signal.SIGINT)
    said, _ = interrupted.communicate(timeout=240)
    assert interrupted.returncode == INTERRUPTED, said
    assert said.strip().endswith("interrupted; nothing was left running")
    assert "error:" not in said
    assert left_of(home) == []


def test_an_ingest_that_is_interrupted_either_way_and_then_run_both_ways_at_once(home):
    for launch in LAUNCHES:
        interrupt(home, launch)

    both = [start(home, launch) for launch in LAUNCHES]
    outputs = [process.communicate(timeout=400)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert sum(f"{N_ROWS:,} rows on" in output for output in outputs) == 1
    assert sum("nothing new" in output for output in outputs) == 1
    assert left_of(home) == []

    ids = read_columns(Layout(home).events("transactions"), ["event_id"])["event_id"].to_pylist()
    assert len(ids) == len(set(ids)) == N_ROWS
    with open_instance(home / "dagster") as instance:
        assert announced_epoch(instance, "transactions") == 1
        key = names.events("transactions")
        dates = instance.fetch_materializations(key, limit=100).records
        assert len(dates) == N_DAYS
        unfinished = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])
        assert instance.get_runs(unfinished) == []
