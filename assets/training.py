"""Training sets: matured examples with their features as known then, frozen as snapshots."""

from typing import Any

import dagster as dg

from assets import names
from assets.checks.training import training_checks, training_specs
from assets.columns import training_columns
from assets.resources import Launcher, Platform
from assets.results import Result, document
from assets.tables import facts_of
from core.clock import date_start_ms
from core.decisions import read_beside
from core.errors import InvalidInputError
from core.features.plan import Plan
from core.use_case import UseCase


class TrainingConfig(dg.Config):
    """What a training set is cut by. Nothing has a default: a run says what it means."""

    cut_ms: int
    """Instant, epoch milliseconds UTC: labels known later than this are unknown."""
    start_date: str
    """First event date of examples, YYYY-MM-DD."""


def training_asset(use_case: UseCase, plan: Plan) -> dg.AssetsDefinition:
    """Asset of a use case's training set."""
    key = names.training(use_case.name)

    @dg.asset(
        key=key,
        deps=[names.events(source.name) for source in use_case.sources],
        description=(
            f"Examples of {use_case.name} with label, split and every feature as known then.\n\n"
            "One row an example; a snapshot is a partition of the table and never changes.\n\n"
            "Read by the candidates; `throughline snapshot rebuild ID` builds one again."
        ),
        group_name=names.TRAINING,
        owners=list(use_case.owners),
        kinds={"delta", "spark"},
        check_specs=training_specs(key, use_case),
        pool="spark",
    )
    def training(
        context: dg.AssetExecutionContext,
        config: TrainingConfig,
        launcher: Launcher,
        platform: Platform,
    ) -> Result:
        told = training_arguments(use_case, plan, config)
        report = launcher.launch(context, "training_set", **platform.told(), **told)
        facts = facts_of(platform.layout.training(use_case.name))
        return Result(
            metadata=facts.metadata(training_columns(use_case, plan))
            | {"snapshot": report["snapshot"], "report": report},
            check_results=training_checks(platform, use_case, plan, report),
        )

    return training


def training_arguments(use_case: UseCase, plan: Plan, config: TrainingConfig) -> dict[str, Any]:
    """Arguments of the job: the declaration and what the run said."""
    if config.cut_ms <= date_start_ms(config.start_date):
        raise InvalidInputError(
            "a training set cannot be cut before its first date",
            found=f"cut {config.cut_ms}, first date {config.start_date}",
            remedy="give a later cut or an earlier date",
        )
    return {
        "use_case": use_case.name,
        "plan": document(plan),
        "beside": list(read_beside(use_case.decisions, plan)),
        "label": document(use_case.label),
        "consent": document(use_case.consent) if use_case.consent is not None else None,
        "sources": [document(source) for source in use_case.sources],
        "start_date": config.start_date,
        "cut_ms": config.cut_ms,
        "split": use_case.model.split,
        "validation_share": use_case.model.validation_share,
        "test_share": use_case.model.test_share,
        "seed": use_case.model.seed,
    }
