"""Labels on their way to the gates: tables, the asset, the counts' store, the controller."""

import dataclasses
import json
from datetime import UTC, date, datetime

import dagster as dg
import numpy as np
import pyarrow as pa
import pytest
from bundles import shelve
from deltalake import write_deltalake
from desks import Desk
from payments import DAY_MS, LABEL, NOW_MS
from platforms import platform_at
from rollouts import fast_rollout
from training_sets import small_use_case

from assets.outcomes import JOINABLE, outcomes_asset, published
from core.clock import event_date
from core.rollout.counters import SCORE_BINS, Counters, latency_bin, score_bin
from core.rollout.published import StageCounts, WorkerCounts
from stores.layout import Layout

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning")

USE_CASE = small_use_case().model_copy(update={"name": "toy", "label": LABEL})
WEIGHTS = (0.5, 1.0)
N_REQUESTS, NEEDED_LABELS = 1_200, 300
PRESENT_MS = NOW_MS + 8 * DAY_MS  # what was paid at NOW_MS is mature


@dataclasses.dataclass
class Request:
    """What one request came to: who answered with what score, and what was true."""

    event_id: str
    arm: str
    score: float
    is_positive: bool


class Town(Desk):
    """A rollout under way whose arms answer and score alike, and the tables around it."""

    def __init__(self, layout):
        super().__init__(layout)
        self.ask("promote", shelve(layout))
        rollout = fast_rollout(weights=WEIGHTS, minimum_labels=NEEDED_LABELS)
        self.release = shelve(layout, rollout=rollout)
        assert self.ask("start", self.release).is_accepted
        self.platform = platform_at(layout.root, PRESENT_MS, online_url=layout.online_url)

    @property
    def rollout(self):
        rollout = self.state().rollout
        assert rollout is not None
        return rollout

    def answers(self, *, right, truth_of=np.negative, seed=1):
        """Requests of a stage, the scores of both arms from one distribution.

        They are the chances of a positive where the arm is ``right``; of the other arm
        ``truth_of`` makes the log-odds that are true of those that it says.
        """
        rng = np.random.default_rng(seed)
        stage, weight = self.rollout.stage, self.state().challenger_weight
        logits = rng.normal(0, 1.5, N_REQUESTS)
        arms = np.where(rng.random(N_REQUESTS) < weight, "challenger", "champion")
        true_logits = np.where(arms == right, logits, truth_of(logits))
        labels = rng.random(N_REQUESTS) < chance(true_logits)
        rows = zip(arms.tolist(), chance(logits).tolist(), labels.tolist(), strict=True)
        return [Request(f"p{stage}-{n}", *row) for n, row in enumerate(rows)]

    def count(self, requests):
        """What workers publish of the requests: equal latency, no error, one decision."""
        arms = {}
        for arm in ("champion", "challenger"):
            scores = [r.score for r in requests if r.arm == arm]
            n, bins = len(scores), [0] * SCORE_BINS
            for score in scores:
                bins[score_bin(score)] += 1
            latencies = [0] * len(Counters().latencies)
            latencies[latency_bin(5.0)] = n
            arms[arm] = Counters(
                n_requests=n, n_entities=n, latencies=tuple(latencies), scores=tuple(bins),
                lowest_score=min(scores, default=None), highest_score=max(scores, default=None),
                decisions={"APPROVE": n},
            )  # fmt: skip
        rollout = self.rollout
        counts = WorkerCounts(stages={rollout.stage: StageCounts(**arms)})
        document = counts.model_dump_json().encode()
        now_ms = self.clock.now_ms()
        self.counts.publish(rollout.experiment, f"worker {rollout.stage}", document, now_ms=now_ms)

    def write(self, requests, *, is_named=True):
        """Records, events and labels as their jobs leave them."""
        rollout = self.rollout
        releases = {"champion": self.state().champion, "challenger": self.release}
        records = [
            {
                "rollout": {"experiment": rollout.experiment, "stage": rollout.stage},
                "event_id": r.event_id if is_named else None, "degraded": None,
                "score": r.score, "received_at_ms": NOW_MS, "model": {"channel": r.arm},
            }
            for r in requests
        ]  # fmt: skip
        n = len(requests)
        instants = pa.array([instant(NOW_MS)] * n, pa.timestamp("us", tz="UTC"))
        predictions = {
            "release": pa.array([releases[r.arm] for r in requests], pa.int32()),
            "received_at": instants,
            "record": [json.dumps(record) for record in records],
        }
        ids = [r.event_id for r in requests]
        events = {"event_id": ids, "event_timestamp": instants, "available_at": instants}
        verdicts = {
            **events,
            "event_id": [f"v-{each}" for each in ids],
            "payment_id": ids,
            "is_fraud": [int(r.is_positive) for r in requests],
        }
        for uri, columns in (
            (self.layout.predictions("toy"), predictions),
            (self.layout.events("payments"), events),
            (self.layout.events("verdicts"), verdicts),
        ):
            dates = pa.array([date.fromisoformat(event_date(NOW_MS))] * n, pa.date32())
            table = pa.table({**columns, "event_date": dates})
            write_deltalake(uri, table, partition_by=["event_date"], mode="append")

    def joined(self):
        return published(self.platform, USE_CASE, self.state())

    def look(self):
        self.clock.advance(1_000)
        return self.controller().look()

    @property
    def report(self):
        return json.loads((self.layout.shelf / "rollouts/toy/report.json").read_text())["rollout"]

    def verdict(self, gate):
        return next(v for v in self.report["verdicts"] if v["gate"] == gate)


def chance(logits):
    return 1 / (1 + np.exp(-logits))


def shifted(logits):
    return logits + 2.5


def instant(at_ms):
    return datetime.fromtimestamp(at_ms / 1_000, UTC)


@pytest.fixture
def town(tmp_path):
    return Town(Layout(tmp_path).create())


@pytest.mark.parametrize(
    ("truth_of", "gate"),
    [(shifted, "calibration"), (np.negative, "outcome")],
    ids=["miscalibrated", "contrary"],
)
def test_a_challenger_that_is_wrong_is_rolled_back_once_labels_come(town, truth_of, gate):
    """Equal latency, equal scores: without labels there is nothing to be seen."""
    requests = town.answers(right="champion", truth_of=truth_of)
    town.count(requests)
    assert town.look() == []
    assert town.report["step"]["missing"][0]["what"] == "labels"
    states = {v["gate"]: v["state"] for v in town.report["verdicts"]}
    assert {gate for gate, state in states.items() if state == "nothing_to_compare"} == {
        "calibration",
        "outcome",
    }
    assert set(states.values()) == {"passed", "nothing_to_compare"}
    town.write(requests)
    found = town.joined()
    assert found.counts.stages[0].challenger.n_labels > NEEDED_LABELS
    (said,) = town.look()
    assert "rolled_back release 2" in said
    broken = {v["gate"] for v in town.report["verdicts"] if v["state"] == "broken"}
    assert gate in broken
    assert broken <= {"calibration", "outcome"}
    assert (town.state().champion, town.state().challenger) == (1, None)


def test_a_challenger_that_is_better_is_promoted_by_labels(town):
    said = []
    for seed, _ in enumerate(WEIGHTS):
        requests = town.answers(right="challenger", seed=seed)
        town.count(requests)
        assert town.look() == []  # labels are waited for
        town.write(requests)
        town.joined()
        said += town.look()
    assert ["advanced" in said[0], "promoted release 2" in said[1]] == [True, True]
    assert town.state().champion == 2


def test_a_better_challenger_is_seen_to_be_better(town):
    requests = town.answers(right="challenger")
    town.count(requests)
    town.write(requests)
    found = {arm.arm: arm for arm in town.joined().arms}
    assert found["challenger"].brier < 0.6 * found["champion"].brier
    assert found["challenger"].log_loss < found["champion"].log_loss
    town.look()
    numbers = town.verdict("outcome")["numbers"]
    assert numbers["brier"] < numbers["champion_brier"]


def test_joining_again_changes_nothing(town):
    requests = town.answers(right="champion")
    town.write(requests)
    first = town.joined()
    again = town.joined()
    assert first == again
    experiment = town.rollout.experiment
    documents = town.counts.read(experiment)
    assert list(documents) == ["labels"]
    assert WorkerCounts.model_validate_json(documents["labels"]) == first.counts


def test_requests_that_name_no_event_are_told(town):
    town.write(town.answers(right="champion"), is_named=False)
    result, check = materialised(town)
    assert result.success
    assert not check.passed
    assert check.severity == dg.AssetCheckSeverity.WARN
    assert "send `event_id` with requests" in check.description


def test_without_a_rollout_or_tables_there_is_nothing_to_join(town):
    _, check = materialised(town)
    assert check.passed
    assert town.joined().n_answers == 0
    town.ask("withdraw")
    result, check = materialised(town)
    assert check.passed
    (made,) = result.asset_materializations_for_node("predictions__toy_outcomes")
    assert made.metadata["experiment"].value == "none"


def materialised(town):
    result = dg.materialize(
        [outcomes_asset(USE_CASE)], resources={"platform": town.platform}, raise_on_error=False
    )
    (check,) = result.get_asset_check_evaluations()
    assert check.check_name == JOINABLE
    return result, check
