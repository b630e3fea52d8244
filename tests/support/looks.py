"""What a night's look leaves behind, made small: for pages that show it."""

from __future__ import annotations

from core.clock import DAY_MS, event_date
from core.monitoring.live import Group
from core.monitoring.online_detection import Alarm
from core.monitoring.triage import Fault, Moved, Triage, triaged
from core.monitoring.watched import (
    BinSeen,
    CalibrationSeen,
    ChartSeen,
    ColumnSeen,
    DaySeen,
    DiagramSeen,
    DriftSeen,
    PeriodSeen,
    SkillSeen,
    StreamsSeen,
    TimelineSeen,
)
from core.stats.bars import Bar
from core.stats.metrics import Estimate
from stores.layout import Layout
from stores.monitoring.looks import Looks
from stores.monitoring.triages import Triages

NIGHT_MS = 1_767_238_200_000
"""2026-01-01 03:30 UTC."""

DATES = [event_date(NIGHT_MS - back * DAY_MS) for back in range(10, 0, -1)]
WINDOW = (DATES[-3], DATES[-1])
LATE = Fault(
    cause="late_partition", asset="events/payments", partition=DATES[-1], because="9 h late"
)
AMOUNT = Moved(
    column="amount", what="source", effect=0.4, threshold=0.1, n_current=90, since=DATES[-1]
)


def triage(*, faults: tuple[Fault, ...] = (), back_days: int = 0) -> Triage:
    """A verdict: data incident where there are faults, else drift of the amount."""
    at_ms = NIGHT_MS - back_days * DAY_MS
    return triaged("toy", [AMOUNT], faults, at_ms=at_ms, window=WINDOW)


def column(name: str, effect: float) -> ColumnSeen:
    """A column whose last day moved by ``effect``, and no day before it."""
    is_drifted = effect >= 0.1
    days = [
        DaySeen(
            date=date,
            n_rows=100,
            effect=effect if date == DATES[-1] else 0.01,
            threshold=0.1,
            state="drifted" if is_drifted and date == DATES[-1] else "stable",
            is_current=date in DATES[-3:],
        )
        for date in DATES
    ]
    return ColumnSeen(
        column=name, state="drifted" if is_drifted else "stable", effect=effect,
        effect_at_most=effect, threshold=0.1, p_value=0.01, psi=0.2, psi_p_value=0.004,
        missing_before=0.0, missing_now=0.25, n_rows=300,
        since=DATES[-1] if is_drifted else "", days=tuple(days),
        bars=(
            Bar(label="missing", before=0.0, now=0.25), Bar(label="below 30", before=1.0, now=0.75)
        ),
    )  # fmt: skip


def drift() -> DriftSeen:
    """Two comparisons, of which the second has a column that drifted, and a chart."""
    still = TimelineSeen(
        title="training against serving", what="feature", n_baseline=2_000,
        columns=(column("v1__mean", 0.02),),
    )  # fmt: skip
    moved = TimelineSeen(
        title="events/payments, day against day", what="source", n_baseline=700,
        columns=(column("amount", 0.4), column("<b>", 0.03)),
    )  # fmt: skip
    numbers = (10.0, 11.0, None, *(10.0,) * 6, 30.0)
    flat = {name: (value,) * 10 for name, value in {"lower": 5.0, "upper": 15.0}.items()}
    chart = ChartSeen(
        title="events/payments: rows", dates=tuple(DATES), points=numbers, centre=(10.0,) * 10,
        mean=(10.0,) * 10, mean_lower=flat["lower"], mean_upper=flat["upper"], out=(DATES[-1],),
        **flat,
    )  # fmt: skip
    return DriftSeen(
        use_case="toy", at_ms=NIGHT_MS, first_date=WINDOW[0], last_date=WINDOW[1],
        baseline_days=7, timelines=(still, moved), charts=(chart,),
    )  # fmt: skip


def skill() -> SkillSeen:
    """A release whose first period has labels and whose second is estimated."""
    known = {"auc": Estimate(value=0.8123, low=0.79, high=0.83)}
    guessed = {"auc": Estimate(value=0.7456, low=0.7, high=0.78)}
    whole = Group(
        release=3, channel="champion", n_rows=400, n_mature=200, n_positive=40, metrics=known,
        estimated=guessed,
    )  # fmt: skip
    part = whole.model_copy(update={"part": "country = NL", "estimated": {}})
    labelled = whole.model_copy(update={"estimated": {}})
    open_ones = whole.model_copy(update={"metrics": {}, "n_mature": 0, "n_positive": 0})
    return SkillSeen(
        use_case="toy", at_ms=NIGHT_MS, metric="auc", period_days=7, n_periods=8,
        maturity_days=7, n_answers=400, n_named=100, groups=(whole, part),
        periods=(
            PeriodSeen(date=DATES[0], group=labelled), PeriodSeen(date=DATES[-3], group=open_ones)
        ),
        lost=("auc of release 3 moved 0.07 (limit 0.05)",),
    )  # fmt: skip


def calibration() -> CalibrationSeen:
    """A diagram of two bins, one of them off."""
    bins = (
        BinSeen(n_rows=100, score=0.5, share=0.48, low=0.4, high=0.6),
        BinSeen(n_rows=100, score=0.05, share=0.2, low=0.14, high=0.28),
    )
    diagram = DiagramSeen(name="release 3", error=0.085, bins=bins)
    return CalibrationSeen(use_case="toy", at_ms=NIGHT_MS, is_promised=True, diagrams=(diagram,))


def streams() -> StreamsSeen:
    """One change of the mean score."""
    alarm = Alarm(
        release=3, stream="scores", detector="page_hinkley", place=900, at_ms=NIGHT_MS,
        before=0.2134, after=0.4011,
    )  # fmt: skip
    return StreamsSeen(use_case="toy", at_ms=NIGHT_MS, alarms=(alarm,))


def put_looks(layout: Layout) -> None:
    """A home in which everything was looked at, and two verdicts given."""
    looks = Looks(layout.monitoring)
    for seen in (drift(), skill(), calibration(), streams()):
        looks.put(seen)
    for each in (triage(faults=(LATE,), back_days=1), triage()):
        Triages(layout.monitoring).put(each)
