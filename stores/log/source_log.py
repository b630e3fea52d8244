"""The log of a source: numbered epochs, appended to and landed into, never changed.

One folder a source. The open epoch is ``<n>.ndjson``, to which any number of processes
append; its manifest ``<n>.json`` appears when it is sealed, and from then on nothing in
it changes. A landed file becomes a sealed epoch of its own. Numbers start at 1 and leave
no gap: the open epoch is the one after the last manifest, so retention keeps the last.

What a crash leaves behind, and why it does no harm:

- a line without its end (a writer killed while it wrote): readers pass over it, and the
  next writer cuts it off. Nobody was told that it is kept.
- whole lines of an append that never returned: they stay. The sender was told nothing
  and sends them again; the same id with the same payload is accepted and ignored.
- a staged copy, or a landed file without a manifest: swept by the next landing.

One lock file serialises those who write; the kernel lets it go when its holder dies.
Readers take no lock, and see of the open epoch only what is on the disk for good.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from core.clock import DAY_MS
from core.contracts import Source
from core.errors import ConfigurationError, DependencyError, InvalidInputError
from core.features.keys import epoch_of, offset_of, position
from core.mapping import Mapping, check_columns, check_unmapped
from stores.durable import exclusive_lock, sync_directory
from stores.log import epochs, open_epoch
from stores.log.epoch_records import (
    damaged,
    data_path,
    digest_of_file,
    newlines,
    open_records,
    sealed_blocks,
    sealed_records,
    with_positions,
)
from stores.log.epochs import Block, Epoch, Record
from stores.log.landing import StagedFile, staged, sweep
from stores.log.line_records import MAX_LINE_BYTES

MAX_EVENT_BYTES = MAX_LINE_BYTES - 32
"""Longest event that may be appended: a line less its time of arrival."""

ROLL_BYTES = 64 * 2**20
"""An append to a longer open epoch seals it first; hashing it then takes about 0.1 s."""

LONGEST_DELAY_MS = 3_660 * DAY_MS
"""A longer one is a slip of the pen, and would leave the range of instants."""


class Landing(NamedTuple):
    """Outcome of landing a file: the epoch that holds it, and whether it is a new one."""

    epoch: Epoch
    is_new: bool


class Tip(NamedTuple):
    """Where a log ends: two that are equal have nothing between them."""

    open_number: int
    open_bytes: int
    written_ns: int


class SourceLog:
    """Log of one source in one folder; any number of processes may write and read.

    Parameters
    ----------
    directory
        Folder of the log, made when it is not there.
    source
        Name of the source, kept in every manifest.
    roll_bytes
        Size of the open epoch beyond which an append seals it.
    """

    def __init__(self, directory: Path, source: str, *, roll_bytes: int = ROLL_BYTES) -> None:
        self.directory = directory
        self.source = source
        self._roll_bytes = roll_bytes
        self._manifests: dict[int, tuple[int, Epoch]] = {}
        directory.mkdir(parents=True, exist_ok=True)
        self._lock_path = directory / "lock"
        numbers = epochs.sealed_numbers(directory)
        self._open_number = numbers[-1] + 1 if numbers else 1
        self._named_number = 0

    def append(self, lines: Sequence[bytes], *, now_ms: int) -> list[int]:
        """Keep events, each one JSON object without a newline; durable when this returns.

        The lines of one call lie together, share one sync and the time of arrival
        ``now_ms``. What a line says is not looked at: the caller has checked it.

        Returns
        -------
        list of int
            Position of each line, in order.

        Raises
        ------
        InvalidInputError
            If a line is empty, too long or holds a newline; nothing is kept then.
        DependencyError
            If the disk does not take them. Some may have been kept all the same: send
            them again, the same id with the same payload is ignored.
        """
        stamped = [_stamped(line, now_ms) for line in lines]
        if not stamped:
            return []
        try:
            with exclusive_lock(self._lock_path):
                number = self._number_to_append(now_ms)
                path = epochs.appended_path(self.directory, number)
                descriptor, offsets = open_epoch.append_lines(path, stamped)
            self._make_durable(descriptor, number)
        except OSError as error:
            raise _unwritable(error) from error
        return [position(number, offset) for offset in offsets]

    def seal(self, now_ms: int) -> int | None:
        """Close the open epoch and return its number; None where it holds no line."""
        try:
            with exclusive_lock(self._lock_path):
                return self._seal(now_ms)
        except OSError as error:
            raise _unwritable(error) from error

    def land(
        self,
        path: Path,
        mapping: Mapping | None = None,
        *,
        now_ms: int,
        is_historic: bool = False,
        delay_ms: int = 0,
        is_repeat_allowed: bool = False,
        contract: Source | None = None,
    ) -> Landing:
        """Take a whole file into the log as a sealed epoch of its own.

        The same content with the same mapping is taken once: landing it again returns the
        epoch that has it, unless ``is_repeat_allowed`` (a replay of refused records). The
        open epoch is sealed first, so that epochs stay in order of arrival. ``contract`` is what
        its rows were written by: a file without a mapping must bear the names of its fields.

        Raises
        ------
        InvalidInputError
            If the file cannot be read or the delay makes no sense; nothing is landed.
        ConfigurationError
            If the mapping is for another source or names a column that the file lacks, or
            there is none and the file's columns are not those of ``contract``.
        DependencyError
            If there is no room for the copy.
        """
        _check_delay(is_historic=is_historic, delay_ms=delay_ms)
        _check_source(mapping, self.source)
        sweep(self.directory)
        with staged(path, self.directory) as file:
            _check_columns(file.columns, mapping, contract)
            said = {"is_historic": is_historic, "delay_ms": delay_ms}
            said |= {"contract": contract.major if contract else epochs.FIRST_MAJOR}
            draft = _draft(file, self.source, mapping, now_ms).model_copy(update=said)
            try:
                with exclusive_lock(self._lock_path):
                    return self._landed(file, draft, is_repeat_allowed=is_repeat_allowed)
            except OSError as error:
                raise _unwritable(error) from error

    def epochs(self, after: int = 0) -> list[Epoch]:
        """Manifests of the sealed epochs with a number above ``after``, ascending."""
        numbers = epochs.sealed_numbers(self.directory)
        return [self._manifest_of(number) for number in numbers if number > after]

    def records(self, epoch: int, from_offset: int = 0) -> Iterator[Record]:
        """Records of a sealed epoch, streamed, from the one at ``from_offset`` on.

        Raises
        ------
        IntegrityError
            If the epoch's data are gone, cut short or can no longer be read.
        """
        return sealed_records(self.directory, self._manifest_of(epoch), from_offset)

    def blocks(self, epoch: int, first: int = 0, end: int | None = None) -> Iterator[Block]:
        """Records of a sealed Parquet epoch with ``first <= offset < end``, as columns.

        Raises
        ------
        IntegrityError
            If the epoch's data are gone, cut short or can no longer be read.
        """
        return sealed_blocks(self.directory, self._manifest_of(epoch), first, end)

    def read_open(self, after: int = 0) -> Iterator[tuple[int, Record]]:
        """Records with their positions, from behind ``after`` to the end of the log.

        Sealed epochs first, landed ones among them, then the open one as far as it is
        durable. To start with an epoch, give ``position(epoch, 0) - 1``.
        """
        first, numbers = epoch_of(after), epochs.sealed_numbers(self.directory)
        for number in (number for number in numbers if number >= first):
            start = offset_of(after) if number == first else 0
            yield from _behind(after, with_positions(self.records(number, start), number))
        number = numbers[-1] + 1 if numbers else 1
        start = offset_of(after) if number == first else 0
        records = open_records(self.directory, number, start)
        yield from _behind(after, with_positions(records, number))

    def tip(self) -> Tip:
        """Where the log ends now: two looks at the names of files, none into them.

        A torn line may be cut off and one of the same length written, so the size alone
        does not tell that nothing came.
        """
        number = self._open()
        try:
            found = epochs.appended_path(self.directory, number).stat()
        except FileNotFoundError:
            return Tip(number, 0, 0)
        return Tip(number, found.st_size, found.st_mtime_ns)

    def verify(self, epoch: int) -> None:
        """Compare an epoch's data with its manifest.

        Raises
        ------
        IntegrityError
            If they differ.
        """
        manifest = self._manifest_of(epoch)
        if digest_of_file(data_path(self.directory, manifest)) != manifest.sha256:
            raise damaged(epoch, "another digest")

    def _make_durable(self, descriptor: int, number: int) -> None:
        """Sync lines and, once for each epoch, the name of the file that holds them."""
        try:
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)
        if self._named_number != number:
            sync_directory(self.directory)
            self._named_number = number

    def _number_to_append(self, now_ms: int) -> int:
        """Number of the open epoch, after sealing one that is long enough."""
        path = epochs.appended_path(self.directory, self._open())
        if path.exists() and path.stat().st_size >= self._roll_bytes:
            self._seal(now_ms)
        return self._open()

    def _open(self) -> int:
        while epochs.manifest_path(self.directory, self._open_number).exists():
            self._open_number += 1
        return self._open_number

    def _seal(self, now_ms: int) -> int | None:
        number = self._open()
        path = epochs.appended_path(self.directory, number)
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
        manifest = Epoch(
            epoch=number,
            source=self.source,
            kind="events",
            format="ndjson",
            files=(path.name,),
            sha256=digest_of_file(path),
            bytes=size,
            rows=newlines(path),
            sealed_at_ms=now_ms,
        )
        epochs.write_manifest(self.directory, manifest)
        return number

    def _landed(self, file: StagedFile, draft: Epoch, *, is_repeat_allowed: bool) -> Landing:
        holder = None if is_repeat_allowed else self._holder(draft)
        if holder is not None:
            return Landing(holder, is_new=False)
        self._seal(draft.sealed_at_ms)
        number = self._open()
        name = epochs.landed_path(self.directory, number, file.format).name
        epoch = draft.model_copy(update={"epoch": number, "files": (name,)})
        self._install(file, epoch)
        return Landing(epoch, is_new=True)

    def _install(self, file: StagedFile, epoch: Epoch) -> None:
        """Name the copy, then seal. A copy named by a process that died is written over."""
        for stray in self.directory.glob(f"{epoch.epoch:010d}-landed.*"):
            stray.unlink()
        file.path.rename(self.directory / epoch.files[0])
        sync_directory(self.directory)
        epochs.write_manifest(self.directory, epoch)

    def _holder(self, draft: Epoch) -> Epoch | None:
        """Landed epoch with the content, mapping and contract of ``draft``."""
        wanted = (draft.sha256, draft.mapping, draft.contract)
        for epoch in self.epochs():
            is_same = (epoch.sha256, epoch.mapping, epoch.contract) == wanted
            if is_same and epoch.kind == "file":
                return epoch
        return None

    def _manifest_of(self, number: int) -> Epoch:
        """Manifest of an epoch; read again when somebody was forgotten meanwhile."""
        seen_ns, known = self._manifests.get(number, (0, None))
        written_ns = epochs.written_ns(self.directory, number)
        if known is None or seen_ns != written_ns:
            known = epochs.read_manifest(self.directory, number)
            self._manifests[number] = written_ns, known
        return known


def _draft(file: StagedFile, source: str, mapping: Mapping | None, now_ms: int) -> Epoch:
    """Manifest of a staged file, but for its number and name."""
    return Epoch(
        epoch=0,
        source=source,
        kind="file",
        format=file.format,
        files=(),
        sha256=file.sha256,
        bytes=file.bytes,
        rows=file.rows,
        mapping=None if mapping is None else mapping.document,
        sealed_at_ms=now_ms,
    )


def _stamped(line: bytes, now_ms: int) -> bytes:
    if not line or b"\n" in line or len(line) > MAX_EVENT_BYTES:
        raise InvalidInputError(
            "an event cannot become a line of the log",
            found=f"{len(line)} bytes" + (", a newline among them" if b"\n" in line else ""),
            remedy=f"send one JSON object of 1 to {MAX_EVENT_BYTES} bytes, without newlines",
            code="bad_event",
        )
    return b"%d\t%s\n" % (now_ms, line)


def _behind(after: int, records: Iterator[tuple[int, Record]]) -> Iterator[tuple[int, Record]]:
    return ((place, record) for place, record in records if place > after)


def _check_delay(*, is_historic: bool, delay_ms: int) -> None:
    if not 0 <= delay_ms <= LONGEST_DELAY_MS or (delay_ms and not is_historic):
        raise InvalidInputError(
            "a delay belongs to historic files, is not negative and not beyond ten years",
            found=f"{delay_ms} ms, historic: {is_historic}",
            remedy="say that the file is historic, or give another delay",
            code="bad_delay",
        )


def _check_columns(
    columns: Sequence[str], mapping: Mapping | None, contract: Source | None
) -> None:
    """Refuse columns of which no row can come; a format that names none is not looked at."""
    if columns and mapping is not None:
        check_columns(mapping, columns)
    elif columns and contract is not None:
        check_unmapped(contract, columns)


def _check_source(mapping: Mapping | None, source: str) -> None:
    if mapping is not None and mapping.source != source:
        raise ConfigurationError(
            f"the mapping is not for source {source}",
            found=f"a mapping for {mapping.source[:64]}",
            remedy="give the mapping that was written for this source",
            code="bad_mapping",
        )


def _unwritable(error: OSError) -> DependencyError:
    return DependencyError(
        "the log cannot be written",
        found=error.strerror or type(error).__name__,
        remedy="make room on the disk, then send the events again",
        code="log_unwritable",
    )
