"""Models: candidates fitted on a snapshot, a bundle behind the parity gate, a signed release."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from assets import names
from assets.lineage import last_metadata
from assets.registry import run_link, tracking_of
from assets.resources import Platform
from assets.results import Result, check
from assets.tables import read_columns
from core.errors import IntegrityError, InvalidInputError, NotReadyError
from core.features.plan import Plan
from core.use_case import UseCase

if TYPE_CHECKING:
    from stores.shelf.bundle import Bundle
    from training.evaluation import Evaluation
    from training.report import CandidateReport

CHANCE = "better_than_chance"
PARITY = "served_as_trained"
VERDICT = "beats_the_declared_rule"
BUILT_BY = "throughline/built_by"
"""Tag of a run: who started it, and so may not sign off what it builds."""
TRIGGER = "throughline/trigger"
"""Tag of a run that nobody started: which declared trigger did; its ``WHY`` has the numbers."""
WHY = "throughline/why"
MOST_RELEASES = 20
"""How many of the newest releases are looked at for members of an ensemble."""
MEANING = {
    CHANCE: "The 95 % interval of the AUC on the test part lies above one half.",
    PARITY: "ONNX Runtime answers as the source model on 10,000 points, thresholds included.",
    VERDICT: "The first release beats the declared floor, a later one beats the champion.",
}


def candidate_folder(platform: Platform, use_case: str, snapshot: str) -> Path:
    """Where fitting leaves the chosen model and its evidence."""
    return platform.layout.candidates(use_case) / snapshot


def candidate_asset(use_case: UseCase, plan: Plan) -> dg.AssetsDefinition:
    """Asset of a use case's fitted candidates."""
    key = names.candidate(use_case.name)

    @dg.asset(
        key=key,
        deps=[names.training(use_case.name)],
        description=(
            f"Candidates of {use_case.name}: {', '.join(use_case.model.candidates)}; the best on "
            "validation is chosen.\n\nOne a snapshot, kept as an MLflow run.\n\n"
            "Read by the bundle."
        ),
        group_name=names.MODELS,
        owners=list(use_case.owners),
        kinds={"python", "mlflow", "xgboost"},
        check_specs=[dg.AssetCheckSpec(CHANCE, asset=key, description=MEANING[CHANCE])],
    )
    def candidate(context: dg.AssetExecutionContext, platform: Platform) -> Result:
        made = last_metadata(context, names.training(use_case.name))
        report = fitted(context, platform, use_case, plan, made)
        auc = report.metrics["auc"]
        return Result(
            metadata=metrics_shown(report)
            | {"mlflow": run_link(platform, use_case.name, report.run_id)},
            check_results=[check(CHANCE, passed=auc.low > 0.5, auc=auc.value, low=auc.low)],
        )

    return candidate


def fitted(
    context: dg.AssetExecutionContext,
    platform: Platform,
    use_case: UseCase,
    plan: Plan,
    made: Mapping[str, Any],
) -> "CandidateReport":
    """Candidates fitted on the snapshot that ``made`` names."""
    from training.fit import fit_candidates

    snapshot = made["snapshot"]
    tracking = tracking_of(platform, use_case.name)
    return fit_candidates(
        use_case,
        plan,
        read_columns(platform.layout.training(use_case.name), within=("snapshot", [snapshot])),
        snapshot_id=snapshot,
        out_dir=candidate_folder(platform, use_case.name, snapshot),
        tracking_uri=tracking.uri,
        experiment=tracking.experiment,
        artifacts=tracking.artifacts,
        seed=use_case.model.seed,
        trials=use_case.model.trials,
        progress=context.log.info,
        read_versions=made["report"]["read_versions"],
        code_version=platform.code_version,
        releases=last_releases(platform, use_case),
    )


def last_releases(platform: Platform, use_case: UseCase) -> "list[Bundle]":
    """Releases that a declared ensemble may take members of, the newest first; else none.

    Those that the declared rule let through, signed and whole, and that are not archived.
    """
    from stores.keys.signing import KeyRing
    from stores.shelf.archives import archived
    from stores.shelf.shelf import Shelf

    if use_case.model.ensemble is None:
        return []
    shelf, keys = Shelf(platform.layout.shelf), KeyRing.from_directory(platform.layout.keys)
    found = []
    for release in reversed(shelf.releases(use_case.name)):
        verdict = shelf.verdict(use_case.name, release, keys)
        is_fit = verdict is not None and verdict.is_passed
        if is_fit and archived(shelf, use_case.name, release) is None:
            found.append(shelf.verified(use_case.name, release, keys))
        if len(found) == MOST_RELEASES:
            break
    return found


def metrics_shown(report: "CandidateReport") -> dict[str, Any]:
    """Numbers of the chosen candidate as the UI shows them."""
    lines = ["| metric | value | 95 % interval |", "|---|---|---|"]
    for name, found in report.metrics.items():
        lines.append(f"| {name} | {found.value:.4f} | {found.low:.4f} to {found.high:.4f} |")
    return {
        "chosen": report.chosen,
        "snapshot": report.snapshot_id,
        "dagster/row_count": sum(part.n_rows for part in report.parts.values()),
        "metrics": dg.MetadataValue.md("\n".join(lines)),
        report.metric: report.metrics[report.metric].value,
        "run_id": report.run_id,
    }


def bundle_asset(use_case: UseCase, plan: Plan) -> dg.AssetsDefinition:
    """Asset of a use case's bundle."""
    key = names.bundle(use_case.name)

    @dg.asset(
        key=key,
        deps=[names.evaluation(use_case.name)],
        description=(
            f"The chosen candidate of {use_case.name} with all it needs to run, on the shelf.\n\n"
            "One a release number; nothing in it ever changes.\n\n"
            "Read by the release, and by MLflow's registry."
        ),
        group_name=names.MODELS,
        owners=list(use_case.owners),
        kinds={"onnx", "mlflow"},
        check_specs=[
            dg.AssetCheckSpec(PARITY, asset=key, description=MEANING[PARITY], blocking=True)
        ],
        output_required=False,
    )
    def bundle(context: dg.AssetExecutionContext, platform: Platform) -> Iterator[Any]:
        snapshot = last_metadata(context, names.evaluation(use_case.name))["snapshot"]
        try:
            made = built(platform, use_case, plan, snapshot, context.run.tags)
        except IntegrityError as error:
            yield check(PARITY, passed=False, why=str(error), code=error.code)
            return
        yield dg.MaterializeResult(metadata=made)
        yield check(PARITY, passed=True, **made["parity"])

    return bundle


def built(
    platform: Platform, use_case: UseCase, plan: Plan, snapshot: str, tags: Mapping[str, str]
) -> dict[str, Any]:
    """Bundle of a candidate, put on the shelf and registered; what the UI shows of it.

    ``tags`` of the run say who has it built, and what it was trained for.
    """
    import json

    from stores.shelf.bundle import CARD_DATA
    from stores.shelf.shelf import Shelf
    from stores.view_reports import ViewReports
    from training.evaluation import load_evaluation
    from training.export import build_bundle
    from training.tracking import register_bundle

    source = candidate_folder(platform, use_case.name, snapshot)
    require_fair(load_evaluation(source))
    shelf = Shelf(platform.layout.shelf)
    release = shelf.allocate_release(use_case.name)
    folder = platform.layout.state / "bundles" / use_case.name / str(release)
    now_ms = platform.clock.now_ms()
    folder.parent.mkdir(parents=True, exist_ok=True)
    manifest = build_bundle(
        use_case,
        plan,
        source,
        release,
        folder,
        created_at_ms=now_ms,
        built_by=tags.get(BUILT_BY, ""),
        asked_for=": ".join(tags[tag] for tag in (TRIGGER, WHY) if TRIGGER in tags),
        view_reports=ViewReports(platform.layout.view_reports).about(plan.views),
    )
    shelf.put(folder)
    version = register_bundle(tracking_of(platform, use_case.name), manifest, folder)
    card = json.loads((folder / CARD_DATA).read_bytes())
    return {
        "release": release,
        "snapshot": snapshot,
        "manifest_digest": manifest.digest,
        "path": dg.MetadataValue.path(str(shelf.bundle(use_case.name, release))),
        "mlflow": run_link(platform, use_case.name, manifest.mlflow_run_id),
        "mlflow_version": version,
        "dagster/row_count": len(manifest.files),
        "parity": card["parity"],
    }


def require_fair(evaluation: "Evaluation | None") -> None:
    """Refuse a candidate that was not evaluated, or that is unfair: no bundle is made of it."""
    if evaluation is None:
        raise NotReadyError(
            "the candidate was not evaluated",
            found="no evaluation beside it",
            remedy="materialise the evaluation first, which the job of retraining does",
        )
    fairness = evaluation.fairness
    if fairness is not None and not fairness.is_passed:
        raise InvalidInputError(
            "the candidate is unfair to a declared group",
            found="; ".join(verdict.sentence() for verdict in fairness.unfair),
            remedy="change features, policy or thresholds, and train again",
            code="unfair",
        )
