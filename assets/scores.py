"""Batch scores: one release on any as-of dates, staged, audited, then published in one job."""

from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg

from assets import names
from assets.columns import score_columns
from assets.partitions import EVENT_DATES, ONE_RUN
from assets.resources import Launcher, Platform
from assets.results import check, document
from assets.tables import facts_of
from core.errors import NotReadyError
from core.features.plan import Plan
from core.use_case import UseCase
from stores.shelf.channels import read_channels

AUDIT = "scores_audit"
MEANS = (
    "As many scores as examples, their distribution and null shares those of the release's "
    "profile; scores that fail stay staged and are not published."
)


class ScoresConfig(dg.Config):
    """How a date is scored."""

    release: int = 0
    """Number of the release; 0 is the champion."""
    refresh: bool = False
    """Read the newest table versions, not those that the date was first scored from."""


def scores_asset(use_case: UseCase, plan: Plan) -> dg.AssetsDefinition:
    """Asset of a use case's batch scores."""
    key = names.scores(use_case.name)
    deps = [names.release(use_case.name), *(names.events(s.name) for s in use_case.sources)]
    deps += [names.tiles(view.name) for view in plan.views if view.windows]

    @dg.asset(
        key=key,
        deps=deps,
        description=(
            f"Scores and decisions of {use_case.name} by one release.\n\n"
            f"One row {_grain(use_case)}, by as-of date.\n\n"
            "Read by those who act on batches, and by monitoring."
        ),
        group_name=names.SCORES,
        owners=list(use_case.owners),
        kinds={"delta", "spark", "onnx"},
        partitions_def=EVENT_DATES,
        backfill_policy=ONE_RUN,
        check_specs=[dg.AssetCheckSpec(AUDIT, asset=key, description=MEANS, blocking=True)],
        output_required=False,
        pool="spark",
    )
    def scores(
        context: dg.AssetExecutionContext,
        config: ScoresConfig,
        launcher: Launcher,
        platform: Platform,
    ) -> Iterator[Any]:
        release = config.release or champion_of(platform, use_case.name)
        told = scores_arguments(use_case, release, refresh=config.refresh)
        told |= platform.told() | {"scores_url": platform.scores_url}
        dates = sorted(context.partition_keys)
        report = launcher.launch(context, "scores", **told, as_of=dates)
        if report["is_published"]:
            facts = facts_of(platform.layout.scores(use_case.name))
            described = facts.metadata(score_columns(use_case, plan))
            yield dg.MaterializeResult(metadata=described | shown(report))
        yield audited(report)

    return scores


def _grain(use_case: UseCase) -> str:
    if use_case.scores_grain == "entity":
        return "an entity, as of the midnight that begins the date"
    return "an example of the date, each at its own instant"


def champion_of(platform: Platform, use_case: str) -> int:
    """Release that is served; NotReadyError when none is."""
    layout = platform.layout
    channels = read_channels(layout)
    champion = channels.state(use_case).champion
    if champion is None:
        raise NotReadyError(
            f"{use_case} has no champion to score with",
            remedy=f"`throughline train {use_case}`, then approve the release",
        )
    return champion


def scores_arguments(use_case: UseCase, release: int, *, refresh: bool) -> dict[str, Any]:
    """Arguments of the job, the dates aside."""
    is_example = use_case.scores_grain == "example"
    source, consent = use_case.source(use_case.label.example_source), use_case.consent
    is_asked = consent is not None and consent.scores == "left_out"
    return {
        "use_case": use_case.name,
        "release": release,
        "grain": use_case.scores_grain,
        "example_source": document(source) if is_example else None,
        "consent": document(consent) if consent is not None and is_asked else None,
        "refresh": refresh,
    }


def shown(report: Mapping[str, Any]) -> dict[str, Any]:
    """What the UI shows of one run."""
    return {
        "release": report["release"],
        "rows_scored": report["rows"],
        "read_versions": report["read_versions"],
        "rows_in_database": report["rows_in_database"] or 0,
    }


def audited(report: Mapping[str, Any]) -> dg.AssetCheckResult:
    """The audit of all dates as a result: faults in words, numbers beside them."""
    faults = report["audit"]["faults"]
    return check(
        AUDIT,
        passed=not faults,
        why="; ".join(f"{report['as_of']}: {fault}" for fault in faults),
        rows=report["rows"],
        dates=list(report["dates"]),
        audit=report["audit"],
    )
