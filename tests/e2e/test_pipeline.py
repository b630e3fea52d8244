"""A use case declared in under sixty lines goes from landed files to a served decision.

Everything runs as in production, on one machine: Dagster runs, Spark, Delta, MLflow, the
shelf, the controller and the service as processes. No other file of the project is touched.
"""

import argparse
import io
import json

import numpy as np
import pytest
from online_processes import folder, service
from shared_spark import session_or_skip

from assets import names
from assets.checks.parity import parity_failure
from assets.tables import facts_of, partition_range, read_columns
from core.clock import DAY_MS, HOUR_MS, FixedClock, SystemClock, event_date
from orchestration import cli
from orchestration.channels import answered, channels_of
from orchestration.client import call
from orchestration.commands import decisions, rejects, replay, snapshot
from orchestration.commands.backfill import backfill
from orchestration.commands.ingest import ingest
from orchestration.commands.materialise import materialise
from orchestration.commands.push import push
from orchestration.commands.score import score
from orchestration.commands.train import first_date, train
from orchestration.environments import platform_of
from orchestration.mirror import decision_of
from orchestration.runs import Runs
from orchestration.settings import Settings
from orchestration.shell import Shell
from stores.shelf.channels import ChannelBoard

pytestmark = [
    pytest.mark.spark,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.filterwarnings("ignore"),  # MLflow, Great Expectations and Dagster, all at once
]

USE_CASE, VIEW = "pumps", "pump_vibration_v1"
DECISIONS = next(command for command in cli.COMMANDS if command.name == "decisions")
DAYS, PUMPS, PER_DAY = 45, 25, 3


def readings(end_ms: int) -> tuple[list[dict], list[dict]]:
    """Readings, and what became of them a day later: shaking pumps fail more often."""
    rng = np.random.default_rng(11)
    rows, verdicts = [], []
    start_ms = end_ms - DAYS * DAY_MS
    for number in range(DAYS * PUMPS * PER_DAY):
        pump = f"p{number % PUMPS}"
        at_ms = start_ms + int(rng.integers(0, DAYS * DAY_MS))
        shaking = float(rng.gamma(2.0, 3.0) + (12.0 if number % PUMPS < 5 else 0.0))
        rows.append(
            {
                "event_id": f"r{number}",
                "event_timestamp": at_ms,
                "pump_id": pump,
                "vibration": round(min(shaking, 100.0), 3),
            }
        )
        if at_ms + DAY_MS < end_ms:
            has_failed = int(rng.random() < (0.55 if number % PUMPS < 5 else 0.08))
            verdicts.append(
                {
                    "event_id": f"f{number}",
                    "event_timestamp": at_ms + DAY_MS,
                    "reading_id": f"r{number}",
                    "pump_id": pump,
                    "has_failed": has_failed,
                }
            )
    return rows, verdicts


@pytest.fixture(scope="module")
def shell(tmp_path_factory):
    session_or_skip()
    settings = Settings(
        home=tmp_path_factory.mktemp("pumps"),
        environment="test",
        use_case_packages=("tiny_case",),
    )
    now_ms = SystemClock().now_ms() // HOUR_MS * HOUR_MS
    return Shell(settings, {"PATH": "/usr/bin:/bin"}, FixedClock(now_ms), io.StringIO())


@pytest.fixture(scope="module")
def runs(shell):
    with Runs(shell.settings, shell.say) as found:
        yield found


@pytest.fixture(scope="module")
def landing(tmp_path_factory):
    """Folder of the landing files."""
    return tmp_path_factory.mktemp("landing")


@pytest.fixture(scope="module")
def tables(shell, runs, landing):
    """Events of both sources in their tables; one record in each is refused."""
    rows, verdicts = readings(shell.clock.now_ms())
    rows.append({"event_id": "bad", "event_timestamp": 1, "pump_id": "p1", "vibration": -1})
    verdicts.append({**verdicts[0], "event_id": "orphan", "reading_id": "nobody"})
    reports = {}
    for name, lines in (("readings", rows), ("failures", verdicts)):
        path = landing / f"{name}.ndjson"
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        log = platform_of(shell.settings).log(name)
        log.land(path, now_ms=shell.clock.now_ms(), is_historic=True)
        reports[name] = ingest(runs, name)
    return reports


@pytest.fixture(scope="module")
def computed(shell, runs, tables):
    """Tiles and online values."""
    backfill(shell, runs, event_dates_of(runs), [VIEW])
    materialise(shell, runs, [VIEW])


def event_dates_of(runs):
    return partition_range(runs.settings.layout.events("readings"), "event_date")


@pytest.fixture(scope="module")
def release(shell, runs, computed):
    """The first release, made champion by a controller called for it."""
    cut_ms, start = shell.clock.now_ms(), first_date(runs, USE_CASE)
    number = train(shell, runs, USE_CASE, cut_ms=cut_ms, start_date=start)
    assert number is not None
    board = ChannelBoard(shell.settings.layout.shelf)
    (request_id,) = board.pending()
    answered(shell, board.request(request_id))
    return number


def test_ingest_takes_what_keeps_the_contract_and_refuses_the_rest(tables):
    assert tables["readings"]["accepted"] == DAYS * PUMPS * PER_DAY
    assert tables["readings"]["rejected"] == {"out_of_range": 1}
    assert tables["failures"]["rejected"] == {"unknown_reference": 1}


def test_ingest_reports_every_touched_date_and_its_checks(runs, tables):
    touched = set(tables["readings"]["touched"])
    found = runs.instance.get_materialized_partitions(names.events("readings"))
    assert found == touched
    assert len(touched) in (DAYS, DAYS + 1)


def test_ingest_again_changes_nothing(runs, tables):
    before = facts_of(runs.settings.layout.events("readings")).version
    assert ingest(runs, "readings") == {}
    assert facts_of(runs.settings.layout.events("readings")).version == before


def test_a_job_started_by_pipes_writes_the_same_table(shell, tables, landing, tmp_path):
    settings = shell.settings.model_copy(update={"home": tmp_path, "launch": "pipes"})
    with Runs(settings, shell.say) as by_pipes:
        log = platform_of(settings).log("readings")
        log.land(landing / "readings.ndjson", now_ms=shell.clock.now_ms(), is_historic=True)
        report = ingest(by_pipes, "readings")
    assert report["accepted"] == tables["readings"]["accepted"]
    columns = ["event_id", "position", "payload_digest", "vibration"]
    here, there = (
        read_columns(layout.events("readings"), columns).sort_by("event_id")
        for layout in (shell.settings.layout, settings.layout)
    )
    assert here.equals(there)


def test_refused_records_come_again_when_they_are_replayed(shell, runs, tables):
    arguments = rejects_arguments("failures", code=["unknown_reference"])
    assert rejects.run(arguments, shell) == 0
    table = read_columns(runs.settings.layout.rejected("failures"))
    assert table.num_rows == 2
    assert sum(epoch is not None for epoch in table["replayed_epoch"].to_pylist()) == 1


def rejects_arguments(source, *, code):
    return argparse.Namespace(action="replay", source=source, code=code, epoch=[], date=[])


def test_the_release_was_made_of_a_checked_training_set(shell, runs, release):
    event = runs.instance.get_latest_materialization_event(names.training(USE_CASE))
    assert event.asset_materialization.metadata["dagster/row_count"].value > 1_000
    assert channels_of(shell).state(USE_CASE).champion == release == 1


def test_the_mirror_sets_the_alias_and_puts_it_back(runs, release):
    platform, declared = platform_of(runs.settings), runs.declared
    assert "champion" in runs.job("mirror_channels").only_output[0]
    assert "every alias" in decision_of(declared, platform, 0).why
    _move_alias_away(platform)
    assert "alias None" in decision_of(declared, platform, 1).why
    runs.job("mirror_channels")
    assert "every alias" in decision_of(declared, platform, 2).why


def _move_alias_away(platform):
    from mlflow import MlflowClient

    client = MlflowClient(platform.tracking_uri, platform.tracking_uri)
    client.delete_registered_model_alias(USE_CASE, "champion")


def test_a_snapshot_is_rebuilt_bit_for_bit(shell, release):
    ((_, identifier),) = [pair for pair in snapshot.snapshots(shell) if pair[0] == USE_CASE]
    snapshot.rebuild(shell, USE_CASE, identifier)


def test_batch_scores_are_published_and_a_rerun_changes_nothing(shell, runs, release):
    as_of = event_date(shell.clock.now_ms() - DAY_MS)
    score(shell, runs, USE_CASE, as_of)
    uri = runs.settings.layout.scores(USE_CASE)
    first = read_columns(uri).sort_by("example_id")
    score(shell, runs, USE_CASE, as_of)
    assert read_columns(uri).sort_by("example_id").equals(first)
    assert first.num_rows > 50
    assert set(first["release"].to_pylist()) == {release}
    assert set(first["decision"].to_pylist()) == {"STOP", "CHECK", "RUN"}


def test_the_service_decides_replays_and_takes_an_event(shell, runs, release):
    with service(runs.settings.layout) as process:
        shell.environment = {"THROUGHLINE_HTTP__PORT": process.url.rpartition(":")[2]}
        body = {"entities": {"pump_id": "p1"}, "inputs": {}, "explain": True}
        answer = call(shell, f"/v1/{USE_CASE}/predictions", body)
        assert answer["degraded"] is None
        assert answer["model"]["release"] == release
        replayed = call(shell, f"/v1/predictions/{answer['prediction_id']}/replay")
        assert replayed["is_equal"]
        arguments = cli.parser_of(DECISIONS).parse_args(["diff", USE_CASE])
        assert decisions.run(arguments, shell) == 0
        assert "0 of 1 decisions change" in shell.out.getvalue()
        event = {"event_id": "live", "event_timestamp": process_now_ms(), "pump_id": "p1"}
        assert push(shell, "readings", {**event, "vibration": 5.0})["status"] == "accepted"


def test_what_was_served_live_is_what_the_tables_say(shell, runs, release):
    layout, rng = runs.settings.layout, np.random.default_rng(3)
    with folder(layout), service(layout) as process:
        shell.environment = {"THROUGHLINE_HTTP__PORT": process.url.rpartition(":")[2]}
        ids = []
        for number in range(60):
            pump = f"p{rng.integers(PUMPS + 2)}"
            event = {"event_id": f"live-{number}", "event_timestamp": process_now_ms()}
            shaking = round(float(rng.gamma(2.0, 3.0)), 3)
            push(shell, "readings", {**event, "pump_id": pump, "vibration": shaking})
            body = {"entities": {"pump_id": pump}, "inputs": {}}
            ids.append(call(shell, f"/v1/{USE_CASE}/predictions", body)["prediction_id"])
    ingest(runs, "readings")
    made = runs.job(f"take_predictions_{USE_CASE}")
    found = {check.name.rpartition(":")[2]: check for check in made.checks}
    numbers = found["served_as_computed"].numbers
    assert found["served_as_computed"].passed, found["served_as_computed"].why
    assert numbers["records"] >= len(ids)
    assert numbers["unreplayable"] == {}
    assert found["segments_are_whole"].passed
    assert made.metadata_of(names.predictions(USE_CASE))["rows_taken"] == numbers["records"]
    assert parity_failure(runs.instance, USE_CASE) == ""
    for record_id in (ids[0], ids[-1]):
        assert replay.run(argparse.Namespace(id=record_id, from_tables=True), shell) == 0
    assert "equal: " in shell.out.getvalue().splitlines()[-1]


def process_now_ms() -> int:
    return SystemClock().now_ms()


def test_a_candidate_that_is_no_better_is_refused_with_numbers(shell, runs, release):
    cut_ms, start = shell.clock.now_ms(), first_date(runs, USE_CASE)
    assert train(shell, runs, USE_CASE, cut_ms=cut_ms, start_date=start) is None
    said = shell.out.getvalue()
    assert "does not beat" in said.splitlines()[-1]
    assert channels_of(shell).state(USE_CASE).champion == release
