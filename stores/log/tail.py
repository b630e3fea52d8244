"""The end of a log, where events are added: what every kind of it does, and the kind in a file."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from core.features.keys import position
from stores.durable import exclusive_lock, sync_directory
from stores.log import epochs, open_epoch
from stores.log.epoch_records import digest_of_file, newlines, open_records
from stores.log.epochs import Epoch, Record
from stores.log.kafka.place import place_of
from stores.log.open_epoch import Waiting

LOCK = "lock"
"""File of a log's folder that whoever seals, lands or numbers holds."""

UNPLACED = -1
"""Position of an event that is kept, and gets its place when the log is next read."""


class Tip(NamedTuple):
    """Where a log ends: two that are equal have nothing between them."""

    open_number: int
    open_bytes: int
    written_ns: int


class Numbers:
    """Number of the open epoch: the one after the last manifest."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        sealed = epochs.sealed_numbers(directory)
        self._open = sealed[-1] + 1 if sealed else 1

    def open(self) -> int:
        """The number now; epochs that others sealed are passed over."""
        while epochs.manifest_path(self._directory, self._open).exists():
            self._open += 1
        return self._open


class Tail(Protocol):
    """The open epoch of a log, wherever its events are."""

    is_over_kafka: bool
    """Whether brokers are asked; then a record may stand behind one that arrived later."""

    def append(
        self, lines: Sequence[bytes], keys: Sequence[bytes], *, now_ms: int
    ) -> list[int] | None:
        """Position of each line, kept for good, or `UNPLACED`; lines of one key keep their order.

        None where nothing was kept, because events of this log go elsewhere by now.
        """
        ...

    def seal(self, number: int, now_ms: int) -> Epoch | None:
        """Close the open epoch: its manifest, not written yet. The caller holds the lock."""
        ...

    def records(self, number: int, behind: int) -> Iterator[Record]:
        """Durable records of the open epoch behind an offset, -1 for all.

        The one at the offset may be among them.
        """
        ...

    def tip(self, number: int, now_ms: int) -> Tip:
        """Where the log ends now; what has come can be read up to there."""
        ...

    def waiting(self, number: int, now_ms: int) -> Waiting | None:
        """What waits in the open epoch; None where that is nothing."""
        ...


class FileTail:
    """Events in ``<n>.ndjson`` of the log's folder, a line each.

    Parameters
    ----------
    directory, source
        Folder of the log, and the source's name.
    numbers
        Which epoch is open.
    roll_bytes
        Size of the open epoch beyond which an append seals it.
    """

    is_over_kafka = False

    def __init__(self, directory: Path, source: str, numbers: Numbers, *, roll_bytes: int) -> None:
        self._directory = directory
        self._source = source
        self._numbers = numbers
        self._roll_bytes = roll_bytes
        self._named_number = 0

    def append(
        self, lines: Sequence[bytes], keys: Sequence[bytes], *, now_ms: int
    ) -> list[int] | None:
        """Lines lie together and share one sync; ``keys`` do not matter here."""
        stamped = [b"%d\t%s\n" % (now_ms, line) for line in lines]
        with exclusive_lock(self._directory / LOCK):
            if place_of(self._directory) is not None:
                return None
            number = self._number_to_append(now_ms)
            path = epochs.appended_path(self._directory, number)
            descriptor, offsets = open_epoch.append_lines(path, stamped)
        self._make_durable(descriptor, number)
        return [position(number, offset) for offset in offsets]

    def seal(self, number: int, now_ms: int) -> Epoch | None:
        """Cut off what is torn; where nothing is left there is nothing to seal."""
        path = epochs.appended_path(self._directory, number)
        if not path.exists():
            return None
        descriptor = os.open(path, os.O_RDWR)
        try:
            size = open_epoch.cut_torn_end(descriptor)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if size == 0:
            path.unlink()
            return None
        return Epoch(
            epoch=number,
            source=self._source,
            kind="events",
            format="ndjson",
            files=(path.name,),
            sha256=digest_of_file(path),
            bytes=size,
            rows=newlines(path),
            sealed_at_ms=now_ms,
        )

    def records(self, number: int, behind: int) -> Iterator[Record]:
        """Whole lines, all of them on the disk for good."""
        return open_records(self._directory, number, max(behind, 0))

    def tip(self, number: int, now_ms: int) -> Tip:
        """Two looks at the names of files, none into them.

        A torn line may be cut off and one of the same length written, so the size alone
        does not tell that nothing came.
        """
        try:
            found = epochs.appended_path(self._directory, number).stat()
        except FileNotFoundError:
            return Tip(number, 0, 0)
        return Tip(number, found.st_size, found.st_mtime_ns)

    def waiting(self, number: int, now_ms: int) -> Waiting | None:
        """Lines of the open epoch; ``now_ms`` does not matter here."""
        return open_epoch.waiting(epochs.appended_path(self._directory, number))

    def _make_durable(self, descriptor: int, number: int) -> None:
        """Sync lines and, once for each epoch, the name of the file that holds them."""
        try:
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)
        if self._named_number != number:
            sync_directory(self._directory)
            self._named_number = number

    def _number_to_append(self, now_ms: int) -> int:
        """Number of the open epoch, after sealing one that is long enough."""
        number = self._numbers.open()
        path = epochs.appended_path(self._directory, number)
        if path.exists() and path.stat().st_size >= self._roll_bytes:
            sealed = self.seal(number, now_ms)
            if sealed is not None:
                epochs.write_manifest(self._directory, sealed)
        return self._numbers.open()
