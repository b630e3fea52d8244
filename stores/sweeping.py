"""Files whose period is over: what there is of them, and how each is removed.

Every removal may be killed anywhere and done again. What says that a thing is there goes
first (a manifest, a folder's name), so nobody finds a thing half gone.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from core.retention import Piece
from stores.durable import sync_directory
from stores.log.epoch_records import digest_of_file
from stores.log.epochs import manifest_path, read_manifest, sealed_numbers
from stores.log.kafka.leaving import cut_topic
from stores.log.source_log import SourceLog
from stores.records.ids import parse_segment_name
from stores.shelf.bundle import read_manifest as read_bundle_manifest
from stores.shelf.bundle import verify_bundle

RETIRED = ".retired"
NEWEST = "the newest, by which the next is numbered"
NEVER_LANDED = "was never taken into the log"
WAITING = "not yet in the table of predictions"
IN_USE = "a release in a channel, or one to go back to, was made of it"
LAST = "the newest"


def epoch_pieces(log: SourceLog, *, ingested: int, covered: int, uncovered_by: str) -> list[Piece]:
    """Sealed epochs of a log; the last one, and those that somebody has yet to read, are needed.

    Parameters
    ----------
    log
        The log.
    ingested
        Last epoch that the table holds.
    covered
        Last epoch that the base of every online view holds.
    uncovered_by
        What to say of a later one.
    """
    found = log.epochs()
    last = found[-1].epoch if found else 0

    def needed(number: int) -> str:
        if number > ingested:
            return "not ingested yet"
        if number > covered:
            return uncovered_by
        return NEWEST if number == last else ""

    return [
        Piece(str(e.epoch), e.sealed_at_ms, e.bytes, e.rows or 0, needed(e.epoch)) for e in found
    ]


def remove_epochs(directory: Path, names: Iterable[str]) -> None:
    """Remove sealed epochs, manifest first: an epoch without one was never there.

    What a topic then holds before the first that is left is deleted there, too.
    """
    for name in names:
        path = manifest_path(directory, int(name))
        files = read_manifest(directory, int(name)).files if path.exists() else ()
        path.unlink(missing_ok=True)
        sync_directory(directory)
        for file in files:
            (directory / file).unlink(missing_ok=True)
    _remove_orphans(directory)
    cut_topic(directory)


def _remove_orphans(directory: Path) -> None:
    """Data of epochs below the last sealed one that have no manifest: of a sweep that died."""
    numbers = set(sealed_numbers(directory))
    for path in directory.glob("[0-9]*"):
        digits = path.name[:10]
        is_data = digits.isdigit() and path.suffix != ".json"
        if is_data and int(digits) not in numbers and int(digits) < max(numbers, default=0):
            path.unlink(missing_ok=True)


def landing_pieces(
    directory: Path,
    log: SourceLog,
    *,
    older_than_ms: int,
    cold_after_ms: int | None = None,
    moved: Collection[Path] = (),
) -> list[Piece]:
    """Files put down to be landed; one that no epoch holds is needed, and stays here.

    Only files put down before ``older_than_ms`` are looked into. Those that were landed go to the
    cold tier after ``cold_after_ms``, but for those that were ``moved`` and brought back.
    """
    landed = {epoch.sha256 for epoch in log.epochs()}
    pieces = []
    for path in sorted(directory.rglob("*")) if directory.is_dir() else ():
        if not path.is_file():
            continue
        facts = path.stat()
        put_ms = facts.st_mtime_ns // 1_000_000
        is_kept = put_ms < older_than_ms and digest_of_file(path) not in landed
        name = str(path.relative_to(directory))
        needed = NEVER_LANDED if is_kept else ""
        is_moving = cold_after_ms is not None and not needed and path not in moved
        cold_from_ms = put_ms + (cold_after_ms or 0) if is_moving else None
        pieces.append(Piece(name, put_ms, facts.st_size, 0, needed, cold_from_ms))
    return pieces


def segment_pieces(directory: Path, waiting: Collection[str], folder: str) -> list[Piece]:
    """Segments in a folder (``shipped`` ones, those set aside); one that waits is needed."""
    place = directory / folder
    found = sorted(place.glob("*.sealed")) if place.is_dir() else []
    pieces = []
    for path in found:
        if parse_segment_name(path.name) is not None:
            facts = path.stat()
            needed = WAITING if path.name in waiting else ""
            born_ms = facts.st_mtime_ns // 1_000_000
            pieces.append(Piece(path.name, born_ms, facts.st_size, 0, needed))
    return pieces


def remove_files(directory: Path, names: Iterable[str]) -> None:
    """Remove files below a folder."""
    for name in names:
        (directory / name).unlink(missing_ok=True)


def bundle_pieces(
    releases: Path,
    needed: Callable[[int], str],
    cold_from_ms: Callable[[int], int | None] = lambda _: None,
) -> list[Piece]:
    """Bundles on the shelf of one use case, by number; ``releases`` is its folder."""
    pieces = []
    for path in sorted(releases.glob("[1-9]*/bundle")):
        number = int(path.parent.name)
        born_ms = (path / "manifest.json").stat().st_mtime_ns // 1_000_000
        n_bytes = sum(file.stat().st_size for file in path.iterdir())
        cold_ms = cold_from_ms(number)
        pieces.append(Piece(str(number), born_ms, n_bytes, 0, needed(number), cold_ms))
    return pieces


def files_of_bundle(bundle: Path) -> list[Path]:
    """Files of a bundle that its manifest names; the manifest itself stays on the shelf.

    Raises
    ------
    IntegrityError
        If they are not what was built: what is damaged is not moved.
    """
    manifest = read_bundle_manifest(bundle)
    verify_bundle(bundle, manifest)
    return [bundle / name for name in manifest.files]


def remove_bundles(releases: Path, names: Iterable[str]) -> None:
    """Take bundles off the shelf; their papers stay, and so do their numbers."""
    for name in names:
        folder = releases / name
        if (folder / "bundle").exists():
            (folder / "bundle").rename(folder / RETIRED)
            sync_directory(folder)
    for left in releases.glob(f"[1-9]*/{RETIRED}"):
        shutil.rmtree(left)


def folder_pieces(directory: Path, needed: Collection[str]) -> list[Piece]:
    """Folders made once, from their newest file on; the newest folder is needed, too."""
    found = []
    for path in sorted(directory.glob("[!.]*/")):
        facts = [file.stat() for file in path.rglob("*") if file.is_file()]
        born_ms = max((each.st_mtime_ns for each in facts), default=0) // 1_000_000
        found.append(Piece(path.name, born_ms, sum(each.st_size for each in facts)))
    newest = max(found, key=lambda piece: piece.born_ms, default=None)
    return [
        piece._replace(needed=IN_USE if piece.name in needed else LAST if piece is newest else "")
        for piece in found
    ]


def remove_folders(directory: Path, names: Iterable[str]) -> None:
    """Remove folders whole: renamed first, so that nobody finds a part of one."""
    for name in names:
        if (directory / name).exists():
            (directory / name).rename(directory / f"{RETIRED}-{name}")
            sync_directory(directory)
    for left in directory.glob(f"{RETIRED}-*"):
        shutil.rmtree(left)
