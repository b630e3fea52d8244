"""Records of one epoch, whatever its format; sealed, or open as far as it is durable."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from core.errors import IntegrityError
from core.features.keys import position
from stores.log import epochs, line_records, open_epoch
from stores.log.epochs import Block, Epoch, Record
from stores.log.parquet_records import parquet_blocks, parquet_records


def sealed_records(directory: Path, manifest: Epoch, start: int) -> Iterator[Record]:
    """Records of a sealed epoch from the one at offset ``start`` on, in bounded memory.

    Raises
    ------
    IntegrityError
        If the epoch's data are gone, cut short or can no longer be read.
    """
    path = data_path(directory, manifest)
    arrived_ms = manifest.sealed_at_ms
    if manifest.format == "parquet":
        return parquet_records(path, start=start, ingested_at_ms=arrived_ms)
    if manifest.format == "csv":
        return line_records.csv_records(path, start=start, ingested_at_ms=arrived_ms)
    if manifest.format == "numbered":
        return line_records.numbered_events(path, start=start, end=manifest.bytes)
    if manifest.kind == "file":
        return line_records.ndjson_records(
            path, start=start, end=manifest.bytes, ingested_at_ms=arrived_ms
        )
    return line_records.appended_records(
        path, start=start, end=manifest.bytes, fallback_ms=arrived_ms
    )


def sealed_blocks(directory: Path, manifest: Epoch, start: int, end: int | None) -> Iterator[Block]:
    """Records ``start`` to ``end`` (exclusive) of a sealed Parquet epoch as blocks of columns.

    Raises
    ------
    IntegrityError
        If the epoch's data are gone, cut short or can no longer be read.
    """
    path = data_path(directory, manifest)
    return parquet_blocks(path, start=start, end=end, ingested_at_ms=manifest.sealed_at_ms)


def open_records(directory: Path, number: int, start: int) -> Iterator[Record]:
    """Whole lines of the open epoch from offset ``start`` on, all of them durable."""
    path = epochs.appended_path(directory, number)
    end = open_epoch.durable_bytes(path, start)
    if end <= start:
        return iter(())
    return line_records.appended_records(path, start=start, end=end, fallback_ms=0, is_tail=True)


def with_positions(records: Iterator[Record], number: int) -> Iterator[tuple[int, Record]]:
    """Records of an epoch, each with its position in the log."""
    for record in records:
        yield position(number, record.offset), record


def data_path(directory: Path, manifest: Epoch) -> Path:
    """Data file of a sealed epoch; IntegrityError where it is gone or shorter."""
    path = directory / manifest.files[0]
    if not path.is_file() or path.stat().st_size < manifest.bytes:
        raise damaged(manifest.epoch, "no data file, or a shorter one")
    return path


def damaged(epoch: int, found: str) -> IntegrityError:
    """Error of an epoch whose bytes are not those that were sealed."""
    return IntegrityError(
        f"the data of epoch {epoch} are not what was sealed",
        found=found,
        remedy="restore the log's folder from a backup",
        code="log_damaged",
    )


def digest_of_file(path: Path) -> str:
    """SHA-256 hex of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def newlines(path: Path) -> int:
    """Number of lines of a file whose every line ends."""
    count = 0
    with path.open("rb") as file:
        while chunk := file.read(2**20):
            count += chunk.count(b"\n")
    return count
