"""Small use cases with a training set that can be learnt, for tests of training and after."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from core.clock import DAY_MS, date_start_ms
from core.contracts import FieldSpec, Source
from core.decisions import DecisionPolicy, Rule
from core.degradation import Degradation
from core.features.plan import (
    AttributeFeature,
    Plan,
    RequestField,
    TransformPlan,
    ViewPlan,
    WindowFeature,
    feature_column,
)
from core.features.purity import function_digest
from core.use_case import Label, ModelSpec, UseCase

START_MS = date_start_ms("2026-01-01")
Arrays = Mapping[str, NDArray[np.float64]]
COUNTRIES = ("AT", "BE", "CH")
LARGE_AND_UNSEEN = "request.amount_minor > 20_000 and card_activity_v1.amount_count_7d == 0"
DEGRADATION = Degradation(
    unscored=DecisionPolicy(rules=(), default="APPROVE", default_reason="not_scored"),
    fallbacks=(("card_profile_v1",), ("card_activity_v1", "card_profile_v1")),
)


def payment_size(inputs: Arrays) -> dict[str, NDArray[np.float64]]:
    """Amount, and amount over the mean of the last week."""
    amount, mean = inputs["amount_minor"], inputs["amount_mean_7d"]
    ratio = np.divide(amount, mean, out=np.full(len(amount), np.nan), where=mean > 0)
    return {"amount": amount, "amount_over_mean": ratio}


def _window(name: str, function: str, days: int) -> WindowFeature:
    return WindowFeature(
        name=f"{name}_{days}d",
        function=function,
        column="amount_minor",
        window_ms=days * DAY_MS,
        grid_ms=1_800_000,
    )


def small_plan() -> Plan:
    activity = ViewPlan(
        name="card_activity_v1",
        entity="card",
        join_keys=("card_id",),
        source="payments",
        columns={"amount_minor": "int64"},
        windows=(
            _window("amount_count", "count", 7),
            _window("amount_sum", "sum", 7),
            _window("amount_mean", "mean", 7),
            _window("amount_max", "max", 1),
        ),
    )
    profile = ViewPlan(
        name="card_profile_v1",
        entity="card",
        join_keys=("card_id",),
        source="profiles",
        columns={"country": "string"},
        attributes=(AttributeFeature(name="country", column="country", categories=COUNTRIES),),
        ttl_ms=400 * DAY_MS,
    )
    size = TransformPlan(
        name="payment_size",
        reference="training_sets:payment_size",
        source_digest=function_digest(payment_size),
        inputs=("request:amount_minor", "card_activity_v1:amount_mean_7d"),
        outputs=("amount", "amount_over_mean"),
    )
    return Plan(
        service="small_v1",
        views=(activity, profile),
        transforms=(size,),
        request_fields=(RequestField(name="amount_minor", type="int64"),),
        vector=(
            "card_activity_v1:amount_count_7d",
            "card_activity_v1:amount_sum_7d",
            "card_activity_v1:amount_mean_7d",
            "card_activity_v1:amount_max_1d",
            "card_profile_v1:country",
            "payment_size:amount",
            "payment_size:amount_over_mean",
        ),
    )


def small_use_case(
    candidates: tuple[Literal["logistic", "xgboost", "mlp"], ...] = ("logistic", "xgboost"),
    *,
    is_calibrated: bool = True,
    floor: float = 0.1,
) -> UseCase:
    card_id = FieldSpec(name="card_id", type="string", column_class="personal", max_length=64)
    amount = FieldSpec(name="amount_minor", type="int64", minimum=1, maximum=1_000_000)
    flag = FieldSpec(name="is_fraud", type="int64", minimum=0, maximum=1)
    payment_id = FieldSpec(name="payment_id", type="string")
    country = FieldSpec(name="country", type="string", is_nullable=True, allowed=COUNTRIES)

    def source(name: str, *fields: FieldSpec) -> Source:
        return Source(name=name, description=name, owner="team@example.org", fields=fields)

    return UseCase(
        name="small",
        description="Whether a payment was made by its cardholder.",
        owners=("team@example.org",),
        risk_tier="low",
        entities={"card": ("card_id",)},
        sources=(
            source("payments", amount, card_id),
            source("verdicts", payment_id, flag, card_id),
            source("profiles", country, card_id),
        ),
        service="small_v1",
        label=Label(
            source="verdicts", column="is_fraud", refers_to="payment_id", example_source="payments"
        ),
        model=ModelSpec(candidates=candidates, is_calibrated=is_calibrated, floor=floor, trials=2),
        decisions=DecisionPolicy(
            rules=(
                Rule(decision="BLOCK", above=0.9, reason="fraud_very_likely"),
                Rule(decision="REVIEW", above=0.5, reason="fraud_likely"),
                Rule(decision="REVIEW", when=LARGE_AND_UNSEEN, reason="large_and_unseen"),
            ),
            default="APPROVE",
            default_reason="no_sign_of_fraud",
        ),
        degradation=DEGRADATION,
    )


def small_training_set(n_rows: int = 6_000, seed: int = 7) -> pa.Table:
    """Fraud is likelier for large amounts, and for amounts far above the card's habit."""
    generator = np.random.default_rng(seed)
    at_ms = START_MS + np.sort(generator.integers(0, 60 * DAY_MS, n_rows))
    count = generator.poisson(4, n_rows).astype(np.float64)
    mean = np.where(count > 0, np.round(generator.lognormal(8, 0.7, n_rows)), np.nan)
    amount = np.round(generator.lognormal(8, 1, n_rows)) + 1
    country = generator.integers(0, 3, n_rows).astype(np.float64)
    country[generator.random(n_rows) < 0.2] = np.nan
    ratio = amount / mean
    margin = -7 + 2.2 * np.log1p(np.nan_to_num(ratio)) + 3.0 * (amount > 15_000) + (country == 2)
    label = (generator.random(n_rows) < 1 / (1 + np.exp(-2.0 * margin))).astype(np.int64)
    columns = {
        "card_activity_v1:amount_count_7d": count,
        "card_activity_v1:amount_sum_7d": np.nan_to_num(mean) * count,
        "card_activity_v1:amount_mean_7d": mean,
        "card_activity_v1:amount_max_1d": np.where(count > 2, mean * 1.5, np.nan),
        "card_profile_v1:country": country,
        "payment_size:amount": amount,
        "request:amount_minor": amount,
        "payment_size:amount_over_mean": ratio,
    }
    share = (at_ms - START_MS) / (60 * DAY_MS)
    split = np.where(share < 0.6, "train", np.where(share < 0.8, "validation", "test"))
    return pa.table(
        {
            "example_id": [f"p{i:06d}" for i in range(n_rows)],
            "card_id": [f"c{i % 97}" for i in range(n_rows)],
            "event_timestamp": pa.array(at_ms * 1_000, pa.timestamp("us", tz="UTC")),
            "label": label,
            "split": split.tolist(),
            "weight": np.ones(n_rows),
            **{feature_column(name): values for name, values in columns.items()},
        }
    )
