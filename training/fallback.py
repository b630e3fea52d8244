"""Fallback models: small lines that do without some views, for where these are missing.

A fallback is fitted on the same examples as the candidates, on those entries of the vector that
are the same whether its views are there or not. It is calibrated likewise, so that one policy
decides by its scores too. What it costs in quality is measured and stands in the bundle.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.decisions import DecisionPolicy
from core.errors import ConfigurationError
from core.features.plan import Frozen, Plan, canonical_json
from core.features.transforms import apply_transforms
from core.stats.metrics import Estimate, estimates, ranked
from core.use_case import UseCase
from stores.explainer import LinearForm
from stores.shelf.bundle import FallbackModel
from stores.shelf.golden import golden_of
from stores.shelf.profile import Profile
from training.calibration import Calibration, fit_platt
from training.examples import PARTS, Examples
from training.logistic import LinearModel, fit_logistic
from training.models import Scorer
from training.onnx_export import OnnxScorer, to_onnx
from training.parity import compare, parity_points, require_parity
from training.points import drawn_points, ranges_of
from training.transform_parity import TransformCases, case_inputs

GOLDEN_POINTS = 64
_FILE = "fallback-{}.json"


class FittedFallback(Frozen):
    """A fallback as training knows it. ``test`` are its metrics on the test part."""

    without: tuple[str, ...]
    reads: tuple[str, ...]
    form: LinearForm
    calibration: Calibration
    test: dict[str, Estimate]

    @property
    def scorer(self) -> Scorer:
        """Scores of vectors of the entries in ``reads``."""
        return Scorer(LinearModel(self.form), self.calibration)


def entries_without(plan: Plan, without: Sequence[str], cases: TransformCases) -> tuple[str, ...]:
    """Entries of the vector that are the same whether some views are there or not, in its order.

    Features of other views, and what request-time functions put out alike on every case when
    the views' features are null.

    Raises
    ------
    ConfigurationError
        If nothing is left.
    """
    inputs = case_inputs(cases)
    there = apply_transforms(plan, inputs)
    nulled = {
        name: np.full_like(column, np.nan) if name.partition(":")[0] in without else column
        for name, column in inputs.items()
    }
    gone = apply_transforms(plan, nulled)
    changed = {
        name for name in there if not np.array_equal(there[name], gone[name], equal_nan=True)
    }
    left = tuple(
        name
        for name in plan.vector
        if name.partition(":")[0] not in without and name not in changed
    )
    if not left:
        raise ConfigurationError(
            "a fallback has nothing to score by",
            found=f"no input of the model that does without {', '.join(without)}",
            remedy="let it do without fewer views, or leave it out and declare rules",
        )
    return left


def fit_fallbacks(
    use_case: UseCase, plan: Plan, examples: Examples, cases: TransformCases, seed: int
) -> list[FittedFallback]:
    """The declared fallbacks of a use case, in their order; none where none are declared."""
    declared = () if use_case.degradation is None else use_case.degradation.fallbacks
    return [
        _fitted(use_case, examples, without, entries_without(plan, without, cases), seed)
        for without in declared
    ]


def _fitted(
    use_case: UseCase,
    examples: Examples,
    without: tuple[str, ...],
    reads: tuple[str, ...],
    seed: int,
) -> FittedFallback:
    columns = [examples.names.index(name) for name in reads]
    parts = {
        name: replace(part, vectors=np.ascontiguousarray(part.vectors[:, columns]))
        for name, part in ((name, getattr(examples, name)) for name in PARTS)
    }
    narrow = Examples(names=reads, **parts)
    model = fit_logistic(narrow, use_case.model.metric).model
    if not isinstance(model, LinearModel):
        raise TypeError(f"fit_logistic fitted a {model.kind}")
    part = narrow.calibrate
    calibration = fit_platt(model.margins(part.vectors), part.labels, part.weights)
    test = narrow.test
    scores = Scorer(model, calibration).scores(test.vectors)
    measured = estimates(ranked(scores, test.labels, test.weights), seed)
    return FittedFallback(
        without=without, reads=reads, form=model.form, calibration=calibration, test=measured
    )


def save_fallbacks(directory: Path, fallbacks: Sequence[FittedFallback]) -> None:
    """Write fallbacks, without pickle."""
    for place, each in enumerate(fallbacks):
        text = canonical_json(each.model_dump(mode="json"))
        (directory / _FILE.format(place)).write_text(text)


def load_fallbacks(directory: Path) -> list[FittedFallback]:
    """Fallbacks that ``save_fallbacks`` wrote, in their order."""
    found: list[FittedFallback] = []
    while (path := directory / _FILE.format(len(found))).is_file():
        found.append(FittedFallback.model_validate_json(path.read_bytes()))
    return found


def fallback_files(
    fallbacks: Sequence[FittedFallback],
    policy: DecisionPolicy,
    plan: Plan,
    rows: NDArray[np.float32],
    profile: Profile,
    seed: int,
) -> tuple[tuple[FallbackModel, ...], dict[str, bytes]]:
    """What a bundle says of its fallbacks, and their files.

    Raises
    ------
    IntegrityError
        If the ONNX form of one does not answer as its source: then there is no bundle.
    """
    models: list[FallbackModel] = []
    files: dict[str, bytes] = {}
    for place, each in enumerate(fallbacks):
        columns = [plan.vector.index(name) for name in each.reads]
        scorer, model = each.scorer, to_onnx(each.scorer, len(each.reads))
        served, ranges = OnnxScorer(model), ranges_of(profile, each.reads)
        narrow = np.ascontiguousarray(rows[:, columns])
        points = parity_points(scorer.scores, model, policy, rows=narrow, ranges=ranges, seed=seed)
        require_parity(compare(scorer.scores(points), served.scores(points), points, policy))
        golden = drawn_points(ranges, GOLDEN_POINTS, seed)
        facts = FallbackModel(
            without=each.without,
            reads=each.reads,
            model=f"fallback-{place}.onnx",
            golden=f"fallback-{place}.golden.json",
            metrics=each.test,
        )
        proof = golden_of(golden, served.scores(golden)).model_dump(mode="json")
        files |= {facts.model: model, facts.golden: canonical_json(proof).encode()}
        models.append(facts)
    return tuple(models), files
