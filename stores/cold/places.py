"""Where the cold tier keeps bytes: a folder, or a bucket of an object store.

A key is a relative path whose last part is the digest of what it holds, so what is put twice
is put once. Every verb raises DependencyError when the place cannot be reached.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from core.errors import DependencyError, IntegrityError
from stores.durable import sync_directory
from stores.object_stores import as_dependency, object_store_at

if TYPE_CHECKING:
    from obstore.store import ObjectStore

_CHUNK_BYTES = 8 * 2**20


class ColdPlace(Protocol):
    """Bytes under keys."""

    def put(self, key: str, path: Path) -> None:
        """Keep a copy of a file, whole and durable when this returns."""
        ...

    def chunks(self, key: str) -> Iterator[bytes]:
        """Content under a key, a piece at a time; IntegrityError when there is none."""
        ...

    def keys(self, prefix: str) -> list[str]:
        """Keys below a prefix, which is a whole part of a path, in order."""
        ...

    def remove(self, key: str) -> None:
        """Forget a key; nothing happens when it is not there."""
        ...


def open_cold(uri: str) -> ColdPlace:
    """Place at a folder, or at the URL of an object store (``s3://bucket/prefix``).

    Raises
    ------
    ConfigurationError
        If the URL is of no store that can be opened.
    """
    if uri.startswith("file://") or "://" not in uri:
        return FolderPlace(Path(uri.removeprefix("file://")))
    return ObjectPlace(object_store_at(uri, named="the cold tier's address", code="bad_cold_tier"))


def digest_under(place: ColdPlace, key: str) -> str:
    """SHA-256 of what a key holds, read now."""
    digest = hashlib.sha256()
    for chunk in place.chunks(key):
        digest.update(chunk)
    return digest.hexdigest()


class FolderPlace:
    """A folder, best on another disk. It must be there: one that is not mounted is not empty."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, key: str, path: Path) -> None:
        """Copy a file: on the disk under another name, then under its own."""
        with self._reached("written"):
            target = self._root / key
            _make_folders(self._root, target.parent)
            draft = target.with_name(f".{target.name}.tmp")
            with path.open("rb") as source:
                descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
                with os.fdopen(descriptor, "wb") as copy:
                    while chunk := source.read(_CHUNK_BYTES):
                        copy.write(chunk)
                    copy.flush()
                    os.fsync(copy.fileno())
            draft.replace(target)
            sync_directory(target.parent)

    def chunks(self, key: str) -> Iterator[bytes]:
        """Content under a key."""
        with self._reached("read"):
            if not (self._root / key).is_file():
                raise _missing(key)
            with (self._root / key).open("rb") as file:
                while chunk := file.read(_CHUNK_BYTES):
                    yield chunk

    def keys(self, prefix: str) -> list[str]:
        """Keys below a prefix, those of copies that were cut short, too."""
        with self._reached("listed"):
            found = (path for path in (self._root / prefix).rglob("*") if path.is_file())
            return sorted(str(path.relative_to(self._root)) for path in found)

    def remove(self, key: str) -> None:
        """Forget a key, and the folder that it leaves empty."""
        with self._reached("removed"):
            path = self._root / key
            if path.exists():
                path.unlink()
                sync_directory(path.parent)
            if path.parent.is_dir() and not any(path.parent.iterdir()):
                path.parent.rmdir()

    @contextmanager
    def _reached(self, verb: str) -> Iterator[None]:
        if not self._root.is_dir():
            raise _failed(verb, f"no folder at {self._root}")
        try:
            yield
        except OSError as error:
            raise _failed(verb, error.strerror or type(error).__name__) from error


class ObjectPlace:
    """Objects below one prefix of a bucket."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def put(self, key: str, path: Path) -> None:
        """Keep a file: object stores show an object when it is whole."""
        with as_dependency(_failed, "written"):
            self._store.put(key, path)

    def chunks(self, key: str) -> Iterator[bytes]:
        """Content under a key, by ranges: no request takes longer for a large one."""
        with as_dependency(_failed, "read"):
            try:
                size = self._store.head(key)["size"]
            except FileNotFoundError:
                raise _missing(key) from None
            for start in range(0, size, _CHUNK_BYTES):
                end = min(start + _CHUNK_BYTES, size)
                yield bytes(self._store.get_range(key, start=start, end=end))

    def keys(self, prefix: str) -> list[str]:
        """Keys below a prefix."""
        with as_dependency(_failed, "listed"):
            return sorted(e["path"] for page in self._store.list(prefix) for e in page)

    def remove(self, key: str) -> None:
        """Forget a key."""
        with as_dependency(_failed, "removed"):
            try:
                self._store.delete(key)
            except FileNotFoundError:
                return


def _make_folders(root: Path, folder: Path) -> None:
    """Folders from ``root`` down, readable by the owner only, durable each."""
    for part in reversed([folder, *folder.parents]):
        if part.is_relative_to(root) and not part.is_dir():
            part.mkdir(mode=0o700, exist_ok=True)
            sync_directory(part.parent)


def _failed(verb: str, found: str) -> DependencyError:
    return DependencyError(
        f"something cannot be {verb} in the cold tier",
        found=found,
        remedy="mount the folder or mend the store, then do it again; nothing was lost",
        code="cold_tier_unreachable",
    )


def _missing(key: str) -> IntegrityError:
    return IntegrityError(
        "something that was moved to the cold tier is not there",
        found=f"nothing under {key}",
        remedy="put it back from a copy of the cold tier",
        code="cold_missing",
    )
