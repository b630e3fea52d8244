"""The sensor of retraining on an ephemeral instance: what it sees, what it asks for, why not."""

import json

import dagster as dg
import pyarrow as pa
import pytest
from bundles import bundle_files, serve, shelve
from deltalake import write_deltalake
from payments import NOW_MS
from platforms import platform_at
from rollouts import fast_rollout
from training_sets import small_plan, small_use_case

from assets import names
from assets.models import BUILT_BY, TRIGGER, WHY
from assets.retraining import GROUPS, new_labels, state_of
from core.clock import DAY_MS, event_date
from core.monitoring.triage import Fault, Moved, triaged
from core.retraining import OnDecay, OnDrift, OnLabels, OnSchedule, Retraining, State
from orchestration import cli
from orchestration.jobs import retrain_job
from orchestration.retraining import retraining_sensor
from stores.layout import Layout
from stores.monitoring.triages import Triages
from stores.shelf.bundle import CARD_DATA
from stores.shelf.shelf import Shelf

DECLARED = Retraining(
    drift=OnDrift(),
    decay=OnDecay(least_positives=20),
    labels=OnLabels(rows=100, positives=5),
    schedule=OnSchedule(days=30),
    history_days=20,
)
USE_CASE = small_use_case().model_copy(update={"retraining": DECLARED})
AT_MS = NOW_MS + 10 * DAY_MS
MOVED = Moved(column="amount_minor", what="source", effect=0.4, threshold=0.1, n_current=900)
LATE = Fault(cause="late_partition", asset="events/payments", partition="2026-01-03")


@pytest.fixture
def platform(tmp_path):
    """A home with a champion whose examples end a month ago, and a table of payments."""
    layout = Layout(tmp_path).create()
    card = json.dumps({"parts": {"test": {"until_ms": AT_MS - 30 * DAY_MS}}}).encode()
    files = {**bundle_files(), CARD_DATA: card}
    serve(layout, shelve(layout, use_case="small", files=files), counter=1, use_case="small")
    dates = [event_date(AT_MS - n * DAY_MS) for n in range(60)]
    write_deltalake(
        layout.events("payments"),
        pa.table({"event_date": pa.array(dates).cast(pa.date32()), "n": range(60)}),
        partition_by=["event_date"],
    )
    return platform_at(tmp_path, AT_MS)


def tick(instance, platform, use_case=USE_CASE):
    assert use_case.retraining is not None
    sensor = retraining_sensor(use_case, small_plan(), use_case.retraining, retrain_job(use_case))
    context = dg.build_sensor_context(instance=instance, resources={"platform": platform})
    return sensor.evaluate_tick(context)


def looked(platform, *, moved=(), faults=()):
    found = triaged("small", moved, faults, at_ms=AT_MS - 1, window=("2026-01-01", "2026-01-07"))
    Triages(platform.layout.monitoring).put(found)


def labels(platform, n, *, at_ms=AT_MS - DAY_MS):
    """Labels that became known at an instant, every tenth of them positive."""
    write_deltalake(
        platform.layout.events("verdicts"),
        pa.table(
            {
                "event_date": pa.array([event_date(at_ms)] * n).cast(pa.date32()),
                "event_timestamp": pa.array([at_ms * 1_000] * n, pa.timestamp("us", tz="UTC")),
                "is_fraud": [int(i % 10 == 0) for i in range(n)],
            }
        ),
        partition_by=["event_date"],
        mode="append",
    )


def performed(instance, value):
    """What the performance asset left: the champion's metric on matured labels."""
    estimate = {"value": value, "low": value - 0.01, "high": value + 0.01}
    group = {
        "release": 1, "channel": "champion", "part": "all", "is_degraded": False,
        "n_rows": 900, "n_mature": 800, "n_positive": 80, "metrics": {"auc": estimate},
    }  # fmt: skip
    few = {
        **group,
        "channel": "batch",
        "n_positive": 20,
        "metrics": {"auc": {**estimate, "high": 1}},
    }
    groups = [few, group, {**group, "is_degraded": True}, {**group, "release": 77}]
    key = names.performance("small")
    instance.report_runless_asset_event(
        dg.AssetMaterialization(key, metadata={GROUPS: dg.MetadataValue.json(groups)})
    )


def test_nothing_seen_is_skipped_with_a_word_on_every_trigger(instance, platform):
    result = tick(instance, platform)
    assert not result.run_requests
    for words in ("small: drift: nobody", "decay: the champion was not", "labels: nobody", "10 d"):
        assert words in result.skip_message


def test_drift_asks_for_a_run_that_says_why(instance, platform):
    looked(platform, moved=[MOVED])
    (request,) = tick(instance, platform).run_requests
    assert request.tags[TRIGGER] == "drift"
    assert "amount_minor moved 0.40" in request.tags[WHY]
    assert request.tags[BUILT_BY] == "the sensor of retraining"
    assert request.run_key == f"small:retrain:drift:{NOW_MS}"
    config = request.run_config["ops"]["training__small"]["config"]
    assert config == {"cut_ms": AT_MS, "start_date": event_date(AT_MS - 20 * DAY_MS)}


def test_a_data_incident_holds_whatever_else_fires(instance, platform):
    labels(platform, 500)
    looked(platform, moved=[MOVED], faults=[LATE])
    result = tick(instance, platform)
    assert not result.run_requests
    assert "events/payments 2026-01-03: late partition" in result.skip_message


def test_labels_that_the_champion_could_know_do_not_count(instance, platform):
    labels(platform, 99)
    labels(platform, 500, at_ms=AT_MS - 24 * DAY_MS)  # matured within its seven days
    found = new_labels(platform, USE_CASE)
    assert found is not None
    assert (found.rows, found.positives) == (99, 10)
    assert not tick(instance, platform).run_requests
    labels(platform, 1)
    (request,) = tick(instance, platform).run_requests
    assert request.tags[TRIGGER] == "labels"


def test_a_champion_that_decays_is_replaced_and_one_that_does_not_stays(instance, platform):
    use_case = USE_CASE.model_copy(
        update={"model": USE_CASE.model.model_copy(update={"metric": "auc"})}
    )
    performed(instance, 0.88)
    assert "is 0.8800" in tick(instance, platform, use_case).skip_message
    performed(instance, 0.7)
    (request,) = tick(instance, platform, use_case).run_requests
    assert request.tags[TRIGGER] == "decay"
    assert "0.7000 (0.6900 to 0.7100) on 800 labels, was 0.9000" in request.tags[WHY]


def test_the_command_says_what_the_sensor_would_and_starts_nothing(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("THROUGHLINE_HOME", raising=False)
    layout = Layout(tmp_path).create()

    def said():
        assert cli.main(["retraining", "--home", str(tmp_path), "fraud"]) == 0
        return capsys.readouterr().out

    assert "no release is champion: the first one is trained" in said()
    release = shelve(layout, use_case="fraud", created_at_ms=1)
    serve(layout, release, counter=1, use_case="fraud")
    assert "fraud is due, by schedule: the last model was made" in said()
    assert not Shelf(layout.shelf).board.pending()


def test_a_rollout_under_way_is_waited_for(instance, platform, monkeypatch):
    looked(platform, moved=[MOVED])
    state = state_of(instance, platform, USE_CASE, busy="a run waits")
    assert state == State(champion=1, last_ms=NOW_MS, busy="a run waits")
    rolling(platform.layout)
    assert "release 2 is being rolled out, to 50%" in tick(instance, platform).skip_message


def rolling(layout):
    """Release 2 on half of the entities."""
    from serving.rollouts.channel_moves import started
    from stores.keys.signing import KeyRing, ensure_signer
    from stores.shelf.channels import Channels

    board = Shelf(layout.shelf).board
    before = board.latest(KeyRing.from_directory(layout.keys))
    after = started(
        before.state("small"), 2, fast_rollout(), risk_tier="low", experiment="e", at_ms=1
    ).model_copy(update={"challenger_weight": 0.5})
    changed = Channels(counter=before.counter + 1, use_cases={"small": after})
    board.write(changed, ensure_signer(layout.keys, "channels"))


def test_a_run_that_failed_is_tried_thrice_under_keys_of_their_own(instance, platform):
    looked(platform, moved=[MOVED])
    keys = []
    for _ in range(3):
        (request,) = tick(instance, platform).run_requests
        keys.append(request.run_key)
        run = instance.create_run_for_job(
            dg.GraphDefinition(name="retrain_small", node_defs=[]).to_job(),
            tags=request.tags,
            status=dg.DagsterRunStatus.FAILURE,
        )
        assert instance.get_run_by_id(run.run_id)
    assert len(set(keys)) == 3
    assert "3 runs failed" in tick(instance, platform).skip_message
