"""The audit log of a home: who did what, when and why; appended to, and never changed.

::

    audit/000000000001.jsonl ...   records, a file for each stretch, named by its first one
    audit/head.json                where the log ends
    audit/checkpoints.jsonl        signed checkpoints

Any process of the home appends, one at a time; one that holds the private key signs what it
appends, and the controller signs what the others did. An entry is on the disk when ``append``
returns. A line torn by a crash was never said to be there: the next append cuts it off and says
so. To a log that is not what was written nothing is added.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from pydantic import ValidationError

from core.audit.check import Findings, checked
from core.audit.records import Checkpoint, Entry, Head, Record, read_sealed
from core.errors import IntegrityError
from stores.audit.files import (
    SEGMENT_BYTES,
    AuditFiles,
    SignedCheckpoint,
    changed,
    checkpoint_path,
    content_of,
    file_lines,
    head_path,
    segments,
)
from stores.durable import exclusive_lock, is_read_only, sync_directory
from stores.keys.secret_keys import ensure_secret_key
from stores.keys.signing import KeyRing, Signer, ensure_signer
from stores.layout import Layout
from stores.shelf.papers import signed_bytes

KEY_FILE = "audit.key"


class AuditLog:
    """Appends to the log below ``directory``, reads and verifies it.

    Parameters
    ----------
    key
        Gives the home's secret; asked when it is first needed, so reading makes none.
    signer
        Gives the key that signs checkpoints; None where only public keys are.
    segment_bytes
        A file that would grow beyond this is followed by another.
    """

    def __init__(
        self,
        directory: Path,
        key: Callable[[], bytes],
        signer: Callable[[], Signer] | None = None,
        *,
        segment_bytes: int = SEGMENT_BYTES,
    ) -> None:
        self.directory = directory
        self._key = key
        self._signer = signer
        self._segment_bytes = segment_bytes

    @classmethod
    def of(cls, layout: Layout, *, is_signing: bool) -> AuditLog:
        """The log of a home; a process that serves does not sign."""
        signer = partial(ensure_signer, layout.keys, "audit") if is_signing else None
        return cls(layout.audit, partial(ensure_secret_key, layout.keys, KEY_FILE), signer)

    @classmethod
    def beside(cls, folder: Path, *, is_signing: bool) -> AuditLog:
        """The log of the home that ``folder`` lies in."""
        return cls.of(Layout(folder.parent), is_signing=is_signing)

    def append(self, entries: Sequence[Entry]) -> None:
        """Put entries down in order, all of them on the disk when this returns.

        Raises
        ------
        IntegrityError
            If the log is not what was written; then nothing was added.
        """
        if not entries:
            return
        with self._locked() as files:
            self._put(files, entries, entries[-1].at_ms)

    def sign(self, at_ms: int) -> bool:
        """Put a checkpoint under what is not signed yet; whether there was any."""
        if self._signer is None or not self._is_ahead():
            return False
        with self._locked() as files:
            self._put(files, (), at_ms)
        return True

    def verify(
        self, ring: KeyRing, *, kept: Sequence[SignedCheckpoint] = (), has_secret: bool = True
    ) -> Findings:
        """Check everything: see `core.audit.check`. ``kept`` are checkpoints from elsewhere.

        Without seals the home's secret is not needed: links and signatures alone are checked,
        and what is not signed yet might be anybody's.

        Raises
        ------
        IntegrityError
            If a kept checkpoint is itself not signed by a known key.
        """
        for each in kept:
            ring.verify("audit", signed_bytes(each.checkpoint), each.signature)
        with self._at_rest():
            return checked(
                [(each.name, int(each.stem), file_lines(each)) for each in self._segments()],
                content_of(head_path(self.directory)),
                self._checkpoint_lines(),
                key=self._key() if has_secret else None,
                read_checkpoint=partial(_read_checkpoint, ring),
                kept=[each.checkpoint for each in kept],
            )

    @contextmanager
    def _at_rest(self) -> Iterator[None]:
        """Nobody appends meanwhile; on a disk that cannot be written to, nobody could."""
        if self.directory.is_dir() and is_read_only(self.directory):
            yield
            return
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with exclusive_lock(self.directory / ".lock"):
            yield

    def latest(
        self,
        n: int,
        wanted: Callable[[Record], bool] | None = None,
        *,
        hints: Sequence[str] = (),
        before: int | None = None,
    ) -> list[Record]:
        """The latest ``n`` records that are wanted, oldest first; a torn line is passed over.

        Says nothing of whether the log is whole: that is ``verify``. A line without each of the
        texts ``hints`` is not looked at closer. With ``before`` only records of a lower number are.

        Raises
        ------
        IntegrityError
            If a whole line is none of ours.
        """
        found: list[Record] = []
        texts = [hint.encode() for hint in hints]
        for line in self._lines_backwards(before):
            if len(found) == n:
                break
            if not all(text in line for text in texts):
                continue
            record = _record(line)
            is_early = before is None or record.n < before
            if is_early and (wanted is None or wanted(record)):
                found.append(record)
        return found[::-1]

    def head(self) -> Head | None:
        """Where the log says that it ends, unchecked; None when nothing was ever put down."""
        line = content_of(head_path(self.directory))
        found = read_sealed(line, Head) if line is not None else None
        return found[0] if found is not None else None

    def last_checkpoint(self) -> SignedCheckpoint | None:
        """The newest whole checkpoint, to be kept elsewhere; None when there is none."""
        whole = [line for line in self._checkpoint_lines() if line.endswith(b"\n")]
        return SignedCheckpoint.model_validate_json(whole[-1]) if whole else None

    def set_aside(self, *, who: str, why: str, at_ms: int) -> Path:
        """Move the log as it is into a folder of its own; a new one begins with saying so."""
        with self._locked() as files:
            aside = self.directory / f"aside-{at_ms}"
            aside.mkdir(mode=0o700)
            digests = {}
            ends = (head_path(self.directory), checkpoint_path(self.directory))
            for path in (*self._segments(), *ends):
                if path.exists():
                    digests[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
                    path.rename(aside / path.name)
            sync_directory(self.directory)
            about = {"folder": aside.name, "sha256": digests}
            entry = Entry(at_ms=at_ms, what="log_set_aside", who=who, why=why, about=about)
            self._put(files, [entry], at_ms)
        return aside

    def _put(self, files: AuditFiles, entries: Sequence[Entry], at_ms: int) -> None:
        head, n_torn = files.recovered()
        if n_torn:
            entries = [_repair(n_torn, at_ms), *entries]
        if entries:
            head = files.written(head, entries)
        files.ended(head, self._signer() if self._signer is not None else None, at_ms)

    def _is_ahead(self) -> bool:
        """Whether the log goes on behind its last checkpoint; read without the lock."""
        head = self.head()
        return head is not None and head.n > head.signed_n

    @contextmanager
    def _locked(self) -> Iterator[AuditFiles]:
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with exclusive_lock(self.directory / ".lock"):
            yield AuditFiles(self.directory, self._key(), segment_bytes=self._segment_bytes)

    def _segments(self) -> list[Path]:
        return segments(self.directory)

    def _lines_backwards(self, before: int | None = None) -> Iterator[bytes]:
        """Whole lines, the newest first; files that begin with record ``before`` or later not."""
        paths = [each for each in self._segments() if before is None or int(each.stem) < before]
        for path in reversed(paths):
            for line in reversed(path.read_bytes().split(b"\n")[:-1]):
                yield line + b"\n"

    def _checkpoint_lines(self) -> list[bytes]:
        content = content_of(checkpoint_path(self.directory)) or b""
        lines = [line + b"\n" for line in content.split(b"\n")]
        return [*lines[:-1], lines[-1][:-1]] if lines[-1] != b"\n" else lines[:-1]


def _record(line: bytes) -> Record:
    found = read_sealed(line, Record)
    if found is None:
        raise changed("a line that is no record")
    return found[0]


def _read_checkpoint(ring: KeyRing, line: bytes) -> Checkpoint:
    try:
        signed = SignedCheckpoint.model_validate_json(line)
        ring.verify("audit", signed_bytes(signed.checkpoint), signed.signature)
    except ValidationError:
        raise ValueError("this is no checkpoint") from None
    except IntegrityError as error:
        raise ValueError(str(error)) from None
    if signed.line() != line:
        raise ValueError("this checkpoint is not as it was written")
    return signed.checkpoint


def _repair(n_torn: int, at_ms: int) -> Entry:
    return Entry(
        at_ms=at_ms,
        what="log_repaired",
        who="the platform",
        why="a crash tore the line that was being written; it was cut off",
        about={"torn_bytes": n_torn},
    )
