"""A copy of a home, made while everything runs, that can be put back elsewhere.

A backup is a folder of plain files with a list of them (``backup.json``), each with its
digest. What is read first may be older than what is read last, so the order is that in which
a rerun mends the difference: tables before the logs that they are filled from, the channels
before the releases they name, databases through SQLite's own copy. A file that has not changed
since the backup before it is a hard link to it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Literal

from core.errors import IntegrityError, InvalidInputError, NotReadyError
from core.features.plan import Frozen
from stores.durable import exclusive_lock, sync_directory, write_durably
from stores.home_id import known_home_id
from stores.layout import Layout
from stores.moved_paths import name_root_anew
from stores.shelf.channels import document_bytes, read_document

LIST = "backup.json"
HOME, LAKE = "home", "lake"
_UNDER_WAY = ".under-way-"
_SQLITE = b"SQLite format 3\0"
_SIDECARS = ("-wal", "-shm", "-journal")
_SCRATCH = (("spark",), ("logs",), ("staging",), ("lake", "staging"))
_APPENDED = {"log", "records", "segments", "audit"}
_TRIES = 3
_BLOCK = 2**20


class Kept(Frozen):
    """One file of a backup."""

    size: int
    sha256: str
    mtime_ns: int
    mode: int


class Backup(Frozen):
    """Content of ``backup.json``. Paths begin with ``home/``, or ``lake/`` where it was apart."""

    format: Literal[1] = 1
    home_id: str
    root: str
    made_at_ms: int
    files: Mapping[str, Kept]

    @property
    def bytes(self) -> int:
        """What its files take, links counted as if they were files."""
        return sum(kept.size for kept in self.files.values())


@dataclass(frozen=True)
class Taken:
    """A backup that was made: where, and how many of its files are links to the one before."""

    path: Path
    backup: Backup
    linked: int


def backups_in(folder: Path) -> list[Path]:
    """Whole backups of a folder, oldest first."""
    return sorted(path.parent for path in folder.glob(f"[0-9]*/{LIST}"))


def take_backup(layout: Layout, folder: Path, *, at_ms: int) -> Taken:
    """Copy everything of a home into a new folder below ``folder``; other processes may work on.

    Lakes in an object store and servers (Redis, PostgreSQL, MLflow) are not copied.

    Raises
    ------
    NotReadyError
        If there is no home, or a table changed faster than it could be copied.
    InvalidInputError
        If the backup would lie within the home.
    """
    roots = roots_of(layout)
    if not layout.shelf.is_dir():
        raise NotReadyError(
            "there is nothing to back up",
            found=f"no shelf in {layout.root}",
            remedy="name the home with --home",
        )
    for root in roots.values():
        if folder.absolute().is_relative_to(root.absolute()):
            raise InvalidInputError(
                "a backup cannot lie within what it is a backup of",
                found=str(folder),
                remedy="name a folder elsewhere, best on another disk",
            )
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with exclusive_lock(folder / ".lock"):  # else what is removed below might be another's, alive
        return _taken(layout, folder, roots, at_ms=at_ms)


def _taken(layout: Layout, folder: Path, roots: Mapping[str, Path], *, at_ms: int) -> Taken:
    for left in folder.glob(f"{_UNDER_WAY}*"):  # of one that was killed
        shutil.rmtree(left)
    moment = datetime.fromtimestamp(at_ms / 1_000, UTC)
    name = f"{moment:%Y-%m-%dT%H%M%S}.{at_ms % 1_000:03d}Z"
    former = backups_in(folder)
    copying = _Copying(folder / f"{_UNDER_WAY}{name}", former[-1] if former else None)
    for prefix, root in roots.items():
        copying.tables(root, prefix)
    for prefix, root in roots.items():
        copying.rest(root, prefix)
    backup = Backup(
        home_id=known_home_id(layout),
        root=str(layout.root.absolute()),
        made_at_ms=at_ms,
        files=dict(sorted(copying.files.items())),
    )
    return Taken(_sealed(copying.into, folder / name, backup), backup, copying.linked)


def read_backup(path: Path) -> Backup:
    """List of a backup; IntegrityError when there is none that can be read."""
    if not (path / LIST).is_file():
        raise InvalidInputError(
            "this is no backup",
            found=f"no {LIST} in {path}",
            remedy="name one of the dated folders that `throughline backup FOLDER --list` shows",
        )
    return read_document(path / LIST, Backup)


def faults_of(path: Path, backup: Backup) -> list[str]:
    """Files that are not as they were written, each with what is wrong with it."""
    faults = []
    for name, kept in backup.files.items():
        file = path / name
        if not file.is_file():
            faults.append(f"{name}: missing")
        elif file.stat().st_size != kept.size or _digest(file) != kept.sha256:
            faults.append(f"{name}: changed")
    return faults


def put_back(path: Path, root: Path) -> Backup:
    """Make a home of a backup, where none is. Nothing is there before all of it is.

    A lake that was a folder apart comes to be below the home.

    Raises
    ------
    InvalidInputError
        If there is something at ``root`` already, or ``path`` is no backup.
    IntegrityError
        If a file of the backup is missing or changed; nothing is put back.
    """
    backup = read_backup(path)
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise InvalidInputError(
            "a backup is put back where nothing is",
            found=f"{root} is there, and not empty",
            remedy="name another folder, or move this one away first",
        )
    faults = faults_of(path, backup)
    if faults:
        raise IntegrityError(
            f"{len(faults):,} files of the backup are not as they were written",
            found="; ".join(faults[:5]),
            remedy="put back an earlier one; `throughline backup FOLDER --list` shows them",
        )
    root.parent.mkdir(parents=True, exist_ok=True)
    making = root.with_name(f".{root.name}.put-back")
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(mode=0o700)
    for name, kept in backup.files.items():
        target = making / _place(name)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path / name, target)
        _stamp(target, kept)
    tracked = making / "mlflow.db"
    if tracked.exists():
        name_root_anew(tracked, Path(backup.root), root.absolute())
    Layout(making).create()
    os.sync()
    if root.exists():
        root.rmdir()
    making.rename(root)
    sync_directory(root.parent)
    return backup


def renew_list(path: Path) -> Backup:
    """Write the list anew after files of a backup were written or removed on purpose.

    Raises
    ------
    InvalidInputError
        If ``path`` is no backup.
    """
    former = read_backup(path)
    files = {}
    for root in (path / HOME, path / LAKE):
        for file in _regular(root):
            name = str(file.relative_to(path))
            kept, stat = former.files.get(name), file.stat()
            seen = (stat.st_size, stat.st_mtime_ns)
            is_same = kept is not None and seen == (kept.size, kept.mtime_ns)
            files[name] = kept if kept and is_same else _kept(file, _digest(file))
    renewed = former.model_copy(update={"files": dict(sorted(files.items()))})
    write_durably(path / LIST, document_bytes(renewed), mode=0o600)
    return renewed


def roots_of(layout: Layout) -> dict[str, Path]:
    """Folders of this machine that hold a home: itself, and its lake where that lies apart."""
    roots = {HOME: layout.root}
    lake = layout.lake.removeprefix("file://")
    if lake and "://" not in lake and not Path(lake).is_relative_to(layout.root):
        roots[LAKE] = Path(lake)
    return {name: root for name, root in roots.items() if root.is_dir()}


class _Copying:
    """Files of a home on their way into a backup."""

    def __init__(self, into: Path, former: Path | None) -> None:
        self.into = into
        self.files: dict[str, Kept] = {}
        self.linked = 0
        self._former = former
        self._before = read_backup(former).files if former is not None else {}
        into.mkdir(mode=0o700)

    def tables(self, root: Path, prefix: str) -> None:
        """Every Delta table below a folder, each as one of its versions."""
        for log in sorted(root.rglob("_delta_log")):
            table = log.parent
            name = f"{prefix}/{table.relative_to(root)}"
            if not _is_scratch(table.relative_to(root)):
                self._table(table, name)

    def rest(self, root: Path, prefix: str) -> None:
        """All that is no table: what is appended to comes last."""
        for stage in range(3):
            for path in _regular(root):
                relative = path.relative_to(root)
                name = f"{prefix}/{relative}"
                if name not in self.files and _stage(relative) == stage:
                    self._copy(path, name)

    def _table(self, table: Path, name: str) -> None:
        for _ in range(_TRIES):
            log = table / "_delta_log"
            paths = [log / "_last_checkpoint", *sorted(_regular(log)), *sorted(_regular(table))]
            for path in dict.fromkeys(paths):
                self._copy(path, f"{name}/{path.relative_to(table)}")
            if _is_whole(self.into / name):
                return
            self._drop(name)
        raise NotReadyError(
            "a table changed faster than it could be copied",
            found=name,
            remedy="try again when no sweep is under way",
        )

    def _drop(self, name: str) -> None:
        shutil.rmtree(self.into / name)
        self.files = {k: v for k, v in self.files.items() if not k.startswith(f"{name}/")}

    def _copy(self, path: Path, name: str) -> None:
        target = self.into / name
        try:
            stat = path.stat()
            target.parent.mkdir(parents=True, exist_ok=True)
            if _is_database(path):
                _copy_database(path, target)
                target.chmod(stat.st_mode & 0o777)
                self.files[name] = _kept(target, _digest(target))
                return
            former = self._before.get(name)
            seen = (stat.st_size, stat.st_mtime_ns)
            if self._former and former and seen == (former.size, former.mtime_ns):
                os.link(self._former / name, target)
                self.linked += 1
                self.files[name] = former
                return
            digest = _copied(path, target)
        except FileNotFoundError:  # it went while we looked: its time was over
            target.unlink(missing_ok=True)
            return
        kept = Kept(
            size=target.stat().st_size,
            sha256=digest,
            mtime_ns=stat.st_mtime_ns,
            mode=stat.st_mode & 0o777,
        )
        _stamp(target, kept)
        self.files[name] = kept


def _sealed(into: Path, path: Path, backup: Backup) -> Path:
    os.sync()
    write_durably(into / LIST, document_bytes(backup), mode=0o600)
    into.rename(path)
    sync_directory(path.parent)
    return path


def _regular(root: Path) -> Iterator[Path]:
    for path in sorted(root.rglob("*")):
        if path.is_file() and not path.is_symlink() and not _is_scratch(path.relative_to(root)):
            yield path


def _is_scratch(relative: Path) -> bool:
    name = relative.name
    is_passing = name.endswith((".lock", ".pid", ".tmp", ".lck", *_SIDECARS))
    return is_passing or any(relative.parts[: len(s)] == s for s in _SCRATCH)


def _stage(relative: Path) -> int:
    if relative.parts[0] in _APPENDED:
        return 2
    return 0 if relative.name == "channels.json" or relative.suffix in (".db", ".sqlite") else 1


def _is_database(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_SQLITE)) == _SQLITE


def _copy_database(path: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    with (
        closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as source,
        closing(sqlite3.connect(target)) as copy,
    ):
        source.backup(copy)


def _is_whole(table: Path) -> bool:
    """Whether every file that a copied table names was copied."""
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError, TableNotFoundError

    try:
        named = DeltaTable(str(table)).file_uris()
    except TableNotFoundError:  # begun, and nothing committed yet
        return True
    except DeltaError:
        return False
    return all(Path(uri.removeprefix("file://")).is_file() for uri in named)


def _place(name: str) -> PurePosixPath:
    """Where a file of a backup goes below the new home."""
    first, *parts = PurePosixPath(name).parts
    if first not in (HOME, LAKE) or not parts or ".." in parts:
        raise IntegrityError("the list of the backup names a place outside it", found=name[:200])
    return PurePosixPath(*parts) if first == HOME else PurePosixPath(LAKE, *parts)


def _copied(path: Path, target: Path) -> str:
    """Digest of what was written to ``target``: all that ``path`` held."""
    digest = hashlib.sha256()
    with path.open("rb") as source, target.open("wb") as copy:
        while block := source.read(_BLOCK):
            digest.update(block)
            copy.write(block)
    return digest.hexdigest()


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _kept(path: Path, digest: str) -> Kept:
    stat = path.stat()
    return Kept(
        size=stat.st_size, sha256=digest, mtime_ns=stat.st_mtime_ns, mode=stat.st_mode & 0o777
    )


def _stamp(path: Path, kept: Kept) -> None:
    path.chmod(kept.mode)
    os.utime(path, ns=(kept.mtime_ns, kept.mtime_ns))
