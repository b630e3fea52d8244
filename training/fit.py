"""Fit every declared candidate on one snapshot, measure all, choose one, leave evidence."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from core.decisions import Decider
from core.features.plan import Plan
from core.features.transforms import AT_MS
from core.stats.metrics import METRICS, Ranked, decision_rates, estimates, ranked
from core.use_case import UseCase
from stores.shelf.bundle import Bundle
from stores.shelf.profile import Profile, profile_of
from training.boosted import fit_boosted
from training.calibration import Calibration, fit_platt
from training.contract import contract_of
from training.ensemble import KIND, fit_ensemble, members_of
from training.examples import PARTS, Examples, Part, examples_of
from training.fallback import fit_fallbacks, save_fallbacks
from training.logistic import fit_logistic
from training.mlp import fit_network
from training.models import Fit, Scorer
from training.plots import draw_all
from training.points import ranges_of
from training.report import (
    CandidateReport,
    CandidateScore,
    PartCount,
    save_evidence,
    save_report,
)
from training.slices import slices_of
from training.tracking import Tracking, log_candidate
from training.transform_parity import TransformCases, transform_cases

GATE_ROWS = 6_000
IMPORTANCE_ROWS = 2_000

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Outcome:
    """A candidate that was fitted, with its scores of the two parts it was measured on."""

    scorer: Scorer
    score: CandidateScore
    calibrate: NDArray[np.float64]
    test: NDArray[np.float64]


Trained = dict[str, Outcome]


def fit_candidates(
    use_case: UseCase,
    plan: Plan,
    table: pa.Table,
    *,
    snapshot_id: str,
    out_dir: Path,
    tracking_uri: str,
    experiment: str,
    seed: int,
    trials: int,
    progress: Progress,
    read_versions: Mapping[str, int] | None = None,
    code_version: str = "unknown",
    artifacts: Path | None = None,
    releases: Sequence[Bundle] = (),
) -> CandidateReport:
    """Fit, calibrate, measure and choose; write the chosen model and its evidence.

    The same snapshot, plan and seed give the same model.

    Parameters
    ----------
    use_case, plan
        The declaration, and what its feature service compiled to.
    table
        The training set: see ``training.examples.examples_of``.
    snapshot_id, read_versions, code_version
        Lineage: what the table is, the Delta versions it was read from, and the code.
    out_dir
        Gets the model, plots and evidence for the gate; made when absent.
    tracking_uri, experiment, artifacts
        Where the MLflow run goes.
    seed, trials
        Of everything drawn; settings to try for boosted trees.
    progress
        Told one sentence a step.
    releases
        What a declared ensemble may take members of, the newest first.

    Returns
    -------
    CandidateReport
        With the id of its MLflow run.

    Raises
    ------
    InvalidInputError
        If the training set lacks a column, or a part one of the classes.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    decider = Decider.of(use_case.decisions, plan)
    examples = examples_of(plan, table, use_case.model.split, decider.reads)
    progress(", ".join(f"{name} {n} rows ({p})" for name, (n, p) in examples.counts.items()))
    with threadpool_limits(limits=1):
        trained = _train(use_case, examples, seed, trials, progress)
        trained |= _together(use_case, plan, examples, trained, releases, seed, progress)
    report = _report(use_case, plan, examples, trained, seed, trials).model_copy(
        update={
            "snapshot_id": snapshot_id,
            "read_versions": dict(read_versions or {}),
            "code_version": code_version,
        }
    )
    chosen = trained[report.chosen]
    profile, cases = _evidence(use_case, plan, examples, chosen, seed)
    chosen.scorer.model.save(out_dir)
    save_evidence(out_dir, _gate_rows(examples, seed), profile, cases)
    fallbacks = fit_fallbacks(use_case, plan, examples, cases, seed)
    save_fallbacks(out_dir, fallbacks)
    for each in fallbacks:
        value = each.test[report.metric].value
        progress(f"without {', '.join(each.without)}: {report.metric} {value:.4f} on test")
    plots = _plots(use_case, examples, trained, report)
    for name, content in plots.items():
        (out_dir / name).write_bytes(content)
    progress(f"{report.chosen} chosen; writing the run to MLflow")
    run_id = log_candidate(Tracking(tracking_uri, experiment, artifacts), report, plots)
    report = report.model_copy(update={"run_id": run_id})
    save_report(out_dir, report)
    return report


def _train(
    use_case: UseCase, examples: Examples, seed: int, trials: int, progress: Progress
) -> Trained:
    metric = use_case.model.metric
    trained: Trained = {}
    for kind in use_case.model.candidates:
        fitted = _fit(kind, examples, metric, seed=seed, trials=trials, progress=progress)
        trained[kind] = _outcome(use_case, examples, kind, fitted, seed, progress)
    return trained


def _together(
    use_case: UseCase,
    plan: Plan,
    examples: Examples,
    trained: Trained,
    releases: Sequence[Bundle],
    seed: int,
    progress: Progress,
) -> Trained:
    """The declared ensemble, as a candidate more; none without a release to take part."""
    declared = use_case.model.ensemble
    members = members_of(releases, plan, declared.releases) if declared is not None else []
    if not members:
        return {}
    best = max(trained.values(), key=lambda outcome: outcome.score.selection)
    fitted = fit_ensemble(best.scorer, members, examples.stop)
    return {KIND: _outcome(use_case, examples, KIND, fitted, seed, progress)}


def _outcome(
    use_case: UseCase, examples: Examples, kind: str, fitted: Fit, seed: int, progress: Progress
) -> Outcome:
    """A fitted model, calibrated and measured."""
    metric = use_case.model.metric
    scorer = Scorer(fitted.model, _calibration(use_case, fitted, examples.calibrate))
    calibrate = scorer.scores(examples.calibrate.vectors)
    test = scorer.scores(examples.test.vectors)
    score = CandidateScore(
        kind=kind,
        selection=METRICS[metric](_ranked(calibrate, examples.calibrate)),
        test=estimates(_ranked(test, examples.test), seed),
        settings=fitted.settings,
        calibration=scorer.calibration,
    )
    progress(
        f"{kind}: {metric} {score.selection:.4f} on validation, "
        f"{score.test[metric].value:.4f} on test"
    )
    return Outcome(scorer, score, calibrate, test)


def _fit(
    kind: str, examples: Examples, metric: str, *, seed: int, trials: int, progress: Progress
) -> Fit:
    if kind == "logistic":
        return fit_logistic(examples, metric)
    if kind == "mlp":
        return fit_network(examples, seed=seed)
    return fit_boosted(examples, metric, seed=seed, trials=trials, progress=progress)


def _calibration(use_case: UseCase, fitted: Fit, part: Part) -> Calibration:
    if not use_case.model.is_calibrated:
        return Calibration()
    return fit_platt(fitted.model.margins(part.vectors), part.labels, part.weights)


def _ranked(scores: NDArray[np.float64], part: Part) -> Ranked:
    return ranked(scores, part.labels, part.weights)


def _report(
    use_case: UseCase, plan: Plan, examples: Examples, trained: Trained, seed: int, trials: int
) -> CandidateReport:
    scores = {kind: outcome.score for kind, outcome in trained.items()}
    chosen = max(scores, key=lambda kind: scores[kind].selection)
    best, test = trained[chosen], examples.test
    sample = test.take(_spread(len(test), IMPORTANCE_ROWS))
    effects = best.scorer.model.importance(sample)
    return CandidateReport(
        use_case=use_case.name,
        plan_digest=plan.digest,
        snapshot_id="",
        read_versions={},
        code_version="",
        seed=seed,
        trials=trials,
        metric=use_case.model.metric,
        chosen=chosen,
        candidates=tuple(scores.values()),
        metrics=scores[chosen].test,
        decisions=decision_rates(
            use_case.decisions.decisions,
            _decided(Decider.of(use_case.decisions, plan), best.test, test),
            test.labels,
            test.weights,
        ),
        slices=slices_of(plan, test, best.test),
        importance=dict(zip(plan.vector, effects.tolist(), strict=True)),
        parts={name: _count(getattr(examples, name)) for name in PARTS},
    )


def _decided(decider: Decider, scores: NDArray[np.float64], part: Part) -> NDArray[np.str_]:
    """Decision on each row of a part."""
    names = np.asarray([outcome.decision for outcome in decider.outcomes])
    return names[decider.fired(scores, part.values)]


def _count(part: Part) -> PartCount:
    return PartCount(
        n_rows=len(part),
        n_positive=part.n_positive,
        from_ms=int(part.at_ms.min()),
        until_ms=int(part.at_ms.max()),
    )


def _evidence(
    use_case: UseCase, plan: Plan, examples: Examples, outcome: Outcome, seed: int
) -> tuple[Profile, TransformCases]:
    decider = Decider.of(use_case.decisions, plan)
    measured = ((outcome.calibrate, examples.calibrate), (outcome.test, examples.test))
    scores = np.concatenate([scores for scores, _ in measured])
    made = np.concatenate([_decided(decider, *each) for each in measured])
    decisions = {name: int((made == name).sum()) for name in use_case.decisions.decisions}
    profile = profile_of(examples.train.vectors, plan.vector, scores, decisions)
    ranges = {n: (float(r[0]), float(r[1])) for n, r in _ranges(plan, profile)}
    ranges[AT_MS] = (float(examples.train.at_ms.min()), float(examples.test.at_ms.max()))
    for spec in contract_of(use_case, plan).inputs:
        if spec.minimum is not None and spec.maximum is not None:
            ranges[f"request:{spec.name}"] = (spec.minimum, spec.maximum)
    return profile, transform_cases(plan, ranges, seed)


def _ranges(plan: Plan, profile: Profile) -> list[tuple[str, NDArray[np.float64]]]:
    return list(zip(plan.vector, ranges_of(profile, plan.vector), strict=True))


def _gate_rows(examples: Examples, seed: int) -> NDArray[np.float32]:
    vectors = np.concatenate([examples.calibrate.vectors, examples.test.vectors])
    order = np.random.default_rng(seed).permutation(len(vectors))
    return vectors[order[:GATE_ROWS]]


def _plots(
    use_case: UseCase, examples: Examples, trained: Trained, report: CandidateReport
) -> dict[str, bytes]:
    curves = {kind: _ranked(outcome.test, examples.test) for kind, outcome in trained.items()}
    return draw_all(curves, report.chosen, use_case.decisions, report.importance)


def _spread(n: int, limit: int) -> NDArray[np.int64]:
    return np.unique(np.linspace(0, n - 1, min(n, limit)).astype(np.int64))
