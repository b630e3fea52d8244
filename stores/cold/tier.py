"""The cold tier: whole files that are seldom read, kept where keeping is cheap.

Each thing that was moved has a paper in the home: what it is, which files, where to, with what
digests, when and why. A thing moves in four steps, each of which may be done again:

1. the paper is written, and says that the copy is under way;
2. the files are copied, and the copies read again and compared by digest;
3. the paper says that the copy is whole;
4. the files are removed here, if they are still what was copied.

Killed between any two, a thing is whole here or whole there: `settle` drops a copy that was not
finished, and finishes a removal. Everything is done under one lock, by one process at a time.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from core.clock import DAY_MS
from core.errors import InvalidInputError, NotReadyError
from core.features.plan import canonical_json
from core.retention import Piece
from stores.cold.papers import ColdFile, ColdPaper, fetch, verify
from stores.cold.places import ColdPlace, open_cold
from stores.durable import exclusive_lock, lock_if_free, sync_directory, write_durably
from stores.home_id import home_id
from stores.layout import Layout
from stores.log.epoch_records import digest_of_file
from stores.shelf.channels import document_bytes, read_document

LOAN_DAYS = 7
"""Days that what was brought back stays here, before a sweep lets it go again."""
MARK = "cold:"
"""What the name of a piece begins with that lies in the cold tier; its paper's id follows."""
_SCRATCH = ".scratch-"
_LOCK = ".lock"


class ColdTier:
    """Things of one home that were moved, and the place that others are moved to.

    ``uri`` is a folder or the URL of an object store; empty means that nothing is moved there,
    and what was moved before is found all the same.
    """

    def __init__(self, layout: Layout, uri: str = "") -> None:
        self.layout = layout
        self.uri = uri

    def papers(self, target: str = "") -> list[ColdPaper]:
        """Papers of one target, or of all, in order of targets and names.

        Raises
        ------
        IntegrityError
            If one cannot be read.
        """
        found = (read_document(path, ColdPaper) for path in self.layout.cold.glob("*.json"))
        chosen = (paper for paper in found if not target or paper.target == target)
        return sorted(chosen, key=lambda paper: (paper.target, paper.name, paper.moved_at_ms))

    def paper(self, paper_id: str) -> ColdPaper:
        """Paper of an id; NotReadyError when there is none."""
        found = next((paper for paper in self.papers() if paper.paper_id == paper_id), None)
        if found is None:
            raise NotReadyError(
                "nothing of that id is in the cold tier",
                found=paper_id[:40],
                remedy="`throughline retention cold` lists what is",
                code="not_in_cold_tier",
            )
        return found

    def paths(self, target: str) -> set[Path]:
        """Files of a target that lie in the cold tier, by where they were here."""
        papers = [paper for paper in self.papers(target) if paper.is_whole]
        return {self.layout.root / file.path for paper in papers for file in paper.files}

    def pieces(self, target: str, needed: Callable[[str], str] = lambda _: "") -> list[Piece]:
        """What of a target lies in the cold tier, as retention sees it."""
        return [
            Piece(
                MARK + paper.paper_id,
                paper.born_ms,
                paper.bytes,
                needed=needed(paper.name),
                is_cold=True,
            )
            for paper in self.papers(target)
            if paper.is_whole
        ]

    # -- there -------------------------------------------------------------------------

    def move(
        self,
        target: str,
        name: str,
        paths: Callable[[], Sequence[Path]],
        *,
        born_ms: int,
        why: str,
        now_ms: int,
    ) -> ColdPaper | None:
        """Move files of the home to the cold tier, as one thing; None when there are none.

        ``paths`` is asked while nobody else moves anything, so that what somebody has just
        taken back (`take_back`) is not moved by who looked before.

        Raises
        ------
        DependencyError
            If the cold tier cannot be reached; the files stay here.
        IntegrityError
            If a copy is not what was here; the files stay here.
        """
        with self.alone():
            files = [self._described(path, target, name) for path in paths()]
            if not files:
                return None
            digests = [target, name, *(file.sha256 for file in files)]
            paper_id = hashlib.sha256(canonical_json(digests).encode()).hexdigest()[:32]
            prefix = f"{home_id(self.layout)}/{target}/{paper_id}"
            paper = ColdPaper(
                paper_id=paper_id,
                target=target,
                name=name,
                place=self.uri,
                files=tuple(f.model_copy(update={"key": f"{prefix}/{f.sha256}"}) for f in files),
                born_ms=born_ms,
                moved_at_ms=now_ms,
                why=why,
            )
            self._write(paper)
            place = self.place_of(paper)
            for file in paper.files:
                place.put(file.key, self.layout.root / file.path)
            verify(place, paper)
            whole = paper.model_copy(update={"is_whole": True})
            self._write(whole)
            self._let_go(whole)
        return whole

    def settle(self, now_ms: int) -> None:
        """Finish what was killed, and let go what was brought back and had its days here.

        Raises
        ------
        DependencyError
            If a place cannot be reached.
        """
        if not self.layout.cold.is_dir():
            return
        self.drop_scratches()
        with self.alone():
            for paper in self.papers():
                if not paper.is_whole:
                    self._forget(paper)
                elif paper.here_until_ms is None or paper.here_until_ms <= now_ms:
                    self._settle(paper)

    def _settle(self, paper: ColdPaper) -> None:
        place = self.place_of(paper)
        for key in set(place.keys(paper.prefix)) - {file.key for file in paper.files}:
            place.remove(key)
        if any(self._is_here(file) for file in paper.files):
            verify(place, paper)
            self._let_go(paper)
        if paper.here_until_ms is not None:
            self._write(paper.model_copy(update={"here_until_ms": None}))

    def remove(self, paper_id: str) -> None:
        """Remove a thing from the cold tier, and its paper: its period is over."""
        with self.alone():
            self._forget(self.paper(paper_id))

    def rewrite(self, paper: ColdPaper, paths: Sequence[Path]) -> ColdPaper:
        """Keep other content in the place of a thing's files, each under its new name.

        The old content goes when the new is there and the paper names it.
        """
        with self.alone():
            place, files = self.place_of(paper), []
            for old, path in zip(paper.files, paths, strict=True):
                digest = digest_of_file(path)
                there = str(Path(old.path).with_name(path.name))
                said = {"key": f"{paper.prefix}/{digest}", "sha256": digest, "path": there}
                files.append(old.model_copy(update={**said, "bytes": path.stat().st_size}))
                place.put(files[-1].key, path)
            renewed = paper.model_copy(update={"files": tuple(files)})
            verify(place, renewed)
            self._write(renewed)
            for key in {file.key for file in paper.files} - {file.key for file in files}:
                place.remove(key)
        return renewed

    # -- back --------------------------------------------------------------------------

    def bring(self, paper_id: str, *, now_ms: int) -> ColdPaper:
        """Bring a thing back, compared by digest; it stays here for `LOAN_DAYS`.

        Raises
        ------
        NotReadyError
            If nothing of that id was moved.
        InvalidInputError
            If another file stands in its place here.
        IntegrityError
            If what lies in the cold tier is not what was moved; nothing is put here then.
        """
        with self.alone():
            paper = self.paper(paper_id)
            lent = paper.model_copy(update={"here_until_ms": now_ms + LOAN_DAYS * DAY_MS})
            self._write(lent)
            self._bring(lent)
        return lent

    def take_back(self, target: str, name: str) -> list[ColdPaper]:
        """Bring what a name of a target stands for back for good; raises as ``bring`` does."""
        with self.alone():
            papers = [p for p in self.papers(target) if p.name == name and p.is_whole]
            for paper in papers:
                self._bring(paper)
                self._forget(paper)
        return papers

    @contextmanager
    def fetched(self, paper: ColdPaper) -> Iterator[list[Path]]:
        """Verified copies of a thing's files in a folder of their own, gone with the block."""
        with self.scratch() as folder:
            place = self.place_of(paper)
            yield [fetch(place, file, folder / Path(file.path).name) for file in paper.files]

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A folder in the home, gone with the block; one of a process that died goes later.

        Beside it lies a lock that is held as long as it is used.
        """
        self.layout.cold.mkdir(mode=0o700, parents=True, exist_ok=True)
        while True:
            folder = self.layout.cold / f"{_SCRATCH}{uuid4().hex}"
            lock = _lock_of(folder)
            with exclusive_lock(lock):
                if not lock.exists():  # taken away as left over, before it was held
                    continue
                try:
                    folder.mkdir(mode=0o700)
                    yield folder
                finally:
                    shutil.rmtree(folder, ignore_errors=True)
                    lock.unlink(missing_ok=True)
            return

    def drop_scratches(self) -> None:
        """Remove copies that a process which died had fetched; those in use stay."""
        if not self.layout.cold.is_dir():
            return
        left = {path.name.removesuffix(_LOCK) for path in self.layout.cold.glob(f"{_SCRATCH}*")}
        for folder in (self.layout.cold / name for name in left):
            with lock_if_free(_lock_of(folder)) as is_free:
                if is_free:
                    shutil.rmtree(folder, ignore_errors=True)
                    _lock_of(folder).unlink(missing_ok=True)

    def place_of(self, paper: ColdPaper) -> ColdPlace:
        """Where a thing lies."""
        return open_cold(paper.place)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep everybody else from moving anything meanwhile."""
        self.layout.cold.mkdir(mode=0o700, parents=True, exist_ok=True)
        with exclusive_lock(self.layout.cold / ".lock"):
            yield

    # -- steps -------------------------------------------------------------------------

    def _described(self, path: Path, target: str, name: str) -> ColdFile:
        if not path.is_file() or path.is_symlink():
            raise InvalidInputError(
                "only whole files are moved to the cold tier",
                found=f"no file for {name} of {target}",
                remedy="wait for the next sweep",
                code="not_a_file",
            )
        facts = path.stat()
        return ColdFile(
            path=str(path.relative_to(self.layout.root)),
            key="",
            sha256=digest_of_file(path),
            bytes=facts.st_size,
            mtime_ns=facts.st_mtime_ns,
            mode=facts.st_mode & 0o777,
        )

    def _write(self, paper: ColdPaper) -> None:
        write_durably(self._path(paper), document_bytes(paper), mode=0o600)

    def _path(self, paper: ColdPaper) -> Path:
        return self.layout.cold / f"{paper.paper_id}.json"

    def _is_here(self, file: ColdFile) -> bool:
        path = self.layout.root / file.path
        return path.is_file() and digest_of_file(path) == file.sha256

    def _let_go(self, paper: ColdPaper) -> None:
        """Remove files here that are what lies there; one that was changed since stays."""
        for file in paper.files:
            if self._is_here(file):
                path = self.layout.root / file.path
                path.unlink()
                sync_directory(path.parent)

    def _bring(self, paper: ColdPaper) -> None:
        wanted = [file for file in paper.files if not self._is_here(file)]
        for file in wanted:
            if (self.layout.root / file.path).exists():
                raise InvalidInputError(
                    "another file stands where a moved one would come back to",
                    found=file.path,
                    remedy="move that one away first",
                    code="another_is_there",
                )
        with self.scratch() as folder:
            place = self.place_of(paper)
            fetched = [fetch(place, file, folder / file.sha256) for file in wanted]
            for file, copy in zip(wanted, fetched, strict=True):
                path = self.layout.root / file.path
                path.parent.mkdir(parents=True, exist_ok=True)
                copy.replace(path)
                sync_directory(path.parent)

    def _forget(self, paper: ColdPaper) -> None:
        """Remove copies and paper. From the first step on the copies are not to be relied on."""
        self._write(paper.model_copy(update={"is_whole": False}))
        place = self.place_of(paper)
        for key in {*place.keys(paper.prefix), *(file.key for file in paper.files)}:
            place.remove(key)
        self._path(paper).unlink()
        sync_directory(self.layout.cold)


def _lock_of(scratch: Path) -> Path:
    return scratch.with_name(scratch.name + _LOCK)
