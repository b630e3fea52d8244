"""Drift of a use case: what moved, whether the data or the world did, and since when."""

from collections.abc import Sequence
from typing import Any

import dagster as dg

from assets import names
from assets.resources import Launcher, Platform
from assets.results import Result, check
from assets.watching.look import Look, Looking
from assets.watching.pictures import shown_picture
from core.features.plan import Plan
from core.monitoring.control_lines import Charted, charted, lines_of
from core.monitoring.triage import Triage
from core.monitoring.watched import DriftSeen, chart_seen, timelines_seen
from core.use_case import UseCase
from stores.monitoring.looks import Looks
from stores.monitoring.triages import Triages

SOUND = "data_is_sound"
STEADY = "nothing_has_drifted"
MEANS = {
    SOUND: "No partition upstream is failed, late, misshapen, mis-scaled, or of unusual volume.",
    STEADY: "No column, score or error has drifted while the data is sound.",
}
MOST_CHARTS = 8


def drift_asset(use_case: UseCase, plan: Plan) -> dg.AssetsDefinition:
    """Asset of a use case's drift."""
    name, key = use_case.name, names.drift(use_case.name)

    @dg.asset(
        key=key,
        deps=drift_deps(use_case, plan),
        description=(
            f"What moved of {name}: sources, served features, predictions and errors, day against "
            "day and training against serving.\n\n"
            "One look a day; each day of each table is counted once, into mergeable profiles.\n\n"
            "Read by retraining, which a data incident holds, and by whoever is alerted."
        ),
        group_name=names.WATCHING,
        owners=list(use_case.owners),
        kinds={"delta", "spark"},
        check_specs=[
            dg.AssetCheckSpec(check_name, asset=key, description=means)
            for check_name, means in MEANS.items()
        ],
        pool="spark",
    )
    def drift(context: dg.AssetExecutionContext, launcher: Launcher, platform: Platform) -> Result:
        look = Looking(context, launcher, platform, use_case, plan).look()
        charts = charts_of(use_case, look)
        Triages(platform.layout.monitoring).put(look.triage)
        Looks(platform.layout.monitoring).put(seen_of(look, charts))
        metadata = shown(platform, use_case, look, charts)
        return Result(metadata=metadata, check_results=checked(look.triage))

    return drift


def drift_deps(use_case: UseCase, plan: Plan) -> list[dg.AssetKey]:
    """What is compared and what is walked: sources, tiles, answers, and how they fared."""
    name = use_case.name
    keys = [names.events(source.name) for source in use_case.sources]
    keys += [names.tiles(view.name) for view in plan.views if view.windows]
    return [*keys, names.scores(name), names.predictions(name), names.performance(name)]


def checked(triage: Triage) -> list[dg.AssetCheckResult]:
    """The verdict as two checks: broken data is an error, a changed world a warning."""
    faults = [fault.model_dump(mode="json") for fault in triage.faults]
    moved = [each.model_dump(mode="json") for each in triage.moved]
    held, drifted = triage.is_held, triage.kind == "real_drift"
    cause = triage.faults[0].asset if held else ""
    return [
        check(
            SOUND, passed=not held, why=triage.sentence() if held else "", faults=faults,
            cause=cause,
        ),
        check(
            STEADY, passed=not drifted, warn=True, why=triage.sentence() if drifted else "",
            moved=moved, drift=triage.drift,
        ),
    ]  # fmt: skip


def seen_of(look: Look, charts: Sequence[Charted]) -> DriftSeen:
    """What pages show of a look."""
    first, last = look.window.ends
    return DriftSeen(
        use_case=look.triage.use_case,
        at_ms=look.triage.at_ms,
        first_date=first,
        last_date=last,
        baseline_days=len(look.window.baseline),
        timelines=timelines_seen(look.timelines),
        charts=tuple(chart_seen(chart) for chart in charts),
    )


def shown(
    platform: Platform, use_case: UseCase, look: Look, charts: Sequence[Charted]
) -> dict[str, Any]:
    """What the UI shows of a look: verdict, pictures, the table behind them."""
    from training.watch_plots import control_picture, drift_picture

    pictures = {"timelines": drift_picture(look.timelines), "charts": control_picture(charts)}
    drawn = {
        f"{name}_picture": shown_picture(platform, use_case.name, f"drift_{name}", png)
        for name, png in pictures.items()
    }
    return drawn | {
        "verdict": look.triage.sentence(),
        "kind": look.triage.kind,
        "triage": look.triage.model_dump(mode="json"),
        "columns": dg.MetadataValue.md(columns_text(look)),
        "days_out_of_limits": {c.title: c.out(look.window.current) for c in charts},
        "dagster/row_count": sum(len(line.window) for line in look.timelines.values()),
    }


def charts_of(use_case: UseCase, look: Look) -> list[Charted]:
    """Control charts of all tables, those with a day out of their limits first."""
    dates, n_baseline = look.window.dates, len(look.window.baseline)
    default = use_case.decisions.default
    made = [
        charted(line, dates, n_baseline)
        for table, profiles in look.profiles.items()
        for line in lines_of(table, profiles, dates, default)
    ]
    found = [chart for chart in made if chart is not None]
    return sorted(found, key=lambda c: -len(c.out(look.window.current)))[:MOST_CHARTS]


def columns_text(look: Look) -> str:
    """Every column of every timeline with its verdict, as a Markdown table."""
    lines = ["| compared | column | verdict | effect | limit | PSI | missing |", "|---" * 7 + "|"]
    for title, line in look.timelines.items():
        for verdict in line.window:
            shift = verdict.shift
            lines.append(
                f"| {title} | {verdict.column} | {verdict.state} | {shift.effect} "
                f"| {verdict.threshold:.3f} | {shift.psi:.4f} "
                f"| {shift.missing_reference_share:.1%} to {shift.missing_current_share:.1%} |"
            )
    return "\n".join(lines)
