"""A sample of training examples, recomputed by the oracle from raw rows as known then."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg
import numpy as np

from assets.resources import Platform
from assets.results import check
from assets.tables import read_columns
from core import checks
from core.features.keys import entity_key
from core.features.oracle import KnownAt, Row, view_values
from core.features.plan import Plan, ViewPlan, feature_column

if TYPE_CHECKING:
    import pyarrow as pa

NAME = "values_as_known_then"
SAMPLE = 20
SEED = 20_260_101


def recomputed(
    platform: Platform, plan: Plan, table: "pa.Table", report: Mapping[str, Any]
) -> dg.AssetCheckResult:
    """Whether the snapshot's windows and attributes are what the oracle says of them."""
    chosen = np.random.default_rng(SEED).permutation(table.num_rows)[:SAMPLE]
    sample = table.take(np.sort(chosen))
    counted, differing = 0, {}
    for view in plan.views:
        entries = [n for n in plan.vector if n.partition(":")[0] == view.name]
        if not entries:
            continue
        version = report["read_versions"][view.source]
        rows = rows_of(platform, view, sample, version, report["masked_keys"])
        answers = [_answers(view, rows, point) for point in points_of(view, sample)]
        for entry in entries:
            feature = entry.partition(":")[2]
            expected = np.array([_number(answer[feature]) for answer in answers])
            actual = sample[feature_column(entry)].to_numpy().astype(np.float64)
            counted += len(expected)
            wrong = checks.unequal(expected, actual)
            if wrong:
                differing[entry] = wrong
    return check(
        NAME,
        passed=not differing,
        why="; ".join(f"{entry}: {n} of {len(sample)} differ" for entry, n in differing.items()),
        examples=len(sample),
        values=counted,
        differing=differing,
    )


def points_of(view: ViewPlan, sample: "pa.Table") -> list[tuple[bytes, int]]:
    """Entity and instant of each example, for one view."""
    keys = zip(*(sample[name].to_pylist() for name in view.join_keys), strict=True)
    instants = _instants(sample["event_timestamp"])
    return [(entity_key(key), at_ms) for key, at_ms in zip(keys, instants, strict=True)]


def rows_of(
    platform: Platform,
    view: ViewPlan,
    sample: "pa.Table",
    version: int,
    masked_keys: Sequence[str],
) -> list[Row]:
    """Raw rows of the view's source that belong to an entity of the sample.

    Entities are named as in the sample: masked where its keys are.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    from stores.frames.masked_columns import masked_column
    from stores.masking import ensure_mask

    values = [name for name in view.columns if name not in view.join_keys]
    own = ["event_id", "event_timestamp", "available_at", "position"]
    uri = platform.layout.events(view.source)
    table = read_columns(uri, [*own, *view.join_keys, *values], version=version)
    for name in view.join_keys:
        key = table[name]
        if name in masked_keys:
            key = masked_column(ensure_mask(platform.layout.keys), key)
        table = table.append_column(_key(name), key)
        table = table.filter(pc.is_in(key, pa.array(sample[name].unique())))
    return _rows(view, table)


def _rows(view: ViewPlan, table: "pa.Table") -> list[Row]:
    keys = zip(*(table[_key(name)].to_pylist() for name in view.join_keys), strict=True)
    columns = {name: _plain(table[name]) for name in view.columns}
    fields = zip(
        table["event_id"].to_pylist(),
        keys,
        _instants(table["event_timestamp"]),
        _instants(table["available_at"]),
        table["position"].to_pylist(),
        range(table.num_rows),
        strict=True,
    )
    return [
        Row(event_id, entity_key(key), event, known, place, {n: c[i] for n, c in columns.items()})
        for event_id, key, event, known, place, i in fields
    ]


def _key(name: str) -> str:
    """Column of a join key as the sample has it; no field's name begins so."""
    return f"_{name}"


def _answers(
    view: ViewPlan, rows: Sequence[Row], point: tuple[bytes, int]
) -> dict[str, int | float | None]:
    entity, at_ms = point
    return view_values(view, rows, entity, at_ms, KnownAt(at_ms))


def _number(value: float | None) -> float:
    return np.nan if value is None else float(value)


def _plain(column: "pa.ChunkedArray") -> list[Any]:
    """Values as the oracle takes them: an instant as milliseconds."""
    import pyarrow as pa

    return _instants(column) if pa.types.is_timestamp(column.type) else column.to_pylist()


def _instants(column: "pa.ChunkedArray") -> list[int]:
    import pyarrow as pa

    stamps = column.cast(pa.timestamp("ms", tz="UTC"), safe=False)
    found: list[int] = stamps.cast(pa.int64()).to_pylist()
    return found
