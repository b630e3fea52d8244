"""Epochs of a source's log: the manifest of a sealed one, and how their files are called."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import Field, ValidationError

from core.errors import IntegrityError
from core.features.plan import Frozen
from stores.durable import write_durably

FileFormat = Literal["ndjson", "parquet", "csv"]
EpochFormat = FileFormat | Literal["kafka", "numbered"]
FIRST_MAJOR = 1
USUAL_EVENT_BYTES = 256


def _is_first(major: int) -> bool:
    return major == FIRST_MAJOR


def _is_one(count: int) -> bool:
    return count == 1


class Malformed(NamedTuple):
    """A record that could not be read as a mapping of column to value.

    ``raw`` is its text as it came, undecodable bytes escaped, cut where it is longer than
    any record may be.
    """

    raw: str
    message: str


class Record(NamedTuple):
    """One record of an epoch, before its contract is checked.

    ``offset`` tells it from the others of its epoch, in order: the byte where its line
    starts in NDJSON, its row number (from 0) in Parquet and CSV, its number by the rows of
    end offsets over Kafka. ``ingested_at_ms`` is when it was appended, or when its file was
    landed.
    """

    offset: int
    raw: dict[str, Any] | Malformed
    ingested_at_ms: int


class Block(NamedTuple):
    """Records of an epoch side by side, as columns: those from offset ``first`` on, in order.

    The values of a column are of one type in all blocks of an epoch, but for nulls.
    """

    first: int
    rows: int
    columns: dict[str, list[Any]]
    ingested_at_ms: int

    def record(self, place: int) -> dict[str, Any]:
        """Record of a place in the block."""
        return {name: column[place] for name, column in self.columns.items()}


class Epoch(Frozen):
    """Manifest of a sealed epoch, one JSON file beside its data.

    ``kind`` says how it came: ``events`` were appended one by one, a ``file`` was landed
    whole. The data of an epoch of format ``kafka`` are rows of end offsets over ``partitions``
    of a topic, and the topic holds the events (`stores.log.kafka.rows`); taken out of it, they
    are ``numbered`` lines (`stores.log.kafka.leaving`). ``rows`` is None where
    counting would mean parsing (CSV). ``available_at`` of a row is ``ingested_at``, or event
    time + ``delay_ms`` when ``is_historic``. ``mapping`` is the document that turns a record
    into a row of the contract (``core.mapping.read_mapping``), None for none. ``contract`` is
    the major of the contract that the rows of a file were written by; events say theirs
    themselves (`core.rows.event_versions`).
    """

    epoch: int
    source: str
    kind: Literal["events", "file"]
    format: EpochFormat
    files: tuple[str, ...]
    sha256: str
    bytes: int
    rows: int | None = None
    partitions: int = Field(default=1, ge=1, exclude_if=_is_one)
    mapping: dict[str, Any] | None = None
    contract: int = Field(default=FIRST_MAJOR, ge=1, exclude_if=_is_first)
    is_historic: bool = False
    delay_ms: int = 0
    sealed_at_ms: int

    @property
    def data_bytes(self) -> int:
        """What reading its records means; of events in a topic, as many of a usual size."""
        return (self.rows or 0) * USUAL_EVENT_BYTES if self.format == "kafka" else self.bytes


def manifest_path(directory: Path, epoch: int) -> Path:
    """File whose existence means that the epoch is sealed."""
    return directory / f"{epoch:010d}.json"


def appended_path(directory: Path, epoch: int) -> Path:
    """Data file of an epoch of events; it keeps its name when the epoch is sealed."""
    return directory / f"{epoch:010d}.ndjson"


def landed_path(directory: Path, epoch: int, file_format: FileFormat) -> Path:
    """Data file of a landed epoch; never the name of an open one."""
    return directory / f"{epoch:010d}-landed.{file_format}"


def numbered_path(directory: Path, epoch: int) -> Path:
    """Data file of an epoch that was taken out of a topic."""
    return directory / f"{epoch:010d}.numbered"


def sealed_numbers(directory: Path) -> list[int]:
    """Numbers of all sealed epochs, ascending; one listing of the folder."""
    return sorted(int(path.stem) for path in directory.glob("[0-9]*.json"))


def written_ns(directory: Path, epoch: int) -> int:
    """When the manifest of an epoch was last written; 0 where it is not there."""
    try:
        return manifest_path(directory, epoch).stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def read_manifest(directory: Path, epoch: int) -> Epoch:
    """Manifest of a sealed epoch.

    Raises
    ------
    IntegrityError
        If it is not there, or not a manifest.
    """
    path = manifest_path(directory, epoch)
    try:
        return Epoch.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise IntegrityError(
            f"the manifest of epoch {epoch} cannot be read",
            found=f"{type(error).__name__} at {path}",
            remedy="restore the file from a backup; its data lie beside it",
        ) from error


def write_manifest(directory: Path, epoch: Epoch) -> None:
    """Seal an epoch: its data must be durable already."""
    content = epoch.model_dump_json(indent=1).encode()
    write_durably(manifest_path(directory, epoch.epoch), content)
