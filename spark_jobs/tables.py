"""The shape of every table that a job writes, derived from declarations and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
from pyspark.sql.types import (
    ArrayType,
    BinaryType,
    BooleanType,
    DataType,
    DateType,
    DoubleType,
    IntegerType,
    LongType,
    StringType,
    StructField,
    StructType,
    TimestampType,
)

from core.contracts import Source
from core.features.plan import ColumnType, Plan, feature_column
from spark_jobs.delta import TableSpec
from stores.layout import Layout

SPARK_TYPES: dict[ColumnType, DataType] = {
    "int64": LongType(),
    "float64": DoubleType(),
    "string": StringType(),
    "timestamp": TimestampType(),
    "bool": BooleanType(),
}
ARROW_TYPES: dict[ColumnType, pa.DataType] = {
    "int64": pa.int64(),
    "float64": pa.float64(),
    "string": pa.string(),
    "timestamp": pa.timestamp("us", tz="UTC"),
    "bool": pa.bool_(),
}
_OPEN_CLASSES = ("public", "internal")
_TIME = TimestampType()


def struct(**columns: DataType) -> StructType:
    """Schema of nullable columns, in the order given."""
    return StructType([StructField(name, kind) for name, kind in columns.items()])


def events_table(layout: Layout, source: Source) -> TableSpec:
    """``events/<source>``: one row an accepted event, by event date."""
    columns: dict[str, DataType] = {
        "event_id": StringType(),
        "event_timestamp": _TIME,
        "ingested_at": _TIME,
        "available_at": _TIME,
        "position": LongType(),
        "partition": IntegerType(),
        "payload_digest": StringType(),
    }
    own = tuple(columns)
    columns |= {field.name: SPARK_TYPES[field.type] for field in source.fields}
    # Delta keeps no least and greatest of a boolean, and refuses to be asked for one.
    open_fields = tuple(
        f.name for f in source.fields if f.column_class in _OPEN_CLASSES and f.type != "bool"
    )
    schema = struct(**columns, event_date=DateType())
    return TableSpec(layout.events(source.name), schema, ("event_date",), own + open_fields)


def rejected_table(layout: Layout, source: Source) -> TableSpec:
    """``events/<source>_rejected``: one row a refused record, as it came."""
    schema = struct(
        source=StringType(),
        epoch=LongType(),
        partition=IntegerType(),
        offset=LongType(),
        event_id=StringType(),
        code=StringType(),
        field=StringType(),
        message=StringType(),
        raw=StringType(),
        mapping=StringType(),
        replayed_epoch=LongType(),
        ingested_at=_TIME,
        event_date=DateType(),
    )
    indexed = ("epoch", "partition", "offset", "code", "ingested_at")
    return TableSpec(layout.rejected(source.name), schema, ("event_date",), indexed)


def training_table(
    layout: Layout, use_case: str, plan: Plan, keys: StructType, beside: Sequence[str] = ()
) -> TableSpec:
    """``training/<use_case>``: one row an example, by snapshot."""
    schema = struct(
        snapshot=StringType(),
        example_id=StringType(),
        **{field.name: field.dataType for field in keys},
        event_timestamp=_TIME,
        label=IntegerType(),
        split=StringType(),
        weight=DoubleType(),
        **{feature_column(name): DoubleType() for name in (*plan.vector, *beside)},
    )
    indexed = ("example_id", "event_timestamp", "label", "split")
    return TableSpec(layout.training(use_case), schema, ("snapshot",), indexed)


def scores_table(layout: Layout, use_case: str, subject: StructType) -> TableSpec:
    """``scores/<use_case>``: one row a scored example or entity, by as-of date."""
    schema = struct(
        as_of=DateType(),
        **{field.name: field.dataType for field in subject},
        event_timestamp=_TIME,
        score=DoubleType(),
        decision=StringType(),
        reason=StringType(),
        release=IntegerType(),
        read_versions=StringType(),
    )
    indexed = ("event_timestamp", "score", "decision", "release")
    return TableSpec(layout.scores(use_case), schema, ("as_of",), indexed)


def predictions_table(layout: Layout, use_case: str) -> TableSpec:
    """``predictions/<use_case>``: one row a record, by the date of the instant it is about.

    The record stands last: it may hold what is nobody's business in the table's statistics.
    """
    schema = struct(
        prediction_id=StringType(),
        writer=StringType(),
        segment=IntegerType(),
        offset=LongType(),
        received_at=_TIME,
        event_timestamp=_TIME,
        release=IntegerType(),
        channel=StringType(),
        score=DoubleType(),
        decision=StringType(),
        reason=StringType(),
        degraded=StringType(),
        record=StringType(),
        event_date=DateType(),
    )
    indexed = tuple(schema.names[: schema.names.index("record")])
    return TableSpec(layout.predictions(use_case), schema, ("event_date",), indexed)


def profiles_table(layout: Layout, table: str, name: str) -> TableSpec:
    """``monitoring/<table>_<name>_profiles``: one row a column of the table, by date.

    Edges, categories and counts stay out of the statistics: they say what values there are.
    """
    schema = struct(
        event_date=DateType(),
        column=StringType(),
        bins=StringType(),
        edges=ArrayType(DoubleType()),
        categories=ArrayType(StringType()),
        counts=ArrayType(LongType()),
        n=LongType(),
        n_null=LongType(),
    )
    indexed = ("column", "bins", "n", "n_null")
    return TableSpec(layout.profiles(table, name), schema, ("event_date",), indexed)


def tiles_schema(keys: Sequence[str], partials: Sequence[tuple[str, str]]) -> StructType:
    """Columns of a view's tiles."""
    kinds: dict[str, DataType] = {
        "int64": LongType(),
        "float64": DoubleType(),
        "binary": BinaryType(),
    }
    return struct(
        entity=BinaryType(),
        **{key: StringType() for key in keys},
        grid_ms=IntegerType(),
        tile_start_ms=LongType(),
        event_date=DateType(),
        **{name: kinds[kind] for name, kind in partials},
    )


def tiles_table(
    layout: Layout, view: str, keys: Sequence[str], partials: Sequence[tuple[str, str]]
) -> TableSpec:
    """``features/<view>_tiles``: one row an entity, grid and tile start, by event date."""
    schema = tiles_schema(keys, partials)
    return TableSpec(layout.tiles(view), schema, ("event_date",), ("grid_ms", "tile_start_ms"))
