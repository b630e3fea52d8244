"""One writer a table: a lock file beside it, where it lies on this machine."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def local_path(uri: str) -> Path | None:
    """Path of a table on this machine; None for an object store."""
    if uri.startswith("file:"):
        return Path("/" + uri.removeprefix("file:").lstrip("/"))
    return None if "://" in uri else Path(uri)


@contextmanager
def table_lock(uri: str) -> Iterator[None]:
    """Hold the table's one lock: a file beside a local table; released when we die.

    On an object store it does nothing: there the orchestrator's pool of size one per table
    keeps writers apart, and the commit's number refuses the second of two.
    """
    path = local_path(uri)
    if path is None:
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with (path.parent / f".{path.name}.lock").open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
