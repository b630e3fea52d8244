"""Rebuild of a snapshot: the training-set job with the arguments that are on record."""

import json
from typing import Any

import dagster as dg

from assets.resources import Launcher, Platform
from core.errors import NotReadyError
from stores.layout import Layout

JOB, OP = "rebuild_snapshot", "build_snapshot_again"


class RebuildConfig(dg.Config):
    """Which snapshot."""

    use_case: str
    snapshot: str
    """Its whole id."""


def recorded_arguments(layout: Layout, use_case: str, snapshot: str) -> dict[str, Any]:
    """What a snapshot was built from; it names the id that has to come out again.

    Raises
    ------
    NotReadyError
        If nothing is on record of it here.
    """
    path = layout.snapshots / use_case / f"{snapshot}.json"
    if not path.is_file():
        raise NotReadyError(
            f"nothing is on record of snapshot {snapshot} of {use_case}",
            remedy="`throughline snapshot list` says what can be built again",
        )
    told: dict[str, Any] = json.loads(path.read_text())
    return told


def rebuild_job() -> dg.JobDefinition:
    """Job that builds one snapshot again."""

    @dg.op(name=OP)
    def again(
        context: dg.OpExecutionContext,
        config: RebuildConfig,
        launcher: Launcher,
        platform: Platform,
    ) -> dict[str, Any]:
        told = recorded_arguments(platform.layout, config.use_case, config.snapshot)
        return launcher.launch(context, "training_set", **(told | platform.told()))

    @dg.job(
        name=JOB,
        description="Builds a training set again; fails unless it is equal bit for bit.",
    )
    def job() -> None:
        again()

    return job
