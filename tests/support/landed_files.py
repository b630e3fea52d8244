"""Files with the same ten rows in every format that can be landed."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

ROWS = [{"id": f"e{n}", "amount": n} for n in range(10)]
TABLE = pa.Table.from_pylist(ROWS)
NDJSON = "".join(json.dumps(row) + "\n" for row in ROWS)
CSV = "id,amount\n" + "".join(f"{row['id']},{row['amount']}\n" for row in ROWS)
TEXT_ROWS = [{name: str(value) for name, value in row.items()} for row in ROWS]
FILES = [
    ("f.parquet", TABLE, ROWS),
    ("f.ndjson", NDJSON, ROWS),
    ("f.csv", CSV, TEXT_ROWS),
    ("f.JSONL", NDJSON.rstrip("\n"), ROWS),
]


def written(folder: Path, name: str, content: bytes | str | pa.Table) -> Path:
    """A file of that name, its content as it is or, a table, as Parquet in groups of three."""
    path = folder / name
    if isinstance(content, pa.Table):
        pq.write_table(content, path, row_group_size=3)
    else:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path
