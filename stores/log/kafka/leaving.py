"""Events that leave a topic: deleted with their epochs, or put into files that can be changed.

A topic cannot lose an event in its middle. So of somebody who is to be forgotten, the epochs up
to the last that names them are copied into files, each event under its number, and the topic
forgets everything before it. Killed anywhere and run again, it ends the same: an epoch is in its
file, whole, before its manifest says so, and the topic is cut last.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

from stores.durable import sync_directory
from stores.log import epochs
from stores.log.epochs import Epoch, read_manifest, sealed_numbers, write_manifest
from stores.log.kafka.clients import delete_before, new_admin
from stores.log.kafka.place import place_of
from stores.log.kafka.reading import TopicReader
from stores.log.kafka.rows import EpochRows, Row, kept_end, rows_path
from stores.log.kafka.topics import check_topic

Line = tuple[int, int, bytes]
"""Number of an event, when it arrived, and what it says."""


def copy_out(directory: Path, is_theirs: Callable[[bytes], bool]) -> None:
    """Copy sealed epochs into files up to the last with an event of somebody; who calls locks.

    Raises
    ------
    IntegrityError
        If the topic no longer holds them.
    DependencyError
        If the brokers do not give them.
    """
    place = place_of(directory)
    if place is None:
        return
    over = [epoch for epoch in _sealed(directory) if epoch.format == "kafka"]
    with closing(TopicReader(place)) as reader:
        theirs = [each.epoch for each in over if _holds(reader, directory, each, is_theirs)]
        for epoch in over:
            if epoch.epoch <= max(theirs, default=0):
                _copy(reader, directory, epoch)


def cut_topic(directory: Path) -> None:
    """Let brokers forget every event before the first epoch that is read from the topic.

    Raises
    ------
    ConfigurationError
        If the topic was set up so that it loses others, too.
    DependencyError
        If the brokers do not do it.
    """
    place = place_of(directory)
    if place is None:
        return
    admin, first = new_admin(place), _first_needed(directory)
    check_topic(admin, place)
    if first:
        delete_before(admin, place.topic, first)


def _first_needed(directory: Path) -> Row:
    """Where the oldest epoch over Kafka begins, or the next one will."""
    over = [each.epoch for each in _sealed(directory) if each.format == "kafka"]
    number = min(over, default=max(sealed_numbers(directory), default=0) + 1)
    rows = _rows(directory, number)
    return rows.starts if rows.is_begun else kept_end(directory)


def _holds(
    reader: TopicReader, directory: Path, epoch: Epoch, is_theirs: Callable[[bytes], bool]
) -> bool:
    return any(is_theirs(text) for _, _, text in _lines(reader, directory, epoch))


def _copy(reader: TopicReader, directory: Path, epoch: Epoch) -> None:
    path = epochs.numbered_path(directory, epoch.epoch)
    digest, size = hashlib.sha256(), 0
    with path.open("wb") as file:
        for number, at_ms, text in _lines(reader, directory, epoch):
            line = b"%d\t%d\t%s\n" % (number, at_ms, text.replace(b"\n", b" "))
            digest.update(line)
            size += file.write(line)
        file.flush()
        os.fsync(file.fileno())
    sync_directory(directory)
    said = {"format": "numbered", "files": (path.name,), "bytes": size, "partitions": 1}
    said |= {"sha256": digest.hexdigest()}
    write_manifest(directory, epoch.model_copy(update=said))
    rows_path(directory, epoch.epoch).unlink()


def _lines(reader: TopicReader, directory: Path, epoch: Epoch) -> Iterator[Line]:
    return reader.lines(_rows(directory, epoch.epoch).stretches())


def _rows(directory: Path, number: int) -> EpochRows:
    rows = EpochRows(rows_path(directory, number))
    rows.refresh()
    return rows


def _sealed(directory: Path) -> list[Epoch]:
    return [read_manifest(directory, number) for number in sealed_numbers(directory)]
