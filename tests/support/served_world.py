"""A small world served and kept: events folded as they come, predictions recorded, tables behind.

The engine, the fold, the records and the tables are the real ones; only the processes around
them are not there. The tables hold every event, the later ones too, which no early read saw.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
from bundles import CARD_STATES, CONTRACT, TOY_PLAN, USE_CASE
from deltalake import CommitProperties, write_deltalake
from engines import Bench
from payments import DAY_MS, NOW_MS, PAYMENTS, VERDICTS

from core.clock import event_date
from core.contracts import FieldSpec
from core.features.blob import delta_key
from core.features.fold import FoldEvent, fold
from core.features.keys import entity_key, position
from core.features.plan import Plan
from core.packed_records import whole_record
from serving.engine.features import FeatureReading
from stores.layout import Layout
from stores.masking import Mask
from stores.merging import compiled_merge
from stores.online.watermarks import Watermark, encode_watermark, watermark_key

N_CARDS, N_TERMINALS = 40, 5
EPOCHS = 4
POINTS_A_BATCH = 1_000
CARD = FieldSpec(name="card_id", type="string", column_class="personal", max_length=64)
MASK = Mask(bytes(32))


class ServedWorld:
    """Everything that parity looks at, made by predictions of ``n_points`` over four epochs.

    Of the ``lost`` cards no online value is ever written; of those ``in_major`` the folder takes
    amounts for major units. Where there is a ``reader_plan`` the service reads by that and not by
    the plan of its release. ``changes`` are those of the release.
    """

    def __init__(
        self,
        layout: Layout,
        n_points: int,
        seed: int = 5,
        lost: Sequence[str] = (),
        in_major: Sequence[str] = (),
        reader_plan: Plan | None = None,
        **changes: Any,
    ) -> None:
        self.layout = layout
        self.plan: Plan = changes.get("plan", TOY_PLAN)
        self.lost = {entity_key([card]) for card in lost}
        self.in_major = frozenset(in_major)
        self.rng = np.random.default_rng(seed)
        contract = CONTRACT.model_copy(update={"keys": (CARD, CONTRACT.keys[1])})
        self.bench = Bench(layout, contract=contract, **changes)
        if reader_plan is not None:
            champion = self.bench.releases.served(USE_CASE).champion
            object.__setattr__(champion, "features", FeatureReading(reader_plan, compiled_merge()))
        self.events = {name: self._drawn(name) for name in ("payments", "verdicts", "card_states")}
        for epoch in range(1, EPOCHS + 1):
            self._fold(epoch)
            self.predict(n_points // EPOCHS)
        self._write_tables()

    @property
    def records(self) -> dict[str, dict[str, Any]]:
        """Fresh copies of all that was recorded so far, by prediction id."""
        return self.every(1)

    def every(self, step: int) -> dict[str, dict[str, Any]]:
        """Fresh copies of the first record and of each that is so many places on."""
        payloads = self.bench.records.payloads
        return {
            f"{USE_CASE}-{place}": whole_record(payloads[place])
            for place in range(0, len(payloads), step)
        }

    def _drawn(self, source: str) -> list[dict[str, Any]]:
        """Events of a source, by position; dates and positions in no common order."""
        rng, rows = self.rng, []
        for number in range(400):
            at_ms = NOW_MS - int(rng.integers(10 * 60_000, 9 * DAY_MS))
            if source == "card_states" and number % 4 == 0:
                at_ms -= 40 * DAY_MS  # older than the view's ttl
            row: dict[str, Any] = {"event_id": f"{source}-{number}", "event_timestamp": at_ms}
            row["position"] = position(1 + number * EPOCHS // 400, number)
            if source == "card_states":
                row |= {
                    "card_id": f"c{number % N_CARDS}",
                    "limit_minor": int(rng.integers(1, 900_000)),
                }
            else:
                row["terminal_id"] = f"t{rng.integers(N_TERMINALS)}"
                row["is_fraud" if source == "verdicts" else "amount_minor"] = int(
                    rng.integers(0, 2) if source == "verdicts" else rng.integers(1, 90_000)
                )
            if source == "payments":
                row["card_id"] = f"c{rng.integers(N_CARDS)}"
            rows.append(row)
        return rows

    def _fold(self, epoch: int) -> None:
        """Bring the online values up to the end of an epoch, as the folder would."""
        for view in self.plan.views:
            by_entity: dict[bytes, list[FoldEvent]] = {}
            for row in self.events[view.source]:
                if row["position"] < position(epoch + 1, 0):
                    key = entity_key([row[name] for name in view.join_keys])
                    values = {name: self._as_folded(row, name) for name in view.columns}
                    epoch_of, offset = divmod(row["position"], 2**32)
                    at_ms = row["event_timestamp"]
                    event = FoldEvent(epoch_of, offset, row["event_id"], at_ms, at_ms, values)
                    by_entity.setdefault(key, []).append(event)
            for key, events in by_entity.items():
                delta = fold(view, None, events, now_ms=NOW_MS, base_epoch=-1)
                if key not in self.lost:
                    self.bench.store.write({delta_key(view.name, key): delta})
            mark = Watermark(NOW_MS, position(epoch + 1, 0) - 1, NOW_MS)
            self.bench.store.write({watermark_key(view.source): encode_watermark(mark)})

    def _as_folded(self, row: Mapping[str, Any], name: str) -> Any:
        is_major = name == "amount_minor" and row.get("card_id") in self.in_major
        return row[name] // 100 if is_major else row[name]

    def predict(self, count: int) -> None:
        """Ask for so many predictions about anybody."""
        for start in range(0, count, POINTS_A_BATCH):
            points = [self._request() for _ in range(min(POINTS_A_BATCH, count - start))]
            asyncio.run(self.bench.engine.predict_many(USE_CASE, {"points": points}))
            self.bench.clock.advance(1_000)

    def _request(self) -> dict[str, Any]:
        card, terminal = self.rng.integers(N_CARDS + 3), self.rng.integers(N_TERMINALS + 1)
        entities = {"card_id": f"c{card}", "terminal_id": f"t{terminal}"}
        return {"entities": entities, "inputs": {"amount_minor": int(self.rng.integers(1, 90_000))}}

    def _write_tables(self) -> None:
        for source in (PAYMENTS, VERDICTS, CARD_STATES):
            write_events(self.layout, source.name, self.events[source.name], epoch=EPOCHS)


def write_events(
    layout: Layout, source: str, events: Sequence[Mapping[str, Any]], *, epoch: int
) -> None:
    """An events table as ingest leaves it, by delta-rs."""
    columns: dict[str, Any] = {
        name: [row[name] for row in events] for name in events[0] if name != "event_timestamp"
    }
    for name in ("event_timestamp", "ingested_at", "available_at"):
        instants = [datetime.fromtimestamp(r["event_timestamp"] / 1_000, tz=UTC) for r in events]
        columns[name] = pa.array(instants, pa.timestamp("us", tz="UTC"))
    dates = [datetime.fromisoformat(event_date(row["event_timestamp"])).date() for row in events]
    columns["event_date"] = pa.array(dates, pa.date32())
    said = CommitProperties(custom_metadata={"userMetadata": json.dumps({"epoch": epoch})})
    write_deltalake(
        layout.events(source),
        pa.table(columns),
        partition_by=["event_date"],
        mode="append",
        commit_properties=said,
    )
