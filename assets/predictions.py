"""Prediction records as a table: what the service decided, and whether it was computed right."""

from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg

from assets import names
from assets.checks.parity import MEANS, PARITY, served_as_computed
from assets.columns import PREDICTION
from assets.resources import Launcher, Platform
from assets.results import check
from assets.tables import facts_of
from core.use_case import UseCase

WRITER = "predictions"
WHOLE = "segments_are_whole"
WHOLE_MEANS = "No segment was set aside because it is damaged."


def predictions_asset(use_case: UseCase) -> dg.AssetsDefinition:
    """Asset of a use case's prediction records."""
    name, key = use_case.name, names.predictions(use_case.name)

    @dg.asset(
        key=key,
        deps=[names.release(name), *(names.events(source.name) for source in use_case.sources)],
        description=(
            f"Records of what the service decided for {name}, personal values masked.\n\n"
            "One row a prediction, by the date of the instant it is about; each exactly once.\n\n"
            "Read by monitoring, by `throughline replay --from-tables`, and by the parity check, "
            "without which no further release is let through."
        ),
        group_name=names.PREDICTIONS,
        owners=list(use_case.owners),
        kinds={"delta", "spark"},
        check_specs=[
            dg.AssetCheckSpec(PARITY, asset=key, description=MEANS, blocking=True),
            dg.AssetCheckSpec(WHOLE, asset=key, description=WHOLE_MEANS),
        ],
        output_required=False,
        pool="spark",
    )
    def predictions(
        context: dg.AssetExecutionContext, launcher: Launcher, platform: Platform
    ) -> Iterator[Any]:
        report = launcher.launch(context, "predictions", **platform.told(), use_case=name)
        if report["version"] >= 0:
            yield dg.MaterializeResult(metadata=shown(platform, report))
        yield whole(report)
        yield served_as_computed(platform, name, report["touched"])

    return predictions


def shown(platform: Platform, report: Mapping[str, Any]) -> dict[str, Any]:
    """What the UI shows of one run."""
    facts = facts_of(platform.layout.predictions(report["use_case"]))
    return facts.metadata(PREDICTION) | {
        "segments": report["segments"],
        "rows_taken": report["rows"],
        "dates": sorted(report["touched"]),
        "segments_waiting": report["waiting"],
    }


def whole(report: Mapping[str, Any]) -> dg.AssetCheckResult:
    """Whether every segment could be read; those that could not, by name."""
    damaged = list(report["damaged"])
    why = f"set aside: {', '.join(damaged[:5])}" if damaged else ""
    return check(WHOLE, passed=not damaged, why=why, damaged=len(damaged), taken=report["segments"])
