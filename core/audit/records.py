"""The audit log in the abstract: records in a chain, each sealed; checkpoints; where it ends.

A record names the digest of the one before it, so nothing in the middle can be changed, added,
left out or moved alone. Its *seal* is a digest keyed with a secret of the home, so nobody without
it can write one. The *head* says where the log ends and is sealed too. A *checkpoint* is the same
under a signature: who holds public keys alone can check it, and who keeps a copy elsewhere sees
it when the whole log is taken back to an earlier day.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any, TypeVar

from pydantic import Field, ValidationError

from core.features.plan import Frozen, canonical_json

FIRST = "0" * 64
"""What stands in the place of a digest before the first record."""

MAX_LINE_BYTES = 1 << 20
LONGEST_WHY = 8_000
_DIGEST = r"^[0-9a-f]{64}$"


class Entry(Frozen):
    """What is put down: what happened, who did it, why, when; ``about`` has the particulars.

    No personal value and no entity id may stand in it: a token (`stores.masking.Mask`) does, so
    that forgetting a person need not touch the chain.
    """

    at_ms: int
    what: str = Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")
    who: str = Field(max_length=200)
    why: str = Field(default="", max_length=LONGEST_WHY)
    about: dict[str, Any] = Field(default_factory=dict)


class Record(Entry):
    """An entry in its place: number ``n``, from 1, after the record of digest ``before``."""

    n: int = Field(ge=1)
    before: str = Field(pattern=_DIGEST)


class Head(Frozen):
    """Where the log ends: the last record and its place, and how much of it is signed.

    ``segment`` is the number of the first record of the last file, in which the last record
    takes the bytes from ``start`` to ``end``. There are ``checkpoints`` in ``checkpoint_bytes``;
    the last one is of record ``signed_n``.
    """

    n: int = Field(default=0, ge=0)
    record_digest: str = Field(default=FIRST, pattern=_DIGEST)
    segment: int = Field(default=1, ge=1)
    start: int = Field(default=0, ge=0)
    end: int = Field(default=0, ge=0)
    checkpoints: int = Field(default=0, ge=0)
    checkpoint_bytes: int = Field(default=0, ge=0)
    signed_n: int = Field(default=0, ge=0)


class Checkpoint(Frozen):
    """What a signature stands for: record ``n`` has this digest, and so have all before it.

    ``number`` counts checkpoints from 1, so that none can be left out.
    """

    number: int = Field(ge=1)
    n: int = Field(ge=1)
    record_digest: str = Field(pattern=_DIGEST)
    at_ms: int


Sealed = TypeVar("Sealed", bound=Frozen)


def seal(document: Frozen, key: bytes) -> str:
    """Keyed digest of a record or a head."""
    message = type(document).__name__.encode() + b"\0" + document.digest.encode()
    return hmac.new(key, message, hashlib.sha256).hexdigest()


def sealed_line(document: Frozen, sealed: str) -> bytes:
    r"""Line that a document and its seal take in a file.

    Examples
    --------
    >>> sealed_line(Head(n=3), "5ea1")[:31]
    b'{"checkpoint_bytes":0,"checkpoi'
    """
    fields = document.model_dump(mode="json")
    return canonical_json({**fields, "seal": sealed}).encode() + b"\n"


def read_sealed(line: bytes, kind: type[Sealed]) -> tuple[Sealed, str] | None:
    """Document of ``kind`` and its seal in a line; None when the line is not one, to the byte."""
    try:
        fields = json.loads(line)
        sealed = fields.pop("seal")
        document = kind.model_validate(fields)
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError, ValidationError):
        return None
    is_ours = isinstance(sealed, str) and sealed_line(document, sealed) == line
    return (document, sealed) if is_ours else None


def is_sealed(document: Frozen, sealed: str, key: bytes) -> bool:
    """Whether a seal was made with ``key`` over this document."""
    return hmac.compare_digest(seal(document, key).encode(), sealed.encode())


class Chain:
    """Records one after another. Without a key the seals are taken as they are.

    Examples
    --------
    >>> chain = Chain(b"k")
    >>> first = chain.next_record(Entry(at_ms=1, what="promoted", who="ann"))
    >>> line = sealed_line(first, seal(first, b"k"))
    >>> chain.fault_of(line), chain.n
    ('', 1)
    >>> chain.fault_of(line)
    'record 1 stands where record 2 belongs'
    """

    def __init__(self, key: bytes | None, *, n: int = 0, digest: str = FIRST) -> None:
        self._key = key
        self.n = n
        self.digest = digest

    def next_record(self, entry: Entry) -> Record:
        """Record that an entry becomes when it is put down next."""
        return Record(**entry.model_dump(), n=self.n + 1, before=self.digest)

    def fault_of(self, line: bytes) -> str:
        """Take a line in; "" when it is the next record, else what is wrong with it."""
        found = read_sealed(line, Record)
        if found is None:
            return "this is no record, or not as it was written"
        record, sealed = found
        if record.n != self.n + 1:
            return f"record {record.n} stands where record {self.n + 1} belongs"
        if record.before != self.digest:
            return f"record {record.n} does not follow from the one before it"
        if self._key is not None and not is_sealed(record, sealed, self._key):
            return f"the seal of record {record.n} was not made by this home over what it says"
        self.n, self.digest = record.n, record.digest
        return ""
