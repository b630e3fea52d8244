from __future__ import annotations

import dagster as dg
import pytest

from core import errors
from orchestration.failures import failure_of
from orchestration.runs import seen
from orchestration.step_failures import error_told

WORKER = """pyspark.errors.exceptions.captured.PythonException: An exception was thrown:
Traceback (most recent call last):
  File "reading.py", line 76, in __call__
    yield from self.read(row)
core.errors.ConfigurationError: a mapping is not well formed; found x; write y

\tat org.apache.spark.Task.run(Task.scala)
"""


@pytest.mark.parametrize(
    "family", [k for k in vars(errors).values() if isinstance(k, type) and k is not object]
)
def test_an_error_of_ours_comes_back_in_its_family(family):
    if not issubclass(family, errors.PlatformError):
        pytest.fail(f"{family} is no error of ours")
    told = error_told(f"core.errors.{family.__name__}: x; found y; do z", "0123456789")
    assert type(told) is family
    assert str(told) == "x; found y; do z; see run 01234567 in the UI"


def test_the_error_inside_the_trace_of_a_worker_is_found_and_the_trace_is_not_shown():
    told = error_told(WORKER, "0123456789")
    assert type(told) is errors.ConfigurationError
    assert "not well formed" in str(told)
    assert "Traceback" not in str(told)
    assert "\n" not in str(told)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("RuntimeError: no room\nmore\nmore", "RuntimeError: no room"),
        ("Traceback (most recent call last):\n  File x\nValueError: bad\n", "ValueError: bad"),
        (
            "Py4JJavaError: An error occurred while calling o2.x.\n: java.io.IOException: no room",
            "java.io.IOException: no room",
        ),
        ("", "nothing said"),
        ("core.errors.NobodyKnowsError: x", "x"),
    ],
)
def test_an_error_of_others_is_one_line(text, said):
    told = error_told(text, "0123456789")
    assert type(told) is errors.DependencyError
    assert said in str(told)
    assert "\n" not in str(told)


@pytest.mark.parametrize("is_translated", [True, False])
def test_the_family_of_an_error_survives_a_run(is_translated):
    error = errors.NotReadyError("no champion", found="an empty shelf", remedy="train one")

    @dg.op
    def step() -> None:
        raise failure_of(error) if is_translated else error

    @dg.job
    def job() -> None:
        step()

    with pytest.raises(errors.NotReadyError, match="no champion; found an empty shelf; train one"):
        seen(job.execute_in_process(raise_on_error=False))
