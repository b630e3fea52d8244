"""What there is of everything that has a period, and what of it is still needed by whom."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

from assets.declared import Declared
from assets.events import WRITER
from assets.resources import Platform
from assets.retention_cold import Cold, Column, Kept, with_cold
from assets.retention_entities import WORD, dates_of_words, ended
from assets.tables import PartitionFacts, partition_facts, writer_number
from core.clock import DAY_MS
from core.contracts import Source
from core.features.blob import key_starts
from core.features.keys import epoch_of
from core.features.plan import ViewPlan
from core.ports import OnlineStore
from core.retention import Piece, dated_piece, longest_reach
from core.use_case import UseCase
from feature_store.plans import declared_once
from stores.online.watermarks import covered_key, decode_covered, folded_key
from stores.process_logs import former_logs
from stores.records.segments import SHIPPED
from stores.records.shared import ASIDE, open_segments
from stores.shelf.archives import archived
from stores.shelf.bundle import MANIFEST, MODEL, Manifest
from stores.shelf.in_use import manifests_in_use
from stores.shelf.shelf import Shelf
from stores.sweeping import (
    NEWEST,
    bundle_pieces,
    epoch_pieces,
    files_of_bundle,
    folder_pieces,
    landing_pieces,
    remove_bundles,
    remove_epochs,
    remove_files,
    remove_folders,
    segment_pieces,
)

SERVED = "of a release in a channel, or one to go back to"
RETIRED_VALUES = "values of all entities"
EVERY_EPOCH = 2**31


@dataclass(frozen=True)
class Inventory:
    """Everything of one installation that tables and files hold, at one instant."""

    declared: Declared
    platform: Platform
    now_ms: int

    def kept(self) -> list[Kept]:
        """Every target: tables first, in the order of the lifecycle."""
        use_cases = self.declared.use_cases.values()
        sources = self.declared.sources.values()
        views = self.declared.views.values()
        tables = [kept for source in sources for kept in self._tables_of(source)]
        tables += [self._tiles(view) for view in views if view.windows]
        values = [self._ended(view, {kept.target: kept for kept in tables}) for view in views]
        retired = self._retired()
        tables += [kept for kept in retired if kept.uri]
        tables += [kept for use_case in use_cases for kept in self._tables_of_use_case(use_case)]
        files = [kept for source in sources for kept in self._files_of(source)]
        files += [kept for u in use_cases for kept in self._files_of_use_case(u)]
        files += [kept for kept in retired if not kept.uri]
        return [*tables, *files, *values, self._process_logs()]

    # -- tables ------------------------------------------------------------------------

    def _tables_of(self, source: Source) -> list[Kept]:
        layout, name = self.platform.layout, source.name
        use_cases = self.declared.use_cases.values()
        reach_ms, view = longest_reach(self.views, name)
        return [
            self._dated(
                f"events/{name}",
                source.retention_days,
                layout.events(name),
                reach_ms,
                view,
                words=partial(dates_of_words, self.platform, use_cases, name),
            ),
            self._dated(f"events/{name}_rejected", source.raw_days, layout.rejected(name)),
            self._profiles("events", name, source.retention_days),
        ]

    def _tiles(self, view: ViewPlan) -> Kept:
        days = self.declared.sources[view.source].retention_days
        reach_ms, _ = longest_reach([view], view.source)
        uri = self.platform.layout.tiles(view.name)
        return self._dated(f"features/{view.name}_tiles", days, uri, reach_ms, view.name)

    def _tables_of_use_case(self, use_case: UseCase) -> list[Kept]:
        layout, name = self.platform.layout, use_case.name
        scores, records = use_case.score_retention_days, use_case.prediction_retention_days
        return [
            self._training(use_case),
            self._dated(f"scores/{name}", scores, layout.scores(name), column="as_of"),
            self._dated(f"predictions/{name}", records, layout.predictions(name)),
            self._profiles("scores", name, scores),
            self._profiles("predictions", name, records),
        ]

    def _profiles(self, table: str, name: str, days: int) -> Kept:
        """What was counted of a table, which is kept as long as the table."""
        uri = self.platform.layout.profiles(table, name)
        return self._dated(f"monitoring/{table}_{name}_profiles", days, uri)

    def _dated(
        self,
        target: str,
        days: int,
        uri: str,
        reach_ms: int = 0,
        view: str = "",
        column: Column = "event_date",
        words: Callable[[], set[str]] = set,
    ) -> Kept:
        """Table of dates; those that windows or attributes of a view may read are needed.

        So are those that hold ``words`` which are in force.
        """
        needed_from_ms = self.now_ms - reach_ms if reach_ms else None

        def pieces() -> list[Piece]:
            said = words()
            found = [
                dated_piece(
                    fact.value,
                    rows=fact.rows,
                    n_bytes=fact.bytes,
                    needed_from_ms=needed_from_ms,
                    by=f"read by values of {view}",
                )
                for fact in partition_facts(uri, column)
            ]
            return [p._replace(needed=WORD) if p.name in said else p for p in found]

        return Kept(target, days, pieces, uri=uri, column=column)

    def _ended(self, view: ViewPlan, tables: Mapping[str, Kept]) -> Kept:
        """Values of entities whose rows are gone with this sweep."""
        rows = tables[f"events/{view.source}"]
        tiles = tables.get(f"features/{view.name}_tiles")
        return ended(self.platform, view, rows, tiles, now_ms=self.now_ms)

    def _training(self, use_case: UseCase) -> Kept:
        name, uri = use_case.name, self.platform.layout.training(use_case.name)
        served = {m.snapshot_id for m in self.manifests if m.use_case == name}

        def pieces() -> list[Piece]:
            return [
                Piece(
                    fact.value,
                    self._made_ms(name, fact),
                    fact.bytes,
                    fact.rows,
                    SERVED if fact.value in served else "",
                )
                for fact in partition_facts(uri, "snapshot")
            ]

        days = use_case.training_retention_days
        target = f"training/{name}"
        return Kept(target, days, pieces, uri=uri, column="snapshot", is_compacted=False)

    def _made_ms(self, name: str, snapshot: PartitionFacts) -> int:
        """When a snapshot was made: its rows are written anew when somebody is forgotten."""
        paper = self.platform.layout.snapshots / name / f"{snapshot.value}.json"
        try:
            return min(snapshot.written_ms, paper.stat().st_mtime_ns // 1_000_000)
        except FileNotFoundError:
            return snapshot.written_ms

    # -- files -------------------------------------------------------------------------

    def _files_of(self, source: Source) -> list[Kept]:
        layout, name, days = self.platform.layout, source.name, source.raw_days
        log = self.platform.log

        def epochs() -> list[Piece]:
            folder = layout.log_dir(name)
            if not folder.is_dir():
                return []
            covered, by = self._covered(name)
            ingested = writer_number(layout.events(name), WRITER)
            found = log(name)
            return epoch_pieces(found, ingested=ingested, covered=covered, uncovered_by=by)

        # Landed files first: what says that one was landed is the epoch that it became.
        return [
            self._landing(source),
            Kept(
                f"log/{name}",
                days,
                epochs,
                lambda names: remove_epochs(layout.log_dir(name), names),
            ),
        ]

    def _landing(self, source: Source) -> Kept:
        name, folder = source.name, self.platform.layout.landing_dir(source.name)
        tier = self.platform.cold
        days = source.raw_cold_after_days if tier.uri else None
        looked_into_after = min(source.raw_days, days or source.raw_days)
        target = f"landing/{name}"

        def pieces() -> list[Piece]:
            if not folder.is_dir():
                return []
            return landing_pieces(
                folder,
                self.platform.log(name),
                older_than_ms=self.now_ms - looked_into_after * DAY_MS,
                cold_after_ms=days * DAY_MS if days is not None else None,
                moved=tier.paths(target),
            )

        kept = Kept(target, source.raw_days, pieces, lambda names: remove_files(folder, names))
        cold = Cold(
            lambda path: [folder / path], lambda path: folder / path, f"landed {days} days ago"
        )
        return with_cold(kept, cold, tier, now_ms=self.now_ms)

    def _covered(self, source: str) -> tuple[int, str]:
        """Last epoch in the base of every online view of a source, and what to say of later ones.

        A folder that starts anew reads the log from behind the base.
        """
        views = self.declared.views_of_source(source)
        found: list[tuple[int, str]] = [(EVERY_EPOCH, "")]
        with self.platform.online_store() as store:
            held = store.read([covered_key(view.name) for view in views])
        for view, data in zip(views, held, strict=True):
            epoch = 0 if data is None else epoch_of(decode_covered(data).position)
            found.append((epoch, f"the online values of {view.name} do not hold it yet"))
        return min(found)

    def _files_of_use_case(self, use_case: UseCase) -> list[Kept]:
        layout, name = self.platform.layout, use_case.name
        days = use_case.prediction_retention_days
        kept = [self._segments(f"records/{name}", days, layout.records(name), SHIPPED, name)]
        if "://" not in layout.segments(name):
            shared = Path(layout.segments(name))
            kept.append(self._segments(f"segments/{name}_damaged", days, shared, ASIDE, name))
        return [*kept, self._candidates(use_case), self._bundles(use_case)]

    def _candidates(self, use_case: UseCase) -> Kept:
        """Fitted models; what a release holds of one is in its bundle."""
        name = use_case.name
        folder = self.platform.layout.candidates(name)
        served = {m.snapshot_id for m in self.manifests if m.use_case == name}
        return Kept(
            f"candidates/{name}",
            use_case.training_retention_days,
            lambda: folder_pieces(folder, served),
            lambda names: remove_folders(folder, names),
        )

    def _process_logs(self) -> Kept:
        folder = self.platform.layout.logs
        return Kept(
            "logs",
            self.platform.run_days,
            lambda: former_logs(folder),
            lambda names: remove_files(folder, names),
        )

    def _segments(self, target: str, days: int, folder: Path, place: str, name: str) -> Kept:
        def pieces() -> list[Piece]:
            store = open_segments(self.platform.layout.segments(name))
            waiting = {segment.name for segment in store.waiting()}
            return segment_pieces(folder, waiting, place)

        return Kept(target, days, pieces, lambda names: remove_files(folder / place, names))

    def _bundles(self, use_case: UseCase) -> Kept:
        name, shelf = use_case.name, Shelf(self.platform.layout.shelf)
        folder = self.platform.layout.shelf / "releases" / name
        in_use = {m.release for m in self.manifests if m.use_case == name}
        tier, days = self.platform.cold, use_case.bundle_cold_after_days
        target = f"bundles/{name}"

        def pieces() -> list[Piece]:
            newest = max(shelf.releases(name), default=0)
            moved = tier.paths(target)

            def needed(number: int) -> str:
                return SERVED if number in in_use else NEWEST if number == newest else ""

            def cold_from_ms(number: int) -> int | None:
                paper = archived(shelf, name, number)
                is_moved = folder / str(number) / "bundle" / MODEL in moved
                if not tier.uri or days is None or paper is None or is_moved:
                    return None
                return paper.at_ms + days * DAY_MS

            return bundle_pieces(folder, needed, cold_from_ms)

        kept = Kept(
            target,
            use_case.bundle_retention_days,
            pieces,
            lambda names: remove_bundles(folder, names),
        )

        def files_of(number: str) -> list[Path]:
            is_archived = archived(shelf, name, int(number)) is not None
            return files_of_bundle(folder / number / "bundle") if is_archived else []

        cold = Cold(
            files_of,
            lambda number: folder / number / "bundle" / MANIFEST,
            f"archived {days} days ago",
            is_one_thing=True,
        )
        return with_cold(kept, cold, tier, now_ms=self.now_ms)

    # -- what is served ----------------------------------------------------------------

    @cached_property
    def manifests(self) -> tuple[Manifest, ...]:
        """Manifests of all releases in a channel, and of former champions that are still there."""
        return manifests_in_use(self.platform.layout)

    @cached_property
    def views(self) -> tuple[ViewPlan, ...]:
        """Views that are declared, and those that a release in use reads."""
        served = [view for manifest in self.manifests for view in manifest.plan.views]
        return (*self.declared.views.values(), *served)

    # -- what nobody reads any more ----------------------------------------------------

    def _retired(self) -> list[Kept]:
        """Views that were declared once, and that no declaration and no release in use reads."""
        in_use = {view.name for view in self.views}
        retired = [v for v in declared_once(self.platform.layout) if v.name not in in_use]
        tiles = [self._retired_tiles(view) for view in retired if view.windows]
        return [*tiles, *(self._retired_values(view) for view in retired)]

    def _retired_tiles(self, view: ViewPlan) -> Kept:
        return self._dated(f"features/{view.name}_tiles", 0, self.platform.layout.tiles(view.name))

    def _retired_values(self, view: ViewPlan) -> Kept:
        keys_of = partial(_keys_of, view.name)

        def pieces() -> list[Piece]:
            with self.platform.online_store() as store:
                n_keys = len(keys_of(store))
            return [Piece(RETIRED_VALUES, self.now_ms, rows=n_keys)] if n_keys else []

        def remove(due: Sequence[str]) -> None:
            if due:
                with self.platform.online_store() as store:
                    store.delete(keys_of(store))

        return Kept(f"online/{view.name}", 0, pieces, remove)


def _keys_of(view: str, store: OnlineStore) -> list[bytes]:
    """Keys under which anything of a view stands."""
    of_entities = [key for start in key_starts(view) for key in store.keys(start)]
    own = [covered_key(view), folded_key(view)]
    held = store.read(own)
    return [*of_entities, *(key for key, value in zip(own, held, strict=True) if value is not None)]
