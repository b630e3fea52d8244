"""The files of an audit log: where it ends, what a crash left behind, the next lines.

An append writes records, then a checkpoint where there is a key to sign it, then the head. So
what the head counts is there; what is behind it was being written when the process died.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import ValidationError

from core.audit.records import (
    MAX_LINE_BYTES,
    Chain,
    Checkpoint,
    Entry,
    Head,
    Record,
    is_sealed,
    read_sealed,
    seal,
    sealed_line,
)
from core.errors import IntegrityError, InvalidInputError
from core.features.plan import Frozen, canonical_json
from stores.durable import sync_directory, write_durably
from stores.keys.signing import Signature, Signer
from stores.shelf.papers import signed_bytes

SEGMENT_BYTES = 8 << 20


class SignedCheckpoint(Frozen):
    """A line of ``checkpoints.jsonl``."""

    checkpoint: Checkpoint
    signature: Signature

    def line(self) -> bytes:
        """The only way it may be written."""
        return canonical_json(self.model_dump(mode="json")).encode() + b"\n"


class AuditFiles:
    """Files below ``directory``. Whoever writes holds the lock of the log."""

    def __init__(self, directory: Path, key: bytes, *, segment_bytes: int = SEGMENT_BYTES) -> None:
        self._key = key
        self._directory = directory
        self._segment_bytes = segment_bytes

    def recovered(self) -> tuple[Head, int]:
        """Where the log ends, and how many torn bytes were cut off there.

        Raises
        ------
        IntegrityError
            If it does not end as its head says, or somebody else wrote on.
        """
        head = self._head()
        self._check_end(head)
        head, n_torn = self._records_behind(head)
        return self._checkpoints_behind(head, n_torn)

    def written(self, head: Head, entries: Sequence[Entry]) -> Head:
        """Put records down behind ``head``; the head that follows, not yet in its file."""
        chain = Chain(self._key, n=head.n, digest=head.record_digest)
        lines = []
        for entry in entries:
            record = chain.next_record(entry)
            lines.append(sealed_line(record, seal(record, self._key)))
            _check_length(lines[-1], entry.what)
            chain.n, chain.digest = record.n, record.digest
        content = b"".join(lines)
        segment, end = head.segment, head.end
        if end and end + len(content) > self._segment_bytes:
            segment, end = head.n + 1, 0
        self._put(segment_path(self._directory, segment), end, content)
        end += len(content)
        return head.model_copy(
            update={
                "n": chain.n,
                "record_digest": chain.digest,
                "segment": segment,
                "start": end - len(lines[-1]),
                "end": end,
            }
        )

    def ended(self, head: Head, signer: Signer | None, at_ms: int) -> None:
        """Sign what is not signed, where that can be done, and put the head down."""
        if signer is not None and head.n > head.signed_n:
            said = Checkpoint(
                number=head.checkpoints + 1, n=head.n, record_digest=head.record_digest, at_ms=at_ms
            )
            line = SignedCheckpoint(
                checkpoint=said, signature=signer.sign(signed_bytes(said))
            ).line()
            self._put(checkpoint_path(self._directory), head.checkpoint_bytes, line)
            head = _signed(head, said, len(line))
        self._put_head(head)

    def _head(self) -> Head:
        line = content_of(head_path(self._directory))
        if line is None:
            if segments(self._directory) or checkpoint_path(self._directory).exists():
                raise changed("there are records and no head.json")
            self._put_head(Head())
            return Head()
        found = read_sealed(line, Head)
        if found is None or not is_sealed(*found, self._key):
            raise changed("head.json is not as this home wrote it")
        return found[0]

    def _put_head(self, head: Head) -> None:
        line = sealed_line(head, seal(head, self._key))
        write_durably(head_path(self._directory), line, mode=0o600)

    def _check_end(self, head: Head) -> None:
        """The last record must be where the head says; those before it hang on its digest."""
        if not head.n:
            return
        path = segment_path(self._directory, head.segment)
        found = read_sealed(_bytes_of(path, head.start, head.end), Record)
        if found is None or found[0].digest != head.record_digest:
            raise changed(f"record {head.n} is not where head.json says")

    def _records_behind(self, head: Head) -> tuple[Head, int]:
        """Head after the whole records behind it; a file without any is taken away."""
        chain = Chain(self._key, n=head.n, digest=head.record_digest)
        n_torn = 0
        for path in segments(self._directory):
            first = int(path.stem)
            if first < head.segment:
                continue
            if n_torn or first not in (head.segment, chain.n + 1):
                raise changed(f"{path.name} is out of place")
            end = head.end if first == head.segment else 0
            for line in whole_lines(_bytes_of(path, end)):
                if why := chain.fault_of(line):
                    raise changed(f"behind the end of {path.name}: {why}")
                head = head.model_copy(
                    update={
                        "n": chain.n,
                        "record_digest": chain.digest,
                        "segment": first,
                        "start": end,
                        "end": end + len(line),
                    }
                )
                end += len(line)
            n_torn = _cut(path, end)
            if not end:
                path.unlink()
        return head, n_torn

    def _checkpoints_behind(self, head: Head, n_torn: int) -> tuple[Head, int]:
        path = checkpoint_path(self._directory)
        if not path.exists():
            if head.checkpoints:
                raise changed("there are no checkpoints, and there were")
            return head, n_torn
        if path.stat().st_size < head.checkpoint_bytes:
            raise changed("checkpoints are missing")
        for line in whole_lines(_bytes_of(path, head.checkpoint_bytes)):
            try:
                said = SignedCheckpoint.model_validate_json(line).checkpoint
            except ValidationError:
                raise changed("a checkpoint behind the last one is none") from None
            head = _signed(head, said, len(line))
        return head, n_torn + _cut(path, head.checkpoint_bytes)

    def _put(self, path: Path, offset: int, content: bytes) -> None:
        is_new = not path.exists()
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "wb") as file:  # of a descriptor: nothing is cut off
            file.seek(offset)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if is_new:
            sync_directory(self._directory)


def segment_path(directory: Path, first: int) -> Path:
    """File that begins with record ``first``."""
    return directory / f"{first:012d}.jsonl"


def head_path(directory: Path) -> Path:
    """File of the head."""
    return directory / "head.json"


def checkpoint_path(directory: Path) -> Path:
    """File of the checkpoints."""
    return directory / "checkpoints.jsonl"


def segments(directory: Path) -> list[Path]:
    """Files of records, oldest first."""
    return sorted(path for path in directory.glob("*.jsonl") if path.stem.isdecimal())


def content_of(path: Path) -> bytes | None:
    """Content of a file; None when there is none."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def file_lines(path: Path) -> Iterator[bytes]:
    """Lines of a file with their ends; one that is too long comes in pieces."""
    with path.open("rb") as file:
        while line := file.readline(MAX_LINE_BYTES):
            yield line


def whole_lines(content: bytes) -> Iterator[bytes]:
    """Lines with an end."""
    return (line + b"\n" for line in content.split(b"\n")[:-1])


def changed(found: str) -> IntegrityError:
    """The log is not what was written."""
    return IntegrityError(
        "the audit log is not what was written, so nothing is added to it",
        found=found,
        remedy="run `throughline audit verify`, and read docs/audit.md",
        code="audit_changed",
    )


def _signed(head: Head, said: Checkpoint, n_bytes: int) -> Head:
    return head.model_copy(
        update={
            "checkpoints": said.number,
            "checkpoint_bytes": head.checkpoint_bytes + n_bytes,
            "signed_n": said.n,
        }
    )


def _bytes_of(path: Path, start: int, end: int | None = None) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(start)
            return file.read() if end is None else file.read(end - start)
    except FileNotFoundError:
        return b""


def _cut(path: Path, end: int) -> int:
    """Cut off what is behind ``end``; how many bytes that were."""
    n_torn = path.stat().st_size - end
    if n_torn > 0:
        os.truncate(path, end)
    return max(0, n_torn)


def _check_length(line: bytes, what: str) -> None:
    if len(line) > MAX_LINE_BYTES:
        raise InvalidInputError(
            f"an entry about {what} is too long for the audit log",
            found=f"{len(line)} bytes",
            remedy=f"keep it below {MAX_LINE_BYTES}",
            code="audit_entry_too_long",
        )
