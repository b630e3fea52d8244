"""The one check of a row against its source's contract, on every way into the platform.

A row comes typed (Parquet), as text (CSV) or as JSON; ``RowParser`` takes all three, so
that ingest, the command line and the service accept and refuse the same rows for the
same reasons. Nothing a caller sends makes it raise: what breaks the contract is a
``Violation``, whose message says what was expected and never echoes a value.

What is taken as what
    int64
        an int, a float or decimal without a fraction, or the text of an int; never a bool.
    float64
        a finite number or its text; never a bool.
    string
        text without NUL or lone surrogates.
    bool
        a bool, or the text ``true`` or ``false``.
    timestamp
        epoch milliseconds, an ISO 8601 text or a datetime; without a zone it is UTC.
        Finer than a millisecond is cut. The parsed value is epoch milliseconds.

Empty text is a missing value in a field of any type, since CSV cannot tell the two apart.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Any, NamedTuple

from core.clock import MINUTE_MS
from core.contracts import EVENT_ID, EVENT_TIMESTAMP, FieldSpec, Source, check_declaration
from core.rows.field_checks import RefusedValue, check_of

FUTURE_TOLERANCE_MS = 5 * MINUTE_MS
"""How far ahead of us a sender's clock may be before its row is refused."""

_EVENT_ID_SPEC = FieldSpec(name=EVENT_ID, type="string")
_EVENT_TIMESTAMP_SPEC = FieldSpec(name=EVENT_TIMESTAMP, type="timestamp")
_MAX_NAME_CHARACTERS = 64


class ParsedRow(NamedTuple):
    """A row that keeps the contract.

    ``values`` are in the declared order of the source's fields. ``payload_digest`` covers
    the instant and the values by name, not the id: two rows of one id carry the same
    payload when, and only when, their digests are equal. A null leaves no trace in it, so
    a nullable field added to the contract later changes no digest.
    """

    event_id: str
    event_ms: int
    payload_digest: str
    values: tuple[Any, ...]


class Violation(NamedTuple):
    """Why a row was refused: a stable ``code``, the ``field`` ("" for the whole row)."""

    code: str
    field: str
    message: str


class RowParser:
    """Compiled contract of one source. Pure; may be shared between threads.

    Parameters
    ----------
    source
        The contract. A declaration that contradicts itself is refused here.

    Attributes
    ----------
    names
        Fields of the source in declared order, which is that of a row's values.
    checks
        Name, whether it may be null, and check of each field, event id and time first.
    known
        Names that a row may have.
    by_name
        Fields by name, each with its place among the values: the order of the digest.

    Raises
    ------
    ConfigurationError
        If a field is declared twice, bears a name the platform uses, has a pattern that
        does not compile or a rule that its type cannot have.

    Examples
    --------
    >>> parser = RowParser(Source(name="payments", description="", owner="",
    ...     fields=(FieldSpec(name="amount_minor", type="int64", minimum=1),)))
    >>> row = {"event_id": "e1", "event_timestamp": "1970-01-01T00:00:01Z", "amount_minor": "250"}
    >>> parsed = parser.parse(row)
    >>> parsed.event_ms, parsed.values
    (1000, (250,))
    >>> parser.parse({**row, "amount_minor": 0})
    Violation(code='out_of_range', field='amount_minor', message='must be at least 1')
    """

    def __init__(self, source: Source) -> None:
        check_declaration(source)
        self.source = source
        self.names = tuple(spec.name for spec in source.fields)
        specs = (_EVENT_ID_SPEC, _EVENT_TIMESTAMP_SPEC, *source.fields)
        self.checks = tuple((spec.name, spec.is_nullable, check_of(spec)) for spec in specs)
        self.known = frozenset(spec.name for spec in specs)
        self.by_name = tuple(sorted((name, index) for index, name in enumerate(self.names)))

    def parse(
        self, raw: object, *, now_ms: int | None = None, is_digested: bool = True
    ) -> ParsedRow | Violation:
        """Row checked against the contract; never raises on what a caller can send.

        Parameters
        ----------
        raw
            Mapping of column to value: typed, text or JSON. Anything else is ``malformed``.
        now_ms
            Present instant: a row dated more than 5 minutes later is ``future_event``.
            None takes any date.
        is_digested
            Without it the payload's digest is left empty, for who compares no payloads.
        """
        if not isinstance(raw, Mapping):
            return Violation("malformed", "", "must be an object of field names and values")
        if not raw.keys() <= self.known:
            return _unknown_field(raw, self.known)
        values: list[Any] = []
        for name, is_nullable, check in self.checks:
            value = raw.get(name)
            if value is None or (type(value) is str and not value):
                if not is_nullable:
                    return _absent_field(raw, name)
                values.append(None)
                continue
            try:
                values.append(check(value))
            except RefusedValue as refused:
                return Violation(refused.code, name, refused.message)
        event_id, event_ms, *payload = values
        if now_ms is not None and event_ms > now_ms + FUTURE_TOLERANCE_MS:
            return Violation(
                "future_event", EVENT_TIMESTAMP, "must not lie more than 5 minutes ahead"
            )
        digest = self._digest(event_ms, payload) if is_digested else ""
        return ParsedRow(event_id, event_ms, digest, tuple(payload))

    def _digest(self, event_ms: int, payload: list[Any]) -> str:
        given = [(name, payload[index]) for name, index in self.by_name]
        parts = [spelled(name, value) for name, value in given if value is not None]
        return digest_of((str(event_ms), *parts))


def _unknown_field(raw: Mapping[Any, Any], known: frozenset[str]) -> Violation:
    """First unknown name, shown only where it looks like a name and not like a value."""
    name = next(name for name in raw if name not in known)
    is_shown = isinstance(name, str) and name.isidentifier() and len(name) <= _MAX_NAME_CHARACTERS
    return Violation(
        "unknown_field", name if is_shown and name.isascii() else "", "is not in the contract"
    )


def _absent_field(raw: Mapping[Any, Any], name: str) -> Violation:
    if name in raw:
        return Violation("null_field", name, "must not be null or empty")
    return Violation("missing_field", name, "must be there")


def spelled(name: str, value: Any) -> str:
    """A value as it goes into the payload's digest.

    A text carries its length, so no two payloads spell the same; floats are spelled by
    ``repr``, the shortest text that reads back.
    """
    return f"{name}={len(value)}:{value}" if type(value) is str else f"{name}={value!r}"


def digest_of(parts: Iterable[str]) -> str:
    """128 bits over the instant and all values that are not null, spelled, by name."""
    return blake2b("\n".join(parts).encode(), digest_size=16).hexdigest()


def raw_text(raw: object) -> str:
    r"""JSON of a record as it came, for the table of refused ones; never raises.

    Lone surrogates are escaped, non-finite floats written as ``NaN`` and ``Infinity``
    (Python reads them back), and what JSON lacks becomes its text.

    Examples
    --------
    >>> raw_text({"amount": float("nan"), "name": "\ud800"})
    '{"amount": NaN, "name": "\\ud800"}'
    """
    if isinstance(raw, str):
        return json.dumps(raw)
    try:
        return json.dumps(raw, default=str)
    except (TypeError, ValueError, RecursionError):
        return json.dumps(str(raw))
