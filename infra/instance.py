"""Dagster's instance in a cluster: storage, run launcher, executor and the pod of a Pipes job."""

from __future__ import annotations

from typing import Any

from infra.settings import ClusterSettings

INSTANCE_CONFIG_MAP = "dagster-instance"
DAGSTER_HOME = "/opt/dagster"
SHELF_MOUNT = "/var/lib/throughline"
SIGNING_MOUNT = f"{SHELF_MOUNT}/keys/private"
GROUP = 10_001
"""Group of the images' user (`infra/docker`), which mounted secrets are given to."""
SERVICE_PORT = 8080
KAFKA_CLIENT_MOUNT = "/etc/throughline-kafka"
KAFKA_CLIENT_FILE = f"{KAFKA_CLIENT_MOUNT}/client.properties"
TICKS_KEPT = {
    "schedule": {"purge_after_days": 90},
    "sensor": {"purge_after_days": {"skipped": 3, "failure": 90, "success": 90, "started": 90}},
}
"""Days that Dagster keeps what schedules and sensors did; unless told so it keeps it for good."""


def pod_environment(settings: ClusterSettings) -> dict[str, str]:
    """Environment that every pod of ours shares; the roots read it.

    What is empty is left out: a variable of a pod would hide the secret's of that name.
    """
    given = {
        "THROUGHLINE_ENVIRONMENT": "production",
        "THROUGHLINE_HOME": SHELF_MOUNT,
        "THROUGHLINE_LAKE_URI": settings.lake_uri,
        "THROUGHLINE_ONLINE_URL": settings.redis_url,
        "THROUGHLINE_MLFLOW_URI": settings.mlflow_uri,
        "THROUGHLINE_PODS__IMAGE": settings.orchestration_image,
        "THROUGHLINE_PODS__NAMESPACE": settings.namespace,
        "THROUGHLINE_SERVICE_URL": f"http://serving:{SERVICE_PORT}",
        "THROUGHLINE_UI_URL": settings.ui_url,
        "THROUGHLINE_MLFLOW_UI_URL": settings.mlflow_ui_url,
        "THROUGHLINE_ALERTS__WEBHOOK_URL": settings.alerts_webhook_url,
        "THROUGHLINE_ALERTS__CONSOLE_URL": settings.console_url,
        "THROUGHLINE_COLD_URI": settings.cold_uri,
        "THROUGHLINE_LINEAGE_URL": settings.lineage_url,
        "THROUGHLINE_USE_CASE_PACKAGES": settings.use_case_packages,
        **settings.variables,
    }
    return {name: value for name, value in given.items() if value}


def shelf_volume(settings: ClusterSettings) -> dict[str, Any]:
    """Volume of the shared folder: shelf, source logs and records."""
    return {
        "name": "shelf",
        "persistentVolumeClaim": {"claimName": settings.shelf_claim},
    }


def shelf_mount() -> dict[str, Any]:
    """Where the shared folder stands in every pod."""
    return {"name": "shelf", "mountPath": SHELF_MOUNT}


def shared_volumes(settings: ClusterSettings) -> list[dict[str, Any]]:
    """Volumes of every pod: the shared folder, and where brokers ask who comes, how to say so."""
    if not settings.kafka_client_secret:
        return [shelf_volume(settings)]
    secret = {"secretName": settings.kafka_client_secret, "defaultMode": 0o440}
    return [shelf_volume(settings), {"name": "kafka-client", "secret": secret}]


def shared_mounts(settings: ClusterSettings) -> list[dict[str, Any]]:
    """Where the volumes of every pod stand: at the same path in each."""
    if not settings.kafka_client_secret:
        return [shelf_mount()]
    mount = {"name": "kafka-client", "mountPath": KAFKA_CLIENT_MOUNT, "readOnly": True}
    return [shelf_mount(), mount]


def signing_volume(settings: ClusterSettings) -> dict[str, Any]:
    """Volume of the private keys, for those who sign; the service has none of it."""
    return {
        "name": "signing",
        "secret": {"secretName": settings.signing_secret, "defaultMode": 0o440},
    }


def signing_mount() -> dict[str, Any]:
    """Where private keys are looked for, in the folder of the public ones."""
    return {"name": "signing", "mountPath": SIGNING_MOUNT, "readOnly": True}


def instance_volume() -> dict[str, Any]:
    """Volume of the instance's two files; dagster-k8s names the map but does not mount it."""
    return {"name": "instance", "configMap": {"name": INSTANCE_CONFIG_MAP}}


def instance_mounts() -> list[dict[str, Any]]:
    """One mount a file, so that the folder around them stays writable."""
    return [
        {"name": "instance", "mountPath": f"{DAGSTER_HOME}/{file}", "subPath": file}
        for file in ("dagster.yaml", "workspace.yaml")
    ]


def run_launcher(settings: ClusterSettings) -> dict[str, Any]:
    """Configuration of ``K8sRunLauncher``: one Kubernetes Job a run."""
    return {
        "service_account_name": settings.service_account,
        "job_image": settings.orchestration_image,
        "job_namespace": settings.namespace,
        "dagster_home": DAGSTER_HOME,
        "instance_config_map": INSTANCE_CONFIG_MAP,
        "load_incluster_config": True,
        "env_secrets": [settings.secret],
        "env_vars": [f"{name}={value}" for name, value in pod_environment(settings).items()],
        "volumes": [*shared_volumes(settings), signing_volume(settings), instance_volume()],
        "volume_mounts": [*shared_mounts(settings), signing_mount(), *instance_mounts()],
        "resources": {
            "requests": {"cpu": "500m", "memory": "1Gi"},
            "limits": {"memory": "4Gi"},
        },
        "run_k8s_config": {
            "job_spec_config": {"ttl_seconds_after_finished": 86_400},
            "pod_spec_config": {"security_context": {"fs_group": GROUP}},
        },
    }


def step_executor(settings: ClusterSettings) -> dict[str, Any]:
    """Configuration of ``k8s_job_executor``: a step a pod, the retries Dagster's own."""
    return {
        "job_image": settings.orchestration_image,
        "job_namespace": settings.namespace,
        "service_account_name": settings.service_account,
        "load_incluster_config": True,
        "max_concurrent": 4,
        "step_k8s_config": {
            "container_config": {
                "resources": {
                    "requests": {"cpu": "1", "memory": "2Gi"},
                    "limits": {"memory": "8Gi"},
                }
            }
        },
    }


def pipes_pod(settings: ClusterSettings) -> dict[str, Any]:
    """Pod of one Spark job under Pipes: the driver, in client mode; executors are pods too."""
    return {
        "serviceAccountName": settings.service_account,
        "restartPolicy": "Never",
        "volumes": shared_volumes(settings),
        "containers": [
            {
                "name": "spark-driver",
                "image": settings.orchestration_image,
                "env": [{"name": k, "value": v} for k, v in pod_environment(settings).items()],
                "envFrom": [{"secretRef": {"name": settings.secret}}],
                "volumeMounts": shared_mounts(settings),
                "resources": {
                    "requests": {"cpu": "2", "memory": "6Gi"},
                    "limits": {"memory": "8Gi"},
                },
            }
        ],
    }


def dagster_yaml(settings: ClusterSettings) -> dict[str, Any]:
    """``dagster.yaml`` of the cluster: Postgres, Kubernetes runs, a queue, run monitoring."""
    return {
        "telemetry": {"enabled": False},
        "storage": {
            "postgres": {
                "postgres_db": {
                    "hostname": settings.postgres_host,
                    "username": settings.postgres_user,
                    "password": {"env": "POSTGRES_PASSWORD"},
                    "db_name": settings.postgres_database,
                    "port": 5432,
                }
            }
        },
        "run_launcher": {
            "module": "dagster_k8s",
            "class": "K8sRunLauncher",
            "config": run_launcher(settings),
        },
        "run_coordinator": {
            "module": "dagster.core.run_coordinator",
            "class": "QueuedRunCoordinator",
        },
        # One writer a table: Spark jobs share a pool that admits one run at a time a table.
        "concurrency": {
            "runs": {"max_concurrent_runs": 8},
            "pools": {"default_limit": 1, "granularity": "op"},
        },
        "run_monitoring": {
            "enabled": True,
            "start_timeout_seconds": 300,
            "max_resume_run_attempts": 0,
            "poll_interval_seconds": 60,
        },
        "run_retries": {
            "enabled": True,
            "max_retries": 1,
            "retry_on_asset_or_op_failure": False,
        },
        "retention": TICKS_KEPT,
    }
