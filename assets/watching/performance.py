"""How served and batch decisions fare, and whether their scores are the chances they say."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dagster as dg
import numpy as np

from assets import names
from assets.resources import Platform
from assets.results import Result, check
from assets.watching.look import MOVED_ERRORS
from assets.watching.pictures import shown_picture
from core.clock import DAY_MS, event_date
from core.features.plan import Plan
from core.monitoring.live import WHOLE, Group, LiveRows, decayed, groups_of
from core.monitoring.triage import Moved
from core.monitoring.watched import CalibrationSeen, PeriodSeen, SkillSeen, diagrams_seen
from core.stats.metrics import ranked
from core.stats.reliability import Reliability, reliability
from core.use_case import UseCase
from stores.monitoring.looks import Looks
from stores.shelf.bundle import load_bundle, read_manifest
from stores.shelf.channels import read_channels
from stores.shelf.shelf import Shelf

if TYPE_CHECKING:
    from training.live_rows import Shadowing, Watched

HOLDS = "skill_has_not_decayed"
NAMED = "answers_name_their_events"
CALIBRATED = "scores_are_chances"
MEANS = {
    HOLDS: "No release ranks worse than in the weeks before, by mature labels.",
    NAMED: "Half of the answers or more name the event they are about, so that labels find them.",
}
CALIBRATED_MEANS = "The mean score of each release lies within a fifth of the share of positives."
ESTIMATED = (
    "Where labels are not mature, metrics are estimated from the scores alone: what they would be "
    "if scores were the chances that they say. Such an estimate follows a change of the mix of "
    "rows and is blind to a change of the truth behind them (concept drift)."
)
PERIOD_DAYS = 7
PERIODS = 8
LEAST_NAMED = 0.5
MOST_OFF = 0.2
MIN_LABELS = 200


def performance_asset(use_case: UseCase, plan: Plan) -> dg.AssetsDefinition:
    """Asset of a use case's performance."""
    name, key = use_case.name, names.performance(use_case.name)

    @dg.asset(
        key=key,
        deps=answered(use_case),
        description=(
            f"How decisions of {name} fare, by release, channel and slice; degraded ones apart.\n\n"
            "One look a day over eight weeks; labels where they are mature, an estimate where they "
            f"are not.\n\n{ESTIMATED}"
        ),
        group_name=names.WATCHING,
        owners=list(use_case.owners),
        kinds={"python"},
        check_specs=[
            dg.AssetCheckSpec(check_name, asset=key, description=means)
            for check_name, means in MEANS.items()
        ],
    )
    def performance(context: dg.AssetExecutionContext, platform: Platform) -> Result:
        found = fared(decisions_of(platform, use_case, plan))
        Looks(platform.layout.monitoring).put(seen_of(platform, use_case, found))
        return Result(
            metadata=shown(platform, use_case, found),
            check_results=[held(found.moved), named(found.watched)],
        )

    return performance


@dataclass(frozen=True)
class Fared:
    """How decisions fared: by group over all weeks, week by week, and metrics that got worse."""

    watched: "Watched"
    groups: list[Group]
    periods: Mapping[str, Mapping[str, Group]]
    moved: list[Moved]


def fared(watched: "Watched") -> Fared:
    """How decisions fared."""
    rows = watched.rows
    return Fared(watched, groups_of(rows, watched.slices), periods_of(rows), lost_skill(rows))


def answered(use_case: UseCase) -> list[dg.AssetKey]:
    """Where answers and their truth come from."""
    label, name = use_case.label, use_case.name
    sources = sorted({label.source, label.example_source})
    return [*map(names.events, sources), names.scores(name), names.predictions(name)]


def decisions_of(platform: Platform, use_case: UseCase, plan: Plan) -> "Watched":
    """Decisions of the last weeks with what is known of them."""
    from training.live_rows import watched_rows

    now_ms = platform.clock.now_ms()
    n_days = PERIOD_DAYS * PERIODS
    dates = [event_date(now_ms - back * DAY_MS) for back in range(n_days, -1, -1)]
    shadow = shadow_of(platform, use_case.name)
    return watched_rows(platform.layout, use_case, plan, dates, now_ms, shadow)


def shadow_of(platform: Platform, use_case: str) -> "Shadowing | None":
    """The shadow, and the releases of the same plan; None where there is no shadow."""
    from training.live_rows import Shadowing

    layout = platform.layout
    channels = read_channels(layout)
    release, shelf = channels.state(use_case).shadow, Shelf(layout.shelf)
    if release is None:
        return None
    bundle = load_bundle(shelf.bundle(use_case, release))
    plans = {n: read_manifest(shelf.bundle(use_case, n)).plan for n in shelf.releases(use_case)}
    like = (n for n, plan in plans.items() if plan.digest == bundle.manifest.plan.digest)
    return Shadowing(bundle, frozenset(like))


def lost_skill(rows: LiveRows) -> list[Moved]:
    """Metrics of releases that became worse in their newest week of mature labels."""
    is_mature = ~np.isnan(rows.labels) & ~np.isnan(rows.scores) & ~rows.is_degraded
    found: list[Moved] = []
    for release in np.unique(rows.releases[is_mature]).tolist():
        own = rows.chosen(is_mature & (rows.releases == release))
        is_newest = own.at_ms > own.at_ms.max() - PERIOD_DAYS * DAY_MS
        moved = decayed(own.chosen(~is_newest), own.chosen(is_newest))
        found += [
            m.model_copy(update={"column": f"{m.column} of release {release}"}) for m in moved
        ]
    return found


def held(moved: list[Moved]) -> dg.AssetCheckResult:
    """Whether every release ranks as it did."""
    why = "; ".join(each.sentence() for each in moved)
    return check(
        HOLDS,
        passed=not moved,
        warn=True,
        why=why,
        moved=[m.model_dump(mode="json") for m in moved],
    )


def named(watched: "Watched") -> dg.AssetCheckResult:
    """Whether labels can find the answers that the service gave."""
    n_served = n_answers(watched)
    share = watched.n_named / n_served if n_served else 1.0
    why = "" if share >= LEAST_NAMED else (
        f"{share:.0%} of {n_served:,} answers name their event: send `event_id` with requests"
    )  # fmt: skip
    return check(
        NAMED, passed=not why, warn=True, why=why, answers=n_served, named=watched.n_named,
        limit=LEAST_NAMED,
    )  # fmt: skip


def n_answers(watched: "Watched") -> int:
    """How many of the decisions the service gave to products."""
    from training.live_rows import BATCH, SHADOW

    return int((~np.isin(watched.rows.channels, (BATCH, SHADOW))).sum())


def seen_of(platform: Platform, use_case: UseCase, found: Fared) -> SkillSeen:
    """What pages show of how decisions fared."""
    return SkillSeen(
        use_case=use_case.name,
        at_ms=platform.clock.now_ms(),
        metric=use_case.model.metric,
        period_days=PERIOD_DAYS,
        n_periods=PERIODS,
        maturity_days=use_case.label.maturity_days,
        n_answers=n_answers(found.watched),
        n_named=found.watched.n_named,
        groups=tuple(found.groups),
        periods=tuple(
            PeriodSeen(date=date, group=group)
            for groups in found.periods.values()
            for date, group in sorted(groups.items())
        ),
        lost=tuple(moved.sentence() for moved in found.moved),
    )


def shown(platform: Platform, use_case: UseCase, found: Fared) -> dict[str, Any]:
    """What the UI shows: the table of groups, the picture, what became worse."""
    from training.watch_plots import skill_picture

    png = skill_picture(found.periods, use_case.model.metric)
    wholes = [group for group in found.groups if group.part == WHOLE]
    return {
        "skill_picture": shown_picture(platform, use_case.name, "performance", png),
        "groups": dg.MetadataValue.md(groups_text(found.groups)),
        "numbers": [group.model_dump(mode="json") for group in wholes],
        "estimates": ESTIMATED,
        "degraded": int(found.watched.rows.is_degraded.sum()),
        MOVED_ERRORS: dg.MetadataValue.json([m.model_dump(mode="json") for m in found.moved]),
        "dagster/row_count": len(found.watched.rows),
    }


def periods_of(rows: LiveRows) -> Mapping[str, Mapping[str, Group]]:
    """Groups of each week, by release and channel, degraded rows left out."""
    found: dict[str, dict[str, Group]] = {}
    whole = rows.chosen(~rows.is_degraded)
    if not len(whole):
        return found
    week = (whole.at_ms - whole.at_ms.min()) // (PERIOD_DAYS * DAY_MS)
    for number in np.unique(week).tolist():
        part = whole.chosen(week == number)
        for group in groups_of(part):
            found.setdefault(group.name, {})[event_date(int(part.at_ms.min()))] = group
    return found


def groups_text(groups: list[Group]) -> str:
    """Groups as a Markdown table, estimates marked as such."""
    names_shown = ("auc", "average_precision", "brier")
    head = [
        "group",
        "rows",
        "labels",
        "positive",
        *names_shown,
        *(f"{n}, estimated" for n in names_shown),
    ]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for group in groups:
        cells = [group.name, f"{group.n_rows:,}", f"{group.n_mature:,}", f"{group.n_positive:,}"]
        for numbers in (group.metrics, group.estimated):
            cells += [
                f"{numbers[n].value:.3f} ({numbers[n].low:.3f} to {numbers[n].high:.3f})"
                if n in numbers
                else "-"
                for n in names_shown
            ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def calibration_asset(use_case: UseCase, plan: Plan) -> dg.AssetsDefinition:
    """Asset of a use case's calibration."""
    key = names.calibration(use_case.name)

    @dg.asset(
        key=key,
        deps=answered(use_case),
        description=(
            f"Whether of {use_case.name}'s answers with a score of 20 %, 20 % are positive.\n\n"
            "One diagram a release, over mature labels of eight weeks; degraded answers left out."
            "\n\nRead before a threshold is trusted, and by whoever is alerted."
        ),
        group_name=names.WATCHING,
        owners=list(use_case.owners),
        kinds={"python"},
        check_specs=[dg.AssetCheckSpec(CALIBRATED, asset=key, description=CALIBRATED_MEANS)],
    )
    def calibration(context: dg.AssetExecutionContext, platform: Platform) -> Result:
        found = diagrams_of(decisions_of(platform, use_case, plan).rows)
        Looks(platform.layout.monitoring).put(calibration_seen(platform, use_case, found))
        return Result(
            metadata=calibration_shown(platform, use_case, found),
            check_results=[calibrated(found, is_promised=use_case.model.is_calibrated)],
        )

    return calibration


def diagrams_of(rows: LiveRows) -> dict[str, Reliability]:
    """Reliability of each release that has enough mature labels of both kinds."""
    is_mature = ~np.isnan(rows.labels) & ~np.isnan(rows.scores) & ~rows.is_degraded
    found = {}
    for release in np.unique(rows.releases[is_mature]).tolist():
        own = rows.chosen(is_mature & (rows.releases == release))
        if len(own) >= MIN_LABELS and 0 < own.labels.sum() < len(own):
            found[f"release {release}"] = reliability(
                ranked(own.scores, own.labels.astype(np.int64))
            )
    return found


def calibration_seen(
    platform: Platform, use_case: UseCase, found: Mapping[str, Reliability]
) -> CalibrationSeen:
    """What pages show of the diagrams."""
    return CalibrationSeen(
        use_case=use_case.name,
        at_ms=platform.clock.now_ms(),
        is_promised=use_case.model.is_calibrated,
        diagrams=diagrams_seen(found),
    )


def calibration_shown(
    platform: Platform, use_case: UseCase, found: Mapping[str, Reliability]
) -> dict[str, Any]:
    """What the UI shows: the diagrams, and the error of each."""
    from training.watch_plots import reliability_picture

    return {
        "reliability_picture": shown_picture(
            platform, use_case.name, "calibration", reliability_picture(found)
        ),
        "calibration_error": {name: bins.error for name, bins in found.items()},
        "bins_off": {name: int(bins.is_off.sum()) for name, bins in found.items()},
    }


def calibrated(found: Mapping[str, Reliability], *, is_promised: bool) -> dg.AssetCheckResult:
    """Whether mean scores are near the shares of positives: by a fifth, and beyond chance."""
    from core.stats.tails import wilson_interval

    words, numbers = [], {}
    for name, bins in found.items():
        n, weights = float(bins.weight.sum()), bins.weight
        score, share = (float(np.average(v, weights=weights)) for v in (bins.score, bins.share))
        low, high = (float(limit) for limit in wilson_interval(share * n, n))
        numbers[name] = {"mean_score": score, "share": share, "low": low, "high": high}
        if abs(score - share) > MOST_OFF * share and not low <= score <= high:
            words.append(f"{name} says {score:.4f} on average and {share:.4f} are positive")
    return check(
        CALIBRATED, passed=not (words and is_promised), warn=True, why="; ".join(words),
        releases=numbers, limit=MOST_OFF,
    )  # fmt: skip
