"""Epochs of a source's log: the manifest of a sealed one, and the records inside."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from core.features.plan import Frozen

EpochFormat = Literal["ndjson", "parquet", "csv"]


class Malformed(NamedTuple):
    """A record that could not be read as a mapping of column to value.

    ``raw`` is its text as it came (cut at 64 KiB), undecodable bytes escaped.
    """

    raw: str
    message: str


class Record(NamedTuple):
    """One record of an epoch, before its contract is checked.

    ``offset`` tells it from the others of its epoch, in order: the byte where its line
    starts in NDJSON, its row number (from 0) in Parquet and CSV. ``ingested_at_ms`` is
    when it was appended, or when its file was landed.
    """

    offset: int
    raw: dict[str, Any] | Malformed
    ingested_at_ms: int


class Epoch(Frozen):
    """Manifest of a sealed epoch, one JSON file beside its data.

    ``kind`` says how it came: ``events`` were appended one by one, a ``file`` was landed
    whole. ``rows`` is None where counting would mean parsing (CSV). ``available_at`` of
    a row is ``ingested_at``, or event time + ``delay_ms`` when ``is_historic``. ``mapping``
    is the document that turns a record into a row of the contract, None for none.
    """

    epoch: int
    source: str
    kind: Literal["events", "file"]
    format: EpochFormat
    files: tuple[str, ...]
    sha256: str
    bytes: int
    rows: int | None = None
    mapping: dict[str, Any] | None = None
    is_historic: bool = False
    delay_ms: int = 0
    sealed_at_ms: int
