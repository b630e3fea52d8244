"""One look at a use case: what moved, what is wrong upstream, and the verdict on both."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import dagster as dg

from assets import names
from assets.resources import Launcher, Platform
from assets.watching.counting import (
    Counted,
    Profiles,
    answer_bins,
    daily_profiles,
    source_bins,
    trained_on,
)
from assets.watching.evidence import answers_histories, source_history, tiles_history
from assets.watching.window import Window, window_of
from core.features.plan import Plan
from core.monitoring.timeline import JUDGED, Timeline, timeline
from core.monitoring.triage import Moved, Triage, What, triaged
from core.monitoring.upstream import AssetHistory, all_faults
from core.stats.profile import TableProfile, merged_profile
from core.stats.verdicts import DriftLimits
from core.use_case import UseCase
from stores.shelf.bundle import Bundle, load_bundle
from stores.shelf.channels import read_channels
from stores.shelf.shelf import Shelf

MOVED_ERRORS = "moved_errors"
TRAINED = "training against serving"
SERVED = "served, day against day"
BATCH = "batch scores, day against day"


@dataclass(frozen=True)
class Look:
    """What was seen: timelines by title, daily profiles by table, the verdict."""

    window: Window
    timelines: Mapping[str, Timeline]
    profiles: Mapping[str, Profiles]
    triage: Triage


@dataclass(frozen=True)
class Looking:
    """Looks at one use case, with what it needs of the outside."""

    context: dg.AssetExecutionContext
    launcher: Launcher
    platform: Platform
    use_case: UseCase
    plan: Plan

    def look(self) -> Look:
        """Count what is not counted yet, compare, walk upstream, decide."""
        now_ms = self.platform.clock.now_ms()
        window = window_of(self.use_case, now_ms)
        profiles = self._sources(window)
        timelines = {
            f"{name}, day against day": self._days("source", found, window)
            for name, found in profiles.items()
        }
        histories = self._histories(window, profiles)
        bundle = champion_bundle(self.platform, self.use_case.name)
        if bundle is not None:
            served, scored = self._served(bundle, window), self._scored(bundle, window)
            profiles |= {names.predictions(self.use_case.name).to_user_string(): served}
            profiles |= {names.scores(self.use_case.name).to_user_string(): scored}
            timelines |= self._answers(bundle, served, scored, window)
        triage = triaged(
            self.use_case.name,
            widest([m for line in timelines.values() for m in line.moved()] + self._errors()),
            all_faults(histories, window.current),
            at_ms=now_ms,
            window=window.ends,
        )
        return Look(window, timelines, profiles, triage)

    def _counted(self, counted: Counted, window: Window) -> Profiles:
        return daily_profiles(self.context, self.launcher, self.platform, counted, window.dates)

    def _sources(self, window: Window) -> dict[str, Profiles]:
        found: dict[str, Profiles] = {}
        for source in self.use_case.sources:
            bins = source_bins(self.platform, source, window.dates)
            if bins is not None:
                uri = self.platform.layout.events(source.name)
                counted = Counted("events", source.name, uri, bins)
                key = names.events(source.name).to_user_string()
                found[key] = self._counted(counted, window)
        return found

    def _served(self, bundle: Bundle, window: Window) -> Profiles:
        bins = trained_on(self.platform, self.use_case.name, self.plan, bundle)
        uri = self.platform.layout.predictions(self.use_case.name)
        if bins is None:
            return {}
        vector = self.plan.vector
        counted = Counted("predictions", self.use_case.name, uri, bins, vector=vector)
        return self._counted(counted, window)

    def _scored(self, bundle: Bundle, window: Window) -> Profiles:
        uri = self.platform.layout.scores(self.use_case.name)
        counted = Counted("scores", self.use_case.name, uri, answer_bins(bundle), "as_of")
        return self._counted(counted, window)

    def _answers(
        self, bundle: Bundle, served: Profiles, scored: Profiles, window: Window
    ) -> dict[str, Timeline]:
        """Served values against training and against the days before, and batch scores."""
        trained = trained_on(self.platform, self.use_case.name, self.plan, bundle)
        lines = {
            SERVED: self._days("feature", served, window),
            BATCH: self._days("prediction", scored, window),
        }
        if trained is not None:
            lines[TRAINED] = self._line("feature", trained, served, window)
        return lines

    def _days(self, what: What, profiles: Profiles, window: Window) -> Timeline:
        """Newest days against those before them."""
        before = [profiles[date] for date in window.baseline if date in profiles]
        if not before:
            return Timeline(what, {}, (), 0)
        return self._line(what, merged_profile(before), profiles, window)

    def _line(
        self, what: What, baseline: TableProfile, profiles: Profiles, window: Window
    ) -> Timeline:
        """Newest days against a baseline, and those before them for comparison."""
        current, before = (
            {date: profiles[date] for date in dates if date in profiles}
            for dates in (window.current, window.baseline)
        )
        return timeline(what, baseline, current, self.limits, before)

    @property
    def limits(self) -> DriftLimits:
        """Limits of one comparison, of all that a look makes."""
        n_timelines = len(self.use_case.sources) + len((SERVED, BATCH, TRAINED))
        return self.use_case.watching.limits.shared_by(n_timelines * JUDGED)

    def _histories(
        self, window: Window, profiles: Mapping[str, Profiles]
    ) -> tuple[AssetHistory, ...]:
        instance, platform = self.context.instance, self.platform
        late_hours = self.use_case.watching.late_hours
        sources = [
            source_history(
                instance, platform, source, window,
                profiles.get(names.events(source.name).to_user_string(), {}),
                late_hours=late_hours,
            )
            for source in self.use_case.sources
        ]  # fmt: skip
        views = [view for view in self.plan.views if view.windows]
        tiles = [tiles_history(instance, platform, view, window) for view in views]
        return (*sources, *tiles, *answers_histories(instance, self.use_case.name))

    def _errors(self) -> list[Moved]:
        """Metrics that have become worse, as the performance asset last found them."""
        key = names.performance(self.use_case.name)
        event = self.context.instance.get_latest_materialization_event(key)
        made = event.asset_materialization if event else None
        held = made.metadata.get(MOVED_ERRORS) if made else None
        found = held.value if isinstance(held, dg.JsonMetadataValue) else []
        return [Moved.model_validate(each) for each in found or []]


def widest(moved: Iterable[Moved]) -> list[Moved]:
    """Of a column that moved by several comparisons, the one by which it moved furthest."""
    found: dict[tuple[str, str], Moved] = {}
    for each in sorted(moved, key=lambda each: each.effect):
        key = kind_of(each), each.column
        former = found.get(key)
        since = each.since or (former.since if former else "")
        found[key] = each.model_copy(update={"what": kind_of(each), "since": since})
    return list(found.values())


def kind_of(moved: Moved) -> What:
    """Score and decision are counted beside the features that they came of."""
    return "prediction" if moved.column in ("score", "decision") else moved.what


def champion_bundle(platform: Platform, use_case: str) -> Bundle | None:
    """Bundle of the champion; None where none serves."""
    layout = platform.layout
    channels = read_channels(layout)
    champion = channels.state(use_case).champion
    return None if champion is None else load_bundle(Shelf(layout.shelf).bundle(use_case, champion))
