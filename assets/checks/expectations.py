"""Great Expectations on events, tiles, training sets and scores: tables as they stand.

Ingest judges each record by the contract; here the written table is held to the same
declaration by another piece of software, so that a fault of ours in between is seen. An empty
batch passes every expectation of Great Expectations, so its size is one of them.
"""

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

from assets.results import check
from core.clock import DAY_MS
from core.contracts import FieldSpec, Source
from core.features.partials import slots
from core.features.plan import ViewPlan
from core.features.tile_building import NEWEST
from core.rows.event_versions import as_in_table

if TYPE_CHECKING:
    import pyarrow as pa

GREAT_EXPECTATIONS = "great_expectations"
MAX_SHOWN = 5
TRUTHS = ("starts_on_its_grid", "newest_is_inside", "date_is_its_own", "extremes_are_ordered")
SPARK_CONNECT = "pyspark.sql.connect"


def _library() -> Any:
    """Great Expectations, imported without Spark Connect.

    Its import tries Spark Connect, and that takes a process started by multiprocessing (every
    run that the daemon launches) for a doctest and ends it with ``sys.exit(0)``.
    """
    loaded = sys.modules.get("great_expectations")
    if loaded is not None:
        return loaded
    is_hidden = SPARK_CONNECT not in sys.modules
    if is_hidden:
        sys.modules[SPARK_CONNECT] = None  # type: ignore[assignment] # "cannot be imported"
    try:
        import great_expectations
        import great_expectations.expectations
    finally:
        if is_hidden:
            del sys.modules[SPARK_CONNECT]
    return great_expectations


def source_expectations(source: Source, table: "pa.Table") -> dg.AssetCheckResult:
    """What the contract of a source says of its table."""
    return _judged(table, _of_source(as_in_table(source)))


def training_expectations(table: "pa.Table") -> dg.AssetCheckResult:
    """What holds of every training set, whatever the use case."""
    gxe = _library().expectations
    needed = ("example_id", "event_timestamp", "label", "split", "weight")
    return _judged(
        table.select(list(needed)),
        [
            gxe.ExpectTableRowCountToBeBetween(min_value=1),
            *(gxe.ExpectColumnValuesToNotBeNull(column=name) for name in needed),
            gxe.ExpectColumnValuesToBeInSet(column="label", value_set=[0, 1]),
            gxe.ExpectColumnValuesToBeInSet(
                column="split", value_set=["train", "validation", "test"]
            ),
            gxe.ExpectColumnValuesToBeBetween(column="weight", min_value=0),
        ],
    )


def tile_columns_read(view: ViewPlan) -> list[str]:
    """Columns that the expectations on tiles look at."""
    names = ["grid_ms", "tile_start_ms", "event_date", NEWEST, *view.join_keys]
    return [*names, *_counts(view), *(name for pair in _extremes(view) for name in pair)]


def tile_expectations(view: ViewPlan, table: "pa.Table") -> dg.AssetCheckResult:
    """What holds of all tiles of a view; a date without events has none.

    Each stands on its grid, once, on its own date, its newest row is inside of it, it counts
    nothing below zero, and its least value is not above its greatest.
    """
    gxe = _library().expectations
    table = _with_truths(view, table)
    named = [*view.join_keys, "grid_ms", "tile_start_ms"]
    return _judged(
        table,
        [
            *(gxe.ExpectColumnValuesToNotBeNull(column=name) for name in [*named, NEWEST]),
            gxe.ExpectCompoundColumnsToBeUnique(column_list=named),
            gxe.ExpectColumnValuesToBeInSet(column="grid_ms", value_set=list(view.grids_ms)),
            *(
                gxe.ExpectColumnValuesToBeBetween(column=name, min_value=0)
                for name in _counts(view)
            ),
            *(
                gxe.ExpectColumnValuesToBeInSet(column=name, value_set=[True])
                for name in table.column_names
                if name in TRUTHS
            ),
        ],
    )


def score_expectations(
    keys: Sequence[str], decisions: Sequence[str], table: "pa.Table"
) -> dg.AssetCheckResult:
    """What holds of batch scores, whatever the release.

    Parameters
    ----------
    keys
        What a row is about, each once a date: its example, or the join keys of its entity.
    decisions
        Those that the policy can make.
    table
        Rows of one release, with ``keys``, as_of, score, decision and release.
    """
    gxe = _library().expectations
    needed = [*keys, "score", "decision", "release"]
    return _judged(
        table.select(["as_of", *needed]),
        [
            *(gxe.ExpectColumnValuesToNotBeNull(column=name) for name in needed),
            gxe.ExpectCompoundColumnsToBeUnique(column_list=["as_of", *keys]),
            gxe.ExpectColumnValuesToBeBetween(column="score", min_value=0, max_value=1),
            gxe.ExpectColumnValuesToBeInSet(column="decision", value_set=list(decisions)),
            gxe.ExpectColumnValuesToBeBetween(column="release", min_value=1),
        ],
    )


def _counts(view: ViewPlan) -> list[str]:
    return [slot.fields[0].name for slot in slots(view) if slot.kind == "count"]


def _extremes(view: ViewPlan, grid_ms: int | None = None) -> list[tuple[str, str, str]]:
    """Count, least and greatest value of each column that has all three, on one grid or on any."""
    found = slots(view, grid_ms)
    named = {(slot.column, slot.kind): slot.fields[0].name for slot in found}
    columns = dict.fromkeys(slot.column for slot in found)
    trios = ([named.get((column, kind)) for kind in ("count", "min", "max")] for column in columns)
    return [(n, low, high) for n, low, high in trios if n and low and high]


def _with_truths(view: ViewPlan, table: "pa.Table") -> "pa.Table":
    """The table with a column of truths for each rule that binds columns of one row together."""
    import numpy as np
    import pyarrow as pa

    def numbers(name: str) -> Any:
        return table[name].to_numpy()

    start_ms, grid_ms, newest_ms = (numbers(n) for n in ("tile_start_ms", "grid_ms", NEWEST))
    days = table["event_date"].cast(pa.int32()).to_numpy()
    orders = [  # what no window of a grid needs is empty there
        (grid_ms != grid) | (numbers(n) == 0) | (numbers(low) <= numbers(high))
        for grid in view.grids_ms
        for n, low, high in _extremes(view, grid)
    ]
    found = dict(
        zip(
            TRUTHS,
            (
                start_ms % grid_ms == 0,
                (newest_ms >= start_ms) & (newest_ms < start_ms + grid_ms),
                np.floor_divide(start_ms, DAY_MS) == days,
                np.all(orders, axis=0) if orders else np.ones(table.num_rows, dtype=np.bool_),
            ),
            strict=True,
        )
    )
    for name, truths in found.items():
        table = table.append_column(name, pa.array(truths))
    return table


def _of_source(source: Source) -> list[Any]:
    gxe = _library().expectations
    columns = ["event_id", "event_timestamp", "available_at", *(f.name for f in source.fields)]
    least = 0 if source.is_empty_allowed else 1
    found: list[Any] = [
        gxe.ExpectTableRowCountToBeBetween(min_value=least),
        gxe.ExpectTableColumnsToMatchSet(column_set=[*columns, "event_date"], exact_match=True),
        gxe.ExpectCompoundColumnsToBeUnique(column_list=["event_id", "event_date"]),
    ]
    required = ["event_id", "event_timestamp", "available_at"]
    required += [field.name for field in source.fields if not field.is_nullable]
    found += [gxe.ExpectColumnValuesToNotBeNull(column=name) for name in required]
    for field in source.fields:
        found += _of_field(field)
    return found


def _of_field(field: FieldSpec) -> Iterable[Any]:
    gxe = _library().expectations
    if field.minimum is not None or field.maximum is not None:
        yield gxe.ExpectColumnValuesToBeBetween(
            column=field.name, min_value=field.minimum, max_value=field.maximum
        )
    if field.allowed:
        yield gxe.ExpectColumnValuesToBeInSet(column=field.name, value_set=list(field.allowed))
    if field.pattern:
        yield gxe.ExpectColumnValuesToMatchRegex(column=field.name, regex=rf"^(?:{field.pattern})$")


def _judged(table: "pa.Table", expectations: Sequence[Any]) -> dg.AssetCheckResult:
    """Verdict of all expectations, the failed ones in words."""
    gx = _library()
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    batch = (
        context.data_sources.add_pandas("memory")
        .add_dataframe_asset("table")
        .add_batch_definition_whole_dataframe("all")
        .get_batch({"dataframe": table.to_pandas()})
    )
    suite = gx.ExpectationSuite(name="declared", expectations=list(expectations))
    result = batch.validate(suite)
    failed = [_in_words(r) for r in result.results if not r.success]
    return check(
        GREAT_EXPECTATIONS,
        passed=bool(result.success),
        why="; ".join(failed[:MAX_SHOWN]),
        rows=table.num_rows,
        expectations=len(expectations),
        failed=len(failed),
    )


def _in_words(result: Any) -> str:
    """A failed expectation: its kind, its column, how many rows; never a value."""
    config = result.expectation_config
    numbers = result.result or {}
    parts = [config.type, str(config.kwargs.get("column", "table"))]
    if "unexpected_count" in numbers:
        parts.append(f"{numbers['unexpected_count']} rows")
    elif "observed_value" in numbers and config.type.startswith("expect_table_row"):
        parts.append(f"{numbers['observed_value']} rows in all")
    return " ".join(parts)
