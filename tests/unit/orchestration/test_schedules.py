"""Schedules on an ephemeral instance: which date a tick is about, and why it does nothing."""

from datetime import UTC, datetime

import dagster as dg
import pyarrow as pa
import pytest
from bundles import serve
from dagster._core.definitions.dependency import NodeHandle
from deltalake import DeltaTable, write_deltalake

from orchestration.code_location import beta_is_known, code_location, declared_by
from orchestration.environments import platform_of, resources_of
from orchestration.schedules import as_of_date, instant_of
from orchestration.settings import Settings

TWO = datetime(2026, 11, 21, 2, tzinfo=UTC)


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    return Settings(home=tmp_path_factory.mktemp("home"), environment="test")


@pytest.fixture(scope="module")
def repository(settings):
    with beta_is_known():
        return code_location(settings).get_repository_def()


def tick(repository, settings, name):
    context = dg.build_schedule_context(
        scheduled_execution_time=TWO,
        resources={"platform": platform_of(settings)},
        repository_def=repository,
    )
    schedule = repository.get_schedule_def(name)
    return schedule.evaluate_tick(context)


def test_scores_without_a_champion_are_skipped_in_words(repository, settings):
    result = tick(repository, settings, "daily_scores_fraud_at_two")
    assert not result.run_requests
    assert result.skip_message == "fraud: no release is champion; train one first"


def test_a_rebase_without_tables_is_skipped_with_their_names(repository, settings):
    result = tick(repository, settings, "rebase_online_values_hourly")
    assert not result.run_requests
    assert "card_activity_v1" in result.skip_message


@pytest.fixture
def ready(tmp_path):
    """An installation with a champion and a table of every view."""
    settings = Settings(home=tmp_path, environment="test")
    serve(settings.layout, 3, counter=1, use_case="fraud")
    for view in declared_by(settings).views.values():
        layout = settings.layout
        uri = layout.tiles(view.name) if view.windows else layout.events(view.source)
        write_deltalake(uri, pa.table({"a": [1]}))
    return settings


def test_at_two_the_champion_scores_the_day_before(repository, ready):
    result = tick(repository, ready, "daily_scores_fraud_at_two")
    (request,) = result.run_requests
    assert request.partition_key == "2026-11-20"
    assert request.run_key == "fraud:2026-11-20:3"
    assert request.tags["throughline/why"] == "release 3 scores 2026-11-20"


def test_another_use_case_without_a_champion_is_skipped_all_the_same(repository, ready):
    result = tick(repository, ready, "daily_scores_handbook_at_two")
    assert result.skip_message == "handbook: no release is champion; train one first"


def test_a_rebase_is_asked_for_once_an_hour(repository, ready):
    (request,) = tick(repository, ready, "rebase_online_values_hourly").run_requests
    assert request.run_key == "rebase:2026-11-21T02"


def test_a_run_of_daily_scores_that_crashes_is_started_again(repository):
    job = repository.get_job("daily_scores_fraud")
    assert job.tags["dagster/max_retries"] == "3"
    assert job.tags["dagster/retry_strategy"] == "FROM_FAILURE"


def test_examples_are_scored_when_their_day_is_over_and_entities_at_its_midnight(settings):
    fraud = declared_by(settings).use_cases["fraud"]
    entities = fraud.model_copy(update={"scores_grain": "entity"})
    assert as_of_date(fraud, instant_of(TWO)) == "2026-11-20"
    assert as_of_date(entities, instant_of(TWO)) == "2026-11-21"


def test_daily_scores_run_at_two_and_come_again_with_growing_pauses(repository):
    schedule = repository.get_schedule_def("daily_scores_fraud_at_two")
    assert (schedule.cron_schedule, schedule.execution_timezone) == ("0 2 * * *", "UTC")
    job = repository.get_job("daily_scores_fraud")
    node = next(node for node in job.nodes if node.name == "scores__fraud")
    policy = job.get_retry_policy_for_handle(NodeHandle(node.name, None))
    assert policy.max_retries == 3
    assert policy.backoff == dg.Backoff.EXPONENTIAL


def looked(repository, settings, name):
    context = dg.build_schedule_context(
        scheduled_execution_time=TWO,
        resources=resources_of(settings),
        repository_def=repository,
    )
    return repository.get_schedule_def(name).evaluate_tick(context)


def test_nothing_is_watched_before_there_is_a_table_of_examples(repository, settings):
    for name in ("watch_nightly_fraud_at", "watch_hourly_fraud_at"):
        result = looked(repository, settings, name)
        assert not result.run_requests
        assert result.skip_message.startswith("there is no table of examples yet")


def test_a_look_runs_once_a_tick(repository, ready):
    uri = ready.layout.events("transactions")
    if not DeltaTable.is_deltatable(uri):
        write_deltalake(uri, pa.table({"n": [1]}))
    [request] = looked(repository, ready, "watch_nightly_fraud_at").run_requests
    assert request.run_key == "watch_nightly:fraud:2026-11-21T02:00"


def test_a_synthetic_request_is_asked_where_a_service_was_started(repository, settings, ready):
    assert (
        "no release serves" in looked(repository, settings, "ask_synthetic_fraud_at").skip_message
    )
    assert (
        "no service was started" in looked(repository, ready, "ask_synthetic_fraud_at").skip_message
    )
    there = ready.model_copy(update={"service_url": "http://127.0.0.1:9"})
    [request] = looked(repository, there, "ask_synthetic_fraud_at").run_requests
    assert request.run_key == "ask_synthetic:fraud:2026-11-21T02:00"


def test_the_sensor_of_alerts_asks_for_a_run_when_a_job_failed(repository, settings):
    sensor = repository.get_sensor_def("alerts")
    with dg.DagsterInstance.ephemeral() as instance:

        def ticked():
            context = dg.build_sensor_context(
                instance=instance, resources=resources_of(settings), repository_def=repository
            )
            return sensor.evaluate_tick(context)

        assert ticked().skip_message.startswith("nothing is wrong")

        @dg.op
        def failing():
            raise ValueError("broken")

        @dg.job(name="ingest_transactions")
        def job():
            failing()

        job.execute_in_process(instance=instance, raise_on_error=False)
        [request] = ticked().run_requests
        assert "events/transactions" in request.tags["throughline/why"]
