"""The file of real transactions: whether it can be used, and a slice of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pyarrow.types as types

from core.errors import InvalidInputError

KINDS: dict[str, tuple[str, Callable[[pa.DataType], bool]]] = {
    "TRANSACTION_ID": ("whole numbers", types.is_integer),
    "TX_DATETIME": ("times", types.is_timestamp),
    "CUSTOMER_ID": ("whole numbers", types.is_integer),
    "TERMINAL_ID": ("whole numbers", types.is_integer),
    "TX_AMOUNT": ("floats", types.is_floating),
    "TX_FRAUD": ("whole numbers", types.is_integer),
}
"""Columns of the book's raw transactions, and what each holds."""

REMEDY = "give a Parquet file of the Fraud Detection Handbook's raw transactions"


def check_usable(file: Path) -> None:
    """Refuse a file that is not one of the book's, before anything is started.

    Raises
    ------
    InvalidInputError
        If it is not there, is no Parquet, or a column is missing or holds something else.
    """
    if not file.is_file():
        raise InvalidInputError("there is no file of that name", found=f"{file}", remedy=REMEDY)
    try:
        schema = pq.read_schema(file)
    except (OSError, ValueError):
        raise InvalidInputError(f"{file} cannot be read as Parquet", remedy=REMEDY) from None
    missing = [name for name in KINDS if name not in schema.names]
    if missing:
        raise InvalidInputError(f"{file} has no column {', '.join(missing)}", remedy=REMEDY)
    for name, (kind, is_kind) in KINDS.items():
        found = schema.field(name).type
        if not is_kind(found):
            raise InvalidInputError(
                f"{file} has another {name}: it must hold {kind}", found=str(found), remedy=REMEDY
            )


def slice_of(file: Path, every: int, target: Path) -> Path:
    """The rows of every so many-th terminal, in a file of their own.

    Terminals stay whole, so what is known of one is what the whole file tells.
    """
    rows = pq.read_table(file)
    number = rows["TERMINAL_ID"]
    is_in = pc.equal(number, pc.multiply(pc.divide(number, every), every))
    target.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(rows.filter(is_in), target)
    return target
