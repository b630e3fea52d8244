"""What each environment is made of, built from one settings object; no network at load."""

import subprocess
from collections.abc import Callable
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from assets.resources import AlertReceiver, Launcher, Platform
from orchestration.http_service import HttpService
from orchestration.launcher import InProcessLauncher, PipesLauncher, PodLauncher
from orchestration.settings import PREFIX, Environment, Launch, Settings

if TYPE_CHECKING:
    from infra.settings import ClusterSettings

PROJECT = Path(__file__).resolve().parents[1]

LAUNCH_OF: dict[Environment, Launch] = {
    "embedded": "in_process",
    "test": "in_process",
    "production": "pod",
}


def _in_process(settings: Settings) -> Launcher:
    return InProcessLauncher(
        scratch=str(settings.layout.scratch),
        cores=settings.spark.cores,
        memory=settings.spark.memory,
    )


def _pipes(settings: Settings) -> Launcher:
    return PipesLauncher(cores=settings.spark.cores, memory=settings.spark.memory)


def _cluster(settings: Settings) -> "ClusterSettings":
    from infra.settings import ClusterSettings

    return ClusterSettings(
        namespace=settings.pods.namespace,
        orchestration_image=settings.pods.image,
        lake_uri=settings.lake_uri,
        redis_url=settings.online_url,
    )


def _pod(settings: Settings) -> Launcher:
    from infra.instance import pipes_pod

    cluster = _cluster(settings)
    return PodLauncher(namespace=cluster.namespace, pod=pipes_pod(cluster))


LAUNCHERS: dict[Launch, Callable[[Settings], Launcher]] = {
    "in_process": _in_process,
    "pipes": _pipes,
    "pod": _pod,
}


def executor_of(settings: Settings) -> dg.ExecutorDefinition:
    """What runs the steps of a run: a pod each in a cluster, else the run's own process."""
    if launch_of(settings) != "pod":
        return dg.in_process_executor
    from dagster_k8s import k8s_job_executor

    from infra.instance import step_executor

    in_pods: dg.ExecutorDefinition = k8s_job_executor.configured(step_executor(_cluster(settings)))
    return in_pods


@cache
def code_version() -> str:
    """Commit of the code with a mark where files differ from it; the release elsewhere."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return version("throughline")
    return done.stdout.strip()


def _named(settings: Settings, field: str, value: str) -> Any:
    """An address that may hold a password: by the variable that it came from, if it did."""
    return dg.EnvVar(PREFIX + field.upper()) if field in settings.from_variables else value


def platform_of(settings: Settings, *, is_shown: bool = False) -> Platform:
    """Where this installation keeps things; ``is_shown`` for the configuration that UIs show."""
    online, tracking, scores = (
        _named(settings, field, value) if is_shown else value
        for field, value in (
            ("online_url", settings.online_store_url),
            ("mlflow_uri", settings.tracking_uri),
            ("scores_url", settings.scores_url),
        )
    )
    return Platform(
        home=str(settings.layout.root),
        lake_uri=settings.lake_uri,
        online_url=online,
        tracking_uri=tracking,
        ui_url=settings.ui_url,
        mlflow_ui_url=settings.mlflow_ui_url,
        code_version=code_version(),
        scores_url=scores,
        history_days=settings.retention.history_days,
        run_days=settings.retention.run_days,
        cold_uri=settings.cold_place,
    )


def launch_of(settings: Settings) -> Launch:
    """How Spark jobs start: as the settings say, else as is usual in the environment."""
    return settings.launch or LAUNCH_OF[settings.environment]


def resources_of(settings: Settings) -> dict[str, Any]:
    """Resources by key, the same keys in every environment."""
    key, secret = settings.service_key, settings.alerts.webhook_secret
    return {
        "platform": platform_of(settings, is_shown=True),
        "launcher": LAUNCHERS[launch_of(settings)](settings),
        "service": HttpService(
            home=str(settings.layout.root),
            url=settings.service_url,
            key=_named(settings, "service_key", key.get_secret_value()),
        ),
        "receiver": AlertReceiver(
            url=settings.alerts.webhook_url,
            secret=dg.EnvVar(f"{PREFIX}ALERTS__WEBHOOK_SECRET")
            if secret.get_secret_value()
            else "",
            console_url=settings.alerts.console_url,
        ),
    }
