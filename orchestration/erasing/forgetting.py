"""Forgetting a person: the steps in order, each put down when it is over, and the proof at the end.

The tombstone comes first, so that from then on ingest and folder take no row of theirs; then what
was trained on them is put down, as the rows that tell it are about to go. Each step may be done
again, so a run that was killed goes on with the first step that is not in the journal.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from core.audit.records import Entry
from core.erasing.erasure import Certificate, Journal, StepDone, Tombstone
from core.erasing.sought import MASKED, Sought
from core.errors import NotReadyError
from core.plural import listed
from core.retention import Hold
from orchestration.erasing.lake import erase_besides, far_lake, sightings_in, tables_in
from orchestration.erasing.models import remove_bundles_of, trained_on
from orchestration.erasing.tree import erase_below, files_below, tables_below
from orchestration.settings import Settings
from stores.audit.log import AuditLog
from stores.backups import HOME, LAKE, backups_in, renew_list, roots_of
from stores.cold.tier import ColdTier
from stores.erasing.cold import cold_sightings, erase_in_cold
from stores.erasing.erasures import Erasures
from stores.erasing.log import erase_in_landing, erase_in_log
from stores.erasing.online import erase_online, is_sqlite
from stores.erasing.records import erase_in_shared
from stores.erasing.scanning import Sighting, scan_file, scan_values
from stores.erasing.tables import erase_in_table
from stores.erasing.tombstones import Tombstones
from stores.erasing.trees import ObjectTree
from stores.holds import Holds
from stores.keys.signing import ensure_signer
from stores.layout import Layout
from stores.records.shared import ASIDE, open_segments

Counts = dict[str, int]
Told = Callable[[str], None]

GUARDED = ("erasure", "audit", "keys", "access", "holds", "shelf")
"""Folders of a home that are signed, sealed or secret: searched, and never written here."""


HELD_AS = {"mlflow": "runs", "dagster": "runs", "lake": "segments"}
"""What a folder holds, as holds name it; elsewhere it is the name of the folder."""


@dataclass(frozen=True)
class Step:
    """A part of the work; ``target`` is what a hold on it is called, or begins with."""

    name: str
    target: str
    run: Callable[[], Counts]


@dataclass(frozen=True)
class Erasing:
    """One person, one home, and folders besides it (backups) that are cleaned too."""

    settings: Settings
    sought: Sought
    tombstone: Tombstone
    use_cases: Sequence[str] = ()
    others: Sequence[Path] = ()
    code_version: str = "unknown"
    told: Told = field(default=lambda _: None)

    @property
    def layout(self) -> Layout:
        """Paths of the home."""
        return self.settings.layout

    # -- what is to be done --------------------------------------------------------------

    def steps(self) -> list[Step]:
        """All steps but the tombstone, in order."""
        others = self.others
        return [
            *self._logs(),
            *self._tables(),
            *self._shared_segments(),
            Step("online", "online", self._online),
            Step("bundles", "bundles", partial(remove_bundles_of, self.layout, self.sought)),
            *self._cold_steps(),
            *self._files(),
            *(Step(f"besides {path}", "besides", partial(self._beside, path)) for path in others),
        ]

    def _logs(self) -> Iterator[Step]:
        for kind in ("landing", "log"):
            for folder in sorted((self.layout.root / kind).glob("*/")):
                target = f"{kind}/{folder.name}"
                yield Step(target, target, partial(self._log, folder))

    def _log(self, folder: Path) -> Counts:
        if folder.parent.name == "landing":
            log = self.layout.root / "log" / folder.name
            return erase_in_landing(folder, log, self.sought)
        return {"log_records": erase_in_log(folder, self.sought, now_ms=self._now_ms)}

    def _tables(self) -> Iterator[Step]:
        for root in self._lakes():
            for table in tables_below(root):
                target = str(table.relative_to(root))
                yield Step(
                    f"table {target}", target, partial(erase_in_table, str(table), self.sought)
                )
        if (lake := self._lake) is not None:
            for name in tables_in(lake):
                uri, files = f"{lake.uri}/{name}", lake.below(name)
                yield Step(f"table {name}", name, partial(erase_in_table, uri, self.sought, files))

    @property
    def _lake(self) -> ObjectTree | None:
        return far_lake(self.layout, self._tier)

    def _lakes(self) -> list[Path]:
        """Folders of this machine that the tables lie in."""
        apart = roots_of(self.layout).get(LAKE)
        return [path for path in (apart or self.layout.root / "lake",) if path.is_dir()]

    def _shared_segments(self) -> Iterator[Step]:
        for name in self.use_cases:
            target = f"segments/{name}"
            yield Step(target, target, partial(self._segments, self.layout.segments(name)))

    def _segments(self, uri: str) -> Counts:
        n_erased = 0
        for place in (uri, f"{uri}/{ASIDE}"):
            store = open_segments(place)
            names = [segment.name for segment in store.waiting()]
            n_erased += erase_in_shared(store, names, self.sought)
        return {"records": n_erased}

    def _online(self) -> Counts:
        return {"online_keys": erase_online(self.settings.online_store_url, self.sought)}

    @property
    def _tier(self) -> ColdTier:
        return ColdTier(self.layout, self.settings.cold_place)

    def _cold_steps(self) -> Iterator[Step]:
        """What was moved to the cold tier, a target at a time, under that target's holds."""
        for target in sorted({paper.target for paper in self._tier.papers()}):
            erase = partial(
                erase_in_cold, self._tier, target, self.sought, now_ms=self.tombstone.at_ms
            )
            yield Step(f"cold {target}", target, erase)

    def _files(self) -> Iterator[Step]:
        """What is left of the home, a folder at a time, then its own files."""
        guarded = {self.layout.root / name for name in GUARDED}
        done = {self.layout.root / name for name in ("log", "landing")}
        for folder in sorted(self.layout.root.glob("*/")):
            if folder not in guarded | done:
                name = folder.name
                held_as = HELD_AS.get(name, name)
                yield Step(f"folder {name}", held_as, partial(self._below, folder))
        yield Step("files", "runs", self._own_files)  # MLflow's database is among them
        apart = roots_of(self.layout).get(LAKE)
        if apart is not None:
            yield Step("folder of the lake", "lake", partial(self._below, apart))
        lake = self._lake
        if lake is not None:
            erase = partial(erase_besides, lake, tables_in(lake), self.sought)
            yield Step("rest of the lake", "segments", erase)

    def _below(self, folder: Path) -> Counts:
        """All but tables, which are steps of their own."""
        tables = [table for root in self._lakes() for table in tables_below(root)]
        return erase_below(folder, self.sought, now_ms=self._now_ms, spared=tables)

    def _own_files(self) -> Counts:
        below = [path for path in self.layout.root.iterdir() if path.is_dir()]
        return erase_below(self.layout.root, self.sought, now_ms=self._now_ms, spared=below)

    def _beside(self, folder: Path) -> Counts:
        """A folder of backups, each list written anew; or any other folder."""
        backups = backups_in(folder)
        done: Counter[str] = Counter()
        for backup in backups:
            home = backup / HOME
            guarded = [home / name for name in GUARDED]
            done.update(erase_below(backup, self.sought, now_ms=self._now_ms, spared=guarded))
            done.update(remove_bundles_of(Layout(home), self.sought))
            renew_list(backup)
        done.update(erase_below(folder, self.sought, now_ms=self._now_ms, spared=backups))
        return dict(done)

    @property
    def _now_ms(self) -> int:
        return self.tombstone.at_ms

    # -- doing it ------------------------------------------------------------------------

    def run(self, *, who: str, why: str, now_ms: Callable[[], int]) -> tuple[Certificate, Path]:
        """Do what is not done yet, search everything, and certify what came of it.

        Raises
        ------
        PlatformError
            If something cannot be written or searched; run again, it goes on from there.
        """
        erasures = Erasures(self.layout)
        with erasures.alone():
            journal = self._begun(erasures, who, why, now_ms())
            for step in self.steps():
                if not journal.has_done(step.name):
                    journal = journal.with_step(self._done(step, now_ms()))
                    erasures.put(journal)
            left, searched = self.search()
            certificate = self._certificate(journal, left, searched, now_ms())
            path = erasures.certify(certificate, ensure_signer(self.layout.keys, "audit"))
            self._put_down("forgotten", certificate.who, certificate.why, now_ms(), certificate)
            erasures.put(journal.model_copy(update={"is_over": True}))
        return certificate, path

    def _begun(self, erasures: Erasures, who: str, why: str, at_ms: int) -> Journal:
        """The journal of this pass: the one that was cut short, or a new one."""
        Tombstones(self.layout).put(self.tombstone)
        journal = erasures.journal(self.tombstone.erasure_id)
        if journal is None:
            journal = Journal(tombstone=self.tombstone, who=who, why=why, begun_at_ms=at_ms)
        elif journal.is_over:
            journal = journal.begun_anew(who=who, why=why, now_ms=at_ms)
        else:
            self.told("going on with what was cut short")
            self._tier.drop_scratches()
        if not journal.done:
            self._put_down("forgetting", who, why, at_ms)
            journal = journal.with_models(trained_on(self.settings, self.sought))
            erasures.put(journal)
        return journal

    def _done(self, step: Step, at_ms: int) -> StepDone:
        holds = Holds(self.layout).all()
        held = next((hold.words for hold in holds if _keeps(hold, step.target, at_ms)), "")
        counts = {} if held else {name: n for name, n in step.run().items() if n}
        words = held or listed(counts) or "nothing"
        self.told(f"{step.name}: {words}")
        return StepDone(name=step.name, counts=counts, held=held)

    def _certificate(
        self, journal: Journal, left: Sequence[Sighting], searched: Counts, at_ms: int
    ) -> Certificate:
        return Certificate(
            tombstone=journal.tombstone,
            who=journal.who,
            why=journal.why,
            begun_at_ms=journal.begun_at_ms,
            ended_at_ms=at_ms,
            code_version=self.code_version,
            steps=journal.done,
            models=journal.models,
            searched=searched,
            left=tuple(self.place_of(sighting) for sighting in left),
        )

    def _put_down(
        self, what: str, who: str, why: str, at_ms: int, certificate: Certificate | None = None
    ) -> None:
        about: dict[str, object] = {"key": self.tombstone.key, "token": self.tombstone.token}
        if certificate is not None:
            about |= {"is_complete": certificate.is_complete, "left": len(certificate.left)}
        entry = Entry(at_ms=at_ms, what=what, who=who, why=why, about=about)
        AuditLog.of(self.layout, is_signing=True).append([entry])

    # -- the proof -----------------------------------------------------------------------

    def search(self) -> tuple[list[Sighting], Counts]:
        """Where the identifier, or its token outside of these papers, still stands."""
        found: list[Sighting] = []
        searched: Counter[str] = Counter()
        for root in [*roots_of(self.layout).values(), *self.others]:
            if not root.is_dir():
                raise NotReadyError("a folder is not there", found=str(root), remedy="mount it")
            for path in files_below(root, [self.layout.erasure]):
                found += self._left(scan_file(path, str(path), self.sought))
                searched["files"] += 1
        found += self._left(self._far_sightings(searched))
        if not is_sqlite(self.settings.online_store_url):
            from stores.online.redis import all_pairs

            pairs = list(all_pairs(self.settings.online_store_url))
            found += scan_values("online store", pairs, self.sought)
            searched["online_values"] = len(pairs)
        return found, dict(searched)

    def _far_sightings(self, searched: Counter[str]) -> list[Sighting]:
        """Where somebody stands in object stores and in the cold tier."""
        found, n_cold = cold_sightings(self._tier, self.sought)
        if n_cold:
            searched["cold_files"] = n_cold
        if self._lake is not None:
            sightings, searched["lake_objects"] = sightings_in(self._lake, self.sought)
            found += sightings
        return found

    def _left(self, sightings: Sequence[Sighting]) -> list[Sighting]:
        """What may not stay: all but the token in the audit log, which cannot be unsaid."""
        audit = str(self.layout.audit)
        return [s for s in sightings if s.encoding != MASKED or not s.place.startswith(audit)]

    def place_of(self, sighting: Sighting) -> str:
        """A sighting in words that do not repeat who was sought."""
        place = self.sought.blanked(sighting.place.encode("utf-8", "surrogateescape"))
        where = place.decode("utf-8", "replace")
        return f"{where}: {sighting.part}, {sighting.encoding}, {sighting.times} times"


def _keeps(hold: Hold, target: str, at_ms: int) -> bool:
    """Whether a hold covers a target, or one of the several that it stands for."""
    is_part = hold.is_in_force(at_ms) and hold.target.startswith(f"{target}/")
    return is_part or hold.covers(target, at_ms)
