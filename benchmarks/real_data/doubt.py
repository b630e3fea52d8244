"""Where a leak would show: the same features once more from the file itself, and without help.

Nothing here reads an events table. The file's rows are made into arrays directly, so that a
fault of mapping, ingest or Spark cannot repeat itself; a sample goes through the oracle, which
is a triple loop. Then the same trees are grown with less knowledge, and once with too much.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import DeltaTable
from numpy.typing import NDArray

from benchmarks.real_data.commands import Stopwatch
from benchmarks.real_data.online import agreement, champion
from benchmarks.real_data.scores import SEED, USE_CASE, batch_scores
from core.clock import DAY_MS, date_start_ms
from core.features.keys import entity_key
from core.features.oracle import KnownAt, Row, view_values
from core.features.plan import Plan, ViewPlan, feature_column
from core.stats.metrics import average_precision, ranked
from stores.frames.frames import plan_table
from stores.layout import Layout
from training.boosted import fit_boosted
from training.examples import examples_of

SAMPLE = 200
VERDICT_DAYS = 7
LARGE_AMOUNT_MINOR = 220_00  # in this data every payment above it is a fraud
LABELS = "fraud_labels"
_BOOK_WINDOWS = ("1d", "7d", "30d")
BOOK_INPUTS = (
    *("payment_v1:amount", "payment_v1:is_weekend", "payment_v1:is_night"),
    *(f"card_activity_v1:amount_minor_count_{w}" for w in _BOOK_WINDOWS),
    *(f"card_activity_v1:amount_minor_mean_{w}" for w in _BOOK_WINDOWS),
    *(f"terminal_risk_v1:is_fraud_count_{w}" for w in _BOOK_WINDOWS),
    *(f"terminal_risk_v1:is_fraud_mean_{w}" for w in _BOOK_WINDOWS),
)
"""What the book feeds its models; its delayed terminal counts are ours of verdicts."""
PREFIXES = {"event_id": "tx-", "card_id": "card-", "terminal_id": "terminal-"}
COLUMNS = {"event_id": "TRANSACTION_ID", "card_id": "CUSTOMER_ID", "terminal_id": "TERMINAL_ID"}


@dataclass(frozen=True)
class File:
    """The file's rows as events of both sources, by no code of the platform."""

    transactions: pa.Table
    is_fraud: pa.Array

    @classmethod
    def read(cls, path: Path) -> File:
        """Rows in the order of the file."""
        raw = pq.read_table(path)
        names = {
            name: pc.binary_join_element_wise(prefix, pc.cast(raw[COLUMNS[name]], pa.string()), "")
            for name, prefix in PREFIXES.items()
        }
        stamps = raw["TX_DATETIME"].cast(pa.timestamp("us")).cast(pa.timestamp("us", tz="UTC"))
        minor = np.rint(raw["TX_AMOUNT"].to_numpy() * 100).astype(np.int64)
        columns = {
            **names,
            "event_timestamp": stamps,
            "available_at": stamps,
            "position": pa.array(np.arange(len(raw))),
            "amount_minor": pa.array(minor),
        }
        return cls(pa.table(columns).combine_chunks(), raw["TX_FRAUD"].cast(pa.int64()))

    def labels(self, delay_days: int) -> pa.Table:
        """Verdicts, each known so many days after its transaction."""
        delay = pa.scalar(delay_days * DAY_MS * 1_000, pa.duration("us"))
        known = pc.add(self.transactions["event_timestamp"], delay)
        table = self.transactions.drop_columns(["event_timestamp", "available_at"])
        table = table.append_column("event_timestamp", known).append_column("available_at", known)
        return table.append_column("is_fraud", self.is_fraud)

    def values(self, plan: Plan, delay_days: int = VERDICT_DAYS) -> pa.Table:
        """Vector of every transaction at its own instant, by the kernel in this process."""
        rows = {"transactions": self.transactions, LABELS: self.labels(delay_days)}
        return plan_table(plan, rows, self.transactions)


def training_set(layout: Layout, snapshot: str) -> pa.Table:
    """The frozen training set, whole."""
    table = DeltaTable(layout.training(USE_CASE))
    return table.to_pyarrow_table(partitions=[("snapshot", "=", snapshot)])


def recomputed_in_process(
    plan: Plan, file: File, values: pa.Table, trained: pa.Table
) -> dict[str, Any]:
    """Every value of the training set beside the kernel's, from the file, as float32."""
    places = pc.index_in(trained["example_id"], file.transactions["event_id"].combine_chunks())
    total: dict[str, int] = {}
    for entry in plan.vector:
        name = feature_column(entry)
        ours = values[name].take(places).to_numpy().astype(np.float32)
        found = agreement(trained[name].to_numpy().astype(np.float32), ours)
        total = {key: total.get(key, 0) + n for key, n in found.items()}
    return total


def recomputed_by_oracle(plan: Plan, file: File, trained: pa.Table, from_ms: int) -> dict[str, Any]:
    """A sample of late examples, half of them frauds, value by value by the triple loop."""
    sample = _sample(trained, from_ms)
    total: dict[str, int] = {}
    for view in plan.views:
        rows = _oracle_rows(view, file, sample)
        entries = [n for n in plan.vector if n.partition(":")[0] == view.name]
        answers = []
        for example in sample.select([*view.join_keys, "event_timestamp"]).to_pylist():
            entity = entity_key([example[name] for name in view.join_keys])
            at_ms = round(example["event_timestamp"].timestamp() * 1_000)
            own = rows.get(entity, [])
            answers.append(view_values(view, own, entity, at_ms, KnownAt(at_ms)))
        for entry in entries:
            feature = entry.partition(":")[2]
            expected = [np.nan if a[feature] is None else a[feature] for a in answers]
            actual = sample[feature_column(entry)].to_numpy().astype(np.float32)
            found = agreement(actual, np.array(expected, np.float64).astype(np.float32))
            total = {key: total.get(key, 0) + n for key, n in found.items()}
    return {"examples": len(sample), **total}


def _sample(trained: pa.Table, from_ms: int) -> pa.Table:
    stamps = trained["event_timestamp"].cast(pa.timestamp("ms", tz="UTC"), safe=False)
    is_late = stamps.cast(pa.int64()).to_numpy() >= from_ms
    labels = trained["label"].to_numpy()
    generator = np.random.default_rng(SEED)
    chosen = [
        generator.permutation(np.flatnonzero(is_late & (labels == label)))[: SAMPLE // 2]
        for label in (0, 1)
    ]
    return trained.take(np.concatenate(chosen))


def _oracle_rows(view: ViewPlan, file: File, sample: pa.Table) -> dict[bytes, list[Row]]:
    table = file.labels(VERDICT_DAYS) if view.source == LABELS else file.transactions
    for name in view.join_keys:
        table = table.filter(pc.is_in(table[name], sample[name].combine_chunks()))
    rows: dict[bytes, list[Row]] = {}
    for row in table.to_pylist():
        entity = entity_key([row[name] for name in view.join_keys])
        at_ms = round(row["event_timestamp"].timestamp() * 1_000)
        values = {name: row[name] for name in view.columns}
        rows.setdefault(entity, []).append(
            Row(row["event_id"], entity, at_ms, at_ms, row["position"], values)
        )
    return rows


class Variant(NamedTuple):
    """A training set with more or less knowledge; ``train_days`` is None for all there are."""

    title: str
    plan: Plan
    table: pa.Table
    train_days: int | None = None


def variants(plan: Plan, file: File, trained: pa.Table) -> Iterator[Variant]:
    """The training set as it is, then with less knowledge, then with too much."""
    verdicts = [n for n in plan.vector if plan_source(plan, n) == LABELS]
    windows = {view.name for view in plan.views}
    yield Variant("as trained", plan, trained)
    book = plan.model_copy(update={"vector": BOOK_INPUTS})
    yield Variant("the book's fifteen inputs", book, trained)
    yield Variant("the book's fifteen inputs, one week of training", book, trained, 7)
    later = with_verdicts(plan, file, trained, VERDICT_DAYS * 2)
    yield Variant("every verdict one week later", plan, later)
    del later
    yield Variant("without verdicts", _without(plan, verdicts), trained)
    of_views = [n for n in plan.vector if n.partition(":")[0] in windows]
    alone = _without(plan, [*of_views, "payment_v1:amount_over_mean"])
    yield Variant("the payment alone", alone, trained)
    at_once = with_verdicts(plan, file, trained, 0)
    yield Variant("planted: verdicts known at once", plan, at_once)


def with_verdicts(plan: Plan, file: File, trained: pa.Table, delay_days: int) -> pa.Table:
    """The training set as if verdicts had taken another time."""
    values = file.values(plan, delay_days)
    places = pc.index_in(trained["example_id"], file.transactions["event_id"].combine_chunks())
    table = trained
    for entry in plan.vector:
        if plan_source(plan, entry) == LABELS:
            name = feature_column(entry)
            index = table.schema.get_field_index(name)
            table = table.set_column(index, name, values[name].take(places))
    return table


def plan_source(plan: Plan, entry: str) -> str:
    """Source that an entry of the vector is computed from; empty for a transform."""
    views = {view.name: view.source for view in plan.views}
    return views.get(entry.partition(":")[0], "")


def _without(plan: Plan, entries: list[str]) -> Plan:
    kept = tuple(entry for entry in plan.vector if entry not in set(entries))
    return plan.model_copy(update={"vector": kept})


def precision_of(variant: Variant, from_ms: int) -> float:
    """Average precision from ``from_ms`` on of trees with plain settings, the same for all."""
    examples = examples_of(variant.plan, variant.table)
    if variant.train_days is not None:
        train = examples.train
        is_kept = train.at_ms > int(train.at_ms.max()) - variant.train_days * DAY_MS
        examples = replace(examples, train=train.take(is_kept))
    fitted = fit_boosted(
        examples, "average_precision", seed=SEED, trials=1, progress=lambda _: None
    )
    late = examples.test.take(examples.test.at_ms >= from_ms)
    return average_precision(ranked(fitted.model.margins(late.vectors), late.labels))


def where_frauds_are(
    scores: Mapping[str, float], trained: pa.Table, from_ms: int
) -> list[dict[str, Any]]:
    """Frauds of the last two weeks by what can be known of them, and how many are caught.

    Caught is what stands among as many of the highest scores as there are frauds.
    """
    stamps = trained["event_timestamp"].cast(pa.timestamp("ms", tz="UTC"), safe=False)
    late = trained.filter(pa.array(stamps.cast(pa.int64()).to_numpy() >= from_ms))
    score = np.array([scores[i] for i in late["example_id"].to_pylist()])
    label = late["label"].to_numpy() == 1
    amount = late["payment_v1__amount"].to_numpy()
    risk = np.nan_to_num(late["terminal_risk_v1__is_fraud_mean_30d"].to_numpy())
    is_large, is_known = amount > LARGE_AMOUNT_MINOR, risk > 0
    caught = score >= np.sort(score)[-int(label.sum())]
    groups: dict[str, NDArray[np.bool_]] = {
        "amount over 220": is_large,
        "terminal with a known fraud in 30 days": ~is_large & is_known,
        "neither": ~is_large & ~is_known,
    }
    return [
        {
            "group": name,
            "transactions": int(rows.sum()),
            "frauds": int((rows & label).sum()),
            "caught": int((rows & label & caught).sum()),
        }
        for name, rows in groups.items()
    ]


def doubts(layout: Layout, path: Path, first: str, report: dict[str, Any]) -> str:
    """Every doubt put to the frozen training set; the findings go into ``report``."""
    manifest = champion(layout)
    plan, from_ms = manifest.plan, date_start_ms(first)
    file, trained = File.read(path), training_set(layout, manifest.snapshot_id)
    found: dict[str, Any] = {}
    report["doubt"] = found
    print("\nIs there a leak?", flush=True)
    with Stopwatch() as watch:
        found["kernel"] = recomputed_in_process(plan, file, file.values(plan), trained)
    title = "every training value from the file by the kernel"
    print(f"  {watch.seconds:5.1f} s  {title}: {_equal(found['kernel'])}", flush=True)
    with Stopwatch() as watch:
        found["oracle"] = recomputed_by_oracle(plan, file, trained, from_ms)
    title = f"{found['oracle']['examples']} late examples from the file by the oracle"
    print(f"  {watch.seconds:5.1f} s  {title}: {_equal(found['oracle'])}", flush=True)
    scores = batch_scores(layout, (report["dates"][0], report["dates"][1]))
    by_id = dict(zip(scores["example_id"].to_pylist(), scores["score"].to_pylist(), strict=True))
    found["frauds"] = where_frauds_are(by_id, trained, from_ms)
    for group in found["frauds"]:
        rows = f"{group['frauds']} frauds among {group['transactions']:,} payments"
        print(f"           {group['group']}: {rows}, {group['caught']} caught")
    found["variants"] = {}
    for variant in variants(plan, file, trained):
        with Stopwatch() as watch:
            quality = precision_of(variant, from_ms)
        found["variants"][variant.title] = quality
        said = f"{variant.title}: average precision {quality:.3f}"
        print(f"  {watch.seconds:5.1f} s  {said}", flush=True)
    return f"kernel {_equal(found['kernel'])}; oracle {_equal(found['oracle'])}; " + ", ".join(
        f"{title} {value:.3f}" for title, value in found["variants"].items()
    )


def _equal(found: Mapping[str, int]) -> str:
    return f"{found['equal']:,} of {found['values']:,} values equal"
