"""Sensors on an ephemeral instance: what they see, and that they translate the decision."""

from itertools import pairwise

import dagster as dg
import pyarrow as pa
import pytest
from dagster._core.remote_origin import (
    RegisteredCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from deltalake import CommitProperties, Transaction, write_deltalake
from platforms import platform_at

from assets import names
from assets.events import WRITER
from core.contracts import FieldSpec, Reference, Source
from orchestration.decisions import LogState, Patience
from orchestration.ingest import LAST_EPOCH, ingest_config, ingest_job
from orchestration.leftovers import TAG
from orchestration.sensors import LOOK_EVERY_S, ingest_sensor, log_state
from stores.log.epochs import appended_path

PAYMENTS = Source(
    name="payments",
    description="Payments.",
    owner="a@b.example",
    fields=(FieldSpec(name="amount", type="int64"),),
)
LABELS = PAYMENTS.model_copy(
    update={
        "name": "labels",
        "references": (
            Reference(columns=("amount",), source="payments", target_columns=("event_id",)),
        ),
    }
)


PATIENCE = Patience(events=20, age_s=60)
LOOKED_AT_MS = 60_001  # what was appended at 1 is just old enough


@pytest.fixture
def platform(tmp_path):
    return platform_at(tmp_path, LOOKED_AT_MS)


def tick(source, platform, instance=None):
    sensor = ingest_sensor(source, ingest_job(source), PATIENCE)
    if instance is None:
        with dg.DagsterInstance.ephemeral() as fresh:
            return tick(source, platform, fresh)
    context = dg.build_sensor_context(instance=instance, resources={"platform": platform})
    return sensor.evaluate_tick(context)


def test_nothing_at_all_is_said_to_be_level(platform):
    assert log_state(platform, "payments") == LogState(0, 0, 0)
    result = tick(PAYMENTS, platform)
    assert result.run_requests == []
    assert "epoch 0" in result.skip_message


def test_appended_events_are_sealed_and_asked_for_when_they_have_waited(platform):
    platform.log("payments").append([b'{"event_id": "a"}'], now_ms=1)
    state = log_state(platform, "payments")
    assert (state.last_sealed, state.ingested) == (0, 0)
    assert (state.open_events, state.open_since_ms) == (1, 1)
    (request,) = tick(PAYMENTS, platform).run_requests
    assert request.run_key == "payments:1"
    assert request.run_config == ingest_config("payments", 1)
    assert log_state(platform, "payments").last_sealed == 1


def test_few_young_events_are_neither_sealed_nor_asked_for(platform):
    platform.log("payments").append([b'{"event_id": "a"}'] * 2, now_ms=2)
    result = tick(PAYMENTS, platform)
    assert not result.run_requests
    assert "2 events wait, the first for 60 s" in result.skip_message
    assert log_state(platform, "payments").last_sealed == 0


def test_many_events_are_asked_for_at_once(platform):
    platform.log("payments").append([b'{"event_id": "a"}'] * 20, now_ms=LOOKED_AT_MS)
    assert tick(PAYMENTS, platform).run_requests


def test_a_torn_line_that_nobody_ends_is_no_event(platform):
    platform.log("payments")
    open_file = appended_path(platform.layout.log_dir("payments"), 1)
    open_file.write_bytes(b"1\t{half")
    assert log_state(platform, "payments") == LogState(0, 0, 0)
    open_file.write_bytes(b"7\t{}\n1\t{half")
    assert log_state(platform, "payments").open_events == 1
    assert log_state(platform, "payments").open_since_ms == 7


def test_a_trickle_of_events_gives_a_run_a_minute(platform, instance):
    asked = []
    for at_ms in range(0, 600_000, 5_000):
        platform.log("payments").append([b'{"event_id": "a"}'], now_ms=at_ms)
        is_looked_at = at_ms % (1_000 * LOOK_EVERY_S) == 0
        now = platform_at(platform.home, at_ms)
        requests = tick(PAYMENTS, now, instance).run_requests if is_looked_at else []
        for request in requests or []:
            asked.append(at_ms)
            epoch = int(request.run_key.rpartition(":")[2])
            write_table(platform, epoch=epoch)
            announce(instance, epoch)
    gaps = [later - earlier for earlier, later in pairwise(asked)]
    assert asked[0] == 60_000
    assert len(asked) >= 8
    assert min(gaps) >= 60_000
    assert max(gaps) <= 75_000


def test_a_sealed_epoch_is_asked_for_by_its_number(platform):
    log = platform.log("payments")
    log.append([b'{"event_id": "a"}'], now_ms=1)
    log.seal(2)
    log.append([b'{"event_id": "b"}'], now_ms=3)
    log.seal(4)
    assert log_state(platform, "payments") == LogState(2, 0, 0, pending=((1, 2), (2, 4)))
    (request,) = tick(PAYMENTS, platform).run_requests
    assert request.run_key == "payments:2"
    assert request.tags["throughline/why"]


def test_a_source_waits_for_the_one_it_refers_to(platform):
    write_events(platform, epoch=1)
    platform.log("payments").append([b'{"event_id": "b"}'], now_ms=3)
    platform.log("labels").append([b'{"event_id": "a"}'], now_ms=1)
    result = tick(LABELS, platform)
    assert result.run_requests == []
    assert "waits for payments" in result.skip_message


def test_a_failed_ingest_is_asked_for_again_twice_and_then_explained(platform):
    platform.log("payments").append([b'{"event_id": "a"}'], now_ms=1)
    sensor = ingest_sensor(PAYMENTS, ingest_job(PAYMENTS), PATIENCE)
    keys = []
    with dg.DagsterInstance.ephemeral() as instance:
        for _ in range(3):
            context = dg.build_sensor_context(instance=instance, resources={"platform": platform})
            (request,) = sensor.evaluate_tick(context).run_requests or []
            keys.append(request.run_key)
            failed = dg.DagsterRunStatus.FAILURE
            instance.add_run(
                dg.DagsterRun(job_name="ingest_payments", status=failed, tags=request.tags)
            )
        context = dg.build_sensor_context(instance=instance, resources={"platform": platform})
        result = sensor.evaluate_tick(context)
    assert keys == ["payments:1", "payments:1:again-1", "payments:1:again-2"]
    assert result.run_requests == []
    assert "3 runs failed" in (result.skip_message or "")


@pytest.mark.parametrize("status", [dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.STARTED])
def test_no_run_is_asked_for_while_one_waits_or_works(platform, instance, status):
    platform.log("payments").append([b'{"event_id": "a"}'], now_ms=1)
    instance.add_run(run_of("ingest_labels", status))
    assert tick(PAYMENTS, platform, instance).run_requests
    instance.add_run(run_of("ingest_payments", status))
    result = tick(PAYMENTS, platform, instance)
    assert not result.run_requests
    assert result.skip_message == "payments: a run of ingest_payments waits or is at work"


def test_the_run_of_a_killed_command_is_put_down_as_failed_and_holds_nothing_back(
    platform, instance
):
    platform.log("payments").append([b'{"event_id": "a"}'], now_ms=1)
    run = run_of("ingest_payments", dg.DagsterRunStatus.STARTED)
    instance.add_run(run.with_tags({TAG: "1:0"}))
    assert tick(PAYMENTS, platform, instance).run_requests
    found = instance.get_run_by_id(run.run_id)
    assert found.status == dg.DagsterRunStatus.FAILURE


def run_of(job, status):
    home = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("throughline"), "repository")
    return dg.DagsterRun(job_name=job, status=status, remote_job_origin=RemoteJobOrigin(home, job))


def test_a_run_that_was_made_and_never_submitted_holds_nothing_back(platform, instance):
    platform.log("payments").append([b'{"event_id": "a"}'], now_ms=1)
    lost = dg.DagsterRunStatus.NOT_STARTED
    instance.add_run(dg.DagsterRun(job_name="ingest_payments", status=lost))
    assert tick(PAYMENTS, platform, instance).run_requests


def test_dates_that_a_run_died_before_announcing_are_asked_for(platform, instance):
    write_events(platform, epoch=1)
    (request,) = tick(PAYMENTS, platform, instance).run_requests
    assert request.run_key == "payments:1:announce"
    announce(instance, 1)
    result = tick(PAYMENTS, platform, instance)
    assert not result.run_requests
    assert result.skip_message == "payments: table and log both stand at epoch 1"


def announce(instance, epoch):
    instance.report_runless_asset_event(
        dg.AssetObservation(names.events("payments"), metadata={LAST_EPOCH: epoch})
    )


def write_events(platform, *, epoch):
    log = platform.log("payments")
    log.append([b'{"event_id": "a"}'], now_ms=1)
    assert log.seal(2) == epoch
    write_table(platform, epoch=epoch)


def write_table(platform, *, epoch):
    written = CommitProperties(app_transactions=[Transaction(WRITER, epoch)])
    write_deltalake(
        platform.layout.events("payments"),
        pa.table({"event_id": ["a"]}),
        mode="append",
        commit_properties=written,
    )
