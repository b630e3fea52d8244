"""The ingest job on an instance: which dates it announces, also after a run that died."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dagster as dg
from payments import DAY_MS, NOW_MS, PAYMENTS, payment, seal_events
from plain_jobs import ingest as plain_ingest

from assets import names
from assets.events import WRITER
from assets.tables import writer_number
from core.clock import event_date
from orchestration.ingest import (
    LAST_EPOCH,
    announced_epoch,
    ingest_config,
    ingest_job,
    one_at_a_time,
    op_name,
)
from orchestration.instance import open_instance
from orchestration.launcher import InProcessLauncher
from spark_jobs.ingest import Arguments

KEY = names.events(PAYMENTS.name)
TODAY, YESTERDAY = event_date(NOW_MS), event_date(NOW_MS - DAY_MS)


class DyingLauncher(InProcessLauncher):
    """Runs the job to its end; then the process that asked for it is gone."""

    def launch(self, context, job, **arguments):
        super().launch(context, job, **arguments)
        raise KeyboardInterrupt


def ingest(platform, instance, launcher=InProcessLauncher, config=None):
    return ingest_job(PAYMENTS).execute_in_process(
        run_config=config,
        instance=instance,
        resources={
            "platform": platform,
            "launcher": launcher(package="plain_jobs", scratch=platform.home),
        },
        raise_on_error=False,
    )


def announced(result):
    """Dates that a run announced, with how many rows each."""
    made = [e.materialization for e in result.all_events if e.is_step_materialization]
    return {m.partition: m.metadata["rows_accepted"].value for m in made}


def test_touched_dates_are_announced_once(platform, instance):
    seal_events(platform.layout, PAYMENTS, [payment("a", NOW_MS), payment("b", NOW_MS - DAY_MS)])
    assert announced(ingest(platform, instance)) == {TODAY: 1, YESTERDAY: 1}
    assert announced_epoch(instance, PAYMENTS.name) == 1
    assert announced(ingest(platform, instance)) == {}


def test_dates_of_a_run_that_died_behind_its_commit_are_announced_by_the_next(platform, instance):
    seal_events(platform.layout, PAYMENTS, [payment("a", NOW_MS - DAY_MS)])
    died = ingest(platform, instance, DyingLauncher)
    assert not died.success
    assert announced(died) == {}
    assert writer_number(platform.layout.events(PAYMENTS.name), WRITER) == 1
    assert announced(ingest(platform, instance)) == {YESTERDAY: 1}
    assert announced(ingest(platform, instance)) == {}


def test_the_next_epoch_is_announced_with_the_dates_of_the_run_that_died(platform, instance):
    seal_events(platform.layout, PAYMENTS, [payment("a", NOW_MS - DAY_MS)])
    ingest(platform, instance, DyingLauncher)
    seal_events(platform.layout, PAYMENTS, [payment("b", NOW_MS)])
    result = ingest(platform, instance)
    assert announced(result) == {YESTERDAY: 1, TODAY: 1}
    assert result.output_for_node(op_name(PAYMENTS.name))["epochs"] == [1, 2]


def test_what_was_announced_in_part_counts_as_not_announced(platform, instance):
    seal_events(platform.layout, PAYMENTS, [payment("a", NOW_MS), payment("b", NOW_MS - DAY_MS)])
    ingest(platform, instance, DyingLauncher)
    instance.report_runless_asset_event(dg.AssetMaterialization(KEY, partition=TODAY))
    assert announced(ingest(platform, instance)) == {TODAY: 1, YESTERDAY: 1}


def test_an_epoch_without_a_dated_partition_is_behind_us_though_nothing_was_announced(
    platform, instance
):
    seal_events(platform.layout, PAYMENTS, [payment("old", 0)])
    result = ingest(platform, instance)
    assert result.success
    assert announced(result) == {}
    assert announced_epoch(instance, PAYMENTS.name) == 1


class CountingLauncher(InProcessLauncher):
    """Leaves a mark of each launch."""

    def launch(self, context, job, **arguments):
        with (Path(self.scratch) / "launches").open("a") as file:
            file.write("launched\n")
        return super().launch(context, job, **arguments)


def launches(platform):
    path = Path(platform.home) / "launches"
    return path.read_text().count("launched") if path.exists() else 0


def test_an_ingest_waits_for_the_one_at_work_and_announces_nothing_again(platform, tmp_path):
    seal_events(platform.layout, PAYMENTS, [payment("a", NOW_MS)])
    told = {"root": platform.home, "now_ms": NOW_MS, "source": PAYMENTS, "to_epoch": 1}
    with open_instance(tmp_path / "dagster") as instance, ThreadPoolExecutor(1) as pool:
        with one_at_a_time(platform, PAYMENTS.name):
            second = pool.submit(ingest, platform, instance, CountingLauncher)
            while not instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])):
                time.sleep(0.02)
            time.sleep(0.5)
            assert launches(platform) == 0
            plain_ingest.run(None, Arguments.model_validate(told))
            announced_by_the_first = dg.AssetObservation(KEY, metadata={LAST_EPOCH: 1})
            instance.report_runless_asset_event(announced_by_the_first)
        assert announced(second.result(30)) == {}
    assert launches(platform) == 0


def test_nothing_is_launched_where_there_is_nothing_to_take(platform, instance):
    seal_events(platform.layout, PAYMENTS, [payment("a", NOW_MS)])
    reports = [
        ingest(platform, instance, CountingLauncher).output_for_node(op_name(PAYMENTS.name))
        for _ in range(2)
    ]
    assert [bool(report) for report in reports] == [True, False]
    assert launches(platform) == 1


def test_what_somebody_observes_by_hand_moves_no_epoch(platform, instance):
    seal_events(platform.layout, PAYMENTS, [payment("a", NOW_MS)])
    ingest(platform, instance)
    instance.report_runless_asset_event(dg.AssetObservation(KEY, metadata={"seen": "well"}))
    assert announced_epoch(instance, PAYMENTS.name) == 1


def test_a_table_made_anew_is_announced_anew(platform, instance, tmp_path):
    seal_events(platform.layout, PAYMENTS, [payment("a", NOW_MS)])
    ingest(platform, instance)
    (tmp_path / "lake").rename(tmp_path / "lost")
    assert announced(ingest(platform, instance)) == {TODAY: 1}


def test_a_run_that_is_told_an_epoch_takes_no_other_and_seals_nothing(platform, instance):
    for name in ("a", "b"):
        seal_events(platform.layout, PAYMENTS, [payment(name, NOW_MS)])
    platform.log(PAYMENTS.name).append([b"{}"], now_ms=NOW_MS)
    result = ingest(platform, instance, config=ingest_config(PAYMENTS.name, 1))
    assert result.output_for_node(op_name(PAYMENTS.name))["epochs"] == [1]
    assert len(platform.log(PAYMENTS.name).epochs()) == 2
