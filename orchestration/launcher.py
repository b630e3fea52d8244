"""Three ways to start a Spark job, behind one verb.

*In process* imports the job by name and shares one session among all jobs of the process:
the quick way on one machine. *Pipes* starts a command, so that the job has its own memory
and a crash of it is not a crash of the run. *Pod* is the same in Kubernetes. In every form a
job is told its dates, tables and present by its arguments alone: in a ranged run Pipes hands
over no partitions.
"""

import importlib
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg

from assets.resources import Context, Launcher
from core.errors import ConfigurationError
from orchestration.ending import end_group
from orchestration.failures import failure_of_exit, failure_of_message, translated

PACKAGE = "spark_jobs"
STOP_WITHIN_S = 15.0


def job_module(job: str, package: str = PACKAGE) -> str:
    """Dotted name of a job; only a plain name can become one."""
    if not job.isidentifier():
        raise ConfigurationError("not the name of a job", found=repr(job[:80]))
    return f"{package}.{job}"


def report_of(messages: Iterable[Any], code: int, job: str) -> dict[str, Any]:
    """Report among a job's messages.

    Raises
    ------
    dagster.Failure
        If the job reported a failure, ended badly, or ended well without a report.
    """
    said = [message for message in messages if isinstance(message, dict)]
    for message in said:
        if "failure" in message:
            raise failure_of_message(message["failure"])
    reports = [message["report"] for message in said if "report" in message]
    if code or not reports:
        raise failure_of_exit(code, job)
    found: dict[str, Any] = reports[-1]
    return found


class InProcessLauncher(Launcher):
    """Runs the job in this process, on the process's one session."""

    package: str = PACKAGE
    scratch: str
    cores: int = 2
    memory: str = "2g"

    def launch(self, context: Context, job: str, **arguments: Any) -> dict[str, Any]:
        """Import the job, run it, return its report."""
        with translated():
            module = importlib.import_module(job_module(job, self.package))
            read = importlib.import_module(f"{self.package}.job").arguments_of
            told = read(module.Arguments, arguments)
            session = importlib.import_module(f"{self.package}.session").spark_session(
                "embedded", scratch=Path(self.scratch), cores=self.cores, memory=self.memory
            )
            context.log.info(f"{job} starts in this process")
            report: dict[str, Any] = module.run(session, told).model_dump(mode="json")
        return report


class PipesLauncher(Launcher):
    """Runs the job as a command of this machine; report and failure come by Pipes."""

    package: str = PACKAGE
    cores: int = 2
    memory: str = "2g"

    def launch(self, context: Context, job: str, **arguments: Any) -> dict[str, Any]:
        """Start the command, hand it the arguments, wait, return its report."""
        command = [sys.executable, "-m", job_module(job, self.package)]
        command += ["--cores", str(self.cores), "--memory", self.memory]
        with dg.open_pipes_session(
            context=context,
            context_injector=dg.PipesTempFileContextInjector(),
            message_reader=dg.PipesTempFileMessageReader(),
            extras={"arguments": arguments},
        ) as session:
            code = exit_code_of(command, session.get_bootstrap_env_vars())
        return report_of(session.get_custom_messages(), code, job)


class PodLauncher(Launcher):
    """Runs the job in a pod of its own: a Spark driver in client mode."""

    namespace: str
    pod: dict[str, Any]

    def launch(self, context: Context, job: str, **arguments: Any) -> dict[str, Any]:
        """Create the pod, follow its log, return the report; the pod is deleted after."""
        from dagster_k8s.client import DagsterK8sError

        reader = _recording_reader()
        code = 0
        try:
            self.client(reader).run(
                context=context,
                command=["python", "-m", job_module(job), "--profile", "cluster"],
                namespace=self.namespace,
                base_pod_spec=self.pod,
                extras={"arguments": arguments},
            )
        except DagsterK8sError as error:
            context.log.warning(str(error))
            code = 1
        return report_of(reader.custom_messages(), code, job)

    def client(self, reader: Any) -> Any:
        """Client that creates the pod; a test's subclass gives one without a cluster."""
        from dagster_k8s import PipesK8sClient

        return PipesK8sClient(message_reader=reader)


def _recording_reader() -> Any:
    """Reader of a pod's log that still has the messages when the pod has failed."""
    from dagster_k8s.pipes import PipesK8sPodLogsMessageReader

    class RecordingReader(PipesK8sPodLogsMessageReader):  # type: ignore[misc]
        handler: Any = None

        @contextmanager
        def read_messages(self, handler: Any) -> Iterator[Any]:
            self.handler = handler
            with super().read_messages(handler) as params:
                yield params

        def custom_messages(self) -> Sequence[Any]:
            return self.handler.get_custom_messages() if self.handler else ()

    return RecordingReader()


def exit_code_of(command: Sequence[str], variables: Mapping[str, str]) -> int:
    """Exit code of a command run to its end; interrupted, it and its JVM are ended first.

    It leads a process group of its own, so that one signal reaches all it started. Its
    output goes where ours does: Dagster keeps it with the step.
    """
    process = subprocess.Popen(command, env=_with(variables), start_new_session=True)
    try:
        return process.wait()
    except BaseException:
        end_group(process, within_s=STOP_WITHIN_S)
        raise


def _with(variables: Mapping[str, str]) -> dict[str, str]:
    """The environment we were given, passed on with what Pipes adds."""
    return {**os.environ, **variables}  # noqa: TID251 - handed on, not read
