"""Kubernetes objects of the platform, as plain dictionaries derived from ``ClusterSettings``."""

from __future__ import annotations

from typing import Any

import yaml

from infra.instance import (
    DAGSTER_HOME,
    GROUP,
    INSTANCE_CONFIG_MAP,
    KAFKA_CLIENT_FILE,
    SERVICE_PORT,
    dagster_yaml,
    instance_mounts,
    instance_volume,
    pod_environment,
    shared_mounts,
    shared_volumes,
    signing_mount,
    signing_volume,
)
from infra.settings import ClusterSettings

Manifest = dict[str, Any]
CONSOLE_PORT = 8081
METRICS_PORT = 9100
WEBSERVER_PORT = 3000
CODE_PORT = 4000
LONGEST_START_S = 150
"""On a GPU the service listens once its champions are there, which may take twice the minute that
one has to be ready (`THROUGHLINE_MODELS__PATIENCE_MS`): until then its silence says nothing."""


def _metadata(settings: ClusterSettings, name: str) -> Manifest:
    return {
        "name": name,
        "namespace": settings.namespace,
        "labels": {
            "app.kubernetes.io/name": name,
            "app.kubernetes.io/part-of": "throughline",
        },
    }


def _container(settings: ClusterSettings, name: str, image: str, command: list[str]) -> Manifest:
    """Container with the shared environment, secret and folder, and no privileges."""
    return {
        "name": name,
        "image": image,
        "command": command,
        "env": [{"name": k, "value": v} for k, v in pod_environment(settings).items()],
        "envFrom": [{"secretRef": {"name": settings.secret}}],
        "volumeMounts": shared_mounts(settings),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "runAsNonRoot": True,
        },
    }


def _deployment(
    settings: ClusterSettings,
    name: str,
    container: Manifest,
    *,
    replicas: int = 1,
    volumes: list[Manifest] | None = None,
    is_single: bool = False,
    is_signing: bool = False,
    metrics_port: int | None = None,
) -> Manifest:
    """Deployment; ``is_single`` never runs two at once (the one writer of something).

    ``is_signing`` gives it private keys; ``metrics_port`` is written where Prometheus looks for
    pods to scrape.
    """
    volumes = [*shared_volumes(settings), *(volumes or [])]
    if is_signing:
        container["volumeMounts"].append(signing_mount())
        volumes.append(signing_volume(settings))
    template_metadata: Manifest = {"labels": {"app.kubernetes.io/name": name}}
    if metrics_port is not None:
        template_metadata["annotations"] = {
            "prometheus.io/scrape": "true",
            "prometheus.io/port": str(metrics_port),
        }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _metadata(settings, name),
        "spec": {
            "replicas": replicas,
            "strategy": {"type": "Recreate" if is_single else "RollingUpdate"},
            "selector": {"matchLabels": {"app.kubernetes.io/name": name}},
            "template": {
                "metadata": template_metadata,
                "spec": {
                    "serviceAccountName": settings.service_account,
                    "terminationGracePeriodSeconds": 30,
                    "securityContext": {"fsGroup": GROUP},
                    "containers": [container],
                    "volumes": volumes,
                },
            },
        },
    }


def _service(settings: ClusterSettings, name: str, port: int) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(settings, name),
        "spec": {
            "selector": {"app.kubernetes.io/name": name},
            "ports": [{"port": port, "targetPort": port, "protocol": "TCP"}],
        },
    }


def access(settings: ClusterSettings) -> list[Manifest]:
    """Service account that may start pods and jobs in its own namespace, and nothing else."""
    verbs = ["create", "get", "list", "watch", "delete", "patch", "update"]
    rules = [
        {
            "apiGroups": [""],
            "resources": ["pods", "pods/log", "pods/status", "services", "configmaps"],
            "verbs": verbs,
        },
        {"apiGroups": ["batch"], "resources": ["jobs", "jobs/status"], "verbs": verbs},
        {"apiGroups": [""], "resources": ["events"], "verbs": ["get", "list", "watch"]},
    ]
    metadata = _metadata(settings, settings.service_account)
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata},
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": metadata,
            "rules": rules,
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": metadata,
            "subjects": [
                {
                    "kind": "ServiceAccount",
                    "name": settings.service_account,
                    "namespace": settings.namespace,
                }
            ],
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "Role",
                "name": settings.service_account,
            },
        },
    ]


def instance_config_map(settings: ClusterSettings) -> Manifest:
    """``dagster.yaml`` and ``workspace.yaml`` for every Dagster pod and run."""
    workspace = {
        "load_from": [
            {
                "grpc_server": {
                    "host": "code-location",
                    "port": CODE_PORT,
                    "location_name": "throughline",
                }
            }
        ]
    }
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": _metadata(settings, INSTANCE_CONFIG_MAP),
        "data": {
            "dagster.yaml": yaml.safe_dump(dagster_yaml(settings), sort_keys=False),
            "workspace.yaml": yaml.safe_dump(workspace, sort_keys=False),
        },
    }


def _dagster(
    settings: ClusterSettings, name: str, command: list[str], port: int | None
) -> Manifest:
    """Deployment of a Dagster process; a port gets a TCP probe."""
    container = _container(settings, name, settings.orchestration_image, command)
    container["env"].append({"name": "DAGSTER_HOME", "value": DAGSTER_HOME})
    container["volumeMounts"] += instance_mounts()
    container["resources"] = {
        "requests": {"cpu": "250m", "memory": "1Gi"},
        "limits": {"memory": "2Gi"},
    }
    if port is not None:
        container["ports"] = [{"containerPort": port}]
        container["readinessProbe"] = {"tcpSocket": {"port": port}, "periodSeconds": 5}
    return _deployment(
        settings,
        name,
        container,
        volumes=[instance_volume()],
        is_single=True,
        is_signing=name == "code-location",  # where sensors look, and put down what they found
    )


def orchestration(settings: ClusterSettings) -> list[Manifest]:
    """Code location, webserver and daemon, each one process."""
    workspace = f"{DAGSTER_HOME}/workspace.yaml"
    code = ["dagster", "api", "grpc", "-h", "0.0.0.0", "-p", str(CODE_PORT)]  # noqa: S104 - in a pod
    web = ["dagster-webserver", "-h", "0.0.0.0", "-p", str(WEBSERVER_PORT), "-w", workspace]  # noqa: S104
    return [
        _dagster(settings, "code-location", [*code, "-m", "orchestration.definitions"], CODE_PORT),
        _service(settings, "code-location", CODE_PORT),
        _dagster(settings, "webserver", web, WEBSERVER_PORT),
        _service(settings, "webserver", WEBSERVER_PORT),
        _dagster(settings, "daemon", ["dagster-daemon", "run", "-w", workspace], None),
    ]


def _online(settings: ClusterSettings, name: str, image: str, limits: Manifest) -> Manifest:
    """Container of the prediction service with its three probes."""
    container = _container(settings, name, image, ["python", "-m", "serving.main"])
    container["env"].append({"name": "THROUGHLINE_HTTP__HOST", "value": "0.0.0.0"})  # noqa: S104
    container["env"].append({"name": "THROUGHLINE_HTTP__PORT", "value": str(SERVICE_PORT)})
    container["ports"] = [{"containerPort": SERVICE_PORT}]
    for probe, path in (("livenessProbe", "/livez"), ("readinessProbe", "/readyz")):
        container[probe] = {"httpGet": {"path": path, "port": SERVICE_PORT}, "periodSeconds": 5}
    container["startupProbe"] = {
        "httpGet": {"path": "/livez", "port": SERVICE_PORT},
        "periodSeconds": 1,
        "failureThreshold": LONGEST_START_S,
    }
    container["resources"] = {"requests": {"cpu": "1", "memory": "512Mi"}, "limits": limits}
    return container


def _events(settings: ClusterSettings) -> list[Manifest]:
    """The one replica that takes events where they go to files; nothing where brokers do."""
    if settings.kafka_bootstrap:
        return []
    container = _online(settings, "events", settings.serving_image, {"memory": "1Gi"})
    return [
        _deployment(settings, "events", container, is_single=True, metrics_port=SERVICE_PORT),
        _service(settings, "events", SERVICE_PORT),
    ]


def _event_variables(settings: ClusterSettings) -> list[Manifest]:
    """What a replica among several does with events: sends them to brokers, or refuses them."""
    if not settings.kafka_bootstrap:
        return [{"name": "THROUGHLINE_HTTP__MAY_TAKE_EVENTS", "value": "false"}]
    given = {"THROUGHLINE_KAFKA__BOOTSTRAP": settings.kafka_bootstrap}
    if settings.kafka_client_secret:
        given["THROUGHLINE_KAFKA__CLIENT_FILE"] = KAFKA_CLIENT_FILE
    return [{"name": name, "value": value} for name, value in given.items()]


def serving(settings: ClusterSettings) -> list[Manifest]:
    """The service (CPU, and GPU where asked), the folder and the controller.

    Folder and controller are the one writer of online deltas and of the channels: one
    replica each, the old one gone before the new one starts. So is, without Kafka, who takes
    events.
    """
    cpu = _online(settings, "serving", settings.serving_image, {"memory": "1Gi"})
    cpu["env"] += _event_variables(settings)
    objects = [
        _deployment(
            settings,
            "serving",
            cpu,
            replicas=settings.serving_replicas,
            metrics_port=SERVICE_PORT,
        ),
        _service(settings, "serving", SERVICE_PORT),
        *_events(settings),
    ]
    if settings.has_gpu:
        limits = {"memory": "4Gi", "nvidia.com/gpu": 1}
        gpu = _online(settings, "serving-gpu", settings.serving_gpu_image, limits)
        gpu["env"].append({"name": "THROUGHLINE_MODELS__DEVICE", "value": "cuda"})
        gpu["env"] += _event_variables(settings)
        objects += [
            _deployment(settings, "serving-gpu", gpu, metrics_port=SERVICE_PORT),
            _service(settings, "serving-gpu", SERVICE_PORT),
        ]
    for name in ("folder", "controller"):
        container = _container(
            settings, name, settings.serving_image, ["python", "-m", f"serving.{name}"]
        )
        container["resources"] = {"requests": {"cpu": "250m", "memory": "256Mi"}}
        port = f"THROUGHLINE_METRICS__{name.upper()}_PORT"
        container["env"] += [
            {"name": "THROUGHLINE_METRICS__HOST", "value": "0.0.0.0"},  # noqa: S104 - in a pod
            {"name": port, "value": str(METRICS_PORT)},
        ]
        container["ports"] = [{"containerPort": METRICS_PORT}]
        objects.append(
            _deployment(
                settings,
                name,
                container,
                is_single=True,
                is_signing=name == "controller",
                metrics_port=METRICS_PORT,
            )
        )
    return objects


def console(settings: ClusterSettings) -> list[Manifest]:
    """The console: one replica, because a form is good where it was loaded only."""
    container = _container(
        settings, "console", settings.serving_image, ["python", "-m", "serving.console.main"]
    )
    container["env"] += [
        {"name": "THROUGHLINE_CONSOLE__HOST", "value": "0.0.0.0"},  # noqa: S104 - in a pod
        {"name": "THROUGHLINE_CONSOLE__PORT", "value": str(CONSOLE_PORT)},
    ]
    container["ports"] = [{"containerPort": CONSOLE_PORT}]
    for probe in ("livenessProbe", "readinessProbe"):
        container[probe] = {"httpGet": {"path": "/livez", "port": CONSOLE_PORT}, "periodSeconds": 5}
    memory = {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}}
    container["resources"] = memory
    return [
        _deployment(settings, "console", container),
        _service(settings, "console", CONSOLE_PORT),
    ]


def disruption_budget(settings: ClusterSettings) -> Manifest:
    """At least one replica of the service stays up through node maintenance."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": _metadata(settings, "serving"),
        "spec": {
            "minAvailable": 1,
            "selector": {"matchLabels": {"app.kubernetes.io/name": "serving"}},
        },
    }


def manifests(settings: ClusterSettings) -> list[Manifest]:
    """Every object, in the order they should be applied."""
    namespace = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": settings.namespace},
    }
    return [
        namespace,
        *access(settings),
        instance_config_map(settings),
        *orchestration(settings),
        *serving(settings),
        *console(settings),
        disruption_budget(settings),
    ]
