"""Records of a Parquet file, streamed in batches; instants as epoch milliseconds.

pyarrow is imported on use: the service reads logs of events and should not pay for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from core.errors import IntegrityError, InvalidInputError
from stores.log.epochs import Block, Record

_BATCH_ROWS = 16_384
_DAY_MS = 86_400_000


def parquet_rows(path: Path) -> tuple[list[str], int]:
    """Columns and number of rows of a Parquet file, all of it decoded once to be sure.

    Raises
    ------
    InvalidInputError
        If it is not Parquet, is damaged, or has columns that a contract cannot take.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            _check_schema(file.schema_arrow)
            rows = sum(batch.num_rows for batch in file.iter_batches(_BATCH_ROWS))
            return list(file.schema_arrow.names), rows
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InvalidInputError(
            "the file cannot be read as Parquet",
            found=type(error).__name__,
            remedy="write it again, whole, and land it again",
            code="unreadable_file",
        ) from error


def _check_schema(schema: Any) -> None:
    import pyarrow.types as types

    if len(set(schema.names)) != len(schema.names):
        raise InvalidInputError(
            "the file has two columns of one name",
            remedy="rename one of them",
            code="unreadable_file",
        )
    for field in schema:
        if types.is_nested(field.type) or types.is_duration(field.type):
            raise InvalidInputError(
                f"column {field.name[:64]} holds nested values or durations",
                found=str(field.type)[:80],
                remedy="flatten the column or leave it out of the file",
                code="unreadable_file",
            )


def parquet_records(path: Path, *, start: int, ingested_at_ms: int) -> Iterator[Record]:
    """Records of a landed Parquet file from row ``start``.

    Raises
    ------
    IntegrityError
        If the file, which was whole when it was landed, can no longer be read.
    """
    for block in parquet_blocks(path, start=start, ingested_at_ms=ingested_at_ms):
        names = tuple(block.columns)
        for offset, values in enumerate(zip(*block.columns.values(), strict=True), block.first):
            yield Record(offset, dict(zip(names, values, strict=True)), ingested_at_ms)


def parquet_blocks(
    path: Path, *, start: int, end: int | None = None, ingested_at_ms: int
) -> Iterator[Block]:
    """Rows ``start`` to ``end`` (exclusive) of a landed Parquet file as blocks of columns.

    Whole row groups are skipped, and what is decoded without being asked for is not turned
    into values.

    Raises
    ------
    IntegrityError
        If the file, which was whole when it was landed, can no longer be read.
    """
    import pyarrow.parquet as pq

    with _as_integrity_error(path), pq.ParquetFile(path) as file:
        last = file.metadata.num_rows if end is None else min(end, file.metadata.num_rows)
        row_number, groups = _groups_from(file.metadata, start)
        for batch in file.iter_batches(_BATCH_ROWS, row_groups=groups):
            skipped = min(max(0, start - row_number), batch.num_rows)
            wanted = batch.slice(skipped, max(0, last - row_number - skipped))
            if wanted.num_rows:
                columns = [_plain_values(column) for column in wanted.columns]
                named = dict(zip(wanted.schema.names, columns, strict=True))
                yield Block(row_number + skipped, wanted.num_rows, named, ingested_at_ms)
            row_number += batch.num_rows
            if row_number >= last:
                return


def _groups_from(metadata: Any, start: int) -> tuple[int, list[int]]:
    """First row of the first row group that holds a row from ``start``, and the groups."""
    first = 0
    for group in range(metadata.num_row_groups):
        rows = metadata.row_group(group).num_rows
        if start < first + rows:
            return first, list(range(group, metadata.num_row_groups))
        first += rows
    return first, []


@contextmanager
def _as_integrity_error(path: Path) -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise IntegrityError(
            "a landed Parquet file can no longer be read",
            found=f"{type(error).__name__} at {path}",
            remedy="restore the file from a backup",
        ) from error


def _plain_values(column: Any) -> list[Any]:
    """Python values of one column. Nanosecond times would need pandas: they become ints."""
    import pyarrow as pa
    import pyarrow.types as types

    if types.is_dictionary(column.type):
        column = column.dictionary_decode()
    kind = column.type
    if types.is_timestamp(kind):
        return _milliseconds(column.cast(pa.int64()).to_pylist(), kind.unit)
    if types.is_date32(kind):
        return _milliseconds(column.cast(pa.int32()).to_pylist(), "d")
    if types.is_date64(kind):
        return list(column.cast(pa.int64()).to_pylist())
    if types.is_time(kind):
        return list(column.cast(pa.string()).to_pylist())
    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind):
        return _texts(column.to_pylist())
    try:
        return list(column.to_pylist())
    except UnicodeDecodeError:  # text that is not UTF-8; refused row by row, not as a file
        return _texts(column.cast(pa.large_binary()).to_pylist())


def _milliseconds(values: list[int | None], unit: str) -> list[int | None]:
    """Epoch milliseconds, cut downwards; Python integers, so that nothing overflows."""
    if unit in ("us", "ns"):
        divisor = 1_000 if unit == "us" else 1_000_000
        return [None if value is None else value // divisor for value in values]
    factor = {"ms": 1, "s": 1_000, "d": _DAY_MS}[unit]
    return [None if value is None else value * factor for value in values]


def _texts(values: list[bytes | None]) -> list[str | None]:
    return [None if v is None else v.decode("utf-8", "surrogateescape") for v in values]
