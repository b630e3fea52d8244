"""The folder: follows the logs of all served sources. ``python -m serving.folder``.

What to fold is told by the shelf: the views of every release in a channel. One folder works
at a time; a second waits for the lock, so a spare may stand by.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from functools import partial

from core.clock import Clock
from core.contracts import Source
from core.errors import DependencyError, IntegrityError, NotReadyError
from core.features.plan import ViewPlan
from core.ports import OnlineStore
from core.rows.event_versions import newest
from serving.configuration import note_configuration
from serving.events.folding import SourceFolder
from serving.events.log_watch import LogWatch
from serving.process import Stop, Told, only_one, run_process
from serving.settings import Settings
from serving.telemetry.log_lines import Trouble
from serving.telemetry.memory import leave_to_stay
from serving.telemetry.process_metrics import FolderMetrics, served_metrics
from serving.telemetry.repeats import Repeats
from stores.erasing.tombstones import Tombstones
from stores.keys.signing import KeyRing
from stores.layout import Layout
from stores.log.source_log import SourceLog
from stores.online import open_online_store
from stores.shelf.bundle import Manifest, read_manifest
from stores.shelf.channels import Channels
from stores.shelf.shelf import Shelf

LOOK_AT_SHELF_MS = 500
PAUSE_AFTER_FAILURE_S = 0.5
ASK_BROKERS_S = 0.02
"""How long nothing is asked of brokers that had nothing; each log over Kafka is one question."""


class Folder:
    """Folds every source that a served release reads."""

    def __init__(
        self,
        layout: Layout,
        store: OnlineStore,
        clock: Clock,
        settings: Settings,
        told: Told,
        metrics: FolderMetrics,
    ) -> None:
        self._layout = layout
        self._shelf = Shelf(layout.shelf)
        self._store = store
        self._clock = clock
        self._settings = settings.folder
        self._told = told
        self._metrics = metrics
        self._tombstones = Tombstones(layout)
        self._counter = -1
        self._looks_s = 0.0  # by the monotonic clock: the other one may be put back
        self._trouble = ""
        self._logs: dict[str, SourceLog] = {}
        self.sources: dict[str, SourceFolder] = {}

    def wait(self, watch: LogWatch) -> float:
        """Wait for something to be written, where the system tells; seconds to pause besides."""
        if any(log.is_over_kafka for log in self._logs.values()):
            return ASK_BROKERS_S
        folders = [self._layout.log_dir(name) for name in self.sources]
        return 0.0 if watch.wait(folders) else self._settings.poll_ms / 1_000

    def turn(self) -> int:
        """One micro-batch of each source; how many records were folded.

        Raises
        ------
        DependencyError
            If the online store fails, or brokers do, once the sources in files have had their
            turn; the next turn goes on where this one was.
        """
        self._follow_shelf()
        folded = 0
        by_trouble = sorted(
            self.sources.items(), key=lambda each: self._logs[each[0]].is_over_kafka
        )
        for name, source in by_trouble:
            count = source.step()
            folded += count
            source.beat(self._settings.heartbeat_ms)
            self._metrics.folded(name, n_records=count, n_faults=len(source.faults))
            for sentence in (*source.faults, *source.troubles):
                self._told(Trouble(f"{name}: {sentence}"))
            source.faults.clear()
            source.troubles.clear()
        return folded

    def _follow_shelf(self) -> None:
        now_s = self._clock.monotonic_s()
        if now_s < self._looks_s:
            return
        self._looks_s = now_s + LOOK_AT_SHELF_MS / 1_000
        try:
            keys = KeyRing.from_directory(self._layout.keys)
            channels = self._shelf.board.read(keys)
            if channels.counter > self._counter:
                self._rebuild(self._manifests(channels, keys))
                self._counter = channels.counter
            self._trouble = ""
        except (IntegrityError, NotReadyError) as error:
            if str(error) != self._trouble:
                self._told(Trouble(f"kept what is folded: {error}"))
            self._trouble = str(error)

    def _manifests(self, channels: Channels, keys: KeyRing) -> Iterator[Manifest]:
        for use_case, state in channels.use_cases.items():
            for release in state.releases:
                statement = self._shelf.verify(use_case, release, keys)
                manifest = read_manifest(self._shelf.bundle(use_case, release))
                if manifest.digest != statement.manifest_digest:
                    raise IntegrityError("a manifest changed while it was read")
                yield manifest

    def _rebuild(self, manifests: Iterator[Manifest]) -> None:
        known: list[Source] = []
        views: dict[str, ViewPlan] = {}
        for manifest in manifests:
            known += manifest.contract.sources
            views.update({view.name: view for view in manifest.plan.views})
        sources = newest(known)
        rebuilt: dict[str, SourceFolder] = {}
        for name in sorted({view.source for view in views.values()} & sources.keys()):
            read_by = [view for view in views.values() if view.source == name]
            kept = [view for view in read_by if self._can_be_fed(view, sources[name])]
            if kept:
                rebuilt[name] = self._source_folder(sources[name], kept)
        for name in self._logs.keys() - rebuilt.keys():
            self._logs.pop(name).close()
        self.sources = rebuilt
        self._told(f"folding {', '.join(rebuilt) or 'nothing yet'}")

    def _can_be_fed(self, view: ViewPlan, source: Source) -> bool:
        """Whether rows of the newest contract have what a view reads; told where they lack it.

        Its values age then, and what is answered without it is said by the ladder.
        """
        lacking = {*view.columns, *view.join_keys} - {field.name for field in source.fields}
        if lacking:
            self._told(
                Trouble(
                    f"{view.name} is folded no more: {source.name} {source.version} has no "
                    f"{', '.join(sorted(lacking))}; promote a release that does not read it"
                )
            )
        return not lacking

    def _source_folder(self, source: Source, views: Sequence[ViewPlan]) -> SourceFolder:
        log = SourceLog(self._layout.log_dir(source.name), source.name)
        former = self._logs.get(source.name)
        self._logs[source.name] = log
        if former is not None:
            former.close()
        folder = SourceFolder(
            source,
            views,
            log,
            self._store,
            self._clock,
            batch_events=self._settings.batch_events,
            tombstones=self._tombstones,
        )
        folder.start()
        return folder


def run(settings: Settings, clock: Clock, stop: Stop, told: Told) -> None:
    """Fold until ``stop(seconds)`` says so."""
    note_configuration("folder", settings, clock, told)
    store = open_online_store(settings.online)
    watch, metrics = LogWatch(), FolderMetrics()
    host, port = settings.metrics.host, settings.metrics.folder_port
    with (
        only_one(settings.layout.state / "folder.lock", stop) as is_ours,
        served_metrics(metrics.registry, host=host, port=port if is_ours else 0),
    ):
        folder = Folder(settings.layout, store, clock, settings, told, metrics)
        pause_s, repeats = 0.0, Repeats(clock)
        leave_to_stay()
        while is_ours and not stop(pause_s):
            try:
                pause_s = 0.0 if folder.turn() > 0 else folder.wait(watch)
            except DependencyError as error:
                repeats.met(error.wrong, partial(_tell, told, error))
                metrics.failed()
                pause_s = PAUSE_AFTER_FAILURE_S
    watch.close()
    store.close()


def _tell(told: Told, error: DependencyError, more: str) -> None:
    told(Trouble(f"{error}{more}"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Start the folder; ends on SIGTERM or SIGINT, after the batch in hand."""
    argparse.ArgumentParser(prog="python -m serving.folder", description=__doc__).parse_args(
        arguments
    )
    return run_process("folder", run)


if __name__ == "__main__":
    raise SystemExit(main())
