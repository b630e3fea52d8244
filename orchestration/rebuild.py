"""Rebuild of a snapshot: the training-set job with the arguments that are on record."""

from typing import Any

import dagster as dg

from assets.resources import Launcher, Platform


class RebuildConfig(dg.Config):
    """What the snapshot was built from."""

    arguments: dict[str, Any]
    """Record below ``state/snapshots``; it names the id that has to come out."""


def rebuild_job_name() -> str:
    """Name of the job."""
    return "rebuild_snapshot"


def rebuild_job() -> dg.JobDefinition:
    """Job that builds one snapshot again."""

    @dg.op(name="build_snapshot_again")
    def again(
        context: dg.OpExecutionContext,
        config: RebuildConfig,
        launcher: Launcher,
        platform: Platform,
    ) -> dict[str, Any]:
        return launcher.launch(context, "training_set", **(config.arguments | platform.told()))

    @dg.job(
        name=rebuild_job_name(),
        description="Builds a training set again; fails unless it is equal bit for bit.",
    )
    def job() -> None:
        again()

    return job
