"""What a Delta table says of itself, read without a JVM, and as Dagster shows it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dagster as dg

from core.errors import NotReadyError

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class TableFacts:
    """A table's address, version, number of rows, and columns with their types."""

    uri: str
    version: int
    rows: int
    columns: tuple[tuple[str, str], ...]

    def metadata(self, described: Mapping[str, str]) -> dict[str, Any]:
        """As Dagster shows it: count, version, address, columns with what they mean."""
        return {
            "dagster/row_count": self.rows,
            "dagster/uri": self.uri,
            "dagster/column_schema": table_schema(self.columns, described),
            "delta_version": self.version,
            "path": dg.MetadataValue.path(self.uri),
        }


def table_schema(
    columns: Iterable[tuple[str, str]], described: Mapping[str, str]
) -> dg.TableSchema:
    """Names and types of columns with what each of them means, where that is known."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(name=name, type=kind, description=described.get(name) or None)
            for name, kind in columns
        ]
    )


def is_table(uri: str) -> bool:
    """Whether a Delta table is there."""
    from deltalake import DeltaTable

    return bool(DeltaTable.is_deltatable(uri))


def facts_of(uri: str) -> TableFacts:
    """Facts of the newest version; NotReadyError when there is no table."""
    table = _open(uri)
    columns = tuple((field.name, _spelled(field.type)) for field in table.schema().fields)
    return TableFacts(uri, int(table.version()), int(table.count()), columns)


def version_of(uri: str) -> int:
    """Number of the newest version; NotReadyError when there is no table."""
    return int(_open(uri).version())


def writer_number(uri: str, writer: str, *, version: int | None = None) -> int:
    """Number of a writer's last commit, as of a version of the table, the newest when None.

    0 when it never wrote, or there is no table.
    """
    if not is_table(uri):
        return 0
    return int(_open(uri, version).transaction_version(writer) or 0)


def read_columns(
    uri: str,
    columns: Sequence[str] | None = None,
    *,
    within: tuple[str, Sequence[str]] | None = None,
    version: int | None = None,
) -> "pa.Table":
    """Columns of a table, all when None; ``within`` a partition column's given values."""
    from stores.tables import dataset_of

    dataset = dataset_of(_open(uri, version))
    chosen = list(columns) if columns is not None else None
    return dataset.to_table(columns=chosen, filter=_one_of(dataset, within))


def _one_of(dataset: Any, within: tuple[str, Sequence[str]] | None) -> Any:
    """Condition that a partition column has one of some values, which are given as text."""
    import pyarrow as pa
    import pyarrow.dataset as ds

    if within is None:
        return None
    column, values = within
    kind = dataset.schema.field(column).type
    return ds.field(column).isin(pa.array(list(values), pa.string()).cast(kind))


@dataclass(frozen=True)
class PartitionFacts:
    """A partition by its value: rows, bytes, and when its last file was written."""

    value: str
    rows: int
    bytes: int
    written_ms: int


def partition_facts(uri: str, column: str) -> list[PartitionFacts]:
    """Facts of every partition, in order, from the log alone; empty when there is no table."""
    if not is_table(uri):
        return []
    import pyarrow as pa

    held = pa.table(_open(uri).get_add_actions(flatten=True))
    held = held.rename_columns([name.removeprefix("partition.") for name in held.column_names])
    sums = [("num_records", "sum"), ("size_bytes", "sum"), ("modification_time", "max")]
    grouped = held.group_by(column).aggregate(sums)
    rows = zip(*(grouped[name].to_pylist() for name in (column, *map("_".join, sums))), strict=True)
    return sorted(
        (PartitionFacts(str(value), n or 0, size, at_ms) for value, n, size, at_ms in rows),
        key=lambda facts: facts.value,
    )


def partition_range(uri: str, column: str) -> tuple[str, str] | None:
    """Least and greatest value of a partition column; None when there is no row."""
    values = [str(p[column]) for p in _open(uri).partitions()] if is_table(uri) else []
    return (min(values), max(values)) if values else None


def _open(uri: str, version: int | None = None) -> Any:
    from deltalake import DeltaTable

    if not is_table(uri):
        raise NotReadyError("a table is missing", found=uri, remedy="run what writes it first")
    return DeltaTable(uri, version=version)


def _spelled(kind: Any) -> str:
    return str(getattr(kind, "type", kind))
