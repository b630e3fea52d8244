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

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from core.contracts import Source
from core.errors import DependencyError, InvalidInputError
from core.features.keys import epoch_of, offset_of
from core.mapping import Mapping
from stores.durable import exclusive_lock, sync_directory
from stores.log import epochs
from stores.log.epoch_records import (
    damaged,
    data_path,
    digest_of_file,
    sealed_blocks,
    sealed_records,
    with_positions,
)
from stores.log.epochs import Block, Epoch, Record
from stores.log.kafka.place import (
    PLACE_FILE,
    KafkaPlace,
    check_same_topic,
    keep_place,
    place_of,
)
from stores.log.kafka.tail import KafkaTail
from stores.log.landing import (
    StagedFile,
    check_delay,
    check_names,
    check_source,
    staged,
    sweep,
)
from stores.log.line_records import MAX_LINE_BYTES
from stores.log.open_epoch import Waiting
from stores.log.tail import LOCK, FileTail, Numbers, Tail, Tip

MAX_EVENT_BYTES = MAX_LINE_BYTES - 32
"""Longest event that may be appended: a line less its time of arrival."""

ROLL_BYTES = 64 * 2**20
"""An append to a longer open epoch seals it first; hashing it then takes about 0.1 s."""


class Landing(NamedTuple):
    """Outcome of landing a file: the epoch that holds it, and whether it is a new one."""

    epoch: Epoch
    is_new: bool


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
        self._manifests: dict[int, tuple[int, Epoch]] = {}
        directory.mkdir(parents=True, exist_ok=True)
        self._lock_path = directory / LOCK
        self._numbers = Numbers(directory)
        self._file = FileTail(directory, source, self._numbers, roll_bytes=roll_bytes)
        self._kafka: KafkaTail | None = None

    def append(
        self, lines: Sequence[bytes], *, now_ms: int, keys: Sequence[bytes] = ()
    ) -> list[int]:
        """Keep events, each one JSON object without a newline; durable when this returns.

        The lines of one call lie together, share one sync and the time of arrival
        ``now_ms``. What a line says is not looked at: the caller has checked it. Over Kafka a
        line goes to the partition of its key, and the broker says when it arrived; without
        ``keys`` the lines are spread.

        Returns
        -------
        list of int
            Position of each line, in order; `stores.log.tail.UNPLACED` over Kafka.

        Raises
        ------
        InvalidInputError
            If a line is empty, too long or holds a newline; nothing is kept then.
        DependencyError
            If the disk, or the broker, does not take them. Some may have been kept all the
            same: send them again, the same id with the same payload is ignored.
        """
        for line in lines:
            _check_line(line)
        if not lines:
            return []
        places: list[int] | None = None
        try:
            while places is None:  # once more where the log was moved to Kafka just now
                places = self._tail().append(lines, keys, now_ms=now_ms)
        except OSError as error:
            raise unwritable(error) from error
        return places

    def seal(self, now_ms: int) -> int | None:
        """Close the open epoch and return its number; None where it holds no line."""
        try:
            with exclusive_lock(self._lock_path):
                return self._seal(now_ms)
        except OSError as error:
            raise unwritable(error) from error

    def move_to(self, place: KafkaPlace, *, now_ms: int) -> None:
        """Let events go to a topic from now on; what is in the open file is sealed first.

        Raises
        ------
        ConfigurationError
            If they go to another topic already.
        """
        check_same_topic(self.directory, place)
        try:
            with exclusive_lock(self._lock_path):
                if place_of(self.directory) is None:
                    self._seal(now_ms)
                keep_place(self.directory, place)
        except OSError as error:
            raise unwritable(error) from error

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
        check_delay(is_historic=is_historic, delay_ms=delay_ms)
        check_source(mapping, self.source)
        sweep(self.directory)
        with staged(path, self.directory) as file:
            check_names(file.columns, mapping, contract)
            said = {"is_historic": is_historic, "delay_ms": delay_ms}
            said |= {"contract": contract.major if contract else epochs.FIRST_MAJOR}
            draft = _draft(file, self.source, mapping, now_ms).model_copy(update=said)
            try:
                with exclusive_lock(self._lock_path):
                    return self._landed(file, draft, is_repeat_allowed=is_repeat_allowed)
            except OSError as error:
                raise unwritable(error) from error

    def epochs(self, after: int = 0) -> list[Epoch]:
        """Manifests of the sealed epochs with a number above ``after``, ascending."""
        numbers = epochs.sealed_numbers(self.directory)
        return [self._manifest_of(number) for number in numbers if number > after]

    def records(
        self, epoch: int, from_offset: int = 0, *, partition: int | None = None
    ) -> Iterator[Record]:
        """Records of a sealed epoch, streamed, from the one at ``from_offset`` on.

        ``partition`` leaves out what an epoch over Kafka has in others.

        Raises
        ------
        IntegrityError
            If the epoch's data are gone, cut short or can no longer be read.
        DependencyError
            If they are in a topic, and the broker does not give them.
        """
        manifest = self._manifest_of(epoch)
        if manifest.format == "kafka":
            return self._topic(epoch).sealed_records(manifest, from_offset, partition)
        return sealed_records(self.directory, manifest, from_offset)

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
        behind = offset_of(after) if number == first else -1
        records = self._tail().records(number, behind)
        yield from _behind(after, with_positions(records, number))

    def tip(self, now_ms: int) -> Tip:
        """Where the log ends now; over Kafka what has come can be read from here on."""
        while True:
            number = self._numbers.open()
            tip = self._tail().tip(number, now_ms)
            if self._numbers.open() == number:  # else sealed meanwhile, and there may be more
                return tip

    def waiting(self, now_ms: int) -> Waiting | None:
        """What waits in the open epoch; None where that is nothing."""
        return self._tail().waiting(self._numbers.open(), now_ms)

    @property
    def is_over_kafka(self) -> bool:
        """Whether events are with brokers; then a record may stand behind a younger one."""
        return self._tail().is_over_kafka

    def close(self) -> None:
        """Give back connections; a log over files has none."""
        if self._kafka is not None:
            self._kafka.close()
            self._kafka = None

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

    def _seal(self, now_ms: int) -> int | None:
        """Close the open epoch; the lock is held."""
        sealed = self._tail().seal(self._numbers.open(), now_ms)
        if sealed is None:
            return None
        epochs.write_manifest(self.directory, sealed)
        return sealed.epoch

    def _tail(self) -> Tail:
        """Where events go now: into a file, until the log was moved to Kafka."""
        if self._kafka is None:
            place = place_of(self.directory)
            if place is None:
                return self._file
            self._kafka = KafkaTail(self.directory, self.source, place)
        return self._kafka

    def _topic(self, epoch: int) -> KafkaTail:
        """The topic that a sealed epoch is a part of."""
        tail = self._tail()
        if not isinstance(tail, KafkaTail):
            raise damaged(epoch, f"an epoch over Kafka, and no {PLACE_FILE} that says where")
        return tail

    def _landed(self, file: StagedFile, draft: Epoch, *, is_repeat_allowed: bool) -> Landing:
        holder = None if is_repeat_allowed else self._holder(draft)
        if holder is not None:
            return Landing(holder, is_new=False)
        self._seal(draft.sealed_at_ms)
        number = self._numbers.open()
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


def _check_line(line: bytes) -> None:
    if not line or b"\n" in line or len(line) > MAX_EVENT_BYTES:
        raise InvalidInputError(
            "an event cannot become a line of the log",
            found=f"{len(line)} bytes" + (", a newline among them" if b"\n" in line else ""),
            remedy=f"send one JSON object of 1 to {MAX_EVENT_BYTES} bytes, without newlines",
            code="bad_event",
        )


def _behind(after: int, records: Iterator[tuple[int, Record]]) -> Iterator[tuple[int, Record]]:
    return ((place, record) for place, record in records if place > after)


def unwritable(error: OSError) -> DependencyError:
    """What the system said when a log was to be opened or written, as its senders hear it."""
    return DependencyError(
        "the log cannot be written",
        found=error.strerror or type(error).__name__,
        remedy="make room on the disk, then send the events again",
        code="log_unwritable",
    )
