"""The closed loop on the simulated world: it shifts, and a better champion comes of it.

Real are the landed files, the profiles and what is found in them, the walk upstream, the verdict,
the sensor, the training sets, the assets from the candidates to the release, MLflow, the shelf,
sign-offs, the controller with its gates, the audit log and the lineage. Made are the counts that
workers would have published. The use case is declared with one candidate, short stages, and days
that fit a small world.
"""

import json
from dataclasses import dataclass
from typing import Any

import dagster as dg
import pytest
from bundles import shelve
from desks import Desk
from platforms import platform_at
from rollouts import fast_rollout, worker_counts
from shared_spark import skip_without_spark
from shifted_world import LearningLauncher, ShiftedWorld

from assets.archive import archive_asset
from assets.declared import Declared
from assets.evaluation import evaluation_asset
from assets.models import BUILT_BY, TRIGGER, bundle_asset, candidate_asset
from assets.releases import release_asset
from assets.training import training_asset, training_config
from assets.watching.drift import drift_asset
from core.clock import DAY_MS, HOUR_MS, SystemClock, event_date
from core.features.plan import Plan
from core.lineage import Thing
from core.retraining import OnDrift, Retraining
from core.served import is_about_channels, served_at
from core.use_case import Ensemble
from core.watching import Watching
from feature_store.plans import plan_for
from orchestration.demo.loop import compared_in_words
from orchestration.jobs import retrain_job
from orchestration.lineage import lineage_of
from orchestration.retraining import WHO, retraining_sensor
from stores.audit.log import AuditLog
from stores.keys.signing import ensure_signer
from stores.layout import Layout
from stores.monitoring.triages import Triages
from stores.shelf.archives import archived
from stores.shelf.bundle import CARD, CARD_DATA, load_bundle
from stores.shelf.channels import read_channels
from stores.shelf.rollouts import RolloutBoard
from training.evaluation import Evaluation
from use_cases import discover

pytestmark = [
    pytest.mark.spark,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::dagster.BetaWarning"),
]
DECLARED = discover()["fraud"]
PAYMENTS, DAYS, SHIFTED_DAYS = 60_000, 28, 12
MODEL = DECLARED.model.model_copy(
    update={
        "candidates": ("xgboost",),
        "trials": 1,
        "ensemble": Ensemble(releases=1),
        "split": "stratified",
        "floor": 0.1,
    }
)
USE_CASE = DECLARED.model_copy(
    update={
        "watching": Watching(current_days=10, baseline_days=14),
        "model": MODEL,
        "retraining": Retraining(drift=OnDrift(cool_down_hours=1), history_days=SHIFTED_DAYS),
        "rollout": fast_rollout(weights=(0.5, 1.0)),
    }
)


@dataclass
class World:
    """A home with its people, its orchestrator, and the instant that it is."""

    payments: ShiftedWorld
    late: str
    plan: Plan
    desk: Desk
    instance: dg.DagsterInstance

    @property
    def layout(self):
        return self.payments.layout

    @property
    def now_ms(self):
        return self.desk.clock.now_ms()

    @property
    def platform(self):
        uri = self.layout.mlflow_uri
        return platform_at(self.layout.root, self.now_ms, tracking_uri=uri)

    @property
    def declared(self):
        return Declared(use_cases={"fraud": USE_CASE}, plans={"fraud": self.plan})

    def made(self, assets, **told):
        result = dg.materialize(
            assets,
            instance=self.instance,
            resources={"platform": self.platform, "launcher": LearningLauncher()},
            **told,
        )
        self.desk.clock.instant_ms = SystemClock().now_ms()  # what Dagster dates events by
        return result

    def train(self, config, tags):
        """From a training set to a release, as the job of retraining makes them."""
        steps = (training_asset, candidate_asset, evaluation_asset, bundle_asset)
        assets = [step(USE_CASE, self.plan) for step in steps]
        result = self.made([*assets, release_asset(USE_CASE)], run_config=config, tags=tags)
        assert all(check.passed for check in result.get_asset_check_evaluations())
        return result

    def look(self):
        """The verdict of the nightly look, two hours from now: the last model has rested."""
        self.desk.clock.advance(2 * HOUR_MS)
        now_ms = self.now_ms
        self.made([drift_asset(USE_CASE, self.plan)])
        self.desk.clock.instant_ms = now_ms
        found = Triages(self.layout.monitoring).latest("fraud")
        assert found is not None
        return found

    def sign_off(self, release):
        for role, who in (("risk", "ada"), ("owner", "bob")):
            self.desk.shelf.approve(
                "fraud", release, who=who, role=role, comment="looked at the card",
                at_ms=self.now_ms, signer=ensure_signer(self.layout.keys, "approval"),
            )  # fmt: skip

    def ask(self, action, release):
        answer = self.desk.ask(action, release, use_case="fraud")
        assert answer.code == "done", answer.because

    @property
    def state(self):
        return self.desk.state("fraud")

    def tick(self):
        declared = USE_CASE.retraining
        assert declared is not None
        sensor = retraining_sensor(USE_CASE, self.plan, declared, retrain_job(USE_CASE))
        context = dg.build_sensor_context(
            instance=self.instance, resources={"platform": self.platform}
        )
        return sensor.evaluate_tick(context)

    def made_of(self, release):
        """All that a release comes from."""
        graph = lineage_of(self.layout, self.declared, read_channels(self.layout))
        return {each.thing for each in graph.comes_from(Thing("release", f"fraud/{release}"))}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    skip_without_spark()
    with pytest.MonkeyPatch.context() as patch, dg.DagsterInstance.ephemeral() as instance:
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        patch.setenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        layout = Layout(tmp_path_factory.mktemp("loop")).create()
        now_ms = SystemClock().now_ms()
        late, end_ms = event_date(now_ms - DAY_MS), now_ms // HOUR_MS * HOUR_MS
        payments = ShiftedWorld(layout, payments=PAYMENTS, days=DAYS, now_ms=end_ms, late=late)
        desk = Desk(layout)
        desk.clock.instant_ms = now_ms
        yield World(payments, late, plan_for(DECLARED, layout), desk, instance)


def test_the_world_shifts_and_a_better_champion_comes_with_its_trail(world):
    # The first release is trained by a person, signed off by two, and serves. It knows nothing of
    # the last days.
    world.payments.take()
    cut_ms = world.now_ms - SHIFTED_DAYS * DAY_MS
    start = event_date(world.now_ms - (DAYS - 2) * DAY_MS)
    world.train(training_config("fraud", cut_ms=cut_ms, start_date=start), {BUILT_BY: "eve"})
    world.sign_off(1)
    world.ask("promote", 1)
    assert not world.tick().run_requests

    # The world shifts, and yesterday's payments do not come: the look sees both, nothing is
    # trained, and the reason names asset and partition.
    world.payments.shift(days=SHIFTED_DAYS)
    world.payments.take()
    broken = world.look()
    assert [(fault.asset, fault.partition, fault.cause) for fault in broken.faults] == [
        ("events/transactions", world.late, "late_partition")
    ]
    assert [moved.column for moved in broken.moved] == ["amount_minor"]
    held = world.tick()
    assert not held.run_requests
    assert f"events/transactions {world.late}: late partition" in held.skip_message

    # They come, and what moved is the world: the sensor asks for a run that says why.
    world.payments.send_what_is_late()
    late_epoch = world.payments.take()
    found = world.look()
    assert (found.kind, found.drift, found.faults) == ("real_drift", "covariate", ())
    [moved] = found.moved
    assert (moved.column, moved.what) == ("amount_minor", "source")
    assert moved.effect > moved.threshold
    (request,) = world.tick().run_requests
    assert request.tags[TRIGGER] == "drift"
    result = world.train(request.run_config, request.tags)
    assert request.tags.items() <= result.dagster_run.tags.items()

    # The former release took part in a candidate; the best was held to the champion, to groups.
    bundle = load_bundle(world.desk.shelf.bundle("fraud", 2))
    card = json.loads(bundle.files[CARD_DATA])
    assert card["candidates"].keys() == {"xgboost", "ensemble"}
    evaluation = Evaluation.model_validate({k: card[k] for k in ("comparison", "fairness")})
    comparison = evaluation.comparison
    assert comparison is not None
    assert comparison.champion == 1
    assert comparison.difference is not None
    assert comparison.difference.low > 0  # surely better
    assert comparison.slices
    assert evaluation.fairness is not None
    assert evaluation.fairness.is_passed
    assert bundle.manifest.built_by == WHO
    assert "Asked for by drift: real drift (covariate)" in bundle.files[CARD].decode()
    verdict = world.desk.shelf.verdict("fraud", 2, world.desk.keys)
    assert verdict is not None
    assert verdict.is_passed
    beside = verdict.numbers["evaluation"]["comparison"]
    assert beside["champion"] == 1
    told = compared_in_words(2, bundle.manifest.metrics[beside["metric"]], beside)
    assert f"{comparison.difference.low:.3f}" in told

    # Nobody has signed it off: it serves nobody. Two do; a shadow, a canary, and then everybody.
    assert world.desk.ask("start", 2, use_case="fraud").code == "not_approved"
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
    events = [entry.event for entry in RolloutBoard(world.layout.shelf).audit("fraud")]
    assert events == ["shadow_set", "started", "advanced", "promoted"]
    moves = log.latest(99, is_about_channels)
    assert served_at(moves, "fraud", before_ms).champion == 1
    assert served_at(moves, "fraud", world.now_ms).champion == 2

    # And back to what the champion learnt from, what was late among it.
    made_of, was_made_of = world.made_of(2), world.made_of(1)
    manifest = bundle.manifest
    assert {Thing("snapshot", manifest.snapshot_id), Thing("run", manifest.mlflow_run_id)} < made_of
    late = Thing("epoch", f"transactions/{late_epoch}")
    assert late in made_of
    assert late not in was_made_of


def test_what_serves_nobody_for_a_season_is_archived_in_the_end(world):
    for _ in range(2):
        shelve(world.layout, use_case="fraud")
    world.desk.clock.advance(400 * DAY_MS)
    asset = archive_asset(world.declared)
    specs = [dg.AssetSpec(key) for key in asset.dependency_keys]
    for expected in ([3], []):
        made = dg.materialize([asset, *specs], resources={"platform": world.platform})
        (event,) = made.asset_materializations_for_node("retention__archive")
        held: Any = event.metadata["archived"].value
        assert [int(n) for n in held["fraud"]] == expected
        assert [check.passed for check in made.get_asset_check_evaluations()] == [True]
    there = world.desk.shelf.releases("fraud")
    assert [n for n in there if archived(world.desk.shelf, "fraud", n)] == [3]
