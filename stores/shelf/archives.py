"""Archived releases: a paper beside the bundle that says so. Such a release is kept, not served.

Its bundle stays for replays until its retention is over. Nothing else has to be believed: where the
paper stands, the controller refuses, whoever wrote it.
"""

from __future__ import annotations

from pydantic import Field

from core.audit.records import Entry
from core.errors import InvalidInputError, NotReadyError
from core.features.plan import Frozen
from stores.audit.log import AuditLog
from stores.durable import sync_directory, write_durably
from stores.shelf.channels import document_bytes, read_document
from stores.shelf.shelf import Shelf

PAPER = "archived.json"


class Archived(Frozen):
    """Content of ``archived.json``."""

    use_case: str
    release: int
    who: str = Field(min_length=1, max_length=200)
    because: str = Field(min_length=1, max_length=2_000)
    at_ms: int


def archived(shelf: Shelf, use_case: str, release: int) -> Archived | None:
    """What says that a release is archived; None when nothing does."""
    path = shelf.release_folder(use_case, release) / PAPER
    return read_document(path, Archived) if path.exists() else None


def refuse_archived(shelf: Shelf, use_case: str, release: int) -> None:
    """Refuse to serve a release that is archived.

    Raises
    ------
    InvalidInputError
        If it is.
    """
    paper = archived(shelf, use_case, release)
    if paper is not None:
        raise InvalidInputError(
            f"release {release} of {use_case} is archived",
            found=paper.because,
            remedy=f"name another, or `throughline releases restore {use_case} {release}` first",
            code="archived",
        )


def archive(shelf: Shelf, paper: Archived) -> None:
    """Put the paper down; audited first."""
    folder = shelf.bundle(paper.use_case, paper.release).parent
    about = {"use_case": paper.use_case, "release": paper.release}
    entry = Entry(
        at_ms=paper.at_ms, what="release_archived", who=paper.who, why=paper.because, about=about
    )
    AuditLog.beside(shelf.root, is_signing=True).append([entry])
    write_durably(folder / PAPER, document_bytes(paper))


def restore(shelf: Shelf, use_case: str, release: int, *, who: str, why: str, at_ms: int) -> None:
    """Take the paper away, so that the release may serve again; audited first.

    Raises
    ------
    NotReadyError
        If it is not archived.
    """
    if archived(shelf, use_case, release) is None:
        raise NotReadyError(
            f"release {release} of {use_case} is not archived",
            remedy=f"`throughline releases list {use_case}`",
            code="not_archived",
        )
    about = {"use_case": use_case, "release": release}
    entry = Entry(at_ms=at_ms, what="release_restored", who=who, why=why, about=about)
    AuditLog.beside(shelf.root, is_signing=True).append([entry])
    folder = shelf.release_folder(use_case, release)
    (folder / PAPER).unlink()
    sync_directory(folder)
