"""Every rendered object against the schemas of Kubernetes; Dagster's own pods included."""

from __future__ import annotations

import copy
import importlib
import re
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from dagster import DagsterInstance
from dagster._core.scheduler.instigation import InstigatorType, TickStatus
from pydantic import ValidationError

from infra.instance import (
    INSTANCE_CONFIG_MAP,
    SHELF_MOUNT,
    dagster_yaml,
    pipes_pod,
    pod_environment,
    run_launcher,
    signing_mount,
    signing_volume,
    step_executor,
)
from infra.kubernetes import manifests
from infra.render import render
from infra.settings import SECRET_VARIABLES, ClusterSettings
from orchestration.settings import Settings as BatchSettings
from serving.settings import read_settings
from stores.keys.signing import MOUNTED
from stores.layout import Layout

SETTINGS = ClusterSettings(has_gpu=True)
EXAMPLE = Path(__file__).parents[3] / ".env.example"
FIELDS = ClusterSettings.model_fields
LEFT_AS_THEY_ARE = {
    "THROUGHLINE_LAUNCH",
    "THROUGHLINE_SPARK__CORES",
    "THROUGHLINE_SPARK__MEMORY",
    "THROUGHLINE_SPARK__INGEST_EVENTS",
    "THROUGHLINE_SPARK__INGEST_AGE_S",
    "THROUGHLINE_RETENTION__HISTORY_DAYS",
    "THROUGHLINE_RETENTION__RUN_DAYS",
    "THROUGHLINE_ERASURE__BACKUPS",
}
"""Settings whose defaults are for clusters, too; others are given in ``variables``."""
VERSION = kubernetes_validate.latest_version()


def validate(manifest: dict) -> None:
    kubernetes_validate.validate(manifest, VERSION, strict=True)


@pytest.fixture
def dagster_k8s():
    """Imported where it is asked for: with its client of Kubernetes it takes a second."""
    return importlib.import_module("dagster_k8s")


@pytest.fixture
def plain(dagster_k8s):
    """Makes a document of what Kubernetes' client has objects for."""
    return importlib.import_module("kubernetes.client").ApiClient().sanitize_for_serialization


@pytest.mark.parametrize(
    "manifest", manifests(SETTINGS), ids=lambda m: f"{m['kind']}-{m['metadata']['name']}"
)
def test_manifest_is_valid(manifest):
    validate(manifest)


def pod_template(name):
    found = next(
        m
        for m in manifests(SETTINGS)
        if m["kind"] == "Deployment" and m["metadata"]["name"] == name
    )
    return found["spec"]["template"]


@pytest.mark.parametrize(
    ("name", "port"),
    [("serving", 8080), ("serving-gpu", 8080), ("folder", 9100), ("controller", 9100)],
)
def test_a_pod_is_scraped_where_its_process_answers_scrapes(name, port):
    template = pod_template(name)
    container = template["spec"]["containers"][0]
    assert template["metadata"]["annotations"]["prometheus.io/port"] == str(port)
    assert container["ports"] == [{"containerPort": port}]
    given = {each["name"]: each["value"] for each in container["env"]}
    ours = {name: value for name, value in given.items() if name.startswith("THROUGHLINE_")}
    settings = read_settings(ours)
    assert port in (
        settings.http.port,
        settings.metrics.folder_port,
        settings.metrics.controller_port,
    )
    assert settings.models.device == ("cuda" if name == "serving-gpu" else "cpu")


def test_the_console_listens_where_its_service_and_its_probes_look():
    container = pod_template("console")["spec"]["containers"][0]
    given = {each["name"]: each["value"] for each in container["env"]}
    ours = {name: value for name, value in given.items() if name.startswith("THROUGHLINE_")}
    settings = read_settings(ours)
    service = next(
        m
        for m in manifests(SETTINGS)
        if m["kind"] == "Service" and m["metadata"]["name"] == "console"
    )
    (port,) = service["spec"]["ports"]
    assert settings.console.host == "0.0.0.0"
    assert settings.console.port == port["targetPort"]
    assert container["livenessProbe"]["httpGet"]["port"] == port["targetPort"]
    assert not settings.is_local  # so its cookies travel over TLS only


@pytest.mark.parametrize("name", ["serving", "serving-gpu"])
def test_a_service_is_not_ended_while_its_models_may_still_come(name):
    """On a GPU it listens once they are there, and its other probe gives it 15 s."""
    (container,) = pod_template(name)["spec"]["containers"]
    probe = container["startupProbe"]
    assert probe["httpGet"] == container["livenessProbe"]["httpGet"]
    waited_s = probe["periodSeconds"] * probe["failureThreshold"]
    assert waited_s > 2 * read_settings({}).models.patience_ms / 1_000


def test_private_keys_are_given_to_those_who_sign_alone():
    deployments = [m for m in manifests(SETTINGS) if m["kind"] == "Deployment"]
    signing = {
        each["metadata"]["name"]
        for each in deployments
        if signing_volume(SETTINGS) in each["spec"]["template"]["spec"]["volumes"]
    }
    assert signing == {"controller", "code-location"}
    template = pod_template("controller")
    assert signing_mount() in template["spec"]["containers"][0]["volumeMounts"]
    assert signing_mount()["mountPath"] == f"{Layout(Path(SHELF_MOUNT)).keys / MOUNTED}"
    runs = run_launcher(SETTINGS)  # a run signs releases, audits and certificates
    assert signing_volume(SETTINGS) in runs["volumes"]
    assert signing_mount() in runs["volume_mounts"]
    assert signing_volume(SETTINGS) not in pipes_pod(SETTINGS)["volumes"]


def test_a_misspelt_field_is_refused():
    manifest = copy.deepcopy(next(m for m in manifests(SETTINGS) if m["kind"] == "Deployment"))
    manifest["spec"]["template"]["spec"]["containerz"] = []
    with pytest.raises(kubernetes_validate.ValidationError):
        validate(manifest)


def test_instance_loads_with_the_rendered_run_launcher(tmp_path, dagster_k8s):
    kubeconfig = tmp_path / "kubeconfig"
    cluster = {"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}
    context = {"name": "x", "context": {"cluster": "c", "user": "u"}}
    user = {"name": "u", "user": {}}
    kubeconfig.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [cluster],
                "contexts": [context],
                "users": [user],
                "current-context": "x",
            }
        )
    )
    config = {
        **run_launcher(SETTINGS),
        "load_incluster_config": False,
        "kubeconfig_file": str(kubeconfig),
    }
    rendered = dagster_yaml(SETTINGS)
    overrides = {
        "run_launcher": {**rendered["run_launcher"], "config": config},
        "run_coordinator": rendered["run_coordinator"],
        "telemetry": rendered["telemetry"],
        "retention": rendered["retention"],
    }
    with DagsterInstance.local_temp(str(tmp_path), overrides=overrides) as instance:
        assert isinstance(instance.run_launcher, dagster_k8s.K8sRunLauncher)
        for kind in (InstigatorType.SCHEDULE, InstigatorType.SENSOR):
            days = instance.get_tick_retention_settings(kind)
            assert all(0 < days[status] <= 90 for status in TickStatus)


def test_run_job_of_dagster_is_valid(dagster_k8s, plain):
    launcher = run_launcher(SETTINGS)
    config = dagster_k8s.job.DagsterK8sJobConfig(
        job_image=launcher["job_image"],
        dagster_home=launcher["dagster_home"],
        instance_config_map=launcher["instance_config_map"],
        service_account_name=launcher["service_account_name"],
        env_secrets=launcher["env_secrets"],
        env_vars=launcher["env_vars"],
        volumes=launcher["volumes"],
        volume_mounts=launcher["volume_mounts"],
        resources=launcher["resources"],
    )
    job = dagster_k8s.job.construct_dagster_k8s_job(
        config, ["dagster", "api", "execute_run"], "run-1"
    )
    body = plain(job)
    validate(body)
    names = [v["name"] for v in body["spec"]["template"]["spec"]["volumes"]]
    assert "shelf" in names
    assert INSTANCE_CONFIG_MAP in yaml.safe_dump(body)


def test_executor_takes_the_rendered_configuration(dagster_k8s):
    executor = dagster_k8s.k8s_job_executor.configured(step_executor(SETTINGS))
    assert executor.name == "k8s"


def test_pod_of_a_pipes_job_is_valid(dagster_k8s, plain):
    body = dagster_k8s.pipes.build_pod_body(
        pod_name="ingest-transactions",
        image=None,
        command=["python", "-m", "spark_jobs.ingest"],
        env_vars={"DAGSTER_PIPES_CONTEXT": "e30="},
        base_pod_meta=None,
        base_pod_spec=pipes_pod(SETTINGS),
    )
    validate({"apiVersion": "v1", "kind": "Pod", **plain(body)})


def test_no_secret_value_is_rendered(tmp_path):
    text = "".join(path.read_text() for path in render(SETTINGS, tmp_path))
    assert "POSTGRES_PASSWORD" in text
    assert "password: throughline" not in text
    assert len(list(tmp_path.glob("*.yaml"))) == len(manifests(SETTINGS))


def test_single_writers_never_run_twice():
    recreated = {
        m["metadata"]["name"]: m["spec"]["strategy"]["type"]
        for m in manifests(SETTINGS)
        if m["kind"] == "Deployment"
    }
    assert recreated["folder"] == recreated["controller"] == "Recreate"


def test_every_pod_is_told_where_models_and_online_values_are():
    told = pod_environment(SETTINGS)
    read = BatchSettings.read(told)
    assert read.tracking_uri == SETTINGS.mlflow_uri
    assert read_settings(told).online == SETTINGS.redis_url


def test_an_address_left_to_the_secret_is_not_hidden_by_an_empty_one():
    told = pod_environment(ClusterSettings(redis_url="", mlflow_uri=""))
    assert not {"THROUGHLINE_ONLINE_URL", "THROUGHLINE_MLFLOW_URI"} & told.keys()


def test_every_setting_of_the_example_has_a_place_in_a_cluster():
    named = set(re.findall(r"^# (THROUGHLINE_\w+)=", EXAMPLE.read_text(), re.MULTILINE))
    strings = {name: "x" for name, field in FIELDS.items() if field.annotation is str}
    told = set(pod_environment(ClusterSettings(**{**strings, "lake_uri": "s3://x/lake"})))
    assert set(SECRET_VARIABLES) <= named
    assert named - told - set(SECRET_VARIABLES) == LEFT_AS_THEY_ARE
    given = pod_environment(ClusterSettings(variables=dict.fromkeys(LEFT_AS_THEY_ARE, "40")))
    assert {given[name] for name in LEFT_AS_THEY_ARE} == {"40"}


def test_jobs_run_in_the_image_and_the_namespace_of_the_cluster():
    cluster = ClusterSettings(orchestration_image="shop/jobs:7", namespace="shop")
    read = BatchSettings.read(pod_environment(cluster))
    assert (read.pods.image, read.pods.namespace) == ("shop/jobs:7", "shop")
    assert read.service_url == "http://serving:8080"


def test_alerts_go_where_the_cluster_says():
    cluster = ClusterSettings(
        alerts_webhook_url="https://alerts.example/hook", console_url="https://console.example"
    )
    signed = {"THROUGHLINE_ALERTS__WEBHOOK_SECRET": "of the secret"}
    read = BatchSettings.read({**pod_environment(cluster), **signed})
    assert read.alerts.webhook_url == "https://alerts.example/hook"
    assert read.alerts.console_url == "https://console.example"
    assert read.alerts.webhook_secret.get_secret_value() == "of the secret"


def test_a_variable_that_is_no_setting_of_ours_is_refused():
    with pytest.raises(ValidationError, match="pattern"):
        ClusterSettings(variables={"PATH": "/tmp"})


def test_the_settings_that_the_page_shows_are_settings():
    page = EXAMPLE.with_name("docs") / "kubernetes.md"
    (shown,) = re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL)
    cluster = ClusterSettings(**yaml.safe_load(shown))
    assert BatchSettings.read(pod_environment(cluster)).retention.run_days == 30
    assert all(f"`{name}`" in page.read_text() for name in SECRET_VARIABLES)


def deployments(settings):
    found = [m for m in manifests(settings) if m["kind"] == "Deployment"]
    return {each["metadata"]["name"]: each["spec"] for each in found}


def service_settings(spec):
    env = spec["template"]["spec"]["containers"][0]["env"]
    ours = {e["name"]: e["value"] for e in env if e["name"].startswith("THROUGHLINE_")}
    return read_settings(ours)


def test_without_brokers_one_replica_takes_events_and_every_other_refuses_them():
    found = deployments(SETTINGS)
    taking = {n for n in ("serving", "serving-gpu", "events")
              if service_settings(found[n]).http.may_take_events}  # fmt: skip
    assert taking == {"events"}
    assert found["events"]["replicas"] == 1
    assert found["events"]["strategy"] == {"type": "Recreate"}
    assert found["serving"]["replicas"] > 1
    services = {m["metadata"]["name"] for m in manifests(SETTINGS) if m["kind"] == "Service"}
    assert "events" in services


def test_with_brokers_every_replica_takes_events():
    settings = SETTINGS.model_copy(update={"kafka_bootstrap": "kafka:9092"})
    found = deployments(settings)
    assert "events" not in found
    for name in ("serving", "serving-gpu"):
        told = service_settings(found[name])
        assert told.http.may_take_events
        assert told.kafka.bootstrap == "kafka:9092"
    for manifest in manifests(settings):
        validate(manifest)


def test_every_pod_has_the_file_by_which_brokers_are_spoken_to():
    given = {"kafka_bootstrap": "kafka:9093", "kafka_client_secret": "kafka-client"}
    settings = SETTINGS.model_copy(update=given)
    pods = [spec["template"]["spec"] for spec in deployments(settings).values()]
    pods.append(pipes_pod(settings))
    places = [pod["containers"][0]["volumeMounts"] for pod in pods]
    launched = run_launcher(settings)
    for mounts in (*places, launched["volume_mounts"]):
        (path,) = (each["mountPath"] for each in mounts if each["name"] == "kafka-client")
    for volumes in (*(pod["volumes"] for pod in pods), launched["volumes"]):
        (secret,) = (each["secret"] for each in volumes if each["name"] == "kafka-client")
        assert secret["secretName"] == "kafka-client"
    client_file = service_settings(deployments(settings)["serving"]).kafka.client_file
    assert client_file == f"{path}/client.properties"
    for manifest in manifests(settings):
        validate(manifest)
