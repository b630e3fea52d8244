"""The pod form without a cluster: what is asked of Kubernetes, and what a job's messages become."""

from contextlib import contextmanager
from typing import Any

import dagster as dg
import kubernetes_validate
import pytest

from orchestration.environments import resources_of
from orchestration.launcher import PodLauncher
from orchestration.settings import Settings

pytestmark = pytest.mark.filterwarnings("ignore")
ASKED: list[dict[str, Any]] = []


class NoCluster:
    """A Pipes client whose pod says what it was given to say, then ends well or badly."""

    def __init__(self, reader: Any, messages: list[Any], *, is_failed: bool) -> None:
        self.reader, self.messages, self.is_failed = reader, messages, is_failed

    def run(self, **asked: Any) -> None:
        ASKED.append(asked)
        with reading(self.reader, self):
            if self.is_failed:
                from dagster_k8s.client import DagsterK8sError

                raise DagsterK8sError("the pod has failed")

    def get_custom_messages(self) -> list[Any]:
        return self.messages


@contextmanager
def reading(reader: Any, handler: NoCluster):
    reader.handler = handler
    yield


class Launcher(PodLauncher):
    messages: list[Any]
    is_failed: bool = False

    def client(self, reader: Any) -> NoCluster:
        return NoCluster(reader, self.messages, is_failed=self.is_failed)


def launched(messages: list[Any], *, is_failed: bool = False) -> dict[str, Any]:
    launcher = Launcher(namespace="n", pod={}, messages=messages, is_failed=is_failed)
    with dg.build_op_context() as context:
        return launcher.launch(context, "ingest", now_ms=1)


def test_the_report_of_a_pod_is_the_report_of_the_job():
    assert launched([{"report": {"rows": 3}}]) == {"rows": 3}
    assert ASKED[-1]["extras"] == {"arguments": {"now_ms": 1}}
    assert ASKED[-1]["command"] == ["python", "-m", "spark_jobs.ingest", "--profile", "cluster"]


def test_the_failure_of_a_pod_is_the_failure_that_the_job_told():
    told = {"description": "InvalidInputError: too few", "code": "x", "retryable": False}
    with pytest.raises(dg.Failure, match="too few") as failure:
        launched([{"failure": told}], is_failed=True)
    assert failure.value.allow_retries is False


def test_a_pod_that_failed_without_a_word_is_a_failure():
    with pytest.raises(dg.Failure, match="exit code 1"):
        launched([{"report": {"rows": 3}}], is_failed=True)


def test_the_pod_is_one_that_kubernetes_takes(tmp_path):
    from dagster_k8s.pipes import build_pod_body
    from kubernetes.client import ApiClient

    settings = Settings(home=tmp_path, environment="production", lake_uri="s3a://b/lake")
    launcher = resources_of(settings)["launcher"]
    assert isinstance(launcher, PodLauncher)
    body = build_pod_body(
        pod_name="job",
        image=None,
        command=["python", "-m", "spark_jobs.ingest", "--profile", "cluster"],
        env_vars={"DAGSTER_PIPES_CONTEXT": "x"},
        base_pod_meta=None,
        base_pod_spec=launcher.pod,
    )
    document = ApiClient().sanitize_for_serialization(body)
    kubernetes_validate.validate(
        {"apiVersion": "v1", "kind": "Pod", **document}, "1.34", strict=True
    )
    container = document["spec"]["containers"][0]
    assert container["command"][2] == "spark_jobs.ingest"
    assert "s3a://b/lake" in str(container["env"])
