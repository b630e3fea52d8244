"""The Grafana dashboard, as JSON: ``python -m infra.dashboard > dashboard.json``.

A row of panels for each question that somebody on call asks, in the order they are asked.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]
COLUMNS, HEIGHT = 24, 8
_DATA = {"type": "prometheus", "uid": "${data}"}
_PREDICT = 'route="/v1/{use_case}/predictions"'


@dataclass(frozen=True)
class Line:
    """One query of a panel, and what its series are called."""

    query: str
    name: str


@dataclass(frozen=True)
class Panel:
    """One graph: what it answers, its unit (Grafana's names), its queries, its axis' beginning."""

    title: str
    about: str
    unit: str
    lines: tuple[Line, ...]
    least: int | None = 0


def _quantile(share: float, metric: str, by: str, where: str) -> str:
    selected = f'{metric}_bucket{{job="throughline"{where}}}[$__rate_interval]'
    return f"histogram_quantile({share}, sum by ({by}, le) (rate({selected})))"


def _rate(metric: str, by: str, where: str = "", job: str = "throughline") -> str:
    return f'sum by ({by}) (rate({metric}{{job="{job}"{where}}}[$__rate_interval]))'


def _of(metric: str, how: str, by: str, where: str = "") -> str:
    return f'{how} by ({by}) ({metric}{{job="throughline"{where}}})'


_USE_CASE = ',use_case=~"$use_case"'
_PROMISED = "throughline_objective_requests_total"


def _left(month: str = "30d") -> str:
    """What is left of the error budget: 1 all, 0 none, less where the promise is broken."""
    missed = _increase(_PROMISED, ',outcome="missed"', month)
    budget = (
        f"label_replace(1 - {_of('throughline_objective_availability_ratio', 'max', 'use_case')}, "
        '"objective", "availability", "", "") or label_replace(0.01 + 0 * '
        f"{_of('throughline_objective_p99_seconds', 'max', 'use_case')}, "
        '"objective", "p99", "", "")'
    )
    return f"1 - {missed} / {_increase(_PROMISED, '', month)} / ({budget})"


def _increase(metric: str, where: str, window: str) -> str:
    selected = f'{metric}{{job="throughline"{_USE_CASE}{where}}}[{window}]'
    return f"sum by (use_case, objective) (increase({selected}))"


_DEGRADED = _rate("throughline_predictions_total", "use_case", _USE_CASE + ',degraded!=""')
ROWS: tuple[tuple[str, tuple[Panel, ...]], ...] = (
    (
        "Are answers given, and in time",
        (
            Panel(
                "Requests",
                "By route and status.",
                "reqps",
                (
                    Line(
                        _rate("throughline_request_seconds_count", "route, status"),
                        "{{route}} {{status}}",
                    ),
                ),
            ),
            Panel(
                "Time of a prediction",
                "From the first byte of the body to the answer, of all use cases.",
                "s",
                tuple(
                    Line(
                        _quantile(q, "throughline_request_seconds", "route", "," + _PREDICT),
                        f"p{q * 100:g}",
                    )
                    for q in (0.5, 0.99, 0.999)
                ),
            ),
            Panel(
                "Time by stage, p99",
                "Which stage a slow prediction is slow in.",
                "s",
                (
                    Line(
                        _quantile(0.99, "throughline_stage_seconds", "stage", _USE_CASE),
                        "{{stage}}",
                    ),
                ),
            ),
            Panel(
                "Dependencies asked",
                "1 while asked, 0 while left alone because it kept failing.",
                "none",
                (Line(_of("throughline_dependency_asked", "min", "dependency"), "{{dependency}}"),),
            ),
            Panel(
                "Requests refused",
                "By the code of the problem.",
                "reqps",
                (Line(_rate("throughline_refusals_total", "code"), "{{code}}"),),
            ),
        ),
    ),
    (
        "Is kept what is promised",
        (
            Panel(
                "Objective: time of 99 of 100",
                "Answered requests for one prediction, each use case beside what it promises.",
                "s",
                (
                    Line(
                        _quantile(0.99, "throughline_prediction_seconds", "use_case", _USE_CASE),
                        "{{use_case}} p99",
                    ),
                    Line(
                        _of("throughline_objective_p99_seconds", "max", "use_case", _USE_CASE),
                        "{{use_case}} objective",
                    ),
                ),
            ),
            Panel(
                "Objective: what is left of the error budget",
                "Of 30 days, or of what Prometheus keeps. At 0 it is spent, below the promise is "
                "broken.",
                "percentunit",
                (Line(_left(), "{{use_case}} {{objective}}"),),
                least=None,
            ),
        ),
    ),
    (
        "What is decided, and by whom",
        (
            Panel(
                "Decisions",
                "Points answered, by decision.",
                "ops",
                (
                    Line(
                        _rate("throughline_predictions_total", "use_case, decision", _USE_CASE),
                        "{{use_case}} {{decision}}",
                    ),
                ),
            ),
            Panel(
                "Share of degraded answers",
                "Scored without all of their features; alert above 1 %.",
                "percentunit",
                (
                    Line(
                        f"{_DEGRADED} / "
                        + _rate("throughline_predictions_total", "use_case", _USE_CASE),
                        "{{use_case}}",
                    ),
                ),
            ),
            Panel(
                "Release by channel",
                "A step is a promotion or a rollback.",
                "none",
                (
                    Line(
                        _of("throughline_release", "max", "use_case, channel"),
                        "{{use_case}} {{channel}}",
                    ),
                ),
            ),
            Panel(
                "Answers by channel",
                "The challenger's share is the one its rollout's stage says.",
                "ops",
                (
                    Line(
                        _rate("throughline_predictions_total", "use_case, channel", _USE_CASE),
                        "{{use_case}} {{channel}}",
                    ),
                ),
            ),
        ),
    ),
    (
        "Are features fresh",
        (
            Panel(
                "Age of sources",
                "How long ago all events of a source were known to be folded.",
                "s",
                (Line(_of("throughline_source_age_seconds", "max", "source"), "{{source}}"),),
            ),
            Panel(
                "The folder: behind, and silent",
                "Behind is how much it had to fold when it last spoke; silent is how long ago.",
                "s",
                (
                    Line(_of("throughline_folder_lag_seconds", "max", "source"), "{{source}} lag"),
                    Line(
                        _of("throughline_folder_silence_seconds", "max", "source"),
                        "{{source}} silence",
                    ),
                ),
            ),
            Panel(
                "Events",
                "Taken over HTTP by what became of them, and folded.",
                "ops",
                (
                    Line(
                        _rate("throughline_events_total", "source, status"),
                        "{{source}} {{status}}",
                    ),
                    Line(
                        _rate(
                            "throughline_folded_records_total", "source", job="throughline-folder"
                        ),
                        "{{source}} folded",
                    ),
                ),
            ),
        ),
    ),
    (
        "Is anything piling up",
        (
            Panel(
                "Records that wait to be shipped",
                "Age of the oldest sealed segment; above 10 s the promise of records.md is broken.",
                "s",
                (
                    Line(
                        _of("throughline_records_waiting_age_seconds", "max", "use_case, instance"),
                        "{{use_case}} {{instance}}",
                    ),
                ),
            ),
            Panel(
                "Size of what waits",
                "Bytes of sealed segments on each machine.",
                "bytes",
                (
                    Line(
                        _of("throughline_records_waiting_bytes", "max", "use_case, instance"),
                        "{{use_case}} {{instance}}",
                    ),
                ),
            ),
            Panel(
                "Memory",
                "Resident memory of each process.",
                "bytes",
                (
                    Line(
                        'process_resident_memory_bytes{job=~"throughline.*"}',
                        "{{job}} {{instance}} {{worker}}",
                    ),
                ),
            ),
            Panel(
                "Models in memory",
                "What each release takes in a worker, measured when it was loaded.",
                "bytes",
                (
                    Line(
                        _of("throughline_model_memory_bytes", "max", "use_case, release"),
                        "{{use_case}} {{release}}",
                    ),
                ),
            ),
            Panel(
                "Processors",
                "Seconds of processor time a second, by process.",
                "none",
                (
                    Line(
                        'rate(process_cpu_seconds_total{job=~"throughline.*"}[$__rate_interval])',
                        "{{job}} {{instance}} {{worker}}",
                    ),
                ),
            ),
        ),
    ),
)


def queries() -> list[str]:
    """Every query of the dashboard."""
    return [line.query for _, panels in ROWS for panel in panels for line in panel.lines]


def dashboard() -> Json:
    """The dashboard as Grafana imports it; its data source and use cases are chosen there."""
    placed: list[Json] = []
    top = 0
    for title, panels in ROWS:
        row = {"type": "row", "title": title, "collapsed": False, "panels": []}
        placed.append({**row, "gridPos": {"x": 0, "y": top, "w": COLUMNS, "h": 1}})
        width = COLUMNS // len(panels)
        for column, panel in enumerate(panels):
            placed.append(_panel(panel, x=column * width, y=top + 1, width=width))
        top += HEIGHT + 1
    return {
        "uid": "throughline",
        "title": "Throughline",
        "tags": ["throughline"],
        "schemaVersion": 39,
        "timezone": "utc",
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": _variables()},
        "panels": [{"id": number, **panel} for number, panel in enumerate(placed, start=1)],
    }


def _variables() -> list[Json]:
    found = "label_values(throughline_release, use_case)"
    several = {"multi": True, "includeAll": True, "allValue": ".*", "refresh": 2}
    return [
        {"name": "data", "type": "datasource", "query": "prometheus", "label": "Data source"},
        {
            "name": "use_case",
            "type": "query",
            "datasource": _DATA,
            "query": found,
            "label": "Use case",
            **several,
        },
    ]


def _panel(panel: Panel, *, x: int, y: int, width: int) -> Json:
    targets = [
        {"refId": chr(ord("A") + n), "datasource": _DATA, "expr": line.query,
         "legendFormat": line.name}
        for n, line in enumerate(panel.lines)
    ]  # fmt: skip
    return {
        "type": "timeseries",
        "title": panel.title,
        "description": panel.about,
        "datasource": _DATA,
        "gridPos": {"x": x, "y": y, "w": width, "h": HEIGHT},
        "fieldConfig": {
            "defaults": {"unit": panel.unit}
            | ({} if panel.least is None else {"min": panel.least}),
            "overrides": [],
        },
        "targets": targets,
    }


def main() -> int:
    """Print the dashboard."""
    json.dump(dashboard(), sys.stdout, indent=2)
    sys.stdout.write("\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
