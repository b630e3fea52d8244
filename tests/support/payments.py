"""A small pair of sources with a log: payments, and verdicts that refer to them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from core.contracts import FieldSpec, Reference, Source
from core.features.plan import Plan, RequestField, TransformPlan, ViewPlan, WindowFeature
from core.features.purity import function_digest
from core.use_case import Label
from stores.layout import Layout
from stores.log.source_log import SourceLog
from use_cases.fraud.transforms import payment as payment_function

PAYMENTS = Source(
    name="payments",
    description="Payments asked for.",
    owner="tests",
    fields=(
        FieldSpec(name="terminal_id", type="string"),
        FieldSpec(name="amount_minor", type="int64", minimum=1),
        FieldSpec(name="card_id", type="string", column_class="personal"),
    ),
)
VERDICTS = Source(
    name="verdicts",
    description="Verdicts on payments.",
    owner="tests",
    fields=(
        FieldSpec(name="payment_id", type="string"),
        FieldSpec(name="terminal_id", type="string"),
        FieldSpec(name="is_fraud", type="int64", minimum=0, maximum=1),
    ),
    references=(
        Reference(columns=("payment_id",), source="payments", target_columns=("event_id",)),
    ),
)
NOW_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z
DAY_MS = 86_400_000


def payment(event_id: str, at_ms: int, **changes: Any) -> dict[str, Any]:
    """A payment that keeps the contract."""
    row = {
        "event_id": event_id,
        "event_timestamp": at_ms,
        "card_id": "c1",
        "terminal_id": "t1",
        "amount_minor": 100,
    }
    return row | changes


def seal_events(
    layout: Layout, source: Source, rows: Iterable[Mapping[str, Any] | bytes], now_ms: int = NOW_MS
) -> int:
    """Append rows (or lines as they are) to the source's log and seal them as one epoch."""
    log = SourceLog(layout.log_dir(source.name), source.name)
    lines = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows]
    log.append(lines, now_ms=now_ms)
    epoch = log.seal(now_ms)
    assert epoch is not None
    return epoch


def land_rows(
    layout: Layout, source: Source, rows: Iterable[Mapping[str, Any]], folder: Path, now_ms: int
) -> int:
    """Land rows as a historic NDJSON file: available when they happened."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{source.name}.ndjson"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    log = SourceLog(layout.log_dir(source.name), source.name)
    return log.land(path, now_ms=now_ms, is_historic=True).epoch.epoch


PLAN = Plan(
    service="payments_v1",
    views=(
        ViewPlan(
            name="card_activity_v1",
            entity="card",
            join_keys=("card_id",),
            source="payments",
            columns={"amount_minor": "int64"},
            windows=(
                WindowFeature(
                    name="amount_minor_count_1d",
                    function="count",
                    column="amount_minor",
                    window_ms=DAY_MS,
                    grid_ms=1_800_000,
                ),
                WindowFeature(
                    name="amount_minor_mean_30d",
                    function="mean",
                    column="amount_minor",
                    window_ms=30 * DAY_MS,
                    grid_ms=43_200_000,
                ),
            ),
        ),
        ViewPlan(
            name="terminal_risk_v1",
            entity="terminal",
            join_keys=("terminal_id",),
            source="verdicts",
            columns={"is_fraud": "int64"},
            windows=(
                WindowFeature(
                    name="is_fraud_mean_7d",
                    function="mean",
                    column="is_fraud",
                    window_ms=7 * DAY_MS,
                    grid_ms=10_800_000,
                ),
            ),
        ),
    ),
    transforms=(
        TransformPlan(
            name="payment_v1",
            reference="use_cases.fraud.transforms:payment",
            source_digest=function_digest(payment_function),
            inputs=("request:amount_minor", "card_activity_v1:amount_minor_mean_30d", "at_ms"),
            outputs=("amount", "is_weekend", "is_night", "amount_over_mean"),
        ),
    ),
    request_fields=(RequestField(name="amount_minor", type="int64"),),
    vector=(
        "payment_v1:amount",
        "payment_v1:amount_over_mean",
        "card_activity_v1:amount_minor_count_1d",
        "terminal_risk_v1:is_fraud_mean_7d",
    ),
)
LABEL = Label(
    source="verdicts",
    column="is_fraud",
    refers_to="payment_id",
    example_source="payments",
    maturity_days=7,
)


def history(
    n_days: int, per_day: int, seed: int = 7
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Payments of the last ``n_days`` and their verdicts, each known three days later.

    Every tenth payment gets no verdict.
    """
    rng = np.random.default_rng(seed)
    paid: list[dict[str, Any]] = []
    judged: list[dict[str, Any]] = []
    for number in range(n_days * per_day):
        at_ms = NOW_MS - n_days * DAY_MS + number * (DAY_MS // per_day)
        card, terminal = f"c{rng.integers(5)}", f"t{rng.integers(3)}"
        amount = int(rng.integers(100, 9_000))
        keys = {"card_id": card, "terminal_id": terminal}
        paid.append(payment(f"p{number}", at_ms, amount_minor=amount, **keys))
        if number % 10:
            judged.append(
                {
                    "event_id": f"v{number}",
                    "event_timestamp": at_ms + 3 * DAY_MS,
                    "payment_id": f"p{number}",
                    "terminal_id": terminal,
                    "is_fraud": int(amount > 8_000),
                }
            )
    return paid, [verdict for verdict in judged if verdict["event_timestamp"] < NOW_MS]
