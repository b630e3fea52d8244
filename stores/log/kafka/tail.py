"""The open epoch of a log whose events are in a topic of Kafka.

Any number of processes append, on any machines, and take no lock: the broker puts events in
order. Numbers are given by whoever reads first (`stores.log.kafka.rows`), under the log's
lock, and sealing is writing down a last row. No event is copied: an epoch is its rows, read
back from the topic.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stores.durable import exclusive_lock
from stores.log import epochs
from stores.log.epoch_records import digest_of_file
from stores.log.epochs import Epoch, Record
from stores.log.kafka import clients
from stores.log.kafka.place import KafkaPlace
from stores.log.kafka.reading import TopicReader
from stores.log.kafka.rows import EpochRows, Row, at_least, keep_end, kept_end, rows_path
from stores.log.open_epoch import Waiting
from stores.log.tail import LOCK, UNPLACED, Tip

if TYPE_CHECKING:
    from confluent_kafka import Producer
    from confluent_kafka.admin import AdminClient

ROLL_EVENTS = 1_000_000
"""An open epoch of so many is sealed by who reads it, should nobody else do so."""


class KafkaTail:
    """Appends to a topic, numbers what is in it, and reads it. Clients are made when needed."""

    is_over_kafka = True

    def __init__(self, directory: Path, source: str, place: KafkaPlace) -> None:
        self._directory = directory
        self._source = source
        self._place = place
        self._producer: Producer | None = None
        self._admin: AdminClient | None = None
        self._reader: TopicReader | None = None
        self._n_partitions = 0
        self._rows: tuple[int, EpochRows] | None = None

    def append(
        self, lines: Sequence[bytes], keys: Sequence[bytes], *, now_ms: int
    ) -> list[int] | None:
        """Send lines, acknowledged by every replica in sync when this returns.

        The broker says when they arrived; ``now_ms`` does not matter here.
        """
        if self._producer is None:
            self._producer = clients.new_producer(self._place)
        faults: list[Any] = []
        by_line: Sequence[bytes | None] = keys or [None] * len(lines)
        for line, key in zip(lines, by_line, strict=True):
            self._send(self._producer, line, key, faults)
        n_left = self._producer.flush(2 * clients.ANSWER_S)
        if n_left or faults:
            if any(fault.fatal() for fault in faults):
                self._producer = None  # it takes nothing any more
            raise clients.unanswered("sent events", faults[0] if faults else "no answer")
        return [UNPLACED] * len(lines)

    def seal(self, number: int, now_ms: int) -> Epoch | None:
        """Write down a last row, up to where the topic ends now; the caller holds the lock."""
        self._n_partitions = 0  # some may have been added
        rows = self._extended(number, self._ends(), now_ms)
        return self._sealed(number, rows, now_ms) if rows.count else None

    def records(self, number: int, behind: int) -> Iterator[Record]:
        """Records as far as they are numbered; `tip` and `waiting` number what has come."""
        return self._read(self._rows_of(number), behind + 1, None)

    def sealed_records(
        self, manifest: Epoch, start: int, partition: int | None
    ) -> Iterator[Record]:
        """Records of a sealed epoch from number ``start`` on; of one partition, if one is named.

        Raises
        ------
        IntegrityError
            If the epoch's rows are gone, or the topic no longer holds its events.
        """
        return self._read(self._rows_of(manifest.epoch), start, partition)

    def tip(self, number: int, now_ms: int) -> Tip:
        """Where the topic ends now; what nobody has numbered gets its numbers here."""
        ends = self._ends()
        if at_least(self._rows_of(number).ends, ends) != self._rows_of(number).ends:
            with exclusive_lock(self._directory / LOCK):
                self._number(number, ends, now_ms)
        return Tip(number, sum(ends), 0)

    def waiting(self, number: int, now_ms: int) -> Waiting | None:
        """Events behind the last sealed epoch, the oldest since somebody first saw them."""
        self.tip(number, now_ms)
        rows = self._rows_of(number)
        if rows.first_ms is None:
            return None
        return Waiting(rows.count, rows_path(self._directory, number).stat().st_size, rows.first_ms)

    def close(self) -> None:
        """Give back connections."""
        if self._reader is not None:
            self._reader.close()
        self._reader = self._producer = self._admin = None

    def _send(self, producer: Producer, line: bytes, key: bytes | None, faults: list[Any]) -> None:
        def told(error: Any, _message: Any) -> None:
            if error is not None:
                faults.append(error)

        with clients.as_dependency("sent events"):
            try:
                producer.produce(self._place.topic, line, key, on_delivery=told)
            except BufferError:  # the client's own queue is full: let it empty
                producer.flush(clients.ANSWER_S)
                producer.produce(self._place.topic, line, key, on_delivery=told)

    def _ends(self) -> Row:
        admin = self._connected()
        return clients.end_offsets(admin, self._place.topic, self._n_partitions)

    def _connected(self) -> AdminClient:
        """Client of a topic that is there; how many partitions it has is known then."""
        if self._admin is None:
            self._admin = clients.new_admin(self._place)
        if not self._n_partitions:
            self._n_partitions = clients.partitions_of(self._admin, self._place.topic)
        if not self._n_partitions:
            raise clients.unanswered("asked about a topic", f"no topic {self._place.topic}")
        return self._admin

    def _rows_of(self, number: int) -> EpochRows:
        if self._rows is None or self._rows[0] != number:
            self._rows = number, EpochRows(rows_path(self._directory, number))
        self._rows[1].refresh()
        return self._rows[1]

    def _extended(self, number: int, ends: Row, now_ms: int) -> EpochRows:
        """Rows of the open epoch, up to ``ends``; the lock is held."""
        rows = self._rows_of(number)
        if not rows.is_begun:
            start = self._start()
            if at_least(start, ends) == start:
                return rows
            rows.write(start, now_ms)
        rows.write(ends, now_ms)
        return rows

    def _number(self, number: int, ends: Row, now_ms: int) -> None:
        """Number what has come, unless the epoch was sealed meanwhile; the lock is held."""
        if epochs.manifest_path(self._directory, number).exists():
            return
        rows = self._extended(number, ends, now_ms)
        if rows.count >= ROLL_EVENTS:
            epochs.write_manifest(self._directory, self._sealed(number, rows, now_ms))

    def _start(self) -> Row:
        """Where the next epoch begins: where the last one ended, or with the topic."""
        admin = self._connected()
        kept = kept_end(self._directory)
        return kept or clients.first_offsets(admin, self._place.topic, self._n_partitions)

    def _sealed(self, number: int, rows: EpochRows, now_ms: int) -> Epoch:
        path = rows_path(self._directory, number)
        keep_end(self._directory, rows.ends)  # while rows are open, it is not read
        return Epoch(
            epoch=number,
            source=self._source,
            kind="events",
            format="kafka",
            files=(path.name,),
            sha256=digest_of_file(path),
            bytes=path.stat().st_size,
            rows=rows.count,
            partitions=len(rows.ends),
            sealed_at_ms=now_ms,
        )

    def _read(self, rows: EpochRows, start: int, partition: int | None) -> Iterator[Record]:
        if self._reader is None:
            self._reader = TopicReader(self._place)
        return self._reader.read(rows.stretches(start, partition))
