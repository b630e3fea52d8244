"""One model of several: a weighted mean of calibrated log-odds, calibrated again, one graph.

The members are the best new candidate and the newest releases of the same plan. The weights are
those with the least log loss on the part that stops the fitting: it is convex in them, so nothing
is drawn and there is one best set.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from core.features.plan import Frozen, Plan, canonical_json
from stores.explainer import ExplainerSpec, LinearForm
from stores.shelf.bundle import BOOSTER, EXPLAINER, Bundle
from training.boosted import booster_of, load_boosted
from training.calibration import Calibration, sigmoid
from training.examples import Part
from training.graph import GraphBuilder
from training.logistic import LinearModel, load_linear
from training.mlp import load_network
from training.models import Array, Fit, Model, Scorer

KIND = "ensemble"
SPEC = "ensemble.json"
NEWEST = {"xgboost": "newest.ubj", "logistic": "newest.json"}
"""File in a bundle of what was new in its ensemble, so that it can be a member again."""

CONVERGED = 1e-12
LEAST_WEIGHT = 0.001
"""A member that counts for less is left at nothing: it would cost time and change no answer."""

LOADERS: dict[str, Callable[[Path], Model]] = {
    "logistic": load_linear,
    "xgboost": load_boosted,
    "mlp": load_network,
}


class MemberSpec(Frozen):
    """A member as a file says it. ``release`` is 0 for the new candidate."""

    kind: str
    release: int
    weight: float
    calibration: Calibration


class EnsembleSpec(Frozen):
    """Content of ``ensemble.json``, the newest member first."""

    members: tuple[MemberSpec, ...]


@dataclass(frozen=True)
class Member:
    """A calibrated model, and which release it was; 0 for the new candidate."""

    scorer: Scorer
    release: int = 0

    def log_odds(self, vectors: NDArray[np.float32]) -> Array:
        """Calibrated log-odds, shape ``(n,)``."""
        calibration = self.scorer.calibration
        return calibration.slope * self.scorer.model.margins(vectors) + calibration.intercept


@dataclass(frozen=True)
class EnsembleModel:
    """Members with their weights, which add up to one."""

    members: tuple[Member, ...]
    weights: tuple[float, ...]
    kind: str = KIND

    def margins(self, vectors: NDArray[np.float32]) -> Array:
        """Weighted mean of the members' calibrated log-odds, shape ``(n,)``."""
        pairs = zip(self.weights, self.members, strict=True)
        found: Array = np.sum([weight * each.log_odds(vectors) for weight, each in pairs], axis=0)
        return found

    def add_margin(self, graph: GraphBuilder, vector: str) -> str:
        """Nodes of all members, and of their weighted sum."""
        parts = []
        for weight, member in zip(self.weights, self.members, strict=True):
            calibration = member.scorer.calibration
            margin = member.scorer.model.add_margin(graph, vector)
            scaled = graph.add("Mul", margin, graph.constant(weight * calibration.slope))
            shift = graph.constant(weight * calibration.intercept)
            parts.append(graph.add("Add", scaled, shift))
        return graph.add("Sum", *parts)

    def importance(self, sample: Part) -> Array:
        """Weighted sum of the members' mean absolute effects: no less than the ensemble's."""
        pairs = zip(self.weights, self.members, strict=True)
        effects = [
            weight * each.scorer.calibration.slope * each.scorer.model.importance(sample)
            for weight, each in pairs
        ]
        found: Array = np.sum(effects, axis=0)
        return found

    def explainer(self, names: tuple[str, ...], calibration: Calibration) -> ExplainerSpec:
        """Nothing: contributions of several models are not those of one."""
        return ExplainerSpec(
            kind="none",
            features=names,
            slope=calibration.slope,
            intercept=calibration.intercept,
        )

    def save(self, directory: Path) -> None:
        """Write each member into a folder of its own, and what they are."""
        for place, member in enumerate(self.members):
            folder = _folder(directory, place)
            folder.mkdir(exist_ok=True)
            member.scorer.model.save(folder)
        text = canonical_json(self._spec().model_dump(mode="json"))
        (directory / SPEC).write_text(text)

    def _spec(self) -> EnsembleSpec:
        return EnsembleSpec(
            members=tuple(
                MemberSpec(
                    kind=member.scorer.model.kind,
                    release=member.release,
                    weight=weight,
                    calibration=member.scorer.calibration,
                )
                for weight, member in zip(self.weights, self.members, strict=True)
            )
        )


def load_ensemble(directory: Path) -> EnsembleModel:
    """Model that ``EnsembleModel.save`` wrote."""
    spec = EnsembleSpec.model_validate_json((directory / SPEC).read_bytes())
    members = tuple(
        Member(
            Scorer(LOADERS[each.kind](_folder(directory, place)), each.calibration), each.release
        )
        for place, each in enumerate(spec.members)
    )
    return EnsembleModel(members, tuple(each.weight for each in spec.members))


def fit_ensemble(newest: Scorer, releases: Sequence[Member], part: Part) -> Fit:
    """Ensemble of a new candidate and former releases, its weights the best ones on ``part``."""
    members = (Member(newest), *releases)
    log_odds = np.stack([member.log_odds(part.vectors) for member in members])
    weights = best_weights(log_odds, part.labels, part.weights)
    settings: dict[str, float | int | str] = {
        f"weight_release_{member.release}" if member.release else "weight_new": weight
        for member, weight in zip(members, weights, strict=True)
    }
    return Fit(EnsembleModel(members, weights), settings)


def best_weights(
    log_odds: Array, labels: NDArray[np.integer], row_weights: Array
) -> tuple[float, ...]:
    """Weights, adding up to one, whose mean of ``log_odds`` has the least log loss.

    Parameters
    ----------
    log_odds
        Shape ``(members, n)``.
    labels, row_weights
        Shape ``(n,)``.

    Examples
    --------
    >>> right, noise = np.array([2.0, -2.0, 2.0, -2.0]), np.array([1.0, 1.0, -1.0, -1.0])
    >>> best_weights(np.stack([right, noise]), np.array([1, 0, 1, 0]), np.ones(4))
    (1.0, 0.0)
    """
    share = row_weights / row_weights.sum()

    def loss(weights: Array) -> tuple[float, Array]:
        mean = weights @ log_odds
        value = float(np.sum(share * (np.logaddexp(0.0, mean) - labels * mean)))
        return value, log_odds @ (share * (sigmoid(mean) - labels))

    n = len(log_odds)
    found = minimize(
        loss,
        np.full(n, 1 / n),
        jac=True,
        method="SLSQP",
        bounds=[(0.0, 1.0)] * n,
        options={"ftol": CONVERGED, "maxiter": 200},
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1, "jac": np.ones_like},
    )
    kept = np.where(found.x < LEAST_WEIGHT, 0.0, found.x)
    return tuple(float(each) for each in np.round(kept / kept.sum(), 6))


def members_of(bundles: Iterable[Bundle], plan: Plan, most: int) -> list[Member]:
    """Up to ``most`` releases of the same plan whose source stands in their bundle, as members."""
    found = [_member(each) for each in bundles if each.manifest.plan.digest == plan.digest]
    return [member for member in found if member is not None][:most]


def _member(bundle: Bundle) -> Member | None:
    """A release as a member; None for a kind whose source a bundle does not hold."""
    release, files = bundle.manifest.release, bundle.files
    if SPEC in files:
        newest = EnsembleSpec.model_validate_json(files[SPEC]).members[0]
        name = NEWEST.get(newest.kind)
        return (
            None
            if name is None
            else Member(Scorer(_model(newest.kind, files[name]), newest.calibration), release)
        )
    spec = ExplainerSpec.model_validate_json(files[EXPLAINER])
    calibration = Calibration(slope=spec.slope, intercept=spec.intercept)
    if spec.kind == "tree":
        return Member(Scorer(_model("xgboost", files[BOOSTER]), calibration), release)
    if spec.linear is not None:
        return Member(Scorer(LinearModel(spec.linear), calibration), release)
    return None


def _model(kind: str, content: bytes) -> Model:
    if kind == "xgboost":
        return booster_of(content)
    return LinearModel(LinearForm.model_validate(json.loads(content)))


def ensemble_files(directory: Path) -> Mapping[str, bytes]:
    """What a bundle keeps of an ensemble beside its graph: what it is, and its newest member."""
    content = (directory / SPEC).read_bytes()
    newest = EnsembleSpec.model_validate_json(content).members[0]
    held = {"xgboost": BOOSTER, "logistic": "linear.json"}.get(newest.kind)
    if held is None:
        return {SPEC: content}
    return {SPEC: content, NEWEST[newest.kind]: (_folder(directory, 0) / held).read_bytes()}


def _folder(directory: Path, place: int) -> Path:
    return directory / f"member-{place}"
