"""What a team declares: one frozen object a use case, data for every layer."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from core.consent import Consent
from core.contracts import Source
from core.decisions import DecisionPolicy
from core.degradation import Degradation
from core.erasing.erasure import Flag
from core.fairness import Fairness
from core.features.plan import Frozen
from core.interface import ContractTerms
from core.monitoring.objectives import Objectives
from core.retraining import Retraining
from core.rollout.stages import Rollout
from core.sign_offs import ROLE_PATTERN
from core.watching import Watching


class Label(Frozen):
    """Where the truth comes from.

    A row of ``source`` labels the row of ``example_source`` whose ``event_id`` stands in
    ``refers_to``; ``column`` is the label (0 or 1). Its ``event_timestamp`` is when it
    became known. Examples younger than cut - ``maturity_days`` are left out.
    """

    source: str
    column: str
    refers_to: str
    example_source: str
    maturity_days: int = Field(default=7, ge=0)
    absent_means: Literal["0", "drop"] = "0"


class Ensemble(Frozen):
    """One model of several: the new candidate and the newest releases with the same vector.

    Log-odds are averaged by weights that do best on the validation part that stops the fitting,
    and calibrated again. It is a candidate among the others, and scored as one graph. It has no
    exact contributions, so its decisions carry the reasons of rules only.
    """

    releases: int = Field(default=2, ge=1, le=8)


class ModelSpec(Frozen):
    """Candidates, split and the rule a candidate must pass.

    It must do better than the champion on the same rows, and on no slice of them be surely worse
    by more than ``slice_tolerance``, in units of ``metric``.
    """

    candidates: tuple[Literal["logistic", "xgboost", "mlp"], ...] = Field(
        default=("logistic", "xgboost"), min_length=1
    )
    split: Literal["time", "stratified"] = "time"
    validation_share: float = Field(default=0.15, gt=0, lt=1)
    test_share: float = Field(default=0.15, gt=0, lt=1)
    trials: int = Field(default=5, ge=1)
    seed: int = 20_260_101
    metric: Literal["average_precision", "auc"] = "average_precision"
    floor: float = 0.0
    slice_tolerance: float = Field(default=0.1, ge=0, le=1)
    is_calibrated: bool = True
    ensemble: Ensemble | None = None

    @model_validator(mode="after")
    def _leaves_some_to_train_on(self) -> ModelSpec:
        if self.validation_share + self.test_share >= 1:
            raise ValueError("validation_share and test_share leave nothing to train on")
        return self


class UseCase(Frozen):
    """A use case, declared once.

    ``service`` names the Feast feature service that compiles to the plan. ``sources``
    are all sources it reads, labels among them. ``entities`` maps an entity to its
    join keys, as requests spell them. ``scores_grain`` says what a batch score is about: one
    row of the label's example source, or one entity as of midnight. ``record_share`` is the
    share of entities whose predictions leave a record; 1 at the risk tier high. The
    ``..._retention_days`` are how long records, batch scores, training sets with the runs that
    used them, and bundles are kept; the bundle of an archived release goes to the cold tier, where
    there is one, after ``bundle_cold_after_days`` in the archive (None for never).
    ``after_erasure`` says whether a release that was trained on somebody who is forgotten is to be
    replaced. ``rollout`` says how a release comes to everybody; without one it is promoted in one
    step. ``degradation`` says
    what is answered when online values or a model fail; without one the model scores with nulls.
    ``consent`` says where subjects opt out of being learnt from; without one nobody is asked.
    ``fairness`` says which groups no release may treat too differently, ``retraining`` what starts
    one by itself; without them nothing does. A release that was not served for
    ``archive_after_days`` is archived: it may not serve any more (`core.archive`).
    ``contract`` is the version of what requests carry and answers hold, and how long the one before
    it is answered (`core.interface`).
    ``watching`` says what counts as drift and as late (`core.watching`).
    ``sign_offs`` are roles that must sign a release off beside those of the risk tier
    (`core.sign_offs`). ``objectives`` are what callers are promised (`core.monitoring.objectives`);
    they go with the release. ``package`` is where the declaration was found; discovery fills it in.
    """

    name: str
    description: str
    owners: tuple[str, ...]
    risk_tier: Literal["low", "medium", "high"]
    entities: dict[str, tuple[str, ...]]
    sources: tuple[Source, ...]
    service: str
    label: Label
    model: ModelSpec
    decisions: DecisionPolicy
    objectives: Objectives = Objectives()
    prediction_retention_days: int = Field(default=400, ge=1)
    score_retention_days: int = Field(default=400, ge=1)
    training_retention_days: int = Field(default=400, ge=1)
    bundle_retention_days: int = Field(default=400, ge=1)
    bundle_cold_after_days: int | None = Field(default=None, ge=1)
    after_erasure: Flag = "retrain"
    archive_after_days: int = Field(default=90, ge=1)
    record_share: float = Field(default=1.0, gt=0, le=1)
    scores_grain: Literal["example", "entity"] = "example"
    rollout: Rollout | None = None
    degradation: Degradation | None = None
    consent: Consent | None = None
    fairness: Fairness | None = None
    retraining: Retraining | None = None
    contract: ContractTerms = ContractTerms()
    watching: Watching = Watching()
    sign_offs: tuple[Annotated[str, Field(pattern=ROLE_PATTERN)], ...] = ()
    package: str = ""

    @model_validator(mode="after")
    def _rolls_out_by_an_entity(self) -> UseCase:
        if self.rollout is not None and self.rollout.assigned_by not in self.entities.values():
            raise ValueError(
                f"rollout.assigned_by {self.rollout.assigned_by} are the join keys of no entity"
            )
        return self

    @model_validator(mode="after")
    def _records_high_risk_whole(self) -> UseCase:
        if self.risk_tier == "high" and self.record_share < 1:
            raise ValueError("record_share must be 1: a high risk tier is never sampled")
        return self

    @model_validator(mode="after")
    def _can_follow_consent(self) -> UseCase:
        consent = self.consent
        if consent is None:
            return self
        if consent.source not in {source.name for source in self.sources}:
            raise ValueError(f"consent.source {consent.source} is no source of the use case")
        fields = {field.name: field.type for field in self.source(consent.source).fields}
        if fields.get(consent.column) not in ("bool", "int64"):
            raise ValueError(f"consent.column {consent.column} is no truth of {consent.source}")
        joined = {key for keys in self.entities.values() for key in keys}
        lost = [key for key in consent.keys if key not in fields or key not in joined]
        if lost:
            raise ValueError(f"consent.keys {', '.join(lost)}: no join keys, or not in the source")
        if consent.requests != "given":
            self._can_answer_without(consent)
        return self

    def _can_answer_without(self, consent: Consent) -> None:
        """What a service needs that is to answer otherwise about who opted out."""
        if consent.keys not in self.entities.values():
            raise ValueError(f"consent.keys {consent.keys} are the join keys of no entity")
        if self.degradation is None:
            raise ValueError(f'consent.requests "{consent.requests}" needs a degradation')
        if self.source(consent.source).field(consent.column).is_nullable:
            raise ValueError(f"consent.column {consent.column} is nullable: the last row counts")

    @property
    def promised_rollout(self) -> Rollout | None:
        """The rollout as a release takes it along: it may be as slow as callers are promised.

        Where the limits declare a ``p99_ms`` of their own, that holds.
        """
        if self.rollout is None or "p99_ms" in self.rollout.limits.model_fields_set:
            return self.rollout
        limits = self.rollout.limits.model_copy(update={"p99_ms": self.objectives.p99_ms})
        return self.rollout.model_copy(update={"limits": limits})

    def source(self, name: str) -> Source:
        """Source called ``name``; KeyError when the use case reads none of that name."""
        for source in self.sources:
            if source.name == name:
                return source
        raise KeyError(name)
