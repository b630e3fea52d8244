"""Outcomes of a rollout from the tables: records of predictions, events, and their labels.

Only what the rollout can have answered is read: records of its two releases since it began, and
of events and labels the rows that those records name.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from deltalake import DeltaTable

from core.clock import DAY_MS
from core.contracts import EVENT_ID, EVENT_TIMESTAMP
from core.rollout.outcomes import (
    Answer,
    Outcomes,
    Word,
    answer_of,
    is_whole_answer,
    joined,
    mature_labels,
)
from core.use_case import Label, UseCase
from stores.layout import Layout
from stores.shelf.channels import ChannelState, RolloutState
from stores.tables import dataset_of, read_dates

EARLIEST_EVENT_MS = DAY_MS
"""How long before a rollout an event may have happened that is asked about in it."""


def outcomes_of(
    layout: Layout, use_case: UseCase, state: ChannelState, rollout: RolloutState, now_ms: int
) -> Outcomes:
    """Outcomes that are mature at ``now_ms``; none where a table is not there yet."""
    since_ms = rollout.started_at_ms - EARLIEST_EVENT_MS
    answers: list[Answer] = []
    n_answers = 0
    for record in _records(layout.predictions(use_case.name), state, since_ms):
        if is_whole_answer(record, rollout.experiment):
            n_answers += 1
            answer = answer_of(record, rollout.experiment)
            answers += [] if answer is None else [answer]
    label = use_case.label
    named = pa.array(sorted({answer.event_id for answer in answers}), pa.string())
    examples = _examples(layout.events(label.example_source), named, since_ms)
    words = _words(layout.events(label.source), named, label, since_ms)
    return joined(answers, mature_labels(examples, words, label, now_ms), n_answers=n_answers)


def _records(uri: str, state: ChannelState, since_ms: int) -> Iterator[dict[str, Any]]:
    """Records of the rollout's releases since it began, a batch at a time."""
    if not DeltaTable.is_deltatable(uri):
        return
    releases = pa.array([state.champion, state.challenger], pa.int32())
    first = pa.scalar(since_ms, pa.timestamp("ms", tz="UTC"))
    chosen = (
        ds.field("release").isin(releases)
        & (ds.field("received_at") >= first)
        & (ds.field("event_date") >= pc.cast(first, pa.date32()))
    )
    dataset = dataset_of(DeltaTable(uri))
    for batch in dataset.to_batches(columns=["record"], filter=chosen):
        yield from map(json.loads, batch.column("record").to_pylist())


def _examples(uri: str, named: pa.Array, since_ms: int) -> dict[str, int]:
    """When each of the named events happened."""
    rows = _rows(uri, EVENT_ID, [EVENT_ID, EVENT_TIMESTAMP], named, since_ms)
    return {row[EVENT_ID]: _ms(row[EVENT_TIMESTAMP]) for row in rows}


def _words(uri: str, named: pa.Array, label: Label, since_ms: int) -> list[Word]:
    columns = [label.refers_to, label.column, EVENT_TIMESTAMP, "available_at", EVENT_ID]
    return [
        Word(
            event_id=row[label.refers_to],
            is_positive=bool(row[label.column]),
            known_ms=_ms(row[EVENT_TIMESTAMP]),
            available_ms=_ms(row["available_at"]),
            word_id=row[EVENT_ID],
        )
        for row in _rows(uri, label.refers_to, columns, named, since_ms)
        if row[label.column] is not None
    ]


def _rows(
    uri: str, key: str, columns: list[str], named: pa.Array, since_ms: int
) -> list[dict[str, Any]]:
    """Rows since then whose ``key`` is among the named; none where there is no table."""
    if not len(named) or not DeltaTable.is_deltatable(uri):
        return []
    where = ds.field(key).isin(named)
    found: list[dict[str, Any]] = read_dates(
        DeltaTable(uri), columns, from_ms=since_ms, where=where
    ).to_pylist()
    return found


def _ms(instant: datetime) -> int:
    return round(instant.timestamp() * 1_000)
