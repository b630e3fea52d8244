"""Shared storage of sealed segments: a folder, or a bucket of an object store.

A segment is put under its own name, ``<writer>-<number>.sealed``, and nothing in it ever
changes, so putting it twice is putting it once. A reader sees a whole segment or none.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from core.errors import DependencyError, NotReadyError
from stores.durable import sync_directory, write_durably
from stores.object_stores import as_dependency, object_store_at
from stores.records.ids import parse_segment_name

if TYPE_CHECKING:
    from obstore.store import ObjectStore

ASIDE = "damaged"


class Segment(NamedTuple):
    """A segment that is there: its name, its size, and when it was put there."""

    name: str
    bytes: int
    put_at_ms: int


class SegmentStore(Protocol):
    """Where segments are shared. Every verb raises DependencyError when storage fails."""

    def put(self, name: str, content: bytes) -> None:
        """Keep a segment, whole and for good."""
        ...

    def put_file(self, path: Path) -> None:
        """Keep a sealed segment of this machine, under the name it has here."""
        ...

    def waiting(self) -> list[Segment]:
        """Segments that are there, in order of names; other files are passed over."""
        ...

    def read(self, name: str) -> bytes:
        """Content of a segment; NotReadyError when it is not there."""
        ...

    def remove(self, name: str) -> None:
        """Forget a segment; nothing happens when it is not there."""
        ...

    def set_aside(self, name: str) -> None:
        """Move a damaged segment out of the way; it is kept."""
        ...

    def aside(self) -> list[str]:
        """Names of the segments that were set aside, in order."""
        ...


def open_segments(uri: str) -> SegmentStore:
    """Store at a path, or at the URL of an object store (``s3://bucket/prefix``).

    Credentials and the endpoint of an object store come from where its own tools take them
    (``AWS_ACCESS_KEY_ID``, ``AWS_ENDPOINT_URL``, an instance's role).

    Raises
    ------
    ConfigurationError
        If the URL is of no store that can be opened.
    """
    if "://" not in uri:
        return FolderSegments(Path(uri))
    if uri.startswith("file://"):
        return FolderSegments(Path(uri.removeprefix("file://")))
    return ObjectSegments.at(uri)


class FolderSegments:
    """Segments in a folder, which may be one that several machines mount."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def put(self, name: str, content: bytes) -> None:
        """Keep a segment: on the disk under another name, then under its own."""
        with as_dependency(_failed, "written"):
            self._directory.mkdir(parents=True, exist_ok=True)
            write_durably(self._directory / name, content, mode=0o600)

    def put_file(self, path: Path) -> None:
        """Keep a segment: by another name of the same file where both lie on one disk.

        Nothing is copied then. Who writes a segment anew (`stores.erasing.records`) makes a new
        file, so neither name changes what the other shows.
        """
        there = self._directory / path.name
        with as_dependency(_failed, "written"):
            self._directory.mkdir(parents=True, exist_ok=True)
            try:
                os.link(path, there)
            except OSError:  # another disk, one that knows no links, or a segment put before
                if not (there.exists() and there.samefile(path)):
                    write_durably(there, path.read_bytes(), mode=0o600)
            sync_directory(self._directory)

    def waiting(self) -> list[Segment]:
        """Segments that are there, in order of names."""
        with as_dependency(_failed, "listed"):
            if not self._directory.is_dir():
                return []
            return sorted(self._found())

    def _found(self) -> Iterator[Segment]:
        with os.scandir(self._directory) as entries:
            for entry in entries:
                if parse_segment_name(entry.name) is not None:
                    facts = entry.stat()
                    yield Segment(entry.name, facts.st_size, facts.st_mtime_ns // 1_000_000)

    def set_aside(self, name: str) -> None:
        """Move a damaged segment to the folder beside."""
        with as_dependency(_failed, "set aside"):
            (self._directory / ASIDE).mkdir(exist_ok=True)
            (self._directory / name).rename(self._directory / ASIDE / name)

    def aside(self) -> list[str]:
        """Names of the segments that were set aside."""
        return [segment.name for segment in FolderSegments(self._directory / ASIDE).waiting()]

    def read(self, name: str) -> bytes:
        """Content of a segment."""
        try:
            with as_dependency(_failed, "read", may_miss=True):
                return (self._directory / name).read_bytes()
        except FileNotFoundError:
            raise _not_there(name) from None

    def remove(self, name: str) -> None:
        """Forget a segment."""
        with as_dependency(_failed, "removed"):
            (self._directory / name).unlink(missing_ok=True)


class ObjectSegments:
    """Segments below one prefix of an object store."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    @classmethod
    def at(cls, url: str) -> ObjectSegments:
        """Store at a URL."""
        return cls(object_store_at(url, named="the lake's address", code="bad_lake"))

    def put(self, name: str, content: bytes) -> None:
        """Keep a segment: object stores show an object when it is whole."""
        with as_dependency(_failed, "written"):
            self._store.put(name, content)

    def put_file(self, path: Path) -> None:
        """Keep a segment: object stores show an object when it is whole."""
        with as_dependency(_failed, "written"):
            self._store.put(path.name, path)

    def waiting(self) -> list[Segment]:
        """Segments that are there, in order of names."""
        with as_dependency(_failed, "listed"):
            found = [entry for page in self._store.list() for entry in page]
        return sorted(
            Segment(entry["path"], entry["size"], int(entry["last_modified"].timestamp() * 1_000))
            for entry in found
            if parse_segment_name(entry["path"]) is not None
        )

    def read(self, name: str) -> bytes:
        """Content of a segment."""
        try:
            with as_dependency(_failed, "read", may_miss=True):
                return bytes(self._store.get(name).bytes())
        except FileNotFoundError:
            raise _not_there(name) from None

    def remove(self, name: str) -> None:
        """Forget a segment."""
        try:
            with as_dependency(_failed, "removed", may_miss=True):
                self._store.delete(name)
        except FileNotFoundError:
            return

    def set_aside(self, name: str) -> None:
        """Copy a damaged segment beside, then forget it here."""
        with as_dependency(_failed, "set aside"):
            self._store.copy(name, f"{ASIDE}/{name}")
        self.remove(name)

    def aside(self) -> list[str]:
        """Names of the segments that were set aside."""
        prefix = f"{ASIDE}/"
        with as_dependency(_failed, "listed"):
            found = [entry["path"] for page in self._store.list(ASIDE) for entry in page]
        return sorted(path.removeprefix(prefix) for path in found if path.startswith(prefix))


def _failed(verb: str, found: str) -> DependencyError:
    return DependencyError(
        f"a segment of prediction records cannot be {verb} in shared storage",
        found=found,
        remedy="see that the storage can be reached and written; segments wait meanwhile",
        code="segments_unreachable",
    )


def _not_there(name: str) -> NotReadyError:
    return NotReadyError(
        "a segment of prediction records is not in shared storage",
        found=f"no {name}",
        remedy="look in the table of predictions, where it goes from there",
        code="unknown_segment",
    )
