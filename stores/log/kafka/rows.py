"""Rows of end offsets: what turns the partitions of a topic into one log with one order.

A topic has an order within each partition only. Whoever reads the open epoch first writes
down how far he reads: a row with the end offset of every partition. The events of an epoch
are numbered row by row, within a row partition by partition, within a partition by offset.
So a number, once given, never changes; everybody numbers alike, whatever he reads; and
events of one key, which share a partition, keep their order.

One file an epoch, ``<n>.rows``: a line ``<written_at_ms> TAB <end offsets>`` a row. The
first line holds where the epoch starts.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from core.errors import IntegrityError
from stores.durable import sync_directory, write_durably
from stores.log.open_epoch import append_lines

ENDS_FILE = "kafka.ends"
Row = tuple[int, ...]
"""For each partition the offset behind the last event that counts."""


class Stretch(NamedTuple):
    """Events of one partition with ``first <= offset < end``, numbered from ``number`` on."""

    partition: int
    first: int
    end: int
    number: int


def at_least(row: Row, other: Row) -> Row:
    """The later offset of each partition; a partition that one row lacks is the other's.

    Examples
    --------
    >>> at_least((5, 2), (4, 3, 1))
    (5, 3, 1)
    """
    longest = max(len(row), len(other))
    padded = [(*each, *(0,) * (longest - len(each))) for each in (row, other)]
    return tuple(max(pair) for pair in zip(*padded, strict=True))


def rows_path(directory: Path, epoch: int) -> Path:
    """File with the rows of an epoch; it keeps its name when the epoch is sealed."""
    return directory / f"{epoch:010d}.rows"


def keep_end(directory: Path, row: Row) -> None:
    """Say where the last sealed epoch ends, so that the next begins there and nowhere else."""
    write_durably(directory / ENDS_FILE, " ".join(map(str, row)).encode())


def kept_end(directory: Path) -> Row:
    """Where the last sealed epoch ends; empty where none was sealed."""
    try:
        text = (directory / ENDS_FILE).read_text(encoding="ascii")
    except FileNotFoundError:
        return ()
    return tuple(int(each) for each in text.split())


class EpochRows:
    """Rows of one epoch. Reads what others write; one at a time writes, under the log's lock.

    Attributes
    ----------
    starts, ends
        Where the epoch starts, and its last row; empty where nothing is written.
    count
        Events of all rows.
    first_ms
        When the first row that holds events was written; None where none does.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read_bytes = 0
        self._stretches: list[Stretch] = []
        self.starts: Row = ()
        self.ends: Row = ()
        self.count = 0
        self.first_ms: int | None = None

    @property
    def is_begun(self) -> bool:
        """Whether the file says where the epoch starts."""
        return bool(self.ends)

    def refresh(self) -> None:
        """Take in what was written since; a last line that is not whole is left.

        Raises
        ------
        IntegrityError
            If a line is no row, or goes back.
        """
        try:
            with self._path.open("rb") as file:
                file.seek(self._read_bytes)
                whole, newline, _ = file.read().rpartition(b"\n")
        except FileNotFoundError:
            return
        if newline:
            self._read_bytes += len(whole) + 1
            for line in whole.split(b"\n"):
                self._take(line)

    def write(self, ends: Row, now_ms: int) -> None:
        """Write a row, on the disk for good when this returns; one that adds nothing is not."""
        if self.is_begun and at_least(self.ends, ends) == self.ends:
            return
        line = b"%d\t%s\n" % (now_ms, " ".join(map(str, at_least(self.ends, ends))).encode())
        descriptor, _ = append_lines(self._path, [line])
        try:
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)
        if not self.is_begun:
            sync_directory(self._path.parent)
        self.refresh()

    def stretches(self, start: int = 0, partition: int | None = None) -> Iterator[Stretch]:
        """What is numbered ``start`` and later, in order; of one partition where one is named."""
        place = max(0, bisect_right(self._stretches, start, key=lambda each: each.number) - 1)
        for stretch in self._stretches[place:]:
            passed = max(0, start - stretch.number)
            first = stretch.first + passed
            if first < stretch.end and partition in (None, stretch.partition):
                yield stretch._replace(first=first, number=stretch.number + passed)

    def _take(self, line: bytes) -> None:
        at, _, offsets = line.partition(b"\t")
        try:
            at_ms, row = int(at), tuple(int(each) for each in offsets.split())
        except ValueError:
            row = ()
        if not row or at_least(self.ends, row) != row:
            raise IntegrityError(
                "the offsets of an epoch cannot be read",
                found=f"a line that is no later row, in {self._path.name}",
                remedy="restore the log's folder from a backup",
                code="log_damaged",
            )
        if self.is_begun:
            before = (*self.ends, *(0,) * (len(row) - len(self.ends)))
            for partition, (first, end) in enumerate(zip(before, row, strict=True)):
                if end > first:
                    self._stretches.append(Stretch(partition, first, end, self.count))
                    self.count += end - first
            if self.first_ms is None:
                self.first_ms = at_ms
        else:
            self.starts = row
        self.ends = row
