"""Great Expectations on source tables and training sets: the table as it stands, looked at whole.

Ingest judges each record by the contract; here the written table is held to the same
declaration by another piece of software, so that a fault of ours in between is seen. An empty
batch passes every expectation of Great Expectations, so its size is one of them.
"""

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

from assets.results import check
from core.contracts import FieldSpec, Source

if TYPE_CHECKING:
    import pyarrow as pa

GREAT_EXPECTATIONS = "great_expectations"
MAX_SHOWN = 5
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
    return _judged(table, _of_source(source))


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
