"""Replay of refused records: landed again as they came, then ingested like any other."""

from typing import Any

import dagster as dg
from pydantic import Field

from assets.resources import Launcher, Platform
from assets.results import document
from core.contracts import Source


class ReplayConfig(dg.Config):
    """Which refused records; at least one filter, and every given filter must hold."""

    codes: list[str] = Field(default=[])
    """Reject codes, such as unknown_reference."""
    epochs: list[int] = Field(default=[])
    """Epochs that they came in."""
    dates: list[str] = Field(default=[])
    """Event dates, YYYY-MM-DD."""


def replay_name(source: str) -> str:
    """Name of the job."""
    return f"replay_rejects_{source}"


def replay_job(source: Source) -> dg.JobDefinition:
    """Job that lands the refused records of a source again; its sensor ingests them."""

    @dg.op(name=f"land_rejects_of_{source.name}")
    def land_again(
        context: dg.OpExecutionContext,
        config: ReplayConfig,
        launcher: Launcher,
        platform: Platform,
    ) -> dict[str, Any]:
        return launcher.launch(
            context,
            "replay_rejects",
            **platform.told(),
            source=document(source),
            codes=config.codes,
            epochs=config.epochs,
            dates=config.dates,
        )

    @dg.job(
        name=replay_name(source.name),
        description=f"Lands refused records of {source.name} again, as new epochs.",
    )
    def job() -> None:
        land_again()

    return job
