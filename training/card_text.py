"""The model card for people: Markdown, from the card as data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from core.clock import event_date
from core.fairness import FairnessReport
from core.stats.metrics import Estimate
from training.comparison import Comparison


def card_markdown(data: dict[str, Any]) -> str:
    """Card as Markdown."""
    sections = [
        f"# Model card: {data['use_case']}, release {data['release']}",
        f"{data['purpose']}\n\nOwners: {', '.join(data['owners'])}. "
        f"Risk tier: {data['risk_tier']}. Kind: {data['kind']}.",
        "## Assumptions\n\n" + _bullets(data["assumptions"]),
        "## Limits\n\n" + _bullets(data["limits"]),
        "## How it fails\n\n" + _bullets(data["failure_modes"]),
        "## Data\n\n" + _data_section(data),
        "## Metrics on the test part (95 % bootstrap interval)\n\n"
        + _metric_table(data["metrics"]),
        "## Decisions on the test part\n\n" + _decision_table(data["decisions"]),
        "## Slices\n\n" + _slice_table(data["slices"]),
        "## Beside the champion\n\n" + _comparison(data["comparison"]),
        "## Groups of people\n\n" + _fairness(data["fairness"]),
        "## Features, by mean effect on the log-odds\n\n"
        + _table(("feature", "effect"), [(k, f"{v:.4f}") for k, v in data["importance"].items()]),
        "## Versions of features\n\n" + _view_reports(data["view_reports"]),
        "## How it was made\n\n" + _making(data),
        "## Licences\n\n" + _licences(data["licences"]),
    ]
    return "\n\n".join(sections) + "\n"


def _data_section(data: dict[str, Any]) -> str:
    rows = [
        (
            name,
            f"{part['n_rows']:,}",
            f"{part['n_positive']:,}",
            event_date(part["from_ms"]),
            event_date(part["until_ms"]),
        )
        for name, part in data["parts"].items()
    ]
    held = data["data"]
    versions = ", ".join(f"{name} {number}" for name, number in held["read_versions"].items())
    return (
        f"Snapshot `{held['snapshot_id']}`; plan `{held['plan_digest']}`; "
        f"table versions read: {versions or 'not recorded'}.\n\n"
        + _table(("part", "rows", "positives", "first", "last"), rows)
    )


def _metric_table(metrics: dict[str, dict[str, float]]) -> str:
    estimates = {name: Estimate.model_validate(values) for name, values in metrics.items()}
    rows = [
        (name, f"{e.value:.4f}", f"{e.low:.4f} to {e.high:.4f}") for name, e in estimates.items()
    ]
    return _table(("metric", "value", "interval"), rows)


def _decision_table(decisions: dict[str, dict[str, float]]) -> str:
    rows = [
        (name, f"{r['share']:.3%}", f"{r['precision']:.3f}", f"{r['recall']:.3f}")
        for name, r in decisions.items()
    ]
    return _table(("decision", "share", "precision", "recall"), rows)


def _slice_table(slices: list[dict[str, Any]]) -> str:
    if not slices:
        return "No slice was large enough to be measured."
    rows = [
        (
            part["name"],
            f"{part['n_rows']:,}",
            f"{part['n_positive']:,}",
            f"{part['auc']:.3f}",
            _span(part.get("auc_interval")),
            f"{part['average_precision']:.3f}",
            f"{part['ece']:.4f}",
        )
        for part in slices
    ]
    return _table(("slice", "rows", "positives", "AUC", "95 %", "AP", "ECE"), rows)


def _span(interval: Sequence[float] | None) -> str:
    return "-" if interval is None else f"{interval[0]:.3f} to {interval[1]:.3f}"


def _comparison(found: dict[str, Any] | None) -> str:
    if found is None:
        return "No release was served when this one was evaluated."
    comparison = Comparison.model_validate(found)
    theirs = comparison.metrics[comparison.metric]
    words = (
        f"Release {comparison.champion} on {comparison.measured_on}: {comparison.metric} "
        f"{theirs.value:.4f} ({theirs.low:.4f} to {theirs.high:.4f})"
    )
    if comparison.difference is None:
        return f"{words}."
    d = comparison.difference
    rows = [
        (
            part.name,
            f"{part.n_rows:,}",
            f"{part.candidate:.4f}",
            f"{part.champion:.4f}",
            f"{part.difference.low:+.4f} to {part.difference.high:+.4f}",
            "surely worse" if part.is_worse else "",
        )
        for part in comparison.slices
    ]
    heads = ("slice", "rows", "this one", "champion", "difference, 95 %", "")
    return (
        f"{words}; this one differs by {d.value:+.4f} ({d.low:+.4f} to {d.high:+.4f}).\n\n"
        + _table(heads, rows)
    )


def _fairness(found: dict[str, Any] | None) -> str:
    if found is None:
        return "No groups are declared, so nothing is known of how it treats them."
    report = FairnessReport.model_validate(found)
    return f"Adverse decisions: {', '.join(report.adverse)}.\n\n" + _bullets(
        [verdict.sentence() for verdict in report.verdicts]
    )


def _view_reports(reports: list[dict[str, str]]) -> str:
    if not reports:
        return "No view of it was compared with a former version (`throughline views compare`)."
    return _bullets(
        [
            f"{r['found']}. Report `{r['file']}` of the home, digest `{r['digest']}`."
            for r in reports
        ]
    )


def _licences(found: dict[str, dict[str, str]]) -> str:
    rows = [(kind, name, licence) for kind, held in found.items() for name, licence in held.items()]
    return _table(("of", "name", "licence"), rows)


def _making(data: dict[str, Any]) -> str:
    parity = data["parity"]
    settings = ", ".join(f"{name} {value}" for name, value in data["settings"].items())
    asked_for = [f"Asked for by {data['asked_for']}."] if data["asked_for"] else []
    return _bullets(
        [
            *asked_for,
            f"Code `{data['code_version']}`, seed {data['seed']}, MLflow run "
            f"`{data['mlflow_run_id']}`.",
            f"Settings: {settings}.",
            f"ONNX against the source on {parity['n_points']:,} points: largest difference "
            f"{parity['largest_difference']:.2g}, {parity['n_flips']} decisions turned; "
            f"{parity['n_near']:,} points within 1e-6 of a threshold.",
        ]
    )


def _bullets(lines: list[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
