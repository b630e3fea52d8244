"""Prediction records: append-only segments, one ``write`` a record, found again by id.

A segment is a file of frames: 4 bytes length, 4 bytes CRC-32, both big-endian, then the
payload. The id of a record is ``<use_case>-<writer>-<segment>-<offset>`` and says where the
frame starts, so no index is needed. Every process writes segments of its own: the writer's
name is drawn at start, so two processes never share a file.

``<writer>-<segment>.open`` is being written, or waits to be sealed, and is locked by its writer;
``.sealed`` never changes again, but where somebody is forgotten (`stores.erasing.records`); in the
folder ``shipped`` are those that shared storage has too. The data is with the kernel before
``append`` returns, so kill -9 loses nothing; a power cut may lose what the kernel had not yet
written back (seconds). A torn last frame is not a record and is ignored, and cut when the segment
is sealed.
"""

from __future__ import annotations

import fcntl
import io
import os
import secrets
import struct
import threading
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import takewhile
from pathlib import Path
from typing import BinaryIO

from core.clock import Clock
from core.errors import IntegrityError, InvalidInputError, NotReadyError
from stores.checksums import crc32
from stores.durable import sync_directory
from stores.records.files import begun, ended, not_kept
from stores.records.ids import RecordId, parse_record_id, unknown_record

# Below 2**24 the first byte of a length is 0, which JSON text never contains: no offset inside
# a payload, whatever a caller wrote into it, can be read as a frame.
MAX_PAYLOAD_BYTES = (1 << 24) - 1
_HEADER = struct.Struct(">II")
HEADER_BYTES = _HEADER.size
# Of 100,000 starts two draw the same name once in 50,000 times; they would have to be on two
# machines to do harm.
_WRITER_BYTES = 6
SHIPPED = "shipped"


class SegmentedRecordLog:
    """Records of one use case, written by this process, read from all.

    A segment takes no more when it is larger than ``segment_bytes`` or older than
    ``seal_after_ms``; the next ``tick`` seals it. To seal waits for the disk, which an append
    never does. Sealed segments are what leaves this machine.
    """

    def __init__(
        self,
        directory: Path,
        use_case: str,
        clock: Clock,
        *,
        segment_bytes: int = 16 << 20,
        seal_after_ms: int = 5_000,
    ) -> None:
        self._directory = directory
        self._use_case = use_case
        self._clock = clock
        self._segment_bytes = segment_bytes
        self._seal_after_s = seal_after_ms / 1_000
        self._writer = secrets.token_hex(_WRITER_BYTES)
        self._segment = 0
        self._descriptor: int | None = None
        self._offset = 0
        self._opened_s = 0.0
        self._begins = ""  # of the ids in the open segment
        self._full: deque[tuple[int, Path, int]] = deque()  # to be sealed, with their ends
        self._lock = threading.Lock()
        self._sealing = threading.Lock()

    def append(self, payload: bytes) -> str:
        """Keep ``payload`` with one ``write``; the id that finds it again."""
        return self.append_many((payload,))[0]

    def append_many(self, payloads: Sequence[bytes]) -> list[str]:
        """Keep all payloads with one ``write``: all or none are kept.

        Raises
        ------
        DependencyError
            If the disk refuses; nothing of it is kept then.
        """
        frames = [frame_of(payload) for payload in payloads]
        return self.append_frames(b"".join(frames), [len(frame) for frame in frames])

    def append_frames(self, frames: bytes | memoryview, sizes: Iterable[int]) -> list[str]:
        """As `append_many`, of frames that lie end to end, each as long as ``sizes`` says."""
        with self._lock:
            descriptor = self._open_segment()
            ids, offset = [], self._offset
            for size in sizes:
                ids.append(f"{self._begins}{offset}")
                offset += size
            self._write(descriptor, frames)
            self._offset = offset
            return ids

    def read(self, record_id: str) -> bytes:
        """Payload of a record of this use case, by whichever process it was written.

        Raises
        ------
        NotReadyError, IntegrityError
            See ``read_record``.
        """
        if parse_record_id(record_id).use_case != self._use_case:
            raise unknown_record()
        return read_record(self._directory, record_id)

    def tick(self) -> None:
        """Seal what is full or old enough; call it now and then, and not where appends are made."""
        with self._lock:
            if self._descriptor is not None and self._is_due():
                self._leave()
        self._seal_full()

    def close(self) -> None:
        """Seal everything. A later append opens a new segment."""
        with self._lock:
            if self._descriptor is not None:
                self._leave()
        self._seal_full()

    def _is_due(self) -> bool:
        age_s = self._clock.monotonic_s() - self._opened_s
        return self._offset >= self._segment_bytes or age_s >= self._seal_after_s

    def _open_segment(self) -> int:
        if self._descriptor is not None and self._offset and self._is_due():
            self._leave()
        if self._descriptor is None:
            while (descriptor := begun(self._path())) is None:
                self._segment += 1
            self._descriptor = descriptor
            self._offset, self._opened_s = 0, self._clock.monotonic_s()
            self._begins = str(RecordId(self._use_case, self._writer, self._segment, 0))[:-1]
        return self._descriptor

    def _write(self, descriptor: int, data: bytes | memoryview) -> None:
        refused = None
        try:
            if os.write(descriptor, data) == len(data):
                return
        except OSError as error:
            refused = error
        try:
            os.ftruncate(descriptor, self._offset)  # nothing may stand behind a torn frame
        except OSError:
            self._leave()  # it is cut when it is sealed
        raise not_kept(refused)

    def _path(self) -> Path:
        return self._directory / f"{self._writer}-{self._segment}.open"

    def _leave(self) -> None:
        """Write no more to the open segment; it is sealed by whoever comes to do that."""
        if self._descriptor is not None:
            self._full.append((self._descriptor, self._path(), self._offset))
            self._descriptor = None
            self._segment += 1

    def _seal_full(self) -> None:
        """Seal what is full, in order; what cannot be sealed now waits for the next time."""
        with self._sealing:
            while self._full:
                descriptor = ended(*self._full[0])
                self._full.popleft()
                os.close(descriptor)
                sync_directory(self._directory)


def read_record(directory: Path, record_id: str) -> bytes:
    """Payload of a record, found where its id says.

    Raises
    ------
    NotReadyError
        If there is no such record (code ``unknown_record``).
    IntegrityError
        If bytes stand there that are not what was written.
    """
    where = parse_record_id(record_id)
    name = f"{where.writer}-{where.segment}"
    # In this order: it may move from one place to the next between two looks.
    for place in (f"{name}.open", f"{name}.sealed", f"{SHIPPED}/{name}.sealed"):
        try:
            with (directory / place).open("rb") as stream:
                return _record_at(stream, where.offset)
        except FileNotFoundError:
            continue
    raise unknown_record()


def record_in(segment: bytes, offset: int) -> bytes:
    """Payload of the record that stands at ``offset`` of a whole segment.

    Raises
    ------
    NotReadyError, IntegrityError
        See ``read_record``.
    """
    return _record_at(io.BytesIO(segment), offset)


def _record_at(stream: BinaryIO, offset: int) -> bytes:
    stream.seek(offset)
    try:
        payload = _read_frame(stream.read(_HEADER.size), stream.read)
    except IntegrityError:
        if _is_within_a_record(stream, offset):
            raise unknown_record() from None
        raise
    if not payload.strip():
        raise unknown_record()
    return payload


def _is_within_a_record(stream: BinaryIO, offset: int) -> bool:
    """Whether a whole record lies across ``offset``, so that none begins there."""
    stream.seek(0)
    before = takewhile(lambda frame: frame[0] < offset, _frames(stream))
    return any(offset < at + _HEADER.size + len(payload) for at, payload in before)


def seal_abandoned(directory: Path) -> tuple[Path, ...]:
    """Seal the open segments whose writers are dead, torn tails cut; the sealed files."""
    sealed = []
    for path in sorted(directory.glob("*.open")):
        try:
            descriptor = os.open(path, os.O_RDWR)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            end = sum(_HEADER.size + len(payload) for _, payload in frames_of(path.read_bytes()))
            os.ftruncate(descriptor, end)
            os.fsync(descriptor)
            target = path.with_suffix(".sealed")
            if path.exists():
                path.rename(target)
                sealed.append(target)
        except BlockingIOError:  # its writer lives
            continue
        finally:
            os.close(descriptor)
    if sealed:
        sync_directory(directory)
    return tuple(sealed)


def scan(path: Path) -> Iterator[tuple[int, bytes]]:
    """Offset and payload of every whole record of a segment, in order; ends at a torn one.

    Records that were erased are passed over.
    """
    with path.open("rb") as stream:
        yield from _not_erased(_frames(stream))


def records_of(segment: bytes) -> list[tuple[int, bytes]]:
    """Offset and payload of every record of a sealed segment, erased ones left out.

    Raises
    ------
    IntegrityError
        If it is not made of whole records from its start to its end.
    """
    found = frames_of(segment)
    end = found[-1][0] + _HEADER.size + len(found[-1][1]) if found else 0
    if end != len(segment):
        raise IntegrityError(
            "a segment of prediction records is damaged",
            found=f"{len(found)} whole records, then bytes that are none at {end}",
            remedy="ship it again from the machine that wrote it, if it still has it",
            code="damaged_segment",
        )
    return list(_not_erased(found))


def frames_of(segment: bytes) -> list[tuple[int, bytes]]:
    """Offset and payload of every whole record of a segment, erased ones among them."""
    return list(_frames(io.BytesIO(segment)))


def blank_frame(payload: bytes) -> bytes:
    """What stands in a segment in the place of a record that is erased: as many bytes."""
    return frame_of(b" " * len(payload))


def _not_erased(frames: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
    return ((offset, payload) for offset, payload in frames if payload.strip())


def _frames(stream: BinaryIO) -> Iterator[tuple[int, bytes]]:
    while True:
        offset = stream.tell()
        header = stream.read(_HEADER.size)
        try:
            payload = _read_frame(header, stream.read)
        except (IntegrityError, NotReadyError):
            return
        yield offset, payload


def frame_of(payload: bytes) -> bytes:
    """Frame of a payload; InvalidInputError where it fits into none."""
    check_size(len(payload))
    return _HEADER.pack(len(payload), crc32(payload)) + payload


def check_size(n_bytes: int) -> None:
    """Return when a frame holds a payload of so many bytes; InvalidInputError else."""
    if not 0 < n_bytes <= MAX_PAYLOAD_BYTES:
        raise InvalidInputError(
            "a record is empty or larger than a frame can hold",
            found=f"{n_bytes} bytes",
            remedy=f"keep it between 1 and {MAX_PAYLOAD_BYTES} bytes",
            code="record_size",
        )


def _read_frame(header: bytes, read: Callable[[int], bytes]) -> bytes:
    if len(header) < _HEADER.size:
        raise unknown_record()
    length, checksum = _HEADER.unpack(header)
    if not 0 < length <= MAX_PAYLOAD_BYTES:
        raise unknown_record()
    payload = read(length)
    if len(payload) < length:
        raise unknown_record()
    if zlib.crc32(payload) != checksum:
        raise IntegrityError(
            "a record is damaged",
            found="a checksum that does not fit",
            remedy="restore the segment from shared storage",
            code="damaged_record",
        )
    return payload
