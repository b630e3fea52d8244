"""The model card as data: what a reader must know before trusting a release."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, metadata
from typing import Any

from core.features.comparison import ViewReport
from core.features.plan import Plan
from core.stats.metrics import METRICS
from core.stats.slices import Slice
from core.use_case import UseCase
from training.evaluation import Evaluation
from training.examples import PARTS
from training.parity import ParityReport
from training.report import CandidateReport

TOP_FEATURES = 15
WEAKEST = 3
WITHOUT_CONTRIBUTIONS = frozenset({"mlp", "ensemble"})
LIBRARIES = {
    "logistic": ("scikit-learn", "numpy", "onnx"),
    "xgboost": ("xgboost-cpu", "numpy", "onnx"),
    "mlp": ("scikit-learn", "numpy", "onnx"),
    "ensemble": ("xgboost-cpu", "scikit-learn", "numpy", "onnx"),
}
"""What a model of a kind was made with; its bundle holds none of their code."""


@dataclass(frozen=True)
class Making:
    """What else is known when the card is written.

    ``asked_for`` is why it was trained; ``view_reports`` compare its views with former versions.
    """

    parity: ParityReport
    evaluation: Evaluation | None = None
    asked_for: str = ""
    view_reports: Sequence[ViewReport] = ()


def card_data(
    use_case: UseCase, plan: Plan, report: CandidateReport, release: int, made: Making
) -> dict[str, Any]:
    """Content of the card, ready for JSON."""
    strongest = sorted(report.importance.items(), key=lambda item: -item[1])[:TOP_FEATURES]
    evaluation = made.evaluation or Evaluation()
    return {
        "use_case": use_case.name,
        "release": release,
        "purpose": use_case.description,
        "owners": list(use_case.owners),
        "risk_tier": use_case.risk_tier,
        "kind": report.chosen,
        "asked_for": made.asked_for,
        "settings": report.winner.settings,
        "metrics": {name: report.metrics[name].model_dump() for name in METRICS},
        "candidates": {c.kind: c.test[report.metric].model_dump() for c in report.candidates},
        "decisions": {name: report.decisions[name] for name in use_case.decisions.decisions},
        "policy": use_case.decisions.model_dump(mode="json"),
        "slices": [part.model_dump() for part in report.slices],
        **evaluation.model_dump(mode="json"),
        "importance": dict(strongest),
        "parts": {name: report.parts[name].model_dump() for name in PARTS},
        "data": {
            "snapshot_id": report.snapshot_id,
            "read_versions": report.read_versions,
            "plan_digest": report.plan_digest,
            "features": list(plan.vector),
            "label": use_case.label.model_dump(mode="json"),
        },
        "view_reports": [view_report_data(each) for each in made.view_reports],
        "licences": licences(use_case, report.chosen),
        "parity": made.parity.model_dump(),
        "code_version": report.code_version,
        "seed": report.seed,
        "mlflow_run_id": report.run_id,
        "assumptions": assumptions(use_case),
        "limits": limits(use_case, report),
        "failure_modes": failure_modes(use_case, plan, report),
    }


def view_report_data(report: ViewReport) -> dict[str, str]:
    """A report of differences, as the card names it: what it comes to, where it is, its digest."""
    return {
        "old": report.old,
        "new": report.new,
        "found": report.sentence(),
        "file": f"view_reports/{report.new}/{report.old}.json",
        "digest": report.digest,
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
    if report.chosen in WITHOUT_CONTRIBUTIONS:
        found.append("This kind has no exact contributions; its decisions carry rule reasons only.")
    if report.parts["test"].n_positive < 100:
        found.append(f"Only {report.parts['test'].n_positive} positives in the test part.")
    return found


def failure_modes(use_case: UseCase, plan: Plan, report: CandidateReport) -> list[str]:
    """How the model goes wrong, and what happens then."""
    found = [
        *_missing_values(use_case),
        *_unknown_values(plan),
        *_weak_slices(report),
        "The world changes: the numbers are those of the test part's dates. Drift and decay are "
        "watched, and this card does not learn of them.",
    ]
    stops = [name for name in use_case.decisions.decisions if name != use_case.decisions.default]
    if stops:
        found.append(
            f"What is decided {' or '.join(stops)} may never show its true outcome, so the next "
            "model learns less about the very cases that this one is sure of."
        )
    return found


def _missing_values(use_case: UseCase) -> Iterator[str]:
    if use_case.degradation is None:
        yield "Where feature values are missing, the model scores them as null: no rule says else."
        return
    for without in use_case.degradation.fallbacks:
        yield (
            f"Without {', '.join(without)} a smaller model answers, and the answer says so; what "
            "that costs stands in the manifest."
        )
    yield f"Where no model answers, rules do; else {use_case.degradation.unscored.default}."


def _unknown_values(plan: Plan) -> Iterator[str]:
    names = [
        f"{view.name}:{attribute.name}"
        for view in plan.views
        for attribute in view.attributes
        if attribute.categories
    ]
    if names:
        yield f"A category that was not declared is scored as null: {', '.join(names)}."


def _weak_slices(report: CandidateReport) -> Iterator[str]:
    whole = report.metrics["auc"]
    weak = [part for part in report.slices if part.auc < whole.low]
    for part in sorted(weak, key=_auc)[:WEAKEST]:
        yield f"Weak where {part.name}: AUC {part.auc:.3f}, {whole.value:.3f} over all."


def _auc(part: Slice) -> float:
    return part.auc


def licences(use_case: UseCase, kind: str) -> dict[str, dict[str, str]]:
    """What data, by source, and software, by package and version, may be used under."""
    sources = {source.name: source.licence or "not declared" for source in use_case.sources}
    return {"data": sources, "software": dict(map(_licence, LIBRARIES.get(kind, ())))}


def _licence(package: str) -> tuple[str, str]:
    try:
        facts = metadata(package)
    except PackageNotFoundError:
        return package, "not installed here"
    said = [facts[name] for name in ("License-Expression", "License") if name in facts]
    lines = [text.partition("\n")[0][:80] for text in said if text]
    return f"{package} {facts['Version']}", next(iter(lines), "not declared")
