"""A small pair of sources with a log: payments, and verdicts that refer to them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from core.contracts import FieldSpec, Reference, Source
from stores.layout import Layout
from stores.log import SourceLog

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
