"""What Dagster knows of upstream assets: schema and code by date, failed checks, ingest, dates."""

from __future__ import annotations

import dagster as dg
import pytest
from bundles import TOY_PLAN
from platforms import platform_at
from watched_world import DATES, NEWEST, TODAY_MS, USE_CASE

from assets import names
from assets.checks.expectations import GREAT_EXPECTATIONS
from assets.checks.last_word import last_word
from assets.partitions import EVENT_DATES
from assets.resources import CODE_VERSION
from assets.tables import table_schema
from assets.watching.evidence import (
    failed_checks,
    failed_ingest,
    last_writes,
    source_history,
    tiles_history,
)
from assets.watching.window import window_of
from core.monitoring.upstream import faults_of
from stores.layout import Layout

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning")
WINDOW = window_of(USE_CASE, TODAY_MS)
PAYMENTS = names.events("payments")


@pytest.fixture
def platform(tmp_path):
    layout = Layout(tmp_path).create()
    return platform_at(tmp_path, TODAY_MS, online_url=layout.online_url)


def wrote(instance, key, date, columns, code="a1"):
    metadata = {"dagster/column_schema": table_schema(columns, {}), CODE_VERSION: code}
    instance.report_runless_asset_event(
        dg.AssetMaterialization(key, partition=date, metadata=metadata)
    )


def test_the_last_write_of_a_date_says_its_schema_and_its_code(instance):
    wrote(instance, PAYMENTS, DATES[-2], [("amount_minor", "long")])
    wrote(instance, PAYMENTS, NEWEST, [("amount_minor", "long")])
    wrote(instance, PAYMENTS, NEWEST, [("amount_minor", "string")], code="b2")
    assert last_writes(instance, PAYMENTS, DATES[-3:]) == {
        DATES[-2]: ((("amount_minor", "long"),), "a1"),
        NEWEST: ((("amount_minor", "string"),), "b2"),
    }


def test_a_change_of_schema_and_code_is_a_fault_of_its_date(instance, platform):
    view = next(view for view in TOY_PLAN.views if view.windows)
    key = names.tiles(view.name)
    for date in WINDOW.dates:
        columns = [("entity", "binary"), ("count", "string" if date == NEWEST else "long")]
        wrote(instance, key, date, columns, code="b2" if date == NEWEST else "a1")
    history = tiles_history(instance, platform, view, WINDOW)
    found = {(fault.cause, fault.partition) for fault in faults_of(history, WINDOW.current)}
    assert found == {("schema_change", NEWEST), ("code_change", NEWEST)}


def test_a_failed_date_is_a_fault_that_names_it(instance, platform):
    view = next(view for view in TOY_PLAN.views if view.windows)

    @dg.asset(key=names.tiles(view.name), partitions_def=EVENT_DATES)
    def tiles():
        raise ValueError("broken")

    dg.materialize([tiles], instance=instance, partition_key=NEWEST, raise_on_error=False)
    history = tiles_history(instance, platform, view, WINDOW)
    [fault] = faults_of(history, WINDOW.current)
    assert (fault.cause, fault.partition) == ("failed_partition", NEWEST)


def test_a_check_counts_by_its_last_word_and_a_warning_not_at_all(instance):
    def said(name, *, passed, severity=dg.AssetCheckSeverity.ERROR):
        instance.report_runless_asset_event(
            dg.AssetCheckEvaluation(
                asset_key=PAYMENTS,
                check_name=name,
                passed=passed,
                severity=severity,
                metadata={},
                description="too many nulls",
            )
        )

    said(GREAT_EXPECTATIONS, passed=False)
    said("few", passed=False, severity=dg.AssetCheckSeverity.WARN)
    checks = [GREAT_EXPECTATIONS, "few", "never"]
    assert failed_checks(instance, PAYMENTS, checks) == {GREAT_EXPECTATIONS: "too many nulls"}
    said(GREAT_EXPECTATIONS, passed=True)
    assert failed_checks(instance, PAYMENTS, checks) == {}


def test_an_ingest_that_failed_is_a_fault_until_one_succeeds(instance, platform):
    def ingest(*, fails):
        @dg.op
        def take():
            if fails:
                raise ValueError("broken")

        @dg.job(name="ingest_payments")
        def job():
            take()

        job.execute_in_process(instance=instance, raise_on_error=False)

    assert failed_ingest(instance, "payments") == {}
    ingest(fails=True)
    source = USE_CASE.source("payments")
    history = source_history(instance, platform, source, WINDOW, {}, late_hours=6)
    [fault] = faults_of(history, WINDOW.current)
    assert (fault.cause, fault.asset) == ("failed_check", "events/payments")
    ingest(fails=False)
    assert failed_ingest(instance, "payments") == {}


def test_a_check_that_was_only_planned_said_what_it_said_before(instance):
    key = dg.AssetCheckKey(PAYMENTS, GREAT_EXPECTATIONS)

    def run(*, dies):
        spec = dg.AssetCheckSpec(GREAT_EXPECTATIONS, asset=PAYMENTS)

        @dg.asset(key=PAYMENTS, check_specs=[spec])
        def events():
            if dies:
                raise ValueError("broken")
            result = dg.AssetCheckResult(check_name=GREAT_EXPECTATIONS, passed=False)
            return dg.MaterializeResult(check_results=[result])

        dg.materialize([events], instance=instance, raise_on_error=False)

    assert last_word(instance, key) is None
    run(dies=True)
    assert last_word(instance, key) is None
    run(dies=False)
    run(dies=True)
    said = last_word(instance, key)
    assert said is not None
    assert not said.passed
