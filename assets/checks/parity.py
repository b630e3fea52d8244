"""The parity check: what was served, computed again from the tables, value by value."""

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import dagster as dg
import numpy as np

from assets import names
from assets.checks.last_word import last_word
from assets.resources import Platform
from assets.results import check
from assets.tables import is_table

if TYPE_CHECKING:
    from training.served_parity import Parity

PARITY = "served_as_computed"
MEANS = (
    "Every served value equals what the tables say of it as its read had seen them, within one "
    "float32 ulp; functions, vector, score and decision follow from what was recorded."
)
MAX_RECORDS = 50_000
NEWEST_DATES = 2
SEED = 20_260_101


def served_as_computed(
    platform: Platform, use_case: str, touched: Iterable[str]
) -> dg.AssetCheckResult:
    """Result on the records of the dates just touched and of the newest ones.

    So a fault that was found stays found until its dates are past or it is mended.
    """
    records, of = records_to_compare(platform, use_case, touched)
    if not records:
        return check(PARITY, passed=True, why="nothing was served yet", records=0)
    return told(_compared(platform, records), of)


def told(parity: "Parity", of: int) -> dg.AssetCheckResult:
    """What comparing gave, as Dagster shows it."""
    n_unequal = sum(parity.unequal.values())
    names_unequal = ", ".join(f"{n} of {name}" for name, n in list(parity.unequal.items())[:5])
    return check(
        PARITY,
        passed=parity.is_equal,
        why=f"served otherwise than the tables say: {names_unequal}" if n_unequal else "",
        records=parity.records,
        records_there=of,
        values=parity.values,
        unequal=n_unequal,
        limit_ulps=1,
        one_ulp_apart=parity.one_ulp,
        unreplayable=parity.unreplayable,
        examples=[each.model_dump() for each in parity.examples],
    )


def _compared(platform: Platform, records: dict[str, Any]) -> "Parity":
    from stores.masking import ensure_mask
    from training.served_parity import bundles_on, served_parity

    layout = platform.layout
    return served_parity(records, bundles_on(layout), layout, ensure_mask(layout.keys))


def records_to_compare(
    platform: Platform, use_case: str, touched: Iterable[str]
) -> tuple[dict[str, Any], int]:
    """Records by id, at most ``MAX_RECORDS`` drawn at random, and of how many."""
    import pyarrow as pa
    import pyarrow.dataset as ds

    from stores.tables import dataset_of, open_table

    uri = platform.layout.predictions(use_case)
    if not is_table(uri):
        return {}, 0
    table = open_table(uri)
    newest = sorted({str(p["event_date"]) for p in table.partitions()})[-NEWEST_DATES:]
    dates = pa.array(sorted({*touched, *newest}), pa.string()).cast(pa.date32())
    dataset, chosen = dataset_of(table), ds.field("event_date").isin(dates)
    ids = dataset.to_table(columns=["prediction_id"], filter=chosen)["prediction_id"]
    if len(ids) > MAX_RECORDS:
        drawn = np.random.default_rng(SEED).choice(len(ids), MAX_RECORDS, replace=False)
        chosen &= ds.field("prediction_id").isin(ids.take(np.sort(drawn)).combine_chunks())
    rows = dataset.to_table(columns=["prediction_id", "record"], filter=chosen)
    pairs = zip(rows["prediction_id"].to_pylist(), rows["record"].to_pylist(), strict=True)
    return {record_id: json.loads(record) for record_id, record in pairs}, len(ids)


def parity_failure(instance: dg.DagsterInstance, use_case: str) -> str:
    """Why the last parity check of a use case failed; empty when it passed or never ran."""
    key = dg.AssetCheckKey(names.predictions(use_case), PARITY)
    evaluation = last_word(instance, key)
    if evaluation is None or evaluation.passed:
        return ""
    return evaluation.description or "see the check in the UI"
