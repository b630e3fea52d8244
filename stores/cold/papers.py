"""Papers of what was moved to the cold tier, and how its copies are read and compared."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from pydantic import Field

from core.errors import IntegrityError
from core.features.plan import Frozen
from stores.cold.places import ColdPlace, digest_under


class ColdFile(Frozen):
    """One file that was moved. ``path`` is relative to the home, ``key`` to the cold tier."""

    path: str
    key: str
    sha256: str
    bytes: int
    mtime_ns: int
    mode: int


class ColdPaper(Frozen):
    """What was moved, from where, where to, when and why.

    Attributes
    ----------
    paper_id
        Tells it from others; says nothing of what it holds.
    target, name
        What retention calls it: ``landing/payments``, the file; ``bundles/fraud``, the release.
    place
        Folder or URL that the keys are below. What the settings name later changes nothing.
    born_ms
        Instant from which its period counts, here and there.
    is_whole
        Whether the copies were read again and are what was here.
    here_until_ms
        Until when files that were brought back stay here; None when they are not here.
    """

    paper_id: str = Field(pattern=r"^[0-9a-f]{32}$")
    target: str
    name: str
    place: str
    files: tuple[ColdFile, ...]
    born_ms: int
    moved_at_ms: int
    why: str
    is_whole: bool = False
    here_until_ms: int | None = None

    @property
    def bytes(self) -> int:
        """What its files take."""
        return sum(file.bytes for file in self.files)

    @property
    def prefix(self) -> str:
        """What all its keys begin with."""
        return self.files[0].key.rpartition("/")[0]


def fetch(place: ColdPlace, file: ColdFile, to: Path) -> Path:
    """Copy from the cold tier what is found to have its digest, durable, with its time."""
    digest = hashlib.sha256()
    with to.open("wb") as copy:
        for chunk in place.chunks(file.key):
            digest.update(chunk)
            copy.write(chunk)
        copy.flush()
        os.fsync(copy.fileno())
    if digest.hexdigest() != file.sha256:
        to.unlink()
        raise _differs(file)
    to.chmod(file.mode)
    os.utime(to, ns=(file.mtime_ns, file.mtime_ns))
    return to


def verify(place: ColdPlace, paper: ColdPaper) -> None:
    """Compare every copy with what was here; IntegrityError when one differs."""
    for file in paper.files:
        if digest_under(place, file.key) != file.sha256:
            raise _differs(file)


def _differs(file: ColdFile) -> IntegrityError:
    return IntegrityError(
        "a copy in the cold tier is not what was moved there",
        found=f"another digest under {file.key}",
        remedy="put it back from a copy of the cold tier; what is still here is left alone",
        code="cold_differs",
    )
