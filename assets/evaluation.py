"""Evaluation of a candidate: beside the champion on the same rows, and by declared groups."""

from typing import TYPE_CHECKING, Any

import dagster as dg

from assets import names
from assets.lineage import last_metadata
from assets.models import candidate_folder
from assets.releases import champion_bundle
from assets.resources import Platform
from assets.results import Result, check
from assets.tables import read_columns
from core.features.plan import Plan
from core.use_case import UseCase

if TYPE_CHECKING:
    from training.evaluation import Evaluation

FAIR = "fair_to_declared_groups"
MEANS = (
    "No rate of adverse decisions, or of errors in them, surely differs between declared groups "
    "by more than is declared; groups that are too small are named."
)


def evaluation_asset(use_case: UseCase, plan: Plan) -> dg.AssetsDefinition:
    """Asset of what is found of a candidate before it becomes a bundle."""
    key = names.evaluation(use_case.name)

    @dg.asset(
        key=key,
        deps=[names.candidate(use_case.name)],
        description=(
            f"The chosen candidate of {use_case.name} beside the champion on the same rows, slice "
            "by slice with intervals, and its rates by declared groups.\n\n"
            "One a candidate. What is unfair becomes no bundle.\n\n"
            "Read by the bundle, whose model card shows it."
        ),
        group_name=names.MODELS,
        owners=list(use_case.owners),
        kinds={"python"},
        check_specs=[dg.AssetCheckSpec(FAIR, asset=key, description=MEANS, blocking=True)],
    )
    def evaluation(context: dg.AssetExecutionContext, platform: Platform) -> Result:
        snapshot = last_metadata(context, names.candidate(use_case.name))["snapshot"]
        found = evaluated(platform, use_case, plan, snapshot)
        return Result(metadata=shown(snapshot, found), check_results=[fair(found)])

    return evaluation


def evaluated(platform: Platform, use_case: UseCase, plan: Plan, snapshot: str) -> "Evaluation":
    """Evaluation of the candidate of a snapshot, put down beside it."""
    from training.evaluation import evaluation_of, save_evaluation
    from training.report import load_report, load_scorer

    folder = candidate_folder(platform, use_case.name, snapshot)
    rows = read_columns(platform.layout.training(use_case.name), within=("snapshot", [snapshot]))
    scorer = load_scorer(folder, load_report(folder))
    champion = champion_bundle(platform, use_case.name)
    found = evaluation_of(use_case, plan, scorer.scores, rows, champion)
    save_evaluation(folder, found)
    return found


def fair(found: "Evaluation") -> dg.AssetCheckResult:
    """The fairness gate as a check."""
    fairness = found.fairness
    if fairness is None:
        return check(FAIR, passed=True, why="no groups are declared, so nothing was looked at")
    worst = fairness.unfair or tuple(v for v in fairness.verdicts if v.state == "unsure")
    return check(
        FAIR,
        passed=fairness.is_passed,
        why="; ".join(verdict.sentence() for verdict in worst),
        rates={f"{v.rate} by {v.reads}": v.state for v in fairness.verdicts},
        sentences=[verdict.sentence() for verdict in fairness.verdicts],
    )


def shown(snapshot: str, found: "Evaluation") -> dict[str, Any]:
    """What the UI shows of an evaluation."""
    facts: dict[str, Any] = {"snapshot": snapshot, "dagster/row_count": 0}
    comparison = found.comparison
    if comparison is None:
        return facts | {"champion": "none serves"}
    lines = ["| slice | rows | candidate | champion | difference, 95 % |", "|---|---|---|---|---|"]
    lines += [
        f"| {part.name} | {part.n_rows:,} | {part.candidate:.4f} | {part.champion:.4f} | "
        f"{part.difference.low:+.4f} to {part.difference.high:+.4f} |"
        for part in comparison.slices
    ]
    facts |= {
        "champion": f"release {comparison.champion} on {comparison.measured_on}",
        "dagster/row_count": comparison.n_rows,
        "slices": dg.MetadataValue.md("\n".join(lines)),
        "surely_worse_in": [part.name for part in comparison.worse],
    }
    if comparison.difference is not None:
        facts |= {
            f"difference_{comparison.metric}{end}": getattr(comparison.difference, name)
            for end, name in (("", "value"), ("_low", "low"), ("_high", "high"))
        }
    return facts
