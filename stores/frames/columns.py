"""Columns of Arrow tables as the arrays that the engines take. No pandas, no row loops."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from core.errors import ConfigurationError, InvalidInputError
from core.features import hll
from core.features.arrays import BoolArray, Column, FloatArray, IntArray
from core.features.plan import ViewPlan

Kept = IntArray | None
"""Indices of the rows to take; None for all of them."""

_UNITS_A_MS = {"us": 1_000, "ns": 1_000_000}
_MS_A_UNIT = {"ms": 1, "s": 1_000}


def column_of(table: pa.Table, name: str) -> pa.ChunkedArray:
    """Column ``name`` of ``table``.

    Raises
    ------
    InvalidInputError
        If the table has no such column.
    """
    if name not in table.column_names:
        raise InvalidInputError(
            f"a table lacks the column {name!r}",
            found=", ".join(table.column_names),
            remedy="read the columns that the view declares",
        )
    return table.column(name)


def text_column(table: pa.Table, name: str) -> pa.ChunkedArray:
    """A text column in a form that Arrow's functions take (they lack string views)."""
    column = column_of(table, name)
    return column.cast(pa.string()) if pa.types.is_string_view(column.type) else column


def instants_ms(table: pa.Table, name: str) -> IntArray:
    """Epoch milliseconds of a column of instants without nulls, rounded down.

    Raises
    ------
    InvalidInputError
        If the column is not of instants, or one is null.
    """
    column = column_of(table, name)
    if column.null_count:
        raise InvalidInputError(
            f"the column {name!r} has nulls",
            found=f"{column.null_count} of {len(column)}",
            remedy="give every row and point an instant",
        )
    return floor_ms(column)


def floor_ms(column: pa.ChunkedArray) -> IntArray:
    """Epoch milliseconds of instants, rounded down; zero for null.

    Raises
    ------
    InvalidInputError
        If the column is not of instants.
    """
    if not pa.types.is_timestamp(column.type):
        raise InvalidInputError(
            "a column does not hold instants",
            found=str(column.type),
            remedy="give timestamps, in UTC",
        )
    unit = column.type.unit
    numbers: IntArray = numbers_of(column, pa.int64())
    if unit in _UNITS_A_MS:
        return numbers // _UNITS_A_MS[unit]
    return numbers * _MS_A_UNIT[unit] if unit != "ms" else numbers


def numbers_of(column: pa.ChunkedArray, target: pa.DataType) -> NDArray[Any]:
    """Values as ``target``, zero for null; copied only where chunks or types ask for it."""
    plain = column.cast(target)
    if plain.null_count:
        plain = plain.fill_null(0)
    if plain.num_chunks == 1:
        values: NDArray[Any] = plain.chunk(0).to_numpy(zero_copy_only=False)
        return values
    joined: NDArray[Any] = plain.to_numpy()
    return joined


def _is_there(column: pa.ChunkedArray) -> BoolArray | None:
    if not column.null_count:
        return None
    there: BoolArray = column.is_valid().to_numpy()
    return there


def feature_columns(view: ViewPlan, table: pa.Table, kept: Kept) -> dict[str, Column]:
    """The columns that features of ``view`` read, by name.

    Raises
    ------
    InvalidInputError
        If a column is not there or holds another type than the view declares.
    ConfigurationError
        If a view gives two lists of categories to one column, or none to a text attribute.
    """
    wanted = dict.fromkeys([w.column for w in view.windows] + [a.column for a in view.attributes])
    return {name: _selected(_column(view, table, name), kept) for name in wanted}


def _selected(column: Column, kept: Kept) -> Column:
    if kept is None:
        return column
    return Column(column.values[kept], None if column.valid is None else column.valid[kept])


def _column(view: ViewPlan, table: pa.Table, name: str) -> Column:
    column, kind = column_of(table, name), view.columns[name]
    try:
        if kind == "string":
            return _text(view, name, column.cast(pa.string()))
        if kind == "timestamp":
            return Column(floor_ms(column), _is_there(column))
        if kind == "float64":
            return _finite(numbers_of(column, pa.float64()), _is_there(column))
        return Column(numbers_of(column, pa.int64()), _is_there(column))
    except pa.ArrowException as error:
        raise InvalidInputError(
            f"the column {name!r} does not hold {kind}, which {view.name!r} declares",
            found=str(column.type),
            remedy="write the source's table by its contract, or mend the declaration",
        ) from error


def _finite(values: FloatArray, valid: BoolArray | None) -> Column:
    """NaN and infinities are missing, minus zero is zero: `core.features.values.cast_value`."""
    values = values + 0.0
    finite = np.isfinite(values)
    if valid is not None:
        finite &= valid
    return Column(values, None if finite.all() else finite)


def _text(view: ViewPlan, name: str, column: pa.ChunkedArray) -> Column:
    """Hashes for windows, indices of the declared categories for attributes."""
    if view.attributes:
        found = pc.index_in(column, value_set=pa.array(_categories(view, name), pa.string()))
        return Column(numbers_of(found, pa.int64()), _is_there(found))
    coded = column.combine_chunks().dictionary_encode()
    if isinstance(coded, pa.ChunkedArray):
        coded = coded.combine_chunks()
    hashes = [hll.hash64(text.encode()) for text in coded.dictionary.to_pylist()]
    by_code = np.array([*hashes, 0], np.uint64).view(np.int64)
    codes = coded.indices.fill_null(len(hashes)).to_numpy()
    return Column(by_code[codes], _is_there(column))


def _categories(view: ViewPlan, name: str) -> tuple[str, ...]:
    declared = {a.categories for a in view.attributes if a.column == name}
    if len(declared) != 1 or () in declared:
        raise ConfigurationError(
            f"{view.name!r} must give the text attribute {name!r} one list of categories",
            found=f"{len(declared)} lists",
            remedy="declare the categories once, on the source's column",
        )
    return declared.pop()
