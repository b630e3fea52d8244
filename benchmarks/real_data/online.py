"""The last day asked of the service over HTTP, each transaction at its own instant.

Online values stand as of the start of that day, and the day's rows wait in them: a request
sees what lies before its own instant and nothing else. Scores are compared with the batch
scores, and vectors with those of the training set, bit by bit after the cast to float32.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
from deltalake import DeltaTable
from numpy.typing import NDArray

from benchmarks.real_data.commands import Platform, Stopwatch
from benchmarks.real_data.scores import USE_CASE, batch_scores, in_words, judged, truth
from core.clock import date_start_ms
from core.errors import NotReadyError
from core.features.plan import feature_column
from orchestration.client import error_of
from stores.layout import Layout
from stores.shelf.bundle import Manifest, read_manifest
from stores.shelf.channels import read_channels
from stores.shelf.shelf import Shelf

POINTS_A_BATCH = 250
SINGLES = 1_000
RECORDS = 500
TIMEOUT_S = 60.0

Json = dict[str, Any]


@dataclass(frozen=True)
class Asked:
    """Answers in the order of the transactions, and how long they took."""

    ids: list[str]
    scores: NDArray[np.float32]
    prediction_ids: list[str]
    degraded: int
    seconds: float

    def table(self) -> pa.Table:
        """Scores by example."""
        return pa.table({"example_id": self.ids, "score": self.scores.astype(np.float64)})

    def in_numbers(self, batch: pa.Table) -> Json:
        """Beside the batch scores of the same examples, bit by bit."""
        expected = dict(
            zip(batch["example_id"].to_pylist(), batch["score"].to_pylist(), strict=True)
        )
        others = np.array([expected[example] for example in self.ids], np.float32)
        return {
            **agreement(self.scores, others),
            "degraded": self.degraded,
            "seconds": round(self.seconds, 2),
            "rows_per_s": round(len(self.ids) / self.seconds, 1),
        }


def served(platform: Platform, address: str, date: str) -> Json:
    """All of a day asked of a running service; how it answered, and how that compares."""
    layout = Layout(platform.home)
    rows = transactions_of(layout, date)
    batch = batch_scores(layout, (date, date))
    client = Client(address)
    try:
        many = ask_in_batches(client, rows)
        alone = ask_one_by_one(client, _spread(rows, SINGLES))
        sample = alone.prediction_ids[:: max(1, len(alone.ids) // RECORDS)]
        kept = recorded_vectors(client, sample)
    finally:
        client.close()
    manifest = champion(layout)
    ids = alone.ids[:: max(1, len(alone.ids) // RECORDS)]
    trained = trained_vectors(layout, manifest, date, ids)
    online = batch.drop_columns(["score"]).join(many.table(), keys="example_id")
    report: Json = {
        "date": date,
        "batched": many.in_numbers(batch),
        "alone": alone.in_numbers(batch),
        "vectors": agreement(kept, trained),
        "quality": judged(online, truth(layout)).report(),
        "batch_quality": judged(batch, truth(layout)).report(),
    }
    report["said"] = said(report)
    for line in report["said"].split("; "):
        print(f"  {line}", flush=True)
    show_one(platform, rows, many)
    print(f"\nonline, {date}: average precision {in_words(report['quality'])}")
    print(f"batch, {date}: average precision {in_words(report['batch_quality'])}", flush=True)
    return report


def show_one(platform: Platform, rows: Sequence[Json], many: Asked) -> None:
    """The likeliest fraud of the day as a user would ask for it."""
    row = rows[int(np.argmax(many.scores))]
    fields = [f"{name}={row[name]}" for name in ("card_id", "terminal_id", "amount_minor")]
    platform.run("predict", USE_CASE, *fields, "--at", row["event_timestamp"].isoformat())


def said(report: Json) -> str:
    """What the service answered, as a line."""
    parts = []
    for name in ("batched", "alone"):
        found = report[name]
        parts.append(
            f"{found['values']:,} scores {name}: {found['equal']:,} equal to batch, "
            f"{found['one_ulp']:,} one ulp off, {found['more']:,} more, "
            f"{found['degraded']:,} degraded, "
            f"{found['seconds']:.1f} s, {found['rows_per_s']:,.0f}/s"
        )
    found = report["vectors"]
    parts.append(
        f"{found['values']:,} inputs beside the training set: {found['equal']:,} equal, "
        f"{found['one_ulp']:,} one ulp off, {found['more']:,} more"
    )
    return "; ".join(parts)


def champion(layout: Layout) -> Manifest:
    """Manifest of the release that is served."""
    shelf = Shelf(layout.shelf)
    channels = read_channels(layout)
    release = channels.state(USE_CASE).champion
    if release is None:
        raise NotReadyError(f"no release of {USE_CASE} is served")
    return read_manifest(shelf.bundle(USE_CASE, release))


class Client:
    """One connection to the service, kept."""

    def __init__(self, address: str) -> None:
        place = urlsplit(address)
        self._connection = http.client.HTTPConnection(
            str(place.hostname), place.port, timeout=TIMEOUT_S
        )

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Answer of the service; a problem is an error with its words."""
        data = None if body is None else json.dumps(body)
        self._connection.request(method, path, data, {"Content-Type": "application/json"})
        answer = self._connection.getresponse()
        content = answer.read()
        if answer.status >= 400:
            raise error_of(answer.status, content)
        return json.loads(content)

    def close(self) -> None:
        """Let the connection go."""
        self._connection.close()


def transactions_of(layout: Layout, date: str) -> list[Json]:
    """Transactions of one date in order of time."""
    table = DeltaTable(layout.events("transactions")).to_pyarrow_table(
        partitions=[("event_date", "=", date)],
        columns=[
            "event_id",
            "event_timestamp",
            "position",
            "card_id",
            "terminal_id",
            "amount_minor",
        ],
    )
    rows: list[Json] = table.sort_by(
        [("event_timestamp", "ascending"), ("position", "ascending")]
    ).to_pylist()
    return rows


def request_of(row: Json) -> Json:
    """Request for a decision on a transaction at its own instant."""
    return {
        "entities": {"card_id": row["card_id"], "terminal_id": row["terminal_id"]},
        "inputs": {"amount_minor": row["amount_minor"]},
        "at": round(row["event_timestamp"].timestamp() * 1_000),
    }


def ask_in_batches(client: Client, rows: Sequence[Json]) -> Asked:
    """Ask about all rows, many a request."""

    def answers() -> Iterator[Json]:
        for start in range(0, len(rows), POINTS_A_BATCH):
            points = [request_of(row) for row in rows[start : start + POINTS_A_BATCH]]
            path = f"/v1/{USE_CASE}/predictions:batch"
            yield from client.call("POST", path, {"points": points})["predictions"]

    return _asked(rows, answers())


def ask_one_by_one(client: Client, rows: Sequence[Json]) -> Asked:
    """Ask about all rows, one a request."""
    path = f"/v1/{USE_CASE}/predictions"
    return _asked(rows, (client.call("POST", path, request_of(row)) for row in rows))


def _spread(rows: Sequence[Json], limit: int) -> list[Json]:
    """At most ``limit`` rows from the whole day."""
    places = np.linspace(0, len(rows) - 1, min(limit, len(rows))).astype(int)
    return [rows[place] for place in np.unique(places)]


def _asked(rows: Sequence[Json], answers: Iterator[Json]) -> Asked:
    with Stopwatch() as watch:
        found = list(answers)
    return Asked(
        [row["event_id"] for row in rows],
        np.array([answer["score"] for answer in found], np.float32),
        [answer["prediction_id"] for answer in found],
        sum(answer["degraded"] is not None for answer in found),
        watch.seconds,
    )


def recorded_vectors(client: Client, prediction_ids: Sequence[str]) -> NDArray[np.float32]:
    """Vectors that the service kept of its answers; null is NaN."""
    rows = [client.call("GET", f"/v1/predictions/{i}")["vector"] for i in prediction_ids]
    return np.array(rows, np.float32)


def late_examples(layout: Layout, snapshot: str, date: str, columns: Sequence[str]) -> pa.Table:
    """Columns of a training set's examples from the start of ``date`` on."""
    table = DeltaTable(layout.training(USE_CASE))
    dataset = table.to_pyarrow_dataset(partitions=[("snapshot", "=", snapshot)])
    start = pa.scalar(date_start_ms(date) * 1_000, pa.timestamp("us", tz="UTC"))
    return dataset.to_table(columns=list(columns), filter=ds.field("event_timestamp") >= start)


def trained_vectors(
    layout: Layout, manifest: Manifest, date: str, ids: Sequence[str]
) -> NDArray[np.float32]:
    """Vectors of the training set for examples of one date, cast as the model takes them."""
    columns = [feature_column(entry) for entry in manifest.plan.vector]
    table = late_examples(layout, manifest.snapshot_id, date, ["example_id", *columns])
    place = {example: i for i, example in enumerate(table["example_id"].to_pylist())}
    chosen = table.take(pa.array([place[example] for example in ids], pa.int64()))
    return np.column_stack([chosen[name].to_numpy() for name in columns]).astype(np.float32)


def agreement(one: NDArray[np.float32], other: NDArray[np.float32]) -> Json:
    """How many float32 values are equal bit by bit, one ulp apart, and farther apart.

    Two NaN are equal.
    """
    left, right = one.ravel(), other.ravel()
    both_null = np.isnan(left) & np.isnan(right)
    apart = np.abs(_ordered(left) - _ordered(right))
    is_equal = both_null | (apart == 0)
    is_near = ~is_equal & (apart == 1)
    return {
        "values": len(left),
        "equal": int(is_equal.sum()),
        "one_ulp": int(is_near.sum()),
        "more": int((~is_equal & ~is_near).sum()),
    }


def _ordered(values: NDArray[np.float32]) -> NDArray[np.int64]:
    """Integers in the order of the floats, neighbours one apart; both zeros the same."""
    bits = values.view(np.int32).astype(np.int64)
    return np.where(bits < 0, -(bits & 0x7FFF_FFFF), bits)
