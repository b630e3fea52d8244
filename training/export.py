"""From a candidate to a bundle: export, pass the gate, write everything a service needs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from core.consent import asked, asked_online
from core.decisions import DecisionPolicy
from core.errors import IntegrityError
from core.features.comparison import ViewReport
from core.features.plan import Plan, canonical_json
from core.use_case import UseCase
from stores.shelf.bundle import (
    BOOSTER,
    CARD,
    CARD_DATA,
    EXPLAINER,
    GOLDEN,
    MODEL,
    PROFILE,
    FallbackModel,
    Manifest,
    write_bundle,
)
from stores.shelf.golden import golden_of
from stores.shelf.profile import Profile
from training.card import Making, card_data
from training.card_text import card_markdown
from training.contract import contract_of
from training.ensemble import KIND, ensemble_files
from training.evaluation import load_evaluation
from training.fallback import fallback_files, load_fallbacks
from training.onnx_export import OnnxScorer, to_onnx
from training.parity import ParityReport, compare, parity_points, require_parity
from training.points import drawn_points, ranges_of
from training.report import CandidateReport, load_evidence, load_report, load_scorer
from training.rule_cases import rule_cases
from training.transform_parity import require_same_transforms

GOLDEN_POINTS = 64


def build_bundle(
    use_case: UseCase,
    plan: Plan,
    candidate_dir: Path,
    release: int,
    out_dir: Path,
    *,
    created_at_ms: int,
    built_by: str = "",
    asked_for: str = "",
    view_reports: Sequence[ViewReport] = (),
) -> Manifest:
    """Build release ``release`` of a candidate in ``out_dir``.

    Parameters
    ----------
    use_case, plan
        The declaration, and the plan that the candidate was fitted with.
    candidate_dir
        What ``fit_candidates`` left.
    release
        Number allocated by the shelf.
    out_dir
        Must not exist; becomes the bundle.
    created_at_ms
        The present, for the manifest.
    built_by
        Who has it built, and so may not sign it off; empty where nobody knows.
    asked_for
        Why it was trained, for the card: what a trigger said.
    view_reports
        What compares its views with former versions of them, for the card.

    Raises
    ------
    NotReadyError
        If no candidate was fitted there.
    IntegrityError
        If the plan is another, a request-time function changed, or the ONNX model does
        not answer as its source: then there is no bundle.
    InvalidInputError
        If ``out_dir`` exists.
    """
    report = load_report(candidate_dir)
    _require_same_plan(plan, report)
    model, parity = gated_model(use_case, plan, candidate_dir)
    rows, profile, _ = load_evidence(candidate_dir)
    fallbacks, fallback_contents = fallback_files(
        load_fallbacks(candidate_dir), use_case.decisions, plan, rows, profile, report.seed
    )
    consent = asked_online(use_case.consent)
    if consent is not None:
        fallbacks = also_without(fallbacks, asked(consent, plan).view)
    explainer = load_scorer(candidate_dir, report).model.explainer(
        plan.vector, report.winner.calibration
    )
    made = Making(
        parity=parity,
        evaluation=load_evaluation(candidate_dir),
        asked_for=asked_for,
        view_reports=view_reports,
    )
    card = card_data(use_case, plan, report, release, made)
    files = {
        MODEL: model,
        GOLDEN: _golden(use_case.decisions, model, plan, profile, report.seed),
        PROFILE: _json(profile.model_dump(mode="json")),
        EXPLAINER: _json(explainer.model_dump(mode="json")),
        CARD: card_markdown(card).encode(),
        CARD_DATA: _json(card),
        **fallback_contents,
    }
    if explainer.kind == "tree":
        files[BOOSTER] = (candidate_dir / BOOSTER).read_bytes()
    if report.chosen == KIND:
        files |= ensemble_files(candidate_dir)
    facts = Manifest(
        use_case=use_case.name,
        release=release,
        created_at_ms=created_at_ms,
        model_kind=report.chosen,
        explainer=explainer.kind,
        plan=plan,
        decisions=use_case.decisions,
        contract=contract_of(use_case, plan),
        metrics=report.metrics,
        snapshot_id=report.snapshot_id,
        read_versions=report.read_versions,
        code_version=report.code_version,
        mlflow_run_id=report.run_id,
        owners=use_case.owners,
        risk_tier=use_case.risk_tier,
        record_share=use_case.record_share,
        rollout=use_case.promised_rollout,
        degradation=use_case.degradation,
        consent=consent,
        fallbacks=fallbacks,
        sign_offs=use_case.sign_offs,
        built_by=built_by,
        objectives=use_case.objectives,
    )
    return write_bundle(out_dir, facts, files)


def also_without(fallbacks: tuple[FallbackModel, ...], view: str) -> tuple[FallbackModel, ...]:
    """The fallbacks, which do without the view that tells who opted out, too: no model reads it."""
    return tuple(
        each.model_copy(update={"without": (*each.without, view)})
        if view not in each.without
        else each
        for each in fallbacks
    )


def gated_model(use_case: UseCase, plan: Plan, candidate_dir: Path) -> tuple[bytes, ParityReport]:
    """ONNX model of a candidate that the gate let through, with the gate's report.

    Raises
    ------
    IntegrityError
        If it did not.
    """
    report = load_report(candidate_dir)
    rows, profile, cases = load_evidence(candidate_dir)
    require_same_transforms(plan, cases)
    scorer = load_scorer(candidate_dir, report)
    model = to_onnx(scorer, len(plan.vector))
    vectors = parity_points(
        scorer.scores,
        model,
        use_case.decisions,
        rows=rows,
        ranges=ranges_of(profile, plan.vector),
        seed=report.seed,
    )
    served = OnnxScorer(model).scores(vectors)
    parity = compare(scorer.scores(vectors), served, vectors, use_case.decisions)
    return model, require_parity(parity)


def _golden(policy: DecisionPolicy, model: bytes, plan: Plan, profile: Profile, seed: int) -> bytes:
    vectors = drawn_points(ranges_of(profile, plan.vector), GOLDEN_POINTS, seed)
    cases = rule_cases(policy, plan, seed)
    golden = golden_of(vectors, OnnxScorer(model).scores(vectors), cases)
    return _json(golden.model_dump(mode="json"))


def _require_same_plan(plan: Plan, report: CandidateReport) -> None:
    if plan.digest != report.plan_digest:
        raise IntegrityError(
            "the candidate was fitted with another plan",
            found=f"plan {plan.digest[:12]}, candidate of {report.plan_digest[:12]}",
            remedy="build the training set and fit again with the present declaration",
            code="plan_changed",
        )


def _json(value: object) -> bytes:
    return canonical_json(value).encode()
