"""A month of a small use case in tables, into which faults and drifts are planted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
from bundles import CARD_STATES, TOY_PLAN, serve, shelve
from deltalake import DeltaTable, write_deltalake
from payments import NOW_MS, PAYMENTS, VERDICTS
from platforms import platform_at
from training_sets import small_use_case

from assets.resources import Launcher, Platform
from core.clock import DAY_MS, HOUR_MS, event_date
from core.decisions import DecisionPolicy
from core.features.plan import feature_column
from core.stats.profile import TableProfile
from core.use_case import Label
from core.watching import Watching
from stores.frames.profiles import counted, profile_rows
from stores.layout import Layout
from stores.records.columns import record_columns
from stores.tables import open_table

N_DAYS = 30
ROWS_A_DAY = 400
TODAY_MS = NOW_MS + 12 * HOUR_MS
MATURITY_DAYS = 7
USE_CASE = small_use_case().model_copy(
    update={
        "name": "toy",
        "risk_tier": "high",
        "watching": Watching(baseline_days=12, current_days=3),
        "sources": (PAYMENTS, VERDICTS, CARD_STATES),
        "entities": {"card": ("card_id",), "terminal": ("terminal_id",)},
        "decisions": DecisionPolicy(rules=(), default="APPROVE", default_reason="r"),
        "label": Label(
            source="verdicts",
            column="is_fraud",
            refers_to="payment_id",
            example_source="payments",
            maturity_days=MATURITY_DAYS,
        ),
    }
)
DATES = [event_date(TODAY_MS - back * DAY_MS) for back in range(N_DAYS, 0, -1)]
NEWEST = DATES[-1]
INSTANT = pa.timestamp("us", tz="UTC")
Change = Callable[[dict[str, Any]], dict[str, Any]]


class CountingLauncher(Launcher):
    """Runs the job ``profiles`` in this process, without Spark: same counters, same table."""

    def launch(self, context: Any, job: str, **told: Any) -> dict[str, Any]:
        assert job == "profiles"
        from pathlib import Path

        layout = Layout(Path(told["root"]))
        bins = TableProfile.model_validate(told["bins"])
        uri, column = {
            "events": (layout.events(told["name"]), "event_date"),
            "scores": (layout.scores(told["name"]), "as_of"),
            "predictions": (layout.predictions(told["name"]), "event_date"),
        }[told["table"]]
        rows = open_table(uri).to_pyarrow_table()
        dates = rows[column].cast(pa.string())
        profiles = {}
        for date in told["dates"]:
            of_date = rows.filter(pa.compute.equal(dates, date))
            if told["vector"]:
                of_date = record_columns(of_date, told["vector"])
            profiles[date] = counted([of_date], bins)
        target = layout.profiles(told["table"], told["name"])
        if DeltaTable.is_deltatable(target):
            within = ", ".join(f"'{date}'" for date in told["dates"])
            DeltaTable(target).delete(f"event_date IN ({within})")
        write_deltalake(target, profile_rows(profiles), partition_by=["event_date"], mode="append")
        return {"rows": {date: profile.n for date, profile in profiles.items()}}


class WatchedWorld:
    """Tables of payments, verdicts and batch scores.

    Parameters
    ----------
    plant
        Changes the columns of the newest date's payments before they are written.
    concept
        Whether labels of the newest mature week have nothing to do with scores.
    """

    def __init__(self, layout: Layout, *, plant: Change | None = None, concept: bool = False):
        self.layout = layout.create()
        self._rng = np.random.default_rng(11)
        self._concept = concept
        serve(layout, shelve(layout), counter=1)
        days = [self._day(date, plant if date == NEWEST else None) for date in DATES]
        kept = [day for day in days if len(day["event_id"])]
        self._write(layout.events("payments"), [self._payments(day) for day in kept])
        self._write(layout.events("verdicts"), [self._verdicts(day) for day in kept])
        self._write(layout.scores("toy"), [self._scores(day) for day in kept], "as_of")

    @property
    def platform(self) -> Platform:
        """Where this world is."""
        layout = self.layout
        return platform_at(
            layout.root,
            TODAY_MS,
            online_url=layout.online_url,
            tracking_uri=layout.mlflow_uri,
        )

    def _day(self, date: str, plant: Change | None) -> dict[str, Any]:
        rng, n = self._rng, ROWS_A_DAY + int(self._rng.integers(-20, 20))
        start_ms = TODAY_MS - TODAY_MS % DAY_MS - (N_DAYS - DATES.index(date)) * DAY_MS
        at_ms = start_ms + np.sort(rng.integers(0, DAY_MS, n))
        score = rng.beta(1, 4, n)
        is_random = self._concept and DATES.index(date) >= N_DAYS - MATURITY_DAYS - 8
        truth = score.mean() if is_random else score
        day = {
            "date": date,
            "event_id": [f"{date}-{number}" for number in range(n)],
            "at_ms": at_ms,
            "available_ms": at_ms + 1_000,
            "amount_minor": rng.lognormal(7.0, 1.0, n).astype(np.int64).astype(object),
            "score": score,
            "is_fraud": (rng.random(n) < truth).astype(np.int64),
        }
        return plant(day) if plant else day

    def _payments(self, day: dict[str, Any]) -> pa.Table:
        n = len(day["event_id"])
        return pa.table(
            {
                "event_id": day["event_id"],
                "event_timestamp": pa.array(day["at_ms"] * 1_000, INSTANT),
                "available_at": pa.array(day["available_ms"] * 1_000, INSTANT),
                "terminal_id": ["t1"] * n,
                "amount_minor": pa.array(day["amount_minor"].tolist(), pa.int64()),
                "card_id": ["c1"] * n,
                "event_date": dated(day["date"], n),
            }
        )

    def _verdicts(self, day: dict[str, Any]) -> pa.Table:
        n = len(day["event_id"])
        at = pa.array(day["at_ms"] * 1_000, INSTANT)
        return pa.table(
            {
                "event_id": [f"v-{name}" for name in day["event_id"]],
                "event_timestamp": at,
                "available_at": at,
                "payment_id": day["event_id"],
                "is_fraud": pa.array(day["is_fraud"][:n], pa.int64()),
                "event_date": dated(day["date"], n),
            }
        )

    def _scores(self, day: dict[str, Any]) -> pa.Table:
        n = len(day["event_id"])
        return pa.table(
            {
                "example_id": day["event_id"],
                "event_timestamp": pa.array(day["at_ms"] * 1_000, INSTANT),
                "score": day["score"][:n],
                "decision": np.select(
                    [day["score"][:n] > 0.9, day["score"][:n] > 0.5],
                    ["BLOCK", "REVIEW"],
                    "APPROVE",
                ).tolist(),
                "release": pa.array([1] * n, pa.int32()),
                "read_versions": ['{"events/payments": 0}'] * n,
                "as_of": dated(day["date"], n),
            }
        )

    def _write(self, uri: str, days: list[pa.Table], column: str = "event_date") -> None:
        write_deltalake(uri, pa.concat_tables(days), partition_by=[column], mode="append")

    def break_scores(self) -> None:
        """The newest batch wrote one score for all, and reported success."""
        uri = self.layout.scores("toy")
        DeltaTable(uri).update(
            predicate=f"as_of = '{NEWEST}'", updates={"score": "0.97", "decision": "'BLOCK'"}
        )

    def train(self) -> None:
        """The snapshot that the release was trained on: every feature standard normal."""
        columns = {feature_column(name): self._rng.normal(size=2_000) for name in TOY_PLAN.vector}
        rows = pa.table({"snapshot": ["snapshot"] * 2_000, **columns})
        write_deltalake(self.layout.training("toy"), rows, partition_by=["snapshot"])

    def answer(self, date: str, *, shift: float = 0.0, level: float = 0.0, **more: Any) -> None:
        """Records of a date: an answer to each payment.

        The first feature is ``shift`` higher, scores lie between ``level`` and 1.
        """
        n = ROWS_A_DAY - 20
        vectors = self._rng.normal(size=(n, len(TOY_PLAN.vector))) + 0.0
        vectors[:, 0] += shift
        start_ms = TODAY_MS - TODAY_MS % DAY_MS - (N_DAYS - DATES.index(date)) * DAY_MS
        at = pa.array([(start_ms + place * (DAY_MS // n)) * 1_000 for place in range(n)], INSTANT)
        records = [
            {"event_id": f"{date}-{place}", "vector": vectors[place].tolist()} | more
            for place in range(n)
        ]
        rows = pa.table(
            {
                "event_timestamp": at,
                "received_at": at,
                "release": pa.array([1] * n, pa.int32()),
                "channel": ["champion"] * n,
                "score": level + (1 - level) * self._rng.beta(1, 4, n),
                "decision": ["APPROVE"] * n,
                "degraded": pa.array([more.get("degraded")] * n, pa.string()),
                "record": [msgspec.json.encode(record).decode() for record in records],
                "event_date": dated(date, n),
            }
        )
        uri = self.layout.predictions("toy")
        write_deltalake(uri, rows, partition_by=["event_date"], mode="append")

    def refuse(self, share: float, field: str, replayed: int | None = None) -> None:
        """Refuse rows of the newest date: so many that they are a share of what came."""
        n = int(ROWS_A_DAY * share / (1 - share))
        rows = pa.table(
            {
                "event_id": [f"r{number}" for number in range(n)],
                "code": ["missing_field"] * n,
                "field": [field] * n,
                "replayed_epoch": pa.array([replayed] * n, pa.int64()),
                "event_date": dated(NEWEST, n),
            }
        )
        write_deltalake(self.layout.rejected("payments"), rows, partition_by=["event_date"])


def dated(date: str, n: int) -> pa.Array:
    """A column of one date."""
    return pa.array([date] * n, pa.string()).cast(pa.date32())


def late(day: dict[str, Any]) -> dict[str, Any]:
    """Half of the rows came nine hours after they were due."""
    due_ms = int(day["at_ms"][0] // DAY_MS + 1) * DAY_MS + int(6 * HOUR_MS)
    is_late = np.arange(len(day["at_ms"])) % 2 == 0
    return day | {"available_ms": np.where(is_late, due_ms + 9 * HOUR_MS, day["available_ms"])}


def in_cents(day: dict[str, Any]) -> dict[str, Any]:
    """Amounts a hundred times what they were."""
    return day | {"amount_minor": day["amount_minor"] * 100}


def with_nulls(day: dict[str, Any]) -> dict[str, Any]:
    """A third of the amounts missing."""
    amounts = day["amount_minor"].copy()
    amounts[::3] = None
    return day | {"amount_minor": amounts}


def dearer(day: dict[str, Any]) -> dict[str, Any]:
    """The world changed: everything costs four fifths more."""
    return day | {"amount_minor": (day["amount_minor"] * 1.8).astype(np.int64).astype(object)}


def nothing(day: dict[str, Any]) -> dict[str, Any]:
    """No row came."""
    return {name: value if name == "date" else value[:0] for name, value in day.items()}
