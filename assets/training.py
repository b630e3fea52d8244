"""Training sets: matured examples with their features as known then, frozen as snapshots."""

from typing import Any

import dagster as dg

from assets import names
from assets.checks.training import training_checks, training_specs
from assets.columns import carried_beside, training_columns
from assets.partitions import FIRST_DATE
from assets.resources import Launcher, Platform
from assets.results import Result, document
from assets.tables import facts_of, partition_range
from core.clock import date_start_ms, event_date
from core.errors import InvalidInputError, NotReadyError
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


def first_example_date(platform: Platform, use_case: UseCase, plan: Plan) -> str:
    """First date whose examples look back on filled windows, as far as the history allows.

    Before the longest window is filled, features mean something else than later. At most a
    quarter of the history is left out for that.

    Raises
    ------
    NotReadyError
        If there are no events.
    """
    source = use_case.label.example_source
    found = partition_range(platform.layout.events(source), "event_date")
    if found is None:
        raise NotReadyError(
            f"there are no examples for {use_case.name}",
            found=f"no events of {source}",
            remedy=f"throughline ingest {source} PATH",
        )
    first_ms, last_ms = (date_start_ms(date) for date in found)
    longest_ms = max((w.window_ms for view in plan.views for w in view.windows), default=0)
    found_date = event_date(first_ms + min(longest_ms, (last_ms - first_ms) // 4))
    return max(found_date, FIRST_DATE)


def training_config(use_case: str, *, cut_ms: int, start_date: str) -> dict[str, Any]:
    """Configuration of a run that makes a training set."""
    config = {"cut_ms": cut_ms, "start_date": start_date}
    return {"ops": {f"training__{use_case}": {"config": config}}}


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
        "beside": list(carried_beside(use_case, plan)),
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
