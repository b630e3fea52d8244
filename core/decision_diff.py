"""What another policy would decide of predictions that were recorded: counts, and examples.

Only decisions are made again, from the recorded score and values. The score itself, and the
values, are taken as they stand in the record.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from core.decisions import Decided, Decider
from core.recorded import Record, array_of, masked_inputs
from core.synthetic import is_marked

EXAMPLES = 3
"""Ids that are kept of each change."""
_REQUEST = "request:"

Move = tuple[str, str]


@dataclass
class DecisionDiff:
    """Recorded decisions against those of another policy.

    ``moves`` counts ``(recorded, new)`` decisions, those that stay among them; ``reasons``
    the new reasons of each move; ``examples`` has the first ids of each. ``n_other_reason``
    decisions stay for another reason. ``n_masked`` records hide an input that a rule reads,
    ``n_unscored`` have no score to decide by; both are in no other count. ``absent`` counts, by
    name, records that lack a value which a rule reads; it counts as missing there. Instants are
    of receipt, epoch milliseconds.
    """

    moves: Counter[Move] = field(default_factory=Counter)
    reasons: dict[Move, Counter[str]] = field(default_factory=dict)
    examples: dict[Move, list[str]] = field(default_factory=dict)
    releases: Counter[int] = field(default_factory=Counter)
    absent: Counter[str] = field(default_factory=Counter)
    n_other_reason: int = 0
    n_degraded: int = 0
    n_masked: int = 0
    n_unscored: int = 0
    first_ms: int | None = None
    last_ms: int | None = None

    @property
    def n(self) -> int:
        """Predictions that were decided again."""
        return self.moves.total()

    @property
    def n_changed(self) -> int:
        """Those whose decision is another."""
        return sum(count for (old, new), count in self.moves.items() if old != new)

    def changes(self) -> list[tuple[Move, int]]:
        """Moves to another decision, the most frequent first."""
        changed = [(move, count) for move, count in self.moves.items() if move[0] != move[1]]
        return sorted(changed, key=lambda each: (-each[1], each[0]))

    def add(self, record_id: str, record: Record, decided: Decided) -> None:
        """Count one record and the decision made of it now."""
        move = record["decision"], decided.decision
        self.moves[move] += 1
        self.releases[record["model"]["release"]] += 1
        self.n_degraded += record.get("degraded") is not None
        at_ms = record["received_at_ms"]
        self.first_ms = at_ms if self.first_ms is None else min(at_ms, self.first_ms)
        self.last_ms = at_ms if self.last_ms is None else max(at_ms, self.last_ms)
        if move[0] == move[1]:
            self.n_other_reason += record["reason"] != decided.reason
            return
        self.reasons.setdefault(move, Counter())[decided.reason] += 1
        examples = self.examples.setdefault(move, [])
        if len(examples) < EXAMPLES:
            examples.append(record_id)


def decision_diff(
    records: Iterable[tuple[str, Record]], decider: Decider, *, chunk_records: int = 4_096
) -> DecisionDiff:
    """Decide recorded predictions again, but for synthetic ones, which nobody asked.

    Parameters
    ----------
    records
        Each with its id, as the service wrote it; read once.
    decider
        The other policy.
    chunk_records
        How many are held at a time; the answer does not depend on it.

    Examples
    --------
    >>> from core.decisions import DecisionPolicy, Rule
    >>> rule = Rule(decision="REVIEW", when="request.amount > 500", reason="large")
    >>> policy = DecisionPolicy(rules=(rule,), default="APPROVE", default_reason="none")
    >>> decider = Decider(policy, {"score": (), "request:amount": ()})
    >>> record = {"score": 0.1, "inputs": {"amount": 900}, "features": {}, "transforms": {},
    ...           "decision": "APPROVE", "reason": "none", "received_at_ms": 1,
    ...           "model": {"release": 1}}
    >>> decision_diff([("id-1", record)], decider).changes()
    [(('APPROVE', 'REVIEW'), 1)]
    """
    diff, reads = DecisionDiff(), set(decider.reads)
    stream = iter(records)
    while chunk := list(islice(stream, chunk_records)):
        asked = [pair for pair in chunk if not is_marked(pair[1].get("event_id"))]
        scored = [pair for pair in asked if pair[1]["score"] is not None]
        diff.n_unscored += len(asked) - len(scored)
        shown = [pair for pair in scored if not masked_inputs(pair[1]) & reads]
        diff.n_masked += len(scored) - len(shown)
        scores = array_of([record["score"] for _, record in shown])
        values = {name: _column(name, shown, diff.absent) for name in decider.reads}
        for (record_id, record), decided in zip(shown, decider.decide(scores, values), strict=True):
            diff.add(record_id, record, decided)
    return diff


def _column(
    name: str, records: Sequence[tuple[str, Record]], absent: Counter[str]
) -> NDArray[np.float64]:
    column = []
    for _, record in records:
        try:
            column.append(_value(record, name))
        except KeyError:
            absent[name] += 1
            column.append(None)
    return array_of(column)


def _value(record: Record, name: str) -> float | None:
    """A recorded value by qualified name; KeyError when the record has none of it."""
    view, _, feature = name.partition(":")
    if name.startswith(_REQUEST):
        value: float | None = record["inputs"][feature]
    elif name in record["transforms"]:
        value = record["transforms"][name]
    else:
        value = record["features"][view]["values"][feature]
    return value
