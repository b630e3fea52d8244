"""All checks of a snapshot over tables: an honest one passes, and each fault is found and named."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from deltalake import DeltaTable, write_deltalake
from payments import LABEL, PAYMENTS, PLAN, VERDICTS, history
from served_world import write_events
from training_sets import small_use_case

from assets.checks.training import MEANING, training_checks
from assets.resources import Platform
from core.features.keys import position
from core.features.plan import feature_column
from stores.frames.frames import plan_table
from stores.layout import Layout
from stores.masking import Mask, ensure_mask

SNAPSHOT = "s1"
USE_CASE = small_use_case().model_copy(
    update={"name": "payments", "sources": (PAYMENTS, VERDICTS), "label": LABEL}
)
RISK = feature_column("terminal_risk_v1:is_fraud_mean_7d")


class Trial:
    """Events of two sources and the training set that the engine makes of them."""

    def __init__(self, root, *, payments_changed: Mapping[str, Any] | None = None) -> None:
        self.layout = Layout(root)
        paid, judged = history(60, 12)
        rng = np.random.default_rng(3)
        for verdict in judged:
            verdict["is_fraud"] = int(rng.random() < 0.3)
        for number, row in enumerate([*paid, *judged]):
            row["position"] = position(1, number)
        for row in paid[::4] if payments_changed else ():
            row |= payments_changed or {}
        write_events(self.layout, PAYMENTS.name, paid, epoch=1)
        write_events(self.layout, VERDICTS.name, judged, epoch=1)
        self.rows = {
            name: DeltaTable(self.layout.events(name)).to_pyarrow_table()
            for name in (PAYMENTS.name, VERDICTS.name)
        }
        frauds = {row["payment_id"] for row in judged if row["is_fraud"]}
        self.labels = [int(row["event_id"] in frauds) for row in paid]
        self.points = pa.table(
            {
                "example_id": [row["event_id"] for row in paid],
                "event_timestamp": pa.array(
                    [row["event_timestamp"] * 1_000 for row in paid], pa.timestamp("us", tz="UTC")
                ),
                **{n: [row[n] for row in paid] for n in ("card_id", "terminal_id")},
                "amount_minor": [row["amount_minor"] or 1 for row in paid],
            }
        )

    def values(self, *, later: timedelta = timedelta(0)) -> pa.Table:
        """Features of all examples, asked some time after the example."""
        moved = pc.add(self.points["event_timestamp"], pa.scalar(later, pa.duration("us")))
        place = self.points.column_names.index("event_timestamp")
        return plan_table(
            PLAN, self.rows, self.points.set_column(place, "event_timestamp", moved)
        ).select([feature_column(name) for name in PLAN.vector])

    def judged(
        self, values: pa.Table, *, mask: Mask | None = None, **changed: Any
    ) -> dict[str, Any]:
        """Results by name, of a snapshot with these features; with a mask its cards are masked."""
        n = len(self.points)
        parts = np.repeat(["train", "validation", "test"], -(-n // 3))[:n].tolist()
        about = {"label": self.labels, "split": parts, "weight": [1.0] * n, **changed}
        table = self.points.drop_columns(["amount_minor"])
        if mask is not None:
            about["card_id"] = [mask.of(card) for card in table["card_id"].to_pylist()]
        for name, column in about.items():
            place = table.column_names.index(name) if name in table.column_names else -1
            table = (
                table.append_column(name, pa.array(column))
                if place < 0
                else table.set_column(place, name, pa.array(column))
            )
        for name in values.column_names:
            table = table.append_column(name, values[name])
        table = table.append_column("snapshot", pa.array([SNAPSHOT] * n))
        write_deltalake(
            self.layout.training("payments"), table, partition_by=["snapshot"], mode="overwrite"
        )
        report = {
            "snapshot": SNAPSHOT,
            "read_versions": dict.fromkeys((PAYMENTS.name, VERDICTS.name), 0),
            "masked_keys": [] if mask is None else ["card_id"],
        }
        platform = Platform(
            home=str(self.layout.root), online_url="sqlite:///none", tracking_uri="none"
        )
        results = training_checks(platform, USE_CASE, PLAN, report)
        return {str(result.check_name): result for result in results}


@pytest.fixture(scope="module")
def trial(tmp_path_factory):
    return Trial(tmp_path_factory.mktemp("checked"))


def failed(results: Mapping[str, Any]) -> dict[str, str]:
    return {name: result.description or "" for name, result in results.items() if not result.passed}


def test_an_honest_training_set_passes_every_declared_check(trial):
    results = trial.judged(trial.values())
    assert set(results) == set(MEANING)
    assert failed(results) == {}
    assert results["values_as_known_then"].metadata["values"].value >= 20


def test_a_set_with_masked_cards_is_recomputed_by_the_mask_of_the_home_only(trial):
    results = trial.judged(trial.values(), mask=ensure_mask(trial.layout.keys))
    assert failed(results) == {}
    assert results["values_as_known_then"].metadata["values"].value >= 20
    strange = failed(trial.judged(trial.values(), mask=Mask(bytes(32))))
    assert set(strange) == {"values_as_known_then"}
    assert "card_activity_v1:amount_minor_count_1d" in strange["values_as_known_then"]


def test_features_of_a_later_instant_are_found_by_the_oracle(trial):
    values = trial.values()
    later = trial.values(later=timedelta(days=4))
    peeking = values.set_column(values.column_names.index(RISK), RISK, later[RISK])
    found = failed(trial.judged(peeking))
    assert set(found) == {"values_as_known_then"}
    assert "terminal_risk_v1:is_fraud_mean_7d" in found["values_as_known_then"]


def test_one_value_that_is_off_by_little_is_found(trial):
    values = trial.values()
    name = feature_column("card_activity_v1:amount_minor_count_1d")
    moved = pa.array(values[name].to_numpy().astype(np.float64) + 1.0)
    off = values.set_column(values.column_names.index(name), name, moved)
    assert "20 of 20 differ" in failed(trial.judged(off))["values_as_known_then"]


def test_a_feature_that_is_the_label_is_a_leak(trial):
    values = trial.values()
    told = values.set_column(
        values.column_names.index(RISK), RISK, pa.array(np.array(trial.labels, np.float64))
    )
    assert (
        "terminal_risk_v1:is_fraud_mean_7d alone" in failed(trial.judged(told))["no_feature_leaks"]
    )


@pytest.mark.parametrize(
    ("changed", "check"),
    [
        ({"label": 0}, "classes_are_there"),
        ({"example_id": "p1"}, "examples_are_distinct"),
        ({"split": "tset"}, "great_expectations"),
    ],
)
def test_a_set_of_another_kind_is_refused_by_the_check_of_that_name(trial, changed, check):
    ((name, value),) = changed.items()
    assert check in failed(trial.judged(trial.values(), **{name: [value] * len(trial.points)}))


def test_a_constant_feature_is_refused_with_its_name(trial):
    values = trial.values()
    dead = pa.array(np.full(len(values), 3.0))
    constant = values.set_column(values.column_names.index(RISK), RISK, dead)
    found = failed(trial.judged(constant))
    assert "terminal_risk_v1:is_fraud_mean_7d" in found["no_constant_columns"]


def test_a_source_column_with_many_nulls_is_refused_with_its_share(tmp_path):
    holey = Trial(tmp_path, payments_changed={"amount_minor": None})
    found = failed(holey.judged(holey.values()))
    assert found == {"nulls_are_few": "payments.amount_minor: 25.0% null"}
