"""Files below a folder, or objects below an address: listed, searched, written and removed alike.

A search opens what it reads as a file, so an object is fetched into a scratch folder first, one at
a time, and gone from there with its search.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Protocol

from core.errors import DependencyError
from stores.durable import sync_directory
from stores.erasing.scanning import Needles, Sighting, scan_file, scan_tree
from stores.object_stores import as_dependency, object_store_at

if TYPE_CHECKING:
    from obstore.store import ObjectStore

Scratch = Callable[[], AbstractContextManager[Path]]
"""Makes a folder of its own that goes with the block."""

_CHUNK_BYTES = 8 * 2**20


class Tree(Protocol):
    """Files by their relative names. Every verb raises DependencyError when storage fails."""

    def names(self) -> list[str]:
        """Names of all files, in order."""
        ...

    def sightings(self, needles: Needles, below: str = "") -> list[Sighting]:
        """Where somebody stands, each place the name of a file, below a part of the tree."""
        ...

    def remove(self, names: list[str]) -> None:
        """Remove files; one that is not there is passed over."""
        ...


class FolderTree:
    """Files below a folder of this machine."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def names(self) -> list[str]:
        """Names of all files."""
        files = (path for path in self._root.rglob("*") if path.is_file())
        return sorted(str(path.relative_to(self._root)) for path in files)

    def sightings(self, needles: Needles, below: str = "") -> list[Sighting]:
        """Where somebody stands."""
        found = scan_tree(self._root / below, needles)
        return [each._replace(place=str(Path(below) / each.place)) for each in found]

    def remove(self, names: list[str]) -> None:
        """Remove files."""
        for name in names:
            (self._root / name).unlink(missing_ok=True)
        for folder in {(self._root / name).parent for name in names}:
            sync_directory(folder)


class ObjectTree:
    """Objects below the address of an object store (``s3://bucket/prefix``).

    Parameters
    ----------
    uri
        Where the tree begins.
    scratch
        Where an object lies while it is searched or changed.

    Raises
    ------
    ConfigurationError
        If the address is of no store that can be opened.
    """

    def __init__(self, uri: str, scratch: Scratch) -> None:
        self.uri = uri.rstrip("/")
        self._scratch = scratch
        self._store: ObjectStore = object_store_at(
            self.uri, named="the lake's address", code="bad_lake"
        )

    def below(self, part: str) -> ObjectTree:
        """The tree that begins further down."""
        return ObjectTree(f"{self.uri}/{part}", self._scratch)

    def names(self) -> list[str]:
        """Names of all objects."""
        with as_dependency(_failed, "listed"):
            return sorted(entry["path"] for page in self._store.list() for entry in page)

    def sightings(self, needles: Needles, below: str = "") -> list[Sighting]:
        """Where somebody stands."""
        found: list[Sighting] = []
        for name in self.names():
            if not below or name.startswith(f"{below}/"):
                found += self.sightings_in(name, needles)
        return found

    def sightings_in(self, name: str, needles: Needles) -> list[Sighting]:
        """Where somebody stands in one object and its name; nowhere if it went meanwhile."""
        with self._scratch() as folder:
            copy = self._fetched(name, folder)
            return [] if copy is None else scan_file(copy, name, needles)

    def change(self, name: str, change: Callable[[Path], int]) -> int:
        """Let a copy of an object be changed, or renamed; put back where that says it was.

        Returns what ``change`` does: in how many places. Under another name the new one is there
        before the old one goes.
        """
        with self._scratch() as folder:
            copy = self._fetched(name, folder)
            n_changed = 0 if copy is None else change(copy)
            if n_changed:
                for path in folder.iterdir():
                    renamed = str(PurePosixPath(name).with_name(path.name))
                    with as_dependency(_failed, "written"):
                        self._store.put(renamed, path)
                    if renamed != name:
                        self.remove([name])
        return n_changed

    def remove(self, names: list[str]) -> None:
        """Remove objects."""
        for name in names:
            try:
                with as_dependency(_failed, "removed", may_miss=True):
                    self._store.delete(name)
            except FileNotFoundError:
                continue

    def _fetched(self, name: str, folder: Path) -> Path | None:
        """Copy of an object, read by ranges, so that none is held whole; None if it went.

        It keeps the object's own name, by which it is known for what it is.
        """
        copy = folder / name.rpartition("/")[2]
        try:
            with as_dependency(_failed, "read", may_miss=True), copy.open("wb") as file:
                size = self._store.head(name)["size"]
                for start in range(0, size, _CHUNK_BYTES):
                    end = min(start + _CHUNK_BYTES, size)
                    file.write(bytes(self._store.get_range(name, start=start, end=end)))
        except FileNotFoundError:
            return None
        return copy


def _failed(verb: str, found: str) -> DependencyError:
    return DependencyError(
        f"something cannot be {verb} in the lake's object store",
        found=found,
        remedy="see that the store can be reached and written, then do it again",
        code="lake_unreachable",
    )
