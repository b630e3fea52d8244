"""MLflow's aliases mirror ``channels.json``; one moved by hand is put back and audited."""

import json
from collections.abc import Mapping
from pathlib import Path

import dagster as dg

from assets.declared import Declared
from assets.registry import aliased_releases, tracking_of
from assets.resources import Platform
from core.audit.records import Entry
from orchestration.decisions import Go, Skip, mirror_decision
from orchestration.sensors import RUNNING, Job
from stores.audit.log import AuditLog
from stores.durable import write_durably
from stores.shelf.channels import read_channels

LOOK_EVERY_S = 60


def mirror_job(declared: Declared) -> dg.JobDefinition:
    """Job that sets the aliases of every use case's registered model."""

    @dg.op(name="set_aliases")
    def set_aliases(context: dg.OpExecutionContext, platform: Platform) -> list[str]:
        from training.tracking import mirror_channels

        channels, changes = read_channels(platform.layout), []
        for name in declared.use_cases:
            releases, held = channels.state(name).by_channel, aliased_releases(platform, name)
            audit_moved(platform, name, held, releases)
            if releases or held:
                changes += mirror_channels(tracking_of(platform, name), name, releases)
                _keep(platform, name, releases)
        context.log.info("; ".join(changes) or "nothing to change")
        return changes

    @dg.job(name="mirror_channels", description="Sets MLflow's aliases to what is served.")
    def job() -> None:
        set_aliases()

    return job


def audit_moved(
    platform: Platform, use_case: str, held: Mapping[str, int], served: Mapping[str, int]
) -> None:
    """Put down which aliases somebody moved since they were last set here."""
    entries = [
        Entry(
            at_ms=platform.clock.now_ms(),
            what="alias_put_back",
            who="somebody who may write to MLflow",
            why="an alias was moved by hand; what is served did not change",
            about={
                "use_case": use_case,
                "alias": channel,
                "moved_to": held.get(channel),
                "served": served.get(channel),
            },
        )
        for channel in moved_by_hand(_kept(platform, use_case), held, served)
    ]
    AuditLog.of(platform.layout, is_signing=True).append(entries)


def moved_by_hand(
    kept: Mapping[str, int] | None, held: Mapping[str, int], served: Mapping[str, int]
) -> list[str]:
    """Channels whose alias is neither what was last set here nor what is served.

    ``kept`` is None where nothing was set here that is known of: then an alias of a use case
    that serves something may be ours.

    Examples
    --------
    >>> moved_by_hand({"champion": 2}, {"champion": 1}, {"champion": 3})
    ['champion']
    >>> moved_by_hand({"champion": 2}, {"champion": 2}, {"champion": 3})
    []
    >>> moved_by_hand(None, {"champion": 1}, {})
    ['champion']
    """
    if kept is None and served:
        return []
    known = kept or {}
    return [
        channel
        for channel in sorted({*known, *held})
        if held.get(channel) not in (known.get(channel), served.get(channel))
        or (channel not in held and channel in known and channel in served)
    ]


def _path(platform: Platform, use_case: str) -> Path:
    return platform.layout.state / "aliases" / f"{use_case}.json"


def _kept(platform: Platform, use_case: str) -> dict[str, int] | None:
    try:
        found: dict[str, int] = json.loads(_path(platform, use_case).read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return found


def _keep(platform: Platform, use_case: str, releases: Mapping[str, int]) -> None:
    path = _path(platform, use_case)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_durably(path, json.dumps(dict(releases)).encode())


def decision_of(declared: Declared, platform: Platform, asked: int) -> Go | Skip:
    """Whether an alias differs from the channels, over all use cases."""
    channels = read_channels(platform.layout)
    held = {name: aliased_releases(platform, name) for name in declared.use_cases}
    if channels.counter == 0 and not any(held.values()):
        return Skip("nothing is served yet, so that there is nothing to mirror")
    served = {name: channels.state(name).by_channel for name in declared.use_cases}
    return mirror_decision(f"{channels.counter}:{asked}", served, held)


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
