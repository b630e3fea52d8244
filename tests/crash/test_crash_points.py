"""Every job is killed, JVM and all, at every named point, run again, and compared.

The victims are real processes, two at a time, one for a job: there it runs once for every
point, each time on a state of its own, and waits at that point until the kill of the last run
meets them all. The second run happens in the shared session, while the next victims start. What
is compared are all tables of the state, row by row, with those of a run that nobody disturbed:
nothing lost, nothing doubled.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import dying_jobs
import numpy as np
import pytest
from bundles import CARD_STATES, shelve
from deltalake import DeltaTable
from payments import (
    DAY_MS,
    LABEL,
    NOW_MS,
    PAYMENTS,
    PLAN,
    VERDICTS,
    history,
    land_rows,
    payment,
    seal_events,
)
from recorded import ship, toy_record

from core.clock import event_date
from core.stats.histogram import histogram_of
from core.stats.profile import TableProfile
from spark_jobs import ingest
from spark_jobs.audit import AuditLimits
from spark_jobs.crash import IN_WRITES, POINTS
from spark_jobs.job import arguments_of
from stores.layout import Layout
from stores.masking import ensure_mask
from stores.records.shared import open_segments

pytestmark = [pytest.mark.spark, pytest.mark.slow]

JOBS = ("ingest", "tiles", "training_set", "scores", "predictions", "profiles", "retention")
DIES_WITH = {"retention": "ingest"}  # it has no point within a write, so it needs no death alone
PROJECT = Path(__file__).parents[2]
LIMIT_S = 600
AS_OF = event_date(NOW_MS - DAY_MS)


def told(layout, **more):
    return {"root": str(layout.root), "now_ms": NOW_MS} | more


def arguments_for(job, layout):
    """Arguments of each job, as JSON."""
    if job == "ingest":
        more = {"source": PAYMENTS.model_dump(), "to_epoch": 2, "reported_epoch": 1}
        more["in_driver_below_bytes"] = 0
    elif job == "tiles":
        dates = [event_date(NOW_MS - day * DAY_MS) for day in range(1, 4)]
        more = {"view": PLAN.views[0].model_dump(), "dates": dates}
    elif job == "training_set":
        more = {
            "use_case": "payments",
            "plan": PLAN.model_dump(),
            "label": LABEL.model_dump(),
            "sources": [PAYMENTS.model_dump(), VERDICTS.model_dump()],
            "start_date": event_date(NOW_MS - 40 * DAY_MS),
            "cut_ms": NOW_MS,
        }
    elif job == "predictions":
        more = {"use_case": "toy"}
    elif job == "profiles":
        bins = TableProfile(columns={"amount_minor": histogram_of(np.ones(1), (1.0, 500.0))})
        more = {"table": "events", "name": "payments", "bins": bins.model_dump()}
        more["dates"] = [event_date(NOW_MS - day * DAY_MS) for day in range(1, 4)]
    elif job == "retention":
        due = [event_date(NOW_MS - day * DAY_MS) for day in range(30, 41)]
        table = {"target": "events/payments", "uri": layout.events("payments")}
        more = {"tables": [table | {"column": "event_date", "due": due, "history_hours": 168}]}
    else:
        more = {
            "use_case": "toy",
            "release": 1,
            "as_of": AS_OF,
            "example_source": PAYMENTS.model_dump(),
            "limits": AuditLimits(min_rows=10**9).model_dump(),
        }
    return told(layout, **more)


def run_again(spark, job, layout):
    module = importlib.import_module(f"spark_jobs.{job}")
    return module.run(spark, arguments_of(module.Arguments, arguments_for(job, layout)))


@pytest.fixture(scope="session")
def prepared(spark, tmp_path_factory):
    """Three sources, each ingested once; a second epoch of payments waits, with every fault."""
    root = tmp_path_factory.mktemp("prepared")
    layout = Layout(root / "state").create()
    paid, judged = history(40, 2)
    states = [
        {"event_id": "s1", "event_timestamp": NOW_MS - 9 * DAY_MS, "card_id": "c1"}
        | {"limit_minor": 10_000}
    ]
    for source, rows in ((PAYMENTS, paid), (VERDICTS, judged), (CARD_STATES, states)):
        epoch = land_rows(layout, source, rows, root, NOW_MS)
        ingest.run(spark, ingest.Arguments(**told(layout, source=source, to_epoch=epoch)))
    waiting: list[dict[str, Any] | bytes] = [
        payment("q1", NOW_MS - DAY_MS),
        payment("q1", NOW_MS - DAY_MS),
        payment("q1", NOW_MS - DAY_MS, amount_minor=3),
        payment("q2", NOW_MS - 5 * DAY_MS),
        payment(paid[7]["event_id"], paid[7]["event_timestamp"], amount_minor=1),
        payment("q3", NOW_MS - DAY_MS, amount_minor=0),
        b"torn",
    ]
    seal_events(layout, PAYMENTS, waiting)
    shelve(layout)
    ensure_mask(layout.keys)  # every copy of the state masks alike
    ship(layout, [[toy_record(NOW_MS - n * DAY_MS) for n in range(5)], [toy_record()]])
    return layout


def copied(prepared, name):
    target = prepared.root.parent / name
    shutil.copytree(prepared.root, target)
    return Layout(target)


def tables_of(layout):
    """Rows of every table, each with how often it is there."""
    found = {}
    for log in sorted((layout.root / "lake").glob("*/*/_delta_log")):
        table = DeltaTable(str(log.parent)).to_pyarrow_table()
        name = str(log.parent.relative_to(layout.root))
        found[name] = Counter(repr(sorted(row.items())) for row in table.to_pylist())
    return found


@pytest.fixture(scope="session")
def undisturbed(spark, prepared):
    """Tables and report of a job when nobody interferes; each computed once."""

    @cache
    def found(job):
        layout = copied(prepared, f"undisturbed_{job}")
        report = run_again(spark, job, layout)
        return tables_of(layout), report

    return found


def killed(layouts):
    """Run jobs once for each point, all in one process, until it dies; its exit code.

    Points within a write come last: only one run can die there, and it takes the others along.
    """
    files = []
    for point in sorted(layouts, key=IN_WRITES.__contains__):
        job, layout = job_of(point), layouts[point]
        files.append(layout.root / f"{job}.json")
        is_last = len(files) == len(layouts)
        crash_at = point if is_last else f"{point}@{dying_jobs.mark_of(files[-1])}"
        arguments = arguments_for(job, layout) | {"crash_at": crash_at}
        files[-1].write_text(json.dumps(arguments))
    with log_of(layouts).open("wb") as log:
        victim = subprocess.Popen(
            [sys.executable, dying_jobs.__file__, *map(str, files)],
            cwd=PROJECT,
            env=os.environ | {"PYTHONPATH": str(PROJECT)},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        return victim.wait(LIMIT_S)


def log_of(layouts):
    return next(iter(layouts.values())).root / "victim.log"


@pytest.fixture(scope="session")
def victims(request, prepared):
    """Deaths of all points that this run of the tests asks for, two processes at a time."""
    wanted: dict[str, dict[str, Layout]] = {}
    for item in request.session.items:
        if hasattr(item, "callspec") and "point" in item.callspec.params:
            point = item.callspec.params["point"]
            wanted.setdefault(victim_of(point), {})[point] = copied(prepared, point)
    with ThreadPoolExecutor(2) as pool:
        yield {name: (layouts, pool.submit(killed, layouts)) for name, layouts in wanted.items()}


def job_of(point):
    return point.partition(".")[0]


def victim_of(point):
    """Which process dies at a point: that of its job, or of the job that it dies with."""
    return DIES_WITH.get(job_of(point), job_of(point))


@pytest.mark.timeout(900)
@pytest.mark.parametrize("point", POINTS)
def test_a_job_killed_at_any_point_and_run_again_loses_and_doubles_nothing(
    spark, undisturbed, victims, point
):
    job = job_of(point)
    layouts, death = victims[victim_of(point)]
    code = death.result()
    assert code == -signal.SIGKILL, log_of(layouts).read_text()[-2_000:]
    layout = layouts[point]
    report = run_again(spark, job, layout)
    tables, wanted = undisturbed(job)
    assert tables_of(layout) == tables
    unequal = {"events_version", "rejected_version", "version", "is_new"}
    # Done already, so the second run has less to do; what it says of the outcome stays true.
    unequal |= {
        "ingest.after_merge": {"duplicates"},
        "tiles.after_replace": {"dates", "tiles", "rows_read"},
        "predictions.in_removal": {"segments", "rows", "touched"},
        "retention.after_delete": {"tables"},
        "retention.before_purge": {"tables"},
    }.get(point, set())
    assert report.model_dump(exclude=unequal) == wanted.model_dump(exclude=unequal)
    assert not list((layout.root / "lake").glob("staging/*/*.parquet"))
    if job == "predictions":
        assert open_segments(layout.segments("toy")).waiting() == []


def test_there_are_more_than_thirty_points_over_all_jobs():
    assert len(set(POINTS)) == len(POINTS) > 30
    assert {job_of(point) for point in POINTS} == set(JOBS)
