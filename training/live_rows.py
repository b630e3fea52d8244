"""Served and batch decisions of some dates with the labels that have come, from the tables.

A served decision is joined to its label by the event id that its request named, a batch score by
its example's id. What names no event has no label, ever: it is counted, and estimated.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from deltalake import DeltaTable
from numpy.typing import NDArray

from core.clock import DAY_MS, date_start_ms
from core.features.plan import Plan
from core.monitoring.live import LiveRows, Mask
from core.synthetic import RECORD_MARK
from core.use_case import Label, UseCase
from stores.layout import Layout
from stores.shelf.bundle import Bundle
from stores.tables import dataset_of, read_dates
from training.examples import Part
from training.onnx_export import OnnxScorer
from training.slices import slice_masks

BATCH = "batch"
SHADOW = "shadow"
MOST_RECORDS = 100_000
"""Records that are read of a period; more are drawn from."""

SEED = 20_260_101
_MS = pa.timestamp("ms", tz="UTC")


@dataclass(frozen=True)
class Shadowing:
    """A release that is asked beside the champion, and the releases whose vectors it can take."""

    bundle: Bundle
    like: frozenset[int]


@dataclass(frozen=True)
class Watched:
    """Decisions, the slices that they fall into, and how many named the event they are about."""

    rows: LiveRows
    slices: dict[str, Mask]
    n_named: int


def watched_rows(
    layout: Layout,
    use_case: UseCase,
    plan: Plan,
    dates: Sequence[str],
    now_ms: int,
    shadow: Shadowing | None = None,
) -> Watched:
    """Decisions about ``dates`` with what is known of them at ``now_ms``.

    Parameters
    ----------
    plan
        Of the use case as it is declared; records of another plan fall into no slice.
    dates
        Event dates of what was decided about.
    shadow
        Is scored here on the recorded vectors: what it would have said of the same events.
    """
    truth = labels_of(layout, use_case.label, dates, now_ms)
    served = _served(layout.predictions(use_case.name), dates)
    batch = _batch(layout.scores(use_case.name), dates)
    table = pa.concat_tables([served, batch, *_shadowed(served, shadow)])
    labels = _labels(table["event_id"], truth)
    rows = LiveRows(
        at_ms=_ints(table["at"].cast(_MS).cast(pa.int64())),
        scores=_floats(table["score"]),
        labels=labels,
        releases=_ints(table["release"]),
        channels=np.array(table["channel"].to_pylist(), dtype=np.str_),
        is_degraded=np.array(pc.is_valid(table["degraded"]).to_pylist(), dtype=np.bool_),
    )
    n_named = int(len(served) - served["event_id"].null_count)
    return Watched(rows, _slices(plan, served["vector"], rows), n_named)


def labels_of(layout: Layout, label: Label, dates: Sequence[str], now_ms: int) -> pa.Table:
    """Labels of the examples of some dates that are mature: ``event_id`` and ``label``.

    As in a training set: an example is mature when it is ``maturity_days`` old, and the absence of
    a label then means what was declared.
    """
    examples_uri, words_uri = layout.events(label.example_source), layout.events(label.source)
    nothing = pa.table({"event_id": pa.array([], pa.string()), "label": pa.array([], pa.float64())})
    if not (dates and DeltaTable.is_deltatable(examples_uri)):
        return nothing
    first_ms = date_start_ms(min(dates))
    last_ms = min(date_start_ms(max(dates)) + DAY_MS - 1, now_ms - label.maturity_days * DAY_MS)
    if last_ms < first_ms:
        return nothing
    until = ds.field("event_timestamp") <= pa.scalar(last_ms, _MS)
    columns = ["event_id"]
    examples = read_dates(
        DeltaTable(examples_uri), columns, from_ms=first_ms, to_ms=last_ms, where=until
    )
    words = _words(words_uri, label, first_ms, now_ms)
    found = examples.join(words, "event_id", join_type="left outer")
    if label.absent_means == "drop":
        return found.filter(pc.is_valid(found["label"]))
    return found.set_column(1, "label", pc.fill_null(found["label"], 0.0))


def _words(uri: str, label: Label, first_ms: int, now_ms: int) -> pa.Table:
    """The last word on each example that is known now."""
    if not DeltaTable.is_deltatable(uri):
        return pa.table(
            {"event_id": pa.array([], pa.string()), "label": pa.array([], pa.float64())}
        )
    columns = [label.refers_to, label.column, "event_timestamp", "available_at", "event_id"]
    known = ds.field("event_timestamp") <= pa.scalar(now_ms, _MS)
    words = read_dates(DeltaTable(uri), columns, from_ms=first_ms, where=known)
    order = [(name, "ascending") for name in columns[2:]]
    ordered = words.select(columns).sort_by(order).select(columns[:2])
    ordered = ordered.rename_columns(["event_id", "label"])
    ordered = ordered.set_column(1, "label", ordered["label"].cast(pa.float64()))
    last = ordered.group_by("event_id", use_threads=False).aggregate([("label", "last")])
    return last.rename_columns([name.removesuffix("_last") for name in last.column_names]).select(
        ["event_id", "label"]
    )


def _labels(event_ids: pa.ChunkedArray, truth: pa.Table) -> NDArray[np.float64]:
    """Label of each decision; NaN where there is none."""
    place = pc.index_in(event_ids, value_set=truth["event_id"].combine_chunks())
    return _floats(truth["label"].combine_chunks().take(place.combine_chunks()))


def _served(uri: str, dates: Sequence[str]) -> pa.Table:
    """Records of the service, without the synthetic ones."""
    columns = ["event_timestamp", "score", "release", "channel", "degraded", "record"]
    table = _of_dates(uri, "event_date", columns, dates)
    if table is None:
        return _decisions()
    table = table.filter(pc.invert(pc.match_substring(table["record"], RECORD_MARK)))
    if len(table) > MOST_RECORDS:
        drawn = np.random.default_rng(SEED).choice(len(table), MOST_RECORDS, replace=False)
        table = table.take(pa.array(np.sort(drawn)))
    records = [json.loads(text) for text in table["record"].to_pylist()]
    return _decisions(
        table["event_timestamp"],
        table["score"],
        table["release"],
        table["channel"],
        table["degraded"],
        [record.get("event_id") for record in records],
        [record["vector"] for record in records],
    )


def _batch(uri: str, dates: Sequence[str]) -> pa.Table:
    """Batch scores of examples; those of entities are about no example and have no label."""
    columns = ["event_timestamp", "score", "release", "example_id"]
    table = _of_dates(uri, "as_of", columns, dates)
    if table is None:
        return _decisions()
    n = len(table)
    return _decisions(
        table["event_timestamp"],
        table["score"],
        table["release"],
        [BATCH] * n,
        [None] * n,
        table["example_id"],
        [None] * n,
    )


def _shadowed(served: pa.Table, shadow: Shadowing | None) -> Iterator[pa.Table]:
    """What the shadow says of the answers that were not degraded and hold a vector it can take."""
    if shadow is None:
        return
    manifest = shadow.bundle.manifest
    is_like = pc.is_in(served["release"], value_set=pa.array(sorted(shadow.like), pa.int64()))
    is_wide = pc.equal(pc.list_value_length(served["vector"]), len(manifest.plan.vector))
    rows = served.filter(pc.and_(pc.and_(is_like, is_wide), pc.is_null(served["degraded"])))
    if not len(rows):
        return
    vectors = np.array(rows["vector"].to_pylist(), dtype=np.float32)
    scores = OnnxScorer(shadow.bundle.model).scores(vectors).astype(np.float64)
    n = len(rows)
    yield _decisions(
        rows["at"],
        scores,
        [manifest.release] * n,
        [SHADOW] * n,
        [None] * n,
        rows["event_id"],
        [None] * n,
    )


def _decisions(*columns: object) -> pa.Table:
    """Columns in the order of `DECISIONS`; without any, no row."""
    if not columns:
        return DECISIONS.empty_table()
    arrays = [
        column if isinstance(column, pa.ChunkedArray) else pa.array(column, kind)
        for column, kind in zip(columns, DECISIONS.types, strict=True)
    ]
    return pa.table(arrays, names=DECISIONS.names).cast(DECISIONS)


DECISIONS = pa.schema(
    [
        ("at", pa.timestamp("us", tz="UTC")),
        ("score", pa.float64()),
        ("release", pa.int64()),
        ("channel", pa.string()),
        ("degraded", pa.string()),
        ("event_id", pa.string()),
        ("vector", pa.list_(pa.float64())),
    ]
)


def _of_dates(
    uri: str, partition: str, columns: list[str], dates: Sequence[str]
) -> pa.Table | None:
    """Columns of the rows of some dates; None where there is no table, or it lacks a column."""
    if not DeltaTable.is_deltatable(uri):
        return None
    dataset = dataset_of(DeltaTable(uri))
    if not set(columns) <= set(dataset.schema.names):
        return None
    days = pa.array([date.fromisoformat(each) for each in dates], pa.date32())
    return dataset.to_table(columns=columns, filter=ds.field(partition).isin(days))


def _slices(plan: Plan, vectors: pa.ChunkedArray, rows: LiveRows) -> dict[str, Mask]:
    """Slices of the served rows that have a vector of this plan; batch rows are in none."""
    found = vectors.to_pylist()
    width = len(plan.vector)
    is_held = np.zeros(len(rows), dtype=np.bool_)
    is_held[: len(found)] = [len(vector or ()) == width for vector in found]
    if not is_held.any():
        return {}
    held = rows.chosen(is_held)
    values = [vector for vector in found if len(vector or ()) == width]
    part = Part(
        vectors=np.array(values, dtype=np.float32),
        labels=np.zeros(len(held), dtype=np.int64),
        weights=np.ones(len(held)),
        at_ms=held.at_ms,
    )
    masks = {}
    for name, mask in slice_masks(plan, part):
        masks[name] = np.zeros(len(rows), dtype=np.bool_)
        masks[name][is_held] = mask
    return masks


def _floats(column: pa.Array | pa.ChunkedArray) -> NDArray[np.float64]:
    values: NDArray[np.float64] = np.array(column.to_pylist(), dtype=np.float64)
    return values


def _ints(column: pa.Array | pa.ChunkedArray) -> NDArray[np.int64]:
    values: NDArray[np.int64] = np.array(column.to_pylist(), dtype=np.int64)
    return values
