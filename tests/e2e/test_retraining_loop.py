"""The closed loop on a small world without Spark: it shifts, and a better champion comes of it.

Real are the sensor, the assets from the candidates to the release, MLflow, the shelf, sign-offs,
the controller with its gates, and the audit log. Made are the training sets, what triage saw, and
the counts that workers would have published.
"""

import json
from dataclasses import dataclass
from typing import Any

import dagster as dg
import numpy as np
import pyarrow as pa
import pytest
from bundles import shelve
from deltalake import write_deltalake
from desks import Desk
from platforms import platform_at
from rollouts import fast_rollout, worker_counts
from training_sets import START_MS, small_plan, small_training_set, small_use_case

from assets import names
from assets.archive import archive_asset
from assets.declared import Declared
from assets.evaluation import evaluation_asset
from assets.models import BUILT_BY, TRIGGER, bundle_asset, candidate_asset
from assets.releases import release_asset
from core.clock import DAY_MS, SystemClock, event_date
from core.fairness import Fairness, Groups
from core.features.plan import feature_column
from core.monitoring.triage import Fault, Moved, triaged
from core.retraining import OnDrift, Retraining
from core.served import is_about_channels, served_at
from core.use_case import Ensemble
from orchestration.demo.loop import compared_in_words
from orchestration.jobs import retrain_job
from orchestration.retraining import WHO, retraining_sensor
from stores.audit.log import AuditLog
from stores.keys.signing import ensure_signer
from stores.layout import Layout
from stores.monitoring.triages import Triages
from stores.shelf.archives import archived
from stores.shelf.bundle import CARD, CARD_DATA, load_bundle
from stores.shelf.rollouts import RolloutBoard
from training.evaluation import Evaluation

pytestmark = pytest.mark.slow

PLAN = small_plan()
PLAIN = small_use_case(("xgboost",))
USE_CASE = PLAIN.model_copy(
    update={
        "risk_tier": "high",
        "degradation": None,
        "model": PLAIN.model.model_copy(update={"trials": 1, "ensemble": Ensemble(releases=1)}),
        "rollout": fast_rollout(weights=(0.5, 1.0)),
        "retraining": Retraining(drift=OnDrift(cool_down_hours=1)),
        "fairness": Fairness(
            groups=(Groups(reads="card_profile_v1.country"),), adverse=("BLOCK", "REVIEW")
        ),
    }
)
SHIFT_MS = START_MS + 20 * DAY_MS
MOVED = Moved(column="amount_minor", what="source", effect=0.4, threshold=0.1, n_current=900)
LATE = Fault(cause="late_partition", asset="events/payments", partition="2026-03-01")


@dataclass
class World:
    """A home with its people, its orchestrator, and the instant that it is."""

    layout: Layout
    desk: Desk
    instance: dg.DagsterInstance

    @property
    def now_ms(self):
        return self.desk.clock.now_ms()

    @property
    def platform(self):
        root = self.layout.root
        return platform_at(root, self.now_ms, tracking_uri=f"sqlite:///{root}/mlflow.db")

    def snapshot(self, name, table):
        """A training set, as the job would leave it."""
        held = table.append_column("snapshot", pa.array([name] * len(table)))
        uri = self.layout.training("small")
        write_deltalake(uri, held, partition_by=["snapshot"], mode="append")
        report = dg.MetadataValue.json({"read_versions": {"payments": 1}})
        self.instance.report_runless_asset_event(
            dg.AssetMaterialization(
                names.training("small"), metadata={"snapshot": name, "report": report}
            )
        )

    def train(self, tags):
        """Candidates, evaluation, bundle and release, as the job of retraining makes them."""
        made = [
            candidate_asset(USE_CASE, PLAN),
            evaluation_asset(USE_CASE, PLAN),
            bundle_asset(USE_CASE, PLAN),
            release_asset(USE_CASE),
        ]
        result = dg.materialize(
            [dg.AssetSpec(names.training("small")), *made],
            instance=self.instance,
            resources={"platform": self.platform},
            tags=tags,
        )
        assert all(check.passed for check in result.get_asset_check_evaluations())
        self.desk.clock.instant_ms = SystemClock().now_ms()  # what Dagster dates events by
        return result

    def sign_off(self, release):
        for role, who in (("risk", "ada"), ("owner", "bob")):
            self.desk.shelf.approve(
                "small", release, who=who, role=role, comment="looked at the card",
                at_ms=self.now_ms, signer=ensure_signer(self.layout.keys, "approval"),
            )  # fmt: skip

    def ask(self, action, release):
        answer = self.desk.ask(action, release, use_case="small")
        assert answer.code == "done", answer.because

    @property
    def state(self):
        return self.desk.state("small")

    def look(self, *, moved=(), faults=()):
        """What the drift asset would have found now."""
        self.desk.clock.advance(2 * 3_600_000)
        found = triaged("small", moved, faults, at_ms=self.now_ms, window=("a", "b"))
        Triages(self.layout.monitoring).put(found)

    def tick(self):
        declared = USE_CASE.retraining
        assert declared is not None
        sensor = retraining_sensor(USE_CASE, PLAN, declared, retrain_job(USE_CASE))
        context = dg.build_sensor_context(
            instance=self.instance, resources={"platform": self.platform}
        )
        return sensor.evaluate_tick(context)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    root = tmp_path_factory.mktemp("loop")
    with pytest.MonkeyPatch.context() as patch, dg.DagsterInstance.ephemeral() as instance:
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        patch.setenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        layout = Layout(root).create()
        found = World(layout, Desk(layout), instance)
        found.desk.clock.instant_ms = SystemClock().now_ms()
        dates = pa.array([event_date(found.now_ms - n * DAY_MS) for n in range(60)])
        write_deltalake(
            layout.events("payments"),
            pa.table({"event_date": dates.cast(pa.date32()), "amount_minor": range(60)}),
            partition_by=["event_date"],
        )
        yield found


def shifted(table):
    """From one day on it is small amounts of busy cards that are fraud, and no large ones."""
    at_ms = table["event_timestamp"].cast(pa.int64()).to_numpy() // 1_000
    amount = table[feature_column("payment_size:amount")].to_numpy()
    count = table[feature_column("card_activity_v1:amount_count_7d")].to_numpy()
    chance = 1 / (1 + np.exp(-2 * (-4.0 + 5.0 * (amount < 1_500) + 1.0 * (count > 5))))
    drawn = np.random.default_rng(11).random(len(table)) < chance
    labels = np.where(at_ms < SHIFT_MS, table["label"].to_numpy(), drawn.astype(np.int64))
    place = table.schema.get_field_index("label")
    return table.set_column(place, "label", pa.array(labels))


def test_the_world_shifts_and_a_better_champion_comes_with_its_trail(world):
    # The first release is trained by a person, signed off by two, and serves.
    world.snapshot("before", small_training_set(4_000))
    world.train({BUILT_BY: "eve"})
    world.sign_off(1)
    world.ask("promote", 1)
    assert not world.tick().run_requests

    # The data breaks: nothing is trained, and the reason names asset and partition.
    world.look(moved=[MOVED], faults=[LATE])
    held = world.tick()
    assert not held.run_requests
    assert "events/payments 2026-03-01: late partition" in held.skip_message

    # It is mended, and what moved is the world: the sensor asks for a run that says why.
    world.look(moved=[MOVED])
    (request,) = world.tick().run_requests
    assert request.tags[TRIGGER] == "drift"
    world.snapshot("after", shifted(small_training_set(4_000, seed=8)))
    result = world.train(request.tags)
    assert result.dagster_run.tags[TRIGGER] == "drift"

    # The former release took part in a candidate; the best was held to the champion, to groups.
    bundle = load_bundle(world.desk.shelf.bundle("small", 2))
    card = json.loads(bundle.files[CARD_DATA])
    assert card["candidates"].keys() == {"xgboost", "ensemble"}
    found = Evaluation.model_validate({k: card[k] for k in ("comparison", "fairness")})
    assert found.comparison is not None
    assert found.comparison.champion == 1
    assert found.comparison.difference is not None
    assert found.comparison.difference.low > 0.1
    assert found.comparison.slices
    assert found.fairness is not None
    assert found.fairness.is_passed
    assert bundle.manifest.built_by == WHO
    assert "Asked for by drift: real drift (covariate)" in bundle.files[CARD].decode()
    verdict = world.desk.shelf.verdict("small", 2, world.desk.keys)
    assert verdict is not None
    assert verdict.is_passed
    beside = verdict.numbers["evaluation"]["comparison"]
    assert beside["champion"] == 1
    told = compared_in_words(2, bundle.manifest.metrics[beside["metric"]], beside)
    assert f"{found.comparison.difference.low:.3f}" in told

    # Nobody has signed it off: it serves nobody. Two do; a shadow, a canary, and then everybody.
    assert world.desk.ask("start", 2, use_case="small").code == "not_approved"
    before_ms = world.now_ms
    world.sign_off(2)
    world.ask("shadow", 2)
    world.ask("start", 2)
    while world.state.rollout is not None:
        counts = worker_counts(world.state.rollout.stage, 2_000, world.state.challenger_weight)
        world.desk.counts.publish(
            world.state.rollout.experiment,
            f"worker {world.state.rollout.stage}",
            counts.model_dump_json().encode(),
            now_ms=world.now_ms,
        )
        world.desk.clock.advance(2_000)
        assert world.desk.controller().look()
    assert world.state.champion == 2

    # The trail: who signed, what the rollout did, and what was live before and after.
    log = AuditLog.of(world.layout, is_signing=False)
    signed = log.latest(99, lambda record: record.what == "approved")
    assert [(r.about["release"], r.who) for r in signed] == [
        (1, "ada"), (1, "bob"), (2, "ada"), (2, "bob"),
    ]  # fmt: skip
    events = [entry.event for entry in RolloutBoard(world.layout.shelf).audit("small")]
    assert events == ["shadow_set", "started", "advanced", "promoted"]
    moves = log.latest(99, is_about_channels)
    assert served_at(moves, "small", before_ms).champion == 1
    assert served_at(moves, "small", world.now_ms).champion == 2


def test_what_serves_nobody_for_a_season_is_archived_in_the_end(world):
    for _ in range(2):
        shelve(world.layout, use_case="small")
    world.desk.clock.advance(400 * DAY_MS)
    declared = Declared(use_cases={"small": USE_CASE}, plans={"small": PLAN})
    asset = archive_asset(declared)
    specs = [dg.AssetSpec(key) for key in asset.dependency_keys]
    for expected in ([3], []):
        made = dg.materialize([asset, *specs], resources={"platform": world.platform})
        (event,) = made.asset_materializations_for_node("retention__archive")
        held: Any = event.metadata["archived"].value
        assert [int(n) for n in held["small"]] == expected
        assert [check.passed for check in made.get_asset_check_evaluations()] == [True]
    there = world.desk.shelf.releases("small")
    assert [n for n in there if archived(world.desk.shelf, "small", n)] == [3]
