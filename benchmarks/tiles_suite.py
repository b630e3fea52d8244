"""Tiles against plain Spark, each case in a process of its own, on one events table."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.data import DAYS, written
from benchmarks.floors import Floor, Section, ratio
from benchmarks.measure import Measurement, measure

FULL = 10_000_000
LIMIT_S = 1_200.0


def _case(name: str, case: str, folder: Path) -> Measurement:
    command = [sys.executable, "-m", "benchmarks.tiles", case, str(folder)]
    return measure(name, command, timeout_s=LIMIT_S)


def run(home: Path, *, is_small: bool) -> Section:
    """All cases; ``is_small`` takes a tenth of the rows."""
    rows = FULL // 10 if is_small else FULL
    section = Section(f"Tiles: {rows:,} rows over {DAYS} dates, three grids, Delta to Delta")
    folder = written(home, rows, rows // 10)
    made = _case("events table (not compared)", "events", folder)
    section.add(made)
    if made.failure:
        return section
    ours = section.add(_case("ours, all dates", "build", folder))
    one, thirty = (section.add(_part(ours, name)) for name in ("one_date", "thirty_dates"))
    ranges = section.add(_case("plain Spark, 12 range windows", "windows", folder))
    grouped = section.add(_case("plain Spark, groupBy of three grids", "group_by", folder))
    section.floors += [
        Floor("range windows / full build", ratio(ranges, ours), 3),
        Floor("full build / 1 % new rows in one date", ratio(ours, one), 5),
        Floor("rows read, full build / one date", _fewer(ours, one), 20),
    ]
    section.notes += [
        said("full build / 1 % new rows over thirty dates", ratio(ours, thirty)),
        said("rows read, full build / thirty dates", _fewer(ours, thirty)),
        said("groupBy / full build", ratio(grouped, ours)),
        "range windows give the values at every row, with a tail that is not cut on a grid; "
        "groupBy gives count, sum and max without entity keys and without a commit's epoch",
    ]
    return section


def _part(ours: Measurement, name: str) -> Measurement:
    """An update as a measurement of its own: it ran in the process of the full build."""
    about = {"one_date": "1 % new rows in one date", "thirty_dates": "1 % over thirty dates"}
    result = ours.result.get(name, {}) | {"profile": "the same process"}
    return Measurement(f"ours, {about[name]}", ours.wall_s, ours.peak_rss_mb, result, ours.failure)


def _fewer(many: Measurement, few: Measurement) -> float | None:
    if many.failure:
        return None
    return float(many.result["rows_read"]) / float(few.result["rows_read"])


def said(what: str, value: float | None) -> str:
    """A ratio that is reported and held to nothing."""
    return f"{what}: {'not measured' if value is None else f'{value:,.2f}'}"
