"""Pages of what moved: verdicts, columns day by day, control charts, and how decisions fared."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import groupby

from markupsafe import Markup

from core.clock import DAY_MS
from core.monitoring.live import WHOLE, Group
from core.monitoring.triage import Triage
from core.monitoring.watched import ColumnSeen, PeriodSeen, SkillSeen, TimelineSeen
from serving.console.bar_plots import before_and_now
from serving.console.drift_plots import KINDS, control, effects, nights, spark, top_effect
from serving.console.metrics import METRICS
from serving.console.pages import Asking, Drawn, Home, Page
from serving.console.readings import (
    is_share,
    of_bars,
    of_chart,
    of_column,
    of_diagram,
    of_periods,
)
from serving.console.skill_plots import reliability, skill
from serving.errors import NotFoundError
from stores.monitoring.looks import Looks
from stores.monitoring.triages import Triages

NIGHTS = 60
SHOWN_COLUMNS = 12
"""A comparison of more columns shows those first that moved."""

OLD_MS = 2 * DAY_MS
"""A look is old when two nights have gone by without another."""


def overview(asked: Asking) -> Drawn:
    """Last verdict on every use case."""
    triages = Triages(asked.home.layout.monitoring)
    names = watched(asked)
    seen = [Verdict(name, tuple(triages.all(name, newest=NIGHTS))) for name in names]
    return Drawn("drift.html", {"verdicts": sorted(seen, key=lambda each: each.rank)})


def watched(asked: Asking) -> list[str]:
    """Use cases that were looked at or have a release, of those that may be seen."""
    return [name for name in known(asked.home) if asked.opens("rollouts", name)]


def known(home: Home) -> list[str]:
    """Use cases that were looked at or have a release."""
    looked = (home.layout.monitoring.glob(f"*/{what}") for what in ("triages", "seen"))
    return sorted(
        {path.parent.name for paths in looked for path in paths} | {*home.shelf.use_cases()}
    )


@dataclass(frozen=True)
class Verdict:
    """Verdicts of the last nights on a use case, oldest first; none before the first look."""

    use_case: str
    triages: tuple[Triage, ...]

    @property
    def last(self) -> Triage | None:
        """The newest."""
        return self.triages[-1] if self.triages else None

    @property
    def kind(self) -> str:
        """Colour of the newest."""
        return KINDS[self.last.kind] if self.last else "mute"

    @property
    def words(self) -> str:
        """What the newest rests on, without the verdict itself, which stands before it."""
        if self.last is None:
            return ""
        said = self.last.words.removeprefix(self.last.kind.replace("_", " ")).lstrip(", ")
        said = said.replace(f"({self.last.drift})", self.last.drift, 1)
        return said[:1].upper() + said[1:]

    @property
    def rank(self) -> tuple[int, str]:
        """Where it stands in a list: incidents first, then drift, then what nobody looked at."""
        return ("bad", "warn", "mute", "good").index(self.kind), self.use_case

    @property
    def since_ms(self) -> int | None:
        """When the newest verdict was first given without another in between."""
        since = None
        for triage in reversed(self.triages):
            if triage.kind != self.triages[-1].kind:
                break
            since = triage.at_ms
        return since

    def is_old(self, now_ms: int) -> bool:
        """Whether a night was left out."""
        return self.last is not None and now_ms - self.last.at_ms > OLD_MS

    def strip(self) -> Markup:
        """The verdicts, drawn."""
        return nights(self.triages)


def drift_of(asked: Asking) -> Drawn:
    """Everything that moved of a use case, or did not."""
    home, use_case = asked.home, _named(asked)
    triages = Triages(home.layout.monitoring).all(use_case, newest=NIGHTS)
    seen = Looks(home.layout.monitoring).drift(use_case)
    timelines = [] if seen is None else [Compared(each) for each in seen.timelines]
    return Drawn(
        "drift_of.html",
        {
            "use_case": use_case,
            "verdict": Verdict(use_case, tuple(triages)),
            "seen": seen,
            "timelines": sorted(timelines, key=lambda each: not each.n_drifted),
            "charts": [] if seen is None else [(c, partial(control, c)) for c in seen.charts],
            "of_chart": of_chart,
            "is_share": is_share,
        },
    )


def _named(asked: Asking) -> str:
    use_case = asked.path["use_case"]
    if use_case not in watched(asked):
        raise NotFoundError(
            "there is no such use case here",
            found=use_case[:80],
            remedy="the list of drift names those that are watched",
        )
    return use_case


@dataclass(frozen=True)
class Compared:
    """A comparison on the page, and what is drawn of each of its columns."""

    seen: TimelineSeen

    @cached_property
    def top(self) -> float:
        """Effect to which the axes of all its columns reach."""
        return top_effect(self.seen.columns)

    @property
    def title(self) -> str:
        """What is compared, as a heading; the name of an asset is left as it is."""
        title = self.seen.title
        return title if "/" in title.partition(" ")[0] else title[:1].upper() + title[1:]

    @property
    def parts(self) -> tuple[tuple[str, list[ColumnSeen]], ...]:
        """Columns that want a look, and those that stand as they were, which are folded away."""
        moved = [column for column in self.seen.columns if column.state != "stable"]
        still = [column for column in self.seen.columns if column.state == "stable"]
        if len(self.seen.columns) <= SHOWN_COLUMNS:
            return (("", list(self.seen.columns)),)
        return (("", moved), (f"{len(still)} columns that stand as they were", still))

    @property
    def n_drifted(self) -> int:
        """How many of its columns drifted."""
        return sum(column.state == "drifted" for column in self.seen.columns)

    def name(self, column: ColumnSeen) -> Markup:
        """A column's name, which may break where the name of its view ends."""
        return Markup("__<wbr>").join(column.column.split("__"))

    def spark(self, column: ColumnSeen) -> Markup:
        """A column, drawn small."""
        return spark(column, self.top)


def column_of(asked: Asking) -> Drawn:
    """One column, day by day."""
    use_case = _named(asked)
    seen = Looks(asked.home.layout.monitoring).drift(use_case)
    name = asked.query.get("column", "")
    timelines = {each.title: each for each in seen.timelines} if seen else {}
    timeline = timelines.get(asked.query.get("of", ""))
    columns = {column.column: column for column in timeline.columns} if timeline else {}
    if seen is None or timeline is None or name not in columns:
        raise NotFoundError(
            "this column is not in the last look",
            found=name[:80] or "no name",
            remedy=f"open it from the drift of {use_case}: each night's look replaces the last",
        )
    column = columns[name]
    top = top_effect([column])
    return Drawn(
        "drift_column.html",
        {
            "use_case": use_case,
            "seen": seen,
            "timeline": timeline,
            "column": column,
            "drawing": effects(column, top),
            "reading": of_column(column),
            "values": before_and_now(column.column, column.bars) if column.bars else "",
            "of_values": of_bars(column.bars) if column.bars else "",
        },
    )


@dataclass(frozen=True)
class Line:
    """A release and channel over the periods, drawn by the metric that the use case is held to."""

    name: str
    periods: tuple[PeriodSeen, ...]
    metric: str

    def drawing(self) -> Markup:
        """Its picture."""
        return skill(self.periods, self.metric, METRICS[self.metric])

    @property
    def reading(self) -> str:
        """What it comes to."""
        return of_periods(self.periods, self.metric)


def performance_of(asked: Asking) -> Drawn:
    """How decisions fared, whether scores are chances, and what detectors found."""
    use_case = _named(asked)
    looks = Looks(asked.home.layout.monitoring)
    seen, calibration = looks.performance(use_case), looks.calibration(use_case)
    diagrams = calibration.diagrams if calibration else ()
    return Drawn(
        "performance_of.html",
        {
            "use_case": use_case,
            "seen": seen,
            "lines": [] if seen is None else list(_lines(seen)),
            "groups": [] if seen is None else list(_by_whole(seen.groups)),
            "metrics": METRICS,
            "heads": [
                "Group",
                "#Rows",
                "#Labels",
                "#Positive",
                *(f"#{m}" for m in METRICS.values()),
            ],
            "calibration": calibration,
            "diagrams": [(each, partial(reliability, each)) for each in diagrams],
            "of_diagram": of_diagram,
            "streams": looks.stream(use_case),
        },
    )


def _lines(seen: SkillSeen) -> Iterator[Line]:
    """Releases and channels, the newest release first."""
    ordered = sorted(seen.periods, key=lambda each: (-each.group.release, each.group.channel))
    for name, periods in groupby(ordered, key=lambda each: each.group.name):
        yield Line(name, tuple(sorted(periods, key=lambda each: each.date)), seen.metric)


def _by_whole(groups: tuple[Group, ...]) -> Iterator[Group]:
    """Groups, the newest release first, each followed by its slices."""
    yield from sorted(
        groups,
        key=lambda each: (-each.release, each.channel, each.is_degraded, each.part != WHOLE),
    )


PAGES = (
    Page("/drift", overview, verb="rollouts"),
    Page("/drift/{use_case}", drift_of, verb="rollouts"),
    Page("/drift/{use_case}/column", column_of, verb="rollouts"),
    Page("/drift/{use_case}/performance", performance_of, verb="rollouts"),
)
