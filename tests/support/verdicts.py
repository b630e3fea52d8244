"""Verdicts on replayed requests while a rollout runs, joined as the platform's asset joins them.

What is true of a payment follows from its amount by a line of its own, whatever a release says.
"""

from __future__ import annotations

import random
import threading
from typing import Any

from bundles import BIAS, WEIGHTS, bundle_files, expected_score
from payments import LABEL
from replayed import AMOUNTS

from assets.outcomes import PUBLISHED_AS
from core.clock import SystemClock
from core.packed_records import whole_record
from core.rollout.outcomes import Word, answer_of, is_whole_answer, joined, mature_labels
from stores.layout import Layout
from stores.records.segments import records_of
from stores.records.shared import open_segments
from stores.shared_counts.sqlite import SqliteSharedCounts

LOOK_EVERY_S = 0.2
AT_ONCE = LABEL.model_copy(update={"maturity_days": 0})
# Records leave as soon as they can, so that a test sees them; who waits on a busy machine may.
LABELLED_SOON = {
    "RECORDS__SEAL_AFTER_MS": 200,
    "RECORDS__SHIP_EVERY_MS": 100,
    "HTTP__PATIENCE_MS": 10_000,
}


def contrary_files() -> dict[str, bytes]:
    """A bundle that gives a small amount what the plain one gives a large one, and the reverse.

    Over amounts drawn evenly both give the same scores in the same shares.
    """
    weights = (-WEIGHTS[0], *WEIGHTS[1:])
    return bundle_files(weights=weights, bias=BIAS + WEIGHTS[0] * sum(AMOUNTS))


def is_fraud(event_id: str, amount_minor: int) -> bool:
    """What turns out of a payment: as often as the plain bundle's score says."""
    chance = expected_score([float(amount_minor), None, 0.0, None, None])
    return random.Random(event_id).random() < chance


class Verdicts(threading.Thread):
    """Joins verdicts to shipped records of one experiment until told to stop."""

    def __init__(self, layout: Layout, experiment: str) -> None:
        super().__init__(daemon=True)
        self._segments = open_segments(layout.segments("toy"))
        self._counts = SqliteSharedCounts(layout.shared_counts)
        self._experiment = experiment
        self._records: dict[str, list[dict[str, Any]]] = {}
        self._is_over = threading.Event()

    def run(self) -> None:
        while not self._is_over.wait(LOOK_EVERY_S):
            self._join()

    def stop(self) -> None:
        """Join no more."""
        self._is_over.set()
        self.join(timeout=30)

    def _join(self) -> None:
        for segment in self._segments.waiting():
            if segment.name not in self._records:
                content = self._segments.read(segment.name)
                self._records[segment.name] = [whole_record(p) for _, p in records_of(content)]
        found = [record for records in self._records.values() for record in records]
        ours = [record for record in found if is_whole_answer(record, self._experiment)]
        answers = [answer for r in ours if (answer := answer_of(r, self._experiment)) is not None]
        examples = {record["event_id"]: record["received_at_ms"] for record in ours}
        words = [
            Word(r["event_id"], is_fraud(r["event_id"], r["inputs"]["amount_minor"]), at, at, "v")
            for r in ours
            if (at := r["received_at_ms"])
        ]
        now_ms = SystemClock().now_ms()
        labels = mature_labels(examples, words, AT_ONCE, now_ms)
        counts = joined(answers, labels, n_answers=len(ours)).counts
        content = counts.model_dump_json().encode()
        self._counts.publish(self._experiment, PUBLISHED_AS, content, now_ms=now_ms)
