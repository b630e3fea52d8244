"""The model card: what a reader must know before trusting a release, as Markdown and JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from core.clock import event_date
from core.features.plan import Plan
from core.stats.metrics import METRICS, Estimate
from core.use_case import UseCase
from training.examples import PARTS
from training.parity import ParityReport
from training.report import CandidateReport

TOP_FEATURES = 15


def card_data(
    use_case: UseCase, plan: Plan, report: CandidateReport, parity: ParityReport, release: int
) -> dict[str, Any]:
    """Content of the card, ready for JSON."""
    strongest = sorted(report.importance.items(), key=lambda item: -item[1])[:TOP_FEATURES]
    return {
        "use_case": use_case.name,
        "release": release,
        "purpose": use_case.description,
        "owners": list(use_case.owners),
        "risk_tier": use_case.risk_tier,
        "kind": report.chosen,
        "settings": report.winner.settings,
        "metrics": {name: report.metrics[name].model_dump() for name in METRICS},
        "candidates": {c.kind: c.test[report.metric].model_dump() for c in report.candidates},
        "decisions": {name: report.decisions[name] for name in use_case.decisions.decisions},
        "policy": use_case.decisions.model_dump(mode="json"),
        "slices": [part.model_dump() for part in report.slices],
        "importance": dict(strongest),
        "parts": {name: report.parts[name].model_dump() for name in PARTS},
        "data": {
            "snapshot_id": report.snapshot_id,
            "read_versions": report.read_versions,
            "plan_digest": report.plan_digest,
            "features": list(plan.vector),
            "label": use_case.label.model_dump(mode="json"),
        },
        "parity": parity.model_dump(),
        "code_version": report.code_version,
        "seed": report.seed,
        "mlflow_run_id": report.run_id,
        "assumptions": assumptions(use_case),
        "limits": limits(use_case, report),
    }


def assumptions(use_case: UseCase) -> list[str]:
    """What must hold for the numbers to mean what they say."""
    label = use_case.label
    absent = "counts as 0" if label.absent_means == "0" else "is left out"
    return [
        f"A label is known {label.maturity_days} days after the example at the latest; one that "
        f"has not come by then {absent}.",
        "Feature values are those that were known at the instant of each example; the service "
        "computes the same values from the same definitions.",
        "Split by time, with a gap of the label's maturity."
        if use_case.model.split == "time"
        else "Split at random by class: the numbers do not show how the model ages.",
        "Examples are those whose outcome was observed; where a decision stopped the event, its "
        "outcome is what was reported afterwards.",
    ]


def limits(use_case: UseCase, report: CandidateReport) -> list[str]:
    """What the model must not be used for, and where its numbers are weak."""
    found = [
        f"Made for: {use_case.description} Not for any other decision about a person.",
        "Contributions explain the score, not the world: they are not causes.",
        "Intervals ignore that examples of one entity go together; they are rather narrow.",
    ]
    if report.chosen == "mlp":
        found.append("This kind has no exact contributions; its decisions carry rule reasons only.")
    if report.parts["test"].n_positive < 100:
        found.append(f"Only {report.parts['test'].n_positive} positives in the test part.")
    return found


def card_markdown(data: dict[str, Any]) -> str:
    """Card as Markdown."""
    sections = [
        f"# Model card: {data['use_case']}, release {data['release']}",
        f"{data['purpose']}\n\nOwners: {', '.join(data['owners'])}. "
        f"Risk tier: {data['risk_tier']}. Kind: {data['kind']}.",
        "## Assumptions\n\n" + _bullets(data["assumptions"]),
        "## Limits\n\n" + _bullets(data["limits"]),
        "## Data\n\n" + _data_section(data),
        "## Metrics on the test part (95 % bootstrap interval)\n\n"
        + _metric_table(data["metrics"]),
        "## Decisions on the test part\n\n" + _decision_table(data["decisions"]),
        "## Slices\n\n" + _slice_table(data["slices"]),
        "## Features, by mean effect on the log-odds\n\n"
        + _table(("feature", "effect"), [(k, f"{v:.4f}") for k, v in data["importance"].items()]),
        "## How it was made\n\n" + _making(data),
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
            f"{part['average_precision']:.3f}",
            f"{part['ece']:.4f}",
        )
        for part in slices
    ]
    return _table(("slice", "rows", "positives", "AUC", "AP", "ECE"), rows)


def _making(data: dict[str, Any]) -> str:
    parity = data["parity"]
    settings = ", ".join(f"{name} {value}" for name, value in data["settings"].items())
    return _bullets(
        [
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
