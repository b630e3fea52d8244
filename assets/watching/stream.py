"""Scores and errors of each release in the order they came, watched by online detectors.

Off the answer path: the service writes records, and this reads them a minute or an hour later. A
run replays the last three days from midnight, so it holds no state and finds the same again.
"""

from typing import TYPE_CHECKING, Any

import dagster as dg
import numpy as np

from assets import names
from assets.resources import Platform
from assets.results import Result, check
from assets.watching.performance import answered
from core.clock import DAY_MS, event_date
from core.features.plan import Plan
from core.monitoring.live import LiveRows
from core.monitoring.online_detection import Alarm, Values, alarms_of, since
from core.monitoring.watched import StreamsSeen
from core.use_case import UseCase
from stores.monitoring.looks import Looks

if TYPE_CHECKING:
    from training.live_rows import Watched

STEADY = "streams_are_steady"
MEANS = "No detector found a change of mean in the scores or errors of the last two days."
DAYS = 3
TOLD_MS = 2 * DAY_MS
"""How long a change is told: then it is the present, and the nightly looks have had it twice."""


def stream_asset(use_case: UseCase, plan: Plan) -> dg.AssetsDefinition:
    """Asset of a use case's streams."""
    name, key = use_case.name, names.stream(use_case.name)

    @dg.asset(
        key=key,
        deps=answered(use_case),
        description=(
            f"Scores of {name} as they were served, and errors as labels came, one by one.\n\n"
            "Each release apart; the last three days, gone through by ADWIN and Page-Hinkley.\n\n"
            "Read by whoever is alerted between two daily looks."
        ),
        group_name=names.WATCHING,
        owners=list(use_case.owners),
        kinds={"python"},
        check_specs=[dg.AssetCheckSpec(STEADY, asset=key, description=MEANS)],
    )
    def stream(context: dg.AssetExecutionContext, platform: Platform) -> Result:
        now_ms = platform.clock.now_ms()
        alarms = found_in(platform, use_case, plan, now_ms)
        seen = StreamsSeen(use_case=name, at_ms=now_ms, alarms=tuple(alarms))
        Looks(platform.layout.monitoring).put(seen)
        newest = since(alarms, now_ms - TOLD_MS)
        return Result(metadata=shown(alarms), check_results=[steady(newest)])

    return stream


def found_in(platform: Platform, use_case: UseCase, plan: Plan, now_ms: int) -> list[Alarm]:
    """Alarms of every stream: scores of the last days, errors of those whose labels matured."""
    from training.live_rows import BATCH, watched_rows

    def served(back_days: int) -> LiveRows:
        dates = [event_date(now_ms - (back_days + back) * DAY_MS) for back in range(DAYS, -1, -1)]
        watched: Watched = watched_rows(platform.layout, use_case, plan, dates, now_ms)
        rows = watched.rows
        chosen = rows.chosen((rows.channels != BATCH) & ~rows.is_degraded)
        return chosen.chosen(np.argsort(chosen.at_ms, kind="stable"))

    new, old = served(0), served(use_case.label.maturity_days)
    late_ms = use_case.label.maturity_days * DAY_MS
    return [
        *_alarms(new, "scores", new.scores, 0),
        *_alarms(old, "errors", np.abs(old.scores - old.labels), late_ms),
    ]


def _alarms(rows: LiveRows, stream: Any, values: Any, late_ms: int) -> list[Alarm]:
    """Alarms of each release; an error is known ``late_ms`` after what it is about."""
    found: list[Alarm] = []
    for release in np.unique(rows.releases).tolist():
        own = rows.releases == release
        found += alarms_of(Values(release, stream, rows.at_ms[own] + late_ms, values[own]))
    return found


def shown(alarms: list[Alarm]) -> dict[str, Any]:
    """What the UI shows of a run."""
    lines = ["| when | what |", "|---|---|"]
    lines += [f"| {event_date(alarm.at_ms)} | {alarm.sentence()} |" for alarm in alarms]
    return {
        "alarms": dg.MetadataValue.md("\n".join(lines)) if alarms else "none",
        "dagster/row_count": len(alarms),
    }


def steady(alarms: list[Alarm]) -> dg.AssetCheckResult:
    """Whether nothing changed lately."""
    last = {(alarm.release, alarm.stream, alarm.detector): alarm for alarm in alarms}
    why = "; ".join(alarm.sentence() for alarm in last.values())
    return check(STEADY, passed=not alarms, warn=True, why=why, alarms=len(alarms))
