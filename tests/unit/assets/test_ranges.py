"""A range of dates is one launch of a Spark job, which is told them all."""

import importlib
import json
from argparse import Namespace
from datetime import date
from io import StringIO
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest
from deltalake import write_deltalake

from assets.checks.expectations import GREAT_EXPECTATIONS, tile_columns_read
from assets.features import tiles_asset
from assets.resources import Launcher
from assets.scores import AUDIT, scores_asset
from core.clock import FixedClock, date_start_ms
from orchestration.code_location import declared_by
from orchestration.commands import score as command
from orchestration.runs import RANGE_END, RANGE_START, CheckSeen, RunSeen
from orchestration.settings import Settings
from orchestration.shell import Shell
from spark_jobs.audit import Audit
from spark_jobs.job import arguments_of
from spark_jobs.scores import Report as ScoresReport

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning")

DATES = ("2026-01-01", "2026-01-02", "2026-01-03")
TABLE = pa.table({"as_of": [date(2026, 1, 1)]})
JUDGED = Audit(
    rows=7,
    expected_rows=7,
    score_nulls=0,
    score_shift=0.0,
    null_shift=0.0,
    null_shift_feature="x",
    decisions={"APPROVE": 7},
    faults=(),
)


class RecordingLauncher(Launcher):
    """Keeps what a job was told, as the job itself would read it."""

    calls: str
    report: str

    def launch(self, context: Any, job: str, **arguments: Any) -> dict[str, Any]:
        kind = importlib.import_module(f"spark_jobs.{job}").Arguments
        told = arguments_of(kind, arguments).model_dump(mode="json")
        with Path(self.calls).open("a") as file:
            file.write(json.dumps(told) + "\n")
        found: dict[str, Any] = json.loads(self.report)
        return found


@pytest.fixture(scope="module")
def declared(tmp_path_factory):
    return declared_by(Settings(home=tmp_path_factory.mktemp("home"), environment="test"))


def materialised(asset, platform, report, config=None):
    """The run over all dates, and what its launches were told."""
    calls = Path(platform.home) / "calls.ndjson"
    resources = {
        "platform": platform,
        "launcher": RecordingLauncher(calls=str(calls), report=json.dumps(report)),
    }
    result = dg.materialize(
        [asset],
        resources=resources,
        tags={RANGE_START: DATES[0], RANGE_END: DATES[-1]},
        run_config={"ops": {asset.node_def.name: {"config": config}}} if config else None,
        raise_on_error=False,
    )
    return result, [json.loads(line) for line in calls.read_text().splitlines()]


def scored(audit):
    return ScoresReport(
        use_case="fraud",
        release=3,
        as_of="2026-01-01 to 2026-01-03",
        dates=DATES,
        rows=audit.rows,
        is_published=audit.is_passed,
        audit=audit,
        read_versions={"transactions": 1},
        version=0,
        rows_in_database=None,
    ).model_dump(mode="json")


@pytest.fixture
def scores(declared):
    return scores_asset(declared.use_cases["fraud"], declared.plans["fraud"])


def test_scores_of_many_dates_are_one_launch(scores, platform):
    write_deltalake(platform.layout.scores("fraud"), TABLE)
    result, told = materialised(scores, platform, scored(JUDGED), {"release": 3})
    assert result.success
    assert [call["as_of"] for call in told] == [list(DATES)]
    made = {e.partition: e.materialization.metadata for e in result.all_events if e.partition}
    assert set(made) == set(DATES)
    assert made[DATES[0]]["rows_scored"].value == 7


def test_scores_that_fail_the_audit_are_said_with_their_dates_and_not_announced(scores, platform):
    failed = JUDGED.model_copy(update={"faults": ("scores have moved",)})
    result, _ = materialised(scores, platform, scored(failed), {"release": 3})
    (found,) = result.get_asset_check_evaluations()
    assert (found.check_name, found.passed) == (AUDIT, False)
    assert found.description == "2026-01-01 to 2026-01-03: scores have moved"
    assert not [e for e in result.all_events if e.is_step_materialization]


def test_tiles_of_many_dates_are_one_launch(declared, platform):
    view = declared.views["card_activity_v1"]
    source = declared.sources[view.source]
    write_deltalake(platform.layout.events(source.name), TABLE)
    day = {"event_date": pa.array([date(2026, 1, 2)]), "card_id": ["c1"]}
    kinds = dict.fromkeys(tile_columns_read(view)) | {"grid_ms": [7], "tile_start_ms": [0]}
    columns = {name: day.get(name, value or [0]) for name, value in kinds.items()}
    write_deltalake(platform.layout.tiles(view.name), pa.table(columns))
    tiles = tiles_asset(view, source, ["a@b.example"])
    result, told = materialised(tiles, platform, {"events_version": 0})
    assert result.success
    assert [call["dates"] for call in told] == [list(DATES)]
    seen = {each.check_name: each for each in result.get_asset_check_evaluations()}
    assert seen["tiles_are_fresh"].passed
    assert seen[GREAT_EXPECTATIONS].passed  # of the newest date, which has no tiles here
    assert seen[GREAT_EXPECTATIONS].metadata["rows"].value == 0


class OneRun:
    """Stands for the runs of the command line: keeps what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str] | None] = []

    def assets(self, keys, *, dates=None, config=None):
        self.asked.append(dates)
        found = {key.to_user_string(): {"rows_scored": 7, "release": 3} for key in keys}
        numbers = {"audit": JUDGED.model_dump()}
        audit = CheckSeen(AUDIT, passed=True, is_blocking=True, why="", numbers=numbers)
        return RunSeen("0123456789", metadata=found, checks=[audit])


def test_the_command_asks_for_one_run_of_all_its_dates(tmp_path, monkeypatch):
    runs, clock, out = OneRun(), FixedClock(date_start_ms("2026-02-01")), StringIO()
    shell = Shell(Settings(home=tmp_path, environment="test"), {}, clock, out)
    monkeypatch.setattr("orchestration.runs.Runs.__enter__", lambda self: runs)
    asked = Namespace(use_case="fraud", as_of=DATES[-1], first=DATES[0], release=0, refresh=False)
    assert command.run(asked, shell) == 0
    assert runs.asked == [(DATES[0], DATES[-1])]
    assert "2026-01-01 to 2026-01-03: 7 rows by release 3: APPROVE 7" in out.getvalue()
