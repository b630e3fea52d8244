"""The sweep over a whole home, five hundred days after everything in it was made."""

import json
import os
import shutil
import time
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest
from bundles import CARD_STATES, TOY_PLAN, serve, shelve
from deltalake import CommitProperties, Transaction, write_deltalake
from payments import PAYMENTS, VERDICTS, payment, seal_events
from platforms import platform_at
from training_sets import small_use_case

from assets import names
from assets.declared import Declared
from assets.resources import Launcher
from assets.retention import DONE, retention_asset, sweep_of, target_names
from assets.retention_pieces import SERVED, Inventory
from assets.retention_runs import LATEST, dagster_runs, scratch
from core.clock import DAY_MS, event_date
from core.retention import target_plan
from stores.holds import Holds
from stores.layout import Layout
from stores.log.source_log import SourceLog
from stores.online import open_online_store
from stores.online.watermarks import covered_key, encode_covered
from stores.sweeping import IN_USE, LAST, NEWEST

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning")

AT_MS = int(time.time() * 1_000) + 500 * DAY_MS
SOURCE = PAYMENTS.model_copy(update={"retention_days": 10, "raw_retention_days": 20})
USE_CASE = small_use_case().model_copy(
    update={"name": "toy", "sources": (SOURCE, VERDICTS, CARD_STATES)}
)
DECLARED = Declared({"toy": USE_CASE}, {"toy": TOY_PLAN})
AGES = (5, 20, 40)


class RecordingLauncher(Launcher):
    """Does nothing but put down what it was told."""

    path: str

    def launch(self, context: Any, job: str, **arguments: Any) -> dict[str, Any]:
        Path(self.path).write_text(json.dumps({"job": job, **arguments}))
        counts = {"files_purged": 2, "bytes_purged": 5, "partitions_compacted": 1}
        return {"tables": [{"target": "events/payments", **counts}]}


def days_ago(days):
    return date.fromisoformat(event_date(AT_MS - days * DAY_MS))


def write_dates(uri, ages=AGES, column="event_date", **more):
    table = pa.table({"n": [1] * len(ages), column: pa.array(map(days_ago, ages), pa.date32())})
    write_deltalake(uri, table, partition_by=[column], mode="append", **more)


def written_ago(path, days):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{}")
    os.utime(path, ns=((AT_MS - days * DAY_MS) * 1_000_000,) * 2)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Tables of three ages, a log of three epochs, three releases of which the first serves."""
    layout = Layout(tmp_path_factory.mktemp("made") / "home").create()
    for number in range(1, 4):
        seal_events(layout, SOURCE, [payment(f"p{number}", number)], now_ms=AT_MS - 90 * DAY_MS)
    ingested = CommitProperties(app_transactions=[Transaction("ingest", 2)])
    write_dates(layout.events("payments"), commit_properties=ingested)
    write_dates(layout.tiles("card_activity_v1"))
    write_dates(layout.rejected("payments"))
    write_dates(layout.scores("toy"), (5, 500), "as_of")
    snapshots = pa.table({"example_id": ["a", "b", "c"], "snapshot": ["served", "old", "old"]})
    write_deltalake(layout.training("toy"), snapshots, partition_by=["snapshot"])
    for snapshot_id in ("served", "old", "old"):
        shelve(layout, snapshot_id=snapshot_id)
    serve(layout, 1, counter=1)
    for snapshot, age in (("served", 480), ("old", 470), ("newest", 460)):
        written_ago(layout.candidates("toy") / snapshot / "report.json", age)
    for name, age in (("ui.2025-01-01.log", 480), ("ui.2025-03-01.log", 5), ("ui.log", 480)):
        written_ago(layout.logs / name, age)
    store = open_online_store(layout.online_url)
    store.write({covered_key(view.name): encode_covered(1 << 32, 0) for view in TOY_PLAN.views})
    store.close()
    return layout


@pytest.fixture
def layout(made, tmp_path):
    """A home of a test that removes something."""
    return Layout(shutil.copytree(made.root, tmp_path / "home"))


def platform_of(layout, made):
    # MLflow takes a second to make its tables, and knows of no run in any home.
    return platform_at(
        layout.root, AT_MS, online_url=layout.online_url, tracking_uri=made.mlflow_uri
    )


@pytest.fixture
def platform(layout, made):
    return platform_of(layout, made)


@pytest.fixture(scope="module")
def plans(made):
    """What a sweep would do, by its target."""
    with dg.DagsterInstance.ephemeral() as instance:
        return plans_of(platform_of(made, made), instance)


def plans_of(platform, instance):
    sweep = sweep_of(DECLARED, platform, instance, [])
    return {plan.target: plan for plan in sweep.plans()}


def test_a_date_goes_when_its_period_is_over_and_no_window_reaches_it(plans):
    for target in ("events/payments", "features/card_activity_v1_tiles"):
        assert plans[target].due == (str(days_ago(40)),)
        assert plans[target].kept == {"read by values of card_activity_v1": 1}
        assert plans[target].n_young == 1
        assert plans[target].due_rows == 1
        assert plans[target].due_bytes > 0


def test_what_came_is_kept_no_longer_than_the_rows_made_of_it(plans):
    plan = plans["events/payments_rejected"]
    assert (plan.days, plan.due) == (10, (str(days_ago(40)), str(days_ago(20))))


def test_a_snapshot_and_a_bundle_in_a_channel_stay_and_so_does_the_newest_bundle(plans):
    assert (plans["training/toy"].due, plans["training/toy"].kept) == (("old",), {SERVED: 1})
    assert plans["training/toy"].due_rows == 2
    assert (plans["bundles/toy"].due, plans["bundles/toy"].kept) == (("2",), {SERVED: 1, NEWEST: 1})
    assert plans["scores/toy"].due == (str(days_ago(500)),)


def test_a_snapshot_that_was_written_anew_is_as_old_as_its_paper(made):
    """Forgetting somebody writes all snapshots anew that held them, and they stay as old."""
    layout = made
    platform = platform_of(layout, made)

    def young():
        """At an instant when what was written just now is young."""
        now_ms = AT_MS - 490 * DAY_MS
        kept = {k.target: k for k in Inventory(DECLARED, platform, now_ms).kept()}["training/toy"]
        return target_plan("training/toy", kept.days, kept.pieces(), [], now_ms=now_ms)

    assert young().n_young == 2
    paper = layout.snapshots / "toy" / "old.json"
    written_ago(paper, 490 + 401)
    try:
        assert (young().n_young, young().due) == (1, ("old",))
    finally:
        paper.unlink()


def test_fitted_models_go_but_for_the_newest_and_those_of_releases_that_serve(plans):
    plan = plans["candidates/toy"]
    assert (plan.due, plan.kept) == (("old",), {IN_USE: 1, LAST: 1})


def test_former_logs_of_processes_go_and_one_that_may_be_written_to_stays(plans):
    plan = plans["logs"]
    assert (plan.due, plan.n_young, plan.kept) == (("ui.2025-01-01.log",), 1, {})


def test_an_epoch_stays_until_the_table_and_the_online_values_have_it(plans):
    plan = plans["log/payments"]
    assert plan.due == ("1",)
    assert plan.kept == {
        "not ingested yet": 1,
        "the online values of card_activity_v1 do not hold it yet": 1,
    }


def test_a_hold_may_name_whatever_the_report_names(made, plans):
    assert set(target_names(DECLARED, platform_of(made, made))) == set(plans)


def test_looking_changes_nothing(platform, instance, layout):
    before = files_of(layout)
    plans_of(platform, instance)
    assert files_of(layout) == before


def files_of(layout):
    parts = ("log", "shelf", "lake", "records")
    return sorted(p for part in parts for p in (layout.root / part).rglob("*") if p.is_file())


def swept(platform, instance, tmp_path, declared=DECLARED):
    launcher = RecordingLauncher(path=str(tmp_path / "told.json"))
    result = dg.materialize(
        [retention_asset(declared)],
        resources={"platform": platform, "launcher": launcher},
        instance=instance,
    )
    (found,) = result.get_asset_check_evaluations()
    told = json.loads((tmp_path / "told.json").read_text())
    return result, found, {table["target"]: table for table in told["tables"]}


def test_a_sweep_removes_files_and_tells_the_job_what_to_delete(
    platform, instance, layout, tmp_path
):
    result, found, tables = swept(platform, instance, tmp_path)
    assert tables["events/payments"]["due"] == [str(days_ago(40))]
    assert tables["events/payments"]["history_hours"] == 30 * 24
    assert tables["training/toy"] | {"uri": ""} == {
        "target": "training/toy",
        "uri": "",
        "column": "snapshot",
        "due": ["old"],
        "history_hours": 720,
        "is_compacted": False,
    }
    log = SourceLog(layout.log_dir("payments"), "payments")
    assert [epoch.epoch for epoch in log.epochs()] == [2, 3]
    assert sorted(p.parent.name for p in layout.shelf.glob("releases/toy/*/bundle")) == ["1", "3"]
    assert {p.name for p in layout.candidates("toy").iterdir()} == {"served", "newest"}
    assert {p.name for p in layout.logs.iterdir()} == {"ui.2025-03-01.log", "ui.log"}
    (made,) = result.asset_materializations_for_node("retention__sweep")
    assert made.metadata["purged_files"].value == 2
    assert "events/payments" in made.metadata["report"].value
    assert found.check_name == DONE
    assert not found.passed  # the job of this test deletes nothing
    assert set(found.metadata["left"].value) == {
        "events/payments",
        "events/payments_rejected",
        "features/card_activity_v1_tiles",
        "scores/toy",
        "training/toy",
    }


def test_a_held_target_keeps_its_rows_and_its_history(platform, instance, layout, tmp_path):
    holds = Holds(layout)
    for target in ("events/*", "log/payments"):
        holds.place(target, who="Legal", why="case 7", now_ms=0, until_ms=AT_MS + DAY_MS)
    result, _, tables = swept(platform, instance, tmp_path)
    assert not {target for target in tables if target.startswith("events/")}
    assert tables["training/toy"]["due"] == ["old"]
    log = SourceLog(layout.log_dir("payments"), "payments")
    assert [epoch.epoch for epoch in log.epochs()] == [1, 2, 3]
    (made,) = result.asset_materializations_for_node("retention__sweep")
    assert "by Legal until" in made.metadata["report"].value


def test_what_cannot_be_removed_is_said_and_the_rest_goes(platform, instance, layout, tmp_path):
    folder = layout.log_dir("payments") / "0000000001.ndjson"
    folder.unlink()
    folder.mkdir()  # a folder in the place of a file cannot be unlinked
    _, found, _ = swept(platform, instance, tmp_path)
    assert list(found.metadata["failed"].value) == ["log/payments"]
    assert not (layout.shelf / "releases" / "toy" / "2" / "bundle").exists()


def test_what_killed_runs_left_goes_and_what_a_run_writes_stays(tmp_path):
    """A session of Spark that was killed leaves rows in its shuffles, under no other period."""
    layout = Layout(tmp_path).create()
    killed, at_work = layout.scratch / "blockmgr-1", layout.scratch / "blockmgr-2"
    staged = Path(layout.staging("training_toy"))
    written_ago(killed / "0c" / "shuffle.data", 8)
    written_ago(layout.scratch / "lib.so", 8)
    written_ago(staged / "part.parquet", 8)
    written_ago(at_work / "0c" / "shuffle.data", 8)
    for folder in (killed / "0c", killed, at_work / "0c", staged):
        os.utime(folder, ns=((AT_MS - 8 * DAY_MS) * 1_000_000,) * 2)
    os.utime(at_work, ns=((AT_MS - 6 * DAY_MS) * 1_000_000,) * 2)
    kept = scratch(layout)
    plan = target_plan(kept.target, kept.days, kept.pieces(), [], now_ms=AT_MS)
    assert (len(plan.due), plan.n_young) == (3, 1)
    assert kept.remove is not None
    kept.remove(plan.due)
    assert [path.name for path in layout.scratch.iterdir()] == ["blockmgr-2"]
    assert not staged.exists()


def test_what_lies_in_an_object_store_is_no_scratch_of_this_machine(tmp_path):
    layout = Layout(tmp_path, "s3://bucket/lake").create()
    assert list(scratch(layout).pieces()) == []


@dg.asset(partitions_def=dg.StaticPartitionsDefinition(["a", "b"]))
def parts(context):
    return dg.MaterializeResult()


@dg.op
def fails():
    raise ValueError


def test_runs_go_but_for_those_that_made_the_latest_of_something(instance, tmp_path):
    def made(partition):
        return dg.materialize([parts], instance=instance, partition_key=partition).run_id

    first_a, only_b, last_a = made("a"), made("b"), made("a")
    failed = dg.GraphDefinition("failing", node_defs=[fails]).to_job()
    failed_id = failed.execute_in_process(instance=instance, raise_on_error=False).run_id
    (tmp_path / failed_id).mkdir()
    kept = dagster_runs(instance, [], days=90, now_ms=AT_MS, storage=tmp_path)
    pieces = {piece.name: piece.needed for piece in kept.pieces()}
    assert pieces == {first_a: "", only_b: LATEST, last_a: LATEST, failed_id: ""}
    assert kept.remove is not None
    kept.remove([first_a, failed_id])
    assert {run.run_id for run in instance.get_runs()} == {only_b, last_a}
    assert not (tmp_path / failed_id).exists()
    assert set(instance.get_materialized_partitions(parts.key)) == {"a", "b"}
    young = dagster_runs(instance, [], days=600, now_ms=AT_MS, storage=tmp_path)
    assert len(list(young.pieces())) == 1  # the oldest, which says when the next is due


@dg.asset
def thing():
    return dg.MaterializeResult()


@dg.asset_check(asset=thing)
def holds():
    return dg.AssetCheckResult(passed=True)


def test_the_last_word_of_a_check_keeps_its_run(instance, tmp_path):
    made = dg.materialize([thing], instance=instance).run_id
    told = dg.Definitions([thing], asset_checks=[holds])
    checking = told.resolve_implicit_global_asset_job_def().get_subset(
        asset_selection=set(), asset_check_selection=set(holds.check_keys)
    )
    checked = checking.execute_in_process(instance=instance).run_id

    def needed(checks):
        kept = dagster_runs(instance, checks, days=90, now_ms=AT_MS, storage=tmp_path)
        return {piece.name for piece in kept.pieces() if piece.needed}

    assert needed([]) == {made}
    assert needed(holds.check_keys) == {made, checked}


def test_the_sweep_is_an_asset_behind_all_that_it_looks_at():
    asset = retention_asset(DECLARED)
    assert names.events("payments") in asset.dependency_keys
    assert names.predictions("toy") in asset.dependency_keys
