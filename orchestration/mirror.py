"""MLflow's aliases mirror ``channels.json``; one that was moved by hand is put back."""

import dagster as dg

from assets.declared import Declared
from assets.registry import aliased_releases, tracking_of
from assets.resources import Platform
from orchestration.decisions import Go, Skip, mirror_decision
from orchestration.sensors import RUNNING, Job
from stores.channels import ChannelBoard, Channels
from stores.signing import KeyRing

LOOK_EVERY_S = 60


def wanted(channels: Channels, use_case: str) -> dict[str, int]:
    """Release by channel, of the channels that have one."""
    state = channels.state(use_case)
    named = {
        "champion": state.champion,
        "challenger": state.challenger,
        "shadow": state.shadow,
    }
    return {channel: release for channel, release in named.items() if release is not None}


def channels_of(platform: Platform) -> Channels:
    """Channels as the controller signed them."""
    layout = platform.layout
    return ChannelBoard(layout.shelf).read(KeyRing.from_directory(layout.keys))


def mirror_job(declared: Declared) -> dg.JobDefinition:
    """Job that sets the aliases of every use case's registered model."""

    @dg.op(name="set_aliases")
    def set_aliases(context: dg.OpExecutionContext, platform: Platform) -> list[str]:
        from training.tracking import mirror_channels

        channels, changes = channels_of(platform), []
        for name in declared.use_cases:
            releases = wanted(channels, name)
            if releases:
                changes += mirror_channels(tracking_of(platform, name), name, releases)
        context.log.info("; ".join(changes) or "nothing to change")
        return changes

    @dg.job(name="mirror_channels", description="Sets MLflow's aliases to what is served.")
    def job() -> None:
        set_aliases()

    return job


def decision_of(declared: Declared, platform: Platform, asked: int) -> Go | Skip:
    """Whether an alias differs from the channels, over all use cases."""
    channels = channels_of(platform)
    if channels.counter == 0:
        return Skip("nothing is served yet, so that there is nothing to mirror")
    return mirror_decision(
        f"{channels.counter}:{asked}",
        {name: wanted(channels, name) for name in declared.use_cases},
        {name: aliased_releases(platform, name) for name in declared.use_cases},
    )


def mirror_sensor(declared: Declared, job: Job) -> dg.SensorDefinition:
    """Sensor that compares the registry's aliases with the channels."""

    @dg.sensor(
        name="channels_mirror",
        job=job,
        description="Puts MLflow's aliases back to what channels.json says.",
        minimum_interval_seconds=LOOK_EVERY_S,
        default_status=RUNNING,
    )
    def sensor(
        context: dg.SensorEvaluationContext, platform: Platform
    ) -> dg.SensorResult | dg.SkipReason:
        asked = int(context.cursor or 0)
        decision = decision_of(declared, platform, asked)
        if isinstance(decision, Skip):
            return dg.SkipReason(decision.why)
        request = dg.RunRequest(run_key=decision.key, tags={"throughline/why": decision.why})
        return dg.SensorResult(run_requests=[request], cursor=str(asked + 1))

    return sensor
