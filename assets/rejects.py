"""Refused records once more: landed again as they came, for ingest to look at anew."""

from typing import Any

import dagster as dg
from pydantic import Field

from assets import names
from assets.resources import Launcher, Platform
from assets.results import Result, check, document
from core.contracts import Source

LANDED = "every_chosen_record_is_landed"
MEANS = "As many records stand in new epochs as were chosen."


class ReplayConfig(dg.Config):
    """Which refused records; at least one filter, and every given filter must hold."""

    codes: list[str] = Field(default=[], description="Reject codes, such as unknown_reference.")
    epochs: list[int] = Field(default=[], description="Epochs that they came in.")
    dates: list[str] = Field(default=[], description="Event dates, YYYY-MM-DD.")


def replayed_asset(source: Source) -> dg.AssetsDefinition:
    """Asset of a source's refused records that were landed again."""
    key = names.replayed(source.name)

    @dg.asset(
        key=key,
        deps=[names.events(source.name)],
        description=(
            f"Refused records of {source.name} that were landed again, as new epochs.\n\n"
            "One record as it came; nothing is mended and nothing bypasses the contract.\n\n"
            "Materialise it after a contract was widened or a reference has come; ingest does "
            "the rest."
        ),
        group_name=names.EVENTS,
        owners=[source.owner],
        kinds={"delta", "spark"},
        check_specs=[dg.AssetCheckSpec(LANDED, asset=key, description=MEANS)],
        pool="spark",
    )
    def replayed(
        context: dg.AssetExecutionContext,
        config: ReplayConfig,
        launcher: Launcher,
        platform: Platform,
    ) -> Result:
        chosen = {"codes": config.codes, "epochs": config.epochs, "dates": config.dates}
        told = platform.told() | {"source": document(source)} | chosen
        report = launcher.launch(context, "replay_rejects", **told)
        return Result(metadata=shown(platform, source, report), check_results=[all_landed(report)])

    return replayed


def shown(platform: Platform, source: Source, report: dict[str, Any]) -> dict[str, Any]:
    """What the UI shows of one replay."""
    return {
        "dagster/row_count": sum(report["landed"].values()),
        "delta_version": report["rejected_version"],
        "path": dg.MetadataValue.path(platform.layout.rejected(source.name)),
        "report": report,
    }


def all_landed(report: dict[str, Any]) -> dg.AssetCheckResult:
    """Whether what was chosen and what was landed are as many."""
    chosen, landed = sum(report["by_code"].values()), sum(report["landed"].values())
    return check(LANDED, passed=chosen == landed, chosen=chosen, landed=landed)
