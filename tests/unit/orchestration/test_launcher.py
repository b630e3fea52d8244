import sys
from pathlib import Path

import dagster as dg
import pytest

from core.errors import InvalidInputError
from orchestration.launcher import (
    InProcessLauncher,
    PipesLauncher,
    exit_code_of,
    job_module,
    report_of,
)
from orchestration.runs import seen

pytestmark = pytest.mark.filterwarnings("ignore::dagster.PreviewWarning")

SUPPORT = Path(__file__).parents[2] / "support"


def launch_in_a_run(launcher, job, **arguments):
    """Launch from an op of a real run; its result."""
    found = {}

    @dg.op(retry_policy=dg.RetryPolicy(max_retries=1))
    def launching(context: dg.OpExecutionContext) -> None:
        found["report"] = launcher.launch(context, job, **arguments)

    @dg.job
    def running():
        launching()

    result = running.execute_in_process(raise_on_error=False)
    failures = [e.step_failure_data for e in result.all_events if e.is_step_failure]
    is_retried = any(e.event_type_value == "STEP_UP_FOR_RETRY" for e in result.all_events)
    return found.get("report"), failures, is_retried


@pytest.fixture(params=["in_process", "pipes"])
def launcher(request, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(SUPPORT))
    if request.param == "pipes":
        return PipesLauncher(package="plain_jobs")
    return InProcessLauncher(package="plain_jobs", scratch=str(tmp_path))


def test_a_job_gets_its_arguments_and_gives_its_report(launcher):
    report, failures, _ = launch_in_a_run(launcher, "adding", root="/r", now_ms=5, numbers=[1, 2])
    assert failures == []
    assert report == {"total": 3, "at_ms": 5}


@pytest.mark.parametrize(
    ("arguments", "said", "is_retried"),
    [
        ({"numbers": [1], "fault": "input"}, "too few", False),
        ({"numbers": [1], "fault": "dependency"}, "the store is away", True),
        ({}, "numbers", False),
    ],
)
def test_a_failure_says_what_it_was_and_whether_to_try_again(launcher, arguments, said, is_retried):
    report, failures, was_retried = launch_in_a_run(
        launcher, "adding", root="/r", now_ms=5, **arguments
    )
    assert report is None
    data = failures[0].user_failure_data
    assert said in data.description
    assert was_retried is is_retried


def test_a_failure_is_told_to_the_command_line_in_its_family(launcher):
    @dg.op
    def launching(context: dg.OpExecutionContext) -> None:
        launcher.launch(context, "adding", root="/r", now_ms=5, numbers=[1], fault="input")

    @dg.job
    def running():
        launching()

    with pytest.raises(InvalidInputError, match=r"^too few numbers; see run"):
        seen(running.execute_in_process(raise_on_error=False))


def test_a_killed_job_is_said_to_have_been_killed(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(SUPPORT))
    launcher = PipesLauncher(package="plain_jobs")
    _, failures, _ = launch_in_a_run(
        launcher, "adding", root="/r", now_ms=5, numbers=[1], fault="kill"
    )
    assert "killed" in failures[0].user_failure_data.description


def test_a_job_that_ends_well_without_a_report_has_failed():
    with pytest.raises(dg.Failure, match="exit code 0"):
        report_of([], 0, "adding")


def test_only_a_plain_name_is_a_job():
    assert job_module("ingest") == "spark_jobs.ingest"
    with pytest.raises(Exception, match="not the name of a job"):
        job_module("os;x")


def test_the_exit_code_of_a_command_is_returned():
    assert exit_code_of([sys.executable, "-c", "raise SystemExit(7)"], {}) == 7
