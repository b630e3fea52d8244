"""Records as the service writes them, put into shared storage as it ships them."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from bundles import TOY_PLAN, USE_CASE
from payments import NOW_MS

from core.clock import FixedClock
from stores.layout import Layout
from stores.records.segments import SegmentedRecordLog
from stores.records.shared import open_segments


def toy_record(at_ms: int = NOW_MS, score: float = 0.25, **changes: object) -> dict[str, object]:
    """A record of the toy use case that saw nothing of its entities."""
    features = {
        view.name: {
            "status": "NOT_FOUND",
            "age_ms": None,
            "seen_position": None,
            "values": dict.fromkeys(view.feature_names),
        }
        for view in TOY_PLAN.views
    }
    return {
        "version": 3,
        "use_case": USE_CASE,
        "masked": [],
        "model": {"name": USE_CASE, "release": 1, "channel": "champion"},
        "received_at_ms": at_ms,
        "at_ms": at_ms,
        "event_id": None,
        "rollout": None,
        "entities": {"card_id": "c1", "terminal_id": "t1"},
        "inputs": {"amount_minor": 1_250},
        "features": features,
        "score": score,
        "decision": "APPROVE",
        "reason": "no_sign",
        "degraded": None,
        **changes,
    }


def ship(
    layout: Layout, segments: Iterable[Iterable[object]], use_case: str = USE_CASE
) -> list[str]:
    """Put records (or payloads as they are) into shared storage, one segment each; their ids."""
    store = open_segments(layout.segments(use_case))
    log = SegmentedRecordLog(layout.records(use_case), use_case, FixedClock(NOW_MS))
    ids: list[str] = []
    for records in segments:
        payloads = [r if isinstance(r, bytes) else msgspec.json.encode(r) for r in records]
        ids += log.append_many(payloads)
        log.close()
    for path in sorted(layout.records(use_case).glob("*.sealed")):
        store.put(path.name, path.read_bytes())
        path.unlink()
    return ids
