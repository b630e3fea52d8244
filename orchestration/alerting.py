"""Alerts: every failing check and every job whose last run failed, in one place.

Nothing raises an alert by itself. One sensor looks at the last word of every check and the last
run of every job, compares that with the alerts that are known, and asks for a run of the job
that puts them down and tells the receiver: so an alert is over when its cause is, and what
nobody thought of alerting about is alerted about, as long as it has a check.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import dagster as dg

from assets import names
from assets.checks import outputs
from assets.checks.last_word import last_word
from assets.declared import Declared
from assets.resources import AlertReceiver, Platform
from assets.watching import drift, freshness, performance, stream, synthetic
from core.clock import MINUTE_MS
from core.errors import PlatformError
from core.monitoring.alerts import Alert, Finding, RiskTier, Severity, document_of, updated
from orchestration.decisions import Go, Skip, alerts_decision
from orchestration.sensors import RUNNING, as_request
from stores.monitoring.alerts import Alerts
from stores.monitoring.webhook import Webhook

JOB = "tell_alerts"
LOOK_EVERY_S = 60
TRY_EVERY_MS = 5 * MINUTE_MS
AUTOMATED = "__ASSET_JOB"
TIERS: tuple[RiskTier, ...] = ("low", "medium", "high")
RUNBOOKS: Mapping[str, str] = {
    drift.SOUND: "a-data-incident",
    drift.STEADY: "real-drift",
    freshness.FRESH: "a-table-stands-still",
    performance.HOLDS: "skill-has-decayed",
    performance.CALIBRATED: "scores-are-off",
    performance.NAMED: "answers-name-no-event",
    stream.STEADY: "a-stream-changed",
    synthetic.ANSWERED: "a-synthetic-request-failed",
    outputs.NAME: "a-batch-wrote-something-wrong",
}
RUN_FAILED = "a-run-failed"


@dataclass(frozen=True)
class Watchlist:
    """What is looked at: checks, of which some stop what is downstream; jobs; what is upstream.

    Assets are written as people do, ``layer/name``. ``tiers`` holds the highest risk tier among
    the use cases that an asset serves; ``jobs`` maps a job to the asset that it is about.
    """

    checks: tuple[dg.AssetCheckKey, ...]
    blocking: frozenset[dg.AssetCheckKey]
    upstream: Mapping[str, Sequence[str]]
    tiers: Mapping[str, RiskTier]
    jobs: Mapping[str, str]

    def findings(self, instance: dg.DagsterInstance) -> list[Finding]:
        """All that is wrong now, by the last word of every check and the last run of every job."""
        checked = [self._check(instance, key) for key in self.checks]
        ran = [self._run(instance, job) for job in self.jobs]
        found = [finding for finding in (*checked, *ran) if finding is not None]
        return [*found, *self._automated(instance)]

    def _check(self, instance: dg.DagsterInstance, key: dg.AssetCheckKey) -> Finding | None:
        said = last_word(instance, key)
        if said is None or said.passed:
            return None
        asset = key.asset_key.to_user_string()
        is_error = said.severity == dg.AssetCheckSeverity.ERROR
        severity: Severity = "critical" if key in self.blocking else "warning"
        cause = said.metadata.get("cause")
        return Finding(
            asset=asset,
            name=key.name,
            why=said.description or "",
            severity=severity if is_error else "info",
            tier=self.tiers.get(asset, "medium"),
            cause=str(cause.value or "") if cause is not None else "",
            runbook=RUNBOOKS.get(key.name, "a-check-failed"),
        )

    def _run(self, instance: dg.DagsterInstance, job: str) -> Finding | None:
        run = last_run(instance, job)
        if run is None or run.status != dg.DagsterRunStatus.FAILURE:
            return None
        return self._failed(self.jobs[job], f"run of {job}", run)

    def _automated(self, instance: dg.DagsterInstance) -> list[Finding]:
        """Assets of the last run that automation asked for, when it failed."""
        run = last_run(instance, AUTOMATED)
        if run is None or run.status != dg.DagsterRunStatus.FAILURE:
            return []
        assets = sorted(key.to_user_string() for key in run.asset_selection or ())
        return [self._failed(asset, "run", run) for asset in assets]

    def _failed(self, asset: str, name: str, run: dg.DagsterRun) -> Finding:
        return Finding(
            asset=asset,
            name=name,
            why=f"run {run.run_id[:8]} failed",
            severity="warning",
            tier=self.tiers.get(asset, "medium"),
            runbook=RUN_FAILED,
        )


def last_run(instance: dg.DagsterInstance, job: str) -> dg.DagsterRun | None:
    """The newest run of a job that has ended, well or badly."""
    ended = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE]
    runs = instance.get_runs(dg.RunsFilter(job_name=job, statuses=ended), limit=1)
    return runs[0] if runs else None


def watchlist_of(
    declared: Declared,
    assets: Iterable[dg.AssetsDefinition],
    checks: Iterable[dg.AssetChecksDefinition],
    jobs: Iterable[str],
) -> Watchlist:
    """Watchlist of a code location."""
    made = list(assets)
    specs = [spec for each in (*made, *checks) for spec in each.check_specs]
    upstream = {
        key.to_user_string(): sorted(dep.to_user_string() for dep in each.asset_deps[key])
        for each in made
        for key in each.keys
    }
    return Watchlist(
        checks=tuple(dict.fromkeys(spec.key for spec in specs)),
        blocking=frozenset(spec.key for spec in specs if spec.blocking),
        upstream=upstream,
        tiers=tiers_of(declared, upstream),
        jobs={job: asset_of(job) for job in jobs},
    )


def tiers_of(declared: Declared, upstream: Mapping[str, Sequence[str]]) -> dict[str, RiskTier]:
    """Highest risk tier among the use cases that each asset is named for, or is upstream of."""
    found: dict[str, RiskTier] = {}
    for name, use_case in declared.use_cases.items():
        level = [asset for asset in upstream if _is_of(asset, name)]
        level += [names.events(source.name).to_user_string() for source in use_case.sources]
        while level:
            for asset in level:
                found[asset] = max(found.get(asset, "low"), use_case.risk_tier, key=TIERS.index)
            level = [up for asset in level for up in upstream.get(asset, ())]
    return found


def _is_of(asset: str, use_case: str) -> bool:
    last = asset.rpartition("/")[2]
    return last == use_case or last.startswith(f"{use_case}_")


ABOUT = {
    "ingest_": "events/{}",
    "replay_rejects_": "events/{}_replayed",
    "daily_scores_": "scores/{}",
    "take_predictions_": "predictions/{}",
    "join_outcomes_": "predictions/{}_outcomes",
    "retrain_": "models/{}_release",
    "watch_nightly_": "monitoring/{}_drift",
    "watch_hourly_": "monitoring/{}_freshness",
    "ask_synthetic_": "monitoring/{}_synthetic",
}


def asset_of(job: str) -> str:
    """Asset that a job is about; a job about none is a cause of its own.

    Examples
    --------
    >>> asset_of("ingest_transactions"), asset_of("sweep_retention")
    ('events/transactions', 'jobs/sweep_retention')
    """
    for start, asset in ABOUT.items():
        if job.startswith(start):
            return asset.format(job.removeprefix(start))
    return f"jobs/{job}"


def changes_of(
    held: Sequence[Alert], after: Sequence[Alert], *, has_receiver: bool, now_ms: int
) -> list[str]:
    """What a run would put down or tell, in words; empty when there is no need of one."""
    known = {alert.alert_id: (alert.state, alert.found) for alert in held}
    found = [
        f"{alert.cause} {alert.state}"
        for alert in after
        if known.get(alert.alert_id) != (alert.state, alert.found)
        or (has_receiver and alert.is_due(now_ms))
    ]
    return sorted(set(found))


def decided(
    instance: dg.DagsterInstance, platform: Platform, receiver: AlertReceiver, watched: Watchlist
) -> Go | Skip:
    """Whether anybody is to be told of anything."""
    now_ms = platform.clock.now_ms()
    held = Alerts(platform.layout.alerts).all()
    after = updated(held, watched.findings(instance), watched.upstream, now_ms=now_ms)
    changes = changes_of(held, after, has_receiver=bool(receiver.url), now_ms=now_ms)
    return alerts_decision(changes, turn=now_ms // TRY_EVERY_MS)


def told(
    instance: dg.DagsterInstance, platform: Platform, receiver: AlertReceiver, watched: Watchlist
) -> list[Alert]:
    """Look, put down what is wrong and what is over, tell the receiver; those it was told of.

    Raises
    ------
    DependencyError
        If the receiver did not take one; what was put down stays, and is told again.
    """
    alerts, now_ms = Alerts(platform.layout.alerts), platform.clock.now_ms()
    with alerts.changing():
        found = watched.findings(instance)
        after = updated(alerts.all(), found, watched.upstream, now_ms=now_ms)
        alerts.put(after, now_ms=now_ms)
        if not receiver.url:
            return []
        webhook = Webhook(receiver.url, receiver.secret)
        return alerts.tell(
            lambda alert: webhook.post(document_of(alert, receiver.console_url)), now_ms=now_ms
        )


def alerts_job(watched: Watchlist) -> dg.JobDefinition:
    """Job that puts alerts down and tells the receiver."""

    @dg.op(name="look_and_tell", description="Put down what is wrong, and tell the receiver.")
    def look_and_tell(
        context: dg.OpExecutionContext, platform: Platform, receiver: AlertReceiver
    ) -> None:
        try:
            taken = told(context.instance, platform, receiver, watched)
        except PlatformError as error:
            raise dg.Failure(str(error), metadata={"code": error.code}) from error
        for alert in taken:
            context.log.info(f"told: {alert.severity} {alert.sentence()}")

    @dg.job(name=JOB, description="Alerts: what is wrong, grouped by cause, told once.")
    def job() -> None:
        look_and_tell()

    return job


def alerts_sensor(watched: Watchlist, job: dg.JobDefinition) -> dg.SensorDefinition:
    """Sensor that asks for a run when something is wrong that was not known, or is over."""

    @dg.sensor(
        name="alerts",
        job=job,
        description="Looks at the last word of every check and the last run of every job.",
        minimum_interval_seconds=LOOK_EVERY_S,
        default_status=RUNNING,
    )
    def sensor(
        context: dg.SensorEvaluationContext, platform: Platform, receiver: AlertReceiver
    ) -> dg.RunRequest | dg.SkipReason:
        return as_request(decided(context.instance, platform, receiver, watched))

    return sensor
