"""Adds numbers, or fails as it is told."""

from __future__ import annotations

import os
import signal
import sys

from core.errors import DependencyError, InvalidInputError, PlatformError
from spark_jobs.job import JobArguments, JobReport, arguments_of, failure_of


class Arguments(JobArguments):
    numbers: tuple[int, ...]
    fault: str = ""


class Report(JobReport):
    total: int
    at_ms: int


def run(spark: None, arguments: Arguments) -> Report:
    if arguments.fault == "input":
        raise InvalidInputError("too few numbers")
    if arguments.fault == "dependency":
        raise DependencyError("the store is away")
    if arguments.fault == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    return Report(total=sum(arguments.numbers), at_ms=arguments.now_ms)


def main() -> int:
    from dagster_pipes import open_dagster_pipes

    with open_dagster_pipes() as pipes:
        try:
            report = run(None, arguments_of(Arguments, pipes.extras["arguments"]))
        except PlatformError as error:
            pipes.report_custom_message({"failure": failure_of(error)})
            return 1
        pipes.report_custom_message({"report": report.model_dump(mode="json")})
    return 0


if __name__ == "__main__":
    sys.exit(main())
