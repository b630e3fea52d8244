"""What every job is: frozen arguments in, a frozen report out, three ways to be started.

In process, the launcher calls ``run(spark, arguments)``. As a command, ``python -m
spark_jobs.NAME --arguments FILE`` prints the report as JSON. Under Dagster Pipes the
arguments are the extra ``arguments``; the report leaves as a custom message ``report``, a
failure as ``failure`` with a description and whether trying again may help.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from datetime import date as calendar_date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from pydantic import AfterValidator, Field, ValidationError

from core.errors import ConfigurationError, PlatformError
from core.features.plan import Frozen
from stores.layout import Layout

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def _is_date(value: str) -> str:
    if calendar_date.fromisoformat(value).isoformat() != value:
        raise ValueError("write a date as YYYY-MM-DD")
    return value


EventDate = Annotated[str, AfterValidator(_is_date)]
EventDates = Annotated[tuple[EventDate, ...], Field(min_length=1)]


class JobArguments(Frozen):
    """What every job is told. Nothing is looked up: no default day, no clock.

    ``now_ms`` is the present of the run; a rerun with the same one writes the same bytes.
    ``crash_at`` names a point of ``spark_jobs.crash`` to die or to wait at; tests alone set it.
    """

    root: str
    lake: str = ""
    now_ms: int
    crash_at: str | None = None

    @property
    def layout(self) -> Layout:
        """Where everything is."""
        return Layout(Path(self.root), self.lake)


class JobReport(Frozen):
    """What a job did, in numbers; frozen, JSON."""


A = TypeVar("A", bound=JobArguments)
R = TypeVar("R", bound=JobReport)


def date_condition(dates: Sequence[str], column: str = "event_date") -> str:
    """SQL condition that a row is of one of ``dates``; Delta prunes partitions by it.

    Examples
    --------
    >>> date_condition(["2026-01-02", "2026-01-01"])
    "event_date IN (DATE'2026-01-01', DATE'2026-01-02')"
    >>> date_condition([])
    'false'
    """
    literals = ", ".join(f"DATE'{_is_date(date)}'" for date in sorted(set(dates)))
    return f"{column} IN ({literals})" if literals else "false"


def run_main(
    arguments_type: type[A],
    run: Callable[[SparkSession, A], R],
    command_line: Sequence[str] | None = None,
) -> int:
    """Body of every job's ``main()``: by Pipes when Dagster started us, else by hand."""
    from dagster_pipes import PipesEnvVarParamsLoader, open_dagster_pipes

    options = _parser().parse_args(command_line)
    if not PipesEnvVarParamsLoader().is_dagster_pipes_process():
        return _by_hand(arguments_type, run, options)
    with open_dagster_pipes() as pipes:
        try:
            report = _run(arguments_type, run, pipes.extras.get("arguments", {}), options)
        except Exception as error:
            pipes.report_custom_message({"failure": failure_of(error)})
            raise
        pipes.report_custom_message({"report": report.model_dump(mode="json")})
    return 0


def failure_of(error: Exception) -> dict[str, Any]:
    """A failure as the orchestrator reads it: what to show, and whether to try again."""
    if isinstance(error, PlatformError):
        return {
            "description": str(error),
            "family": type(error).__name__,
            "code": error.code,
            "retryable": error.is_retryable,
        }
    first_line = str(error).strip().partition("\n")[0][:500]
    return {
        "description": f"{type(error).__name__}: {first_line}",
        "code": "unexpected",
        "retryable": True,
    }


def _by_hand(
    arguments_type: type[A], run: Callable[[SparkSession, A], R], options: argparse.Namespace
) -> int:
    if options.arguments is None:
        sys.stderr.write("give --arguments FILE: a job never guesses its dates\n")
        return 2
    try:
        document = _json_of(Path(options.arguments))
        report = _run(arguments_type, run, document, options)
    except PlatformError as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return 1
    sys.stdout.write(report.model_dump_json() + "\n")
    return 0


def _run(
    arguments_type: type[A],
    run: Callable[[SparkSession, A], R],
    document: Any,
    options: argparse.Namespace,
) -> R:
    from spark_jobs.session import spark_session

    arguments = arguments_of(arguments_type, document)
    spark = spark_session(
        options.profile,
        scratch=arguments.layout.scratch,
        cores=options.cores,
        memory=options.memory,
    )
    try:
        return run(spark, arguments)
    finally:
        spark.stop()


def arguments_of(arguments_type: type[A], document: Any) -> A:
    """Arguments read from a JSON document.

    Raises
    ------
    ConfigurationError
        If one is missing, unknown or of the wrong kind; the message names each.
    """
    try:
        return arguments_type.model_validate(document)
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        raise ConfigurationError(
            "a job was given arguments that it cannot take",
            found="; ".join(faults),
            remedy="give every argument explicitly, dates among them",
            code="bad_arguments",
        ) from None


def _json_of(path: Path) -> Any:
    import json

    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            "the file of arguments cannot be read",
            found=f"{type(error).__name__} at {path.name}",
            remedy="give --arguments a JSON file",
        ) from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Run one batch job and print its report.")
    parser.add_argument("--arguments", help="JSON file of the job's arguments")
    parser.add_argument("--profile", choices=("embedded", "cluster"), default="embedded")
    parser.add_argument("--cores", type=int, default=2, help="cores of the embedded profile")
    parser.add_argument("--memory", default="2g", help="heap of the embedded profile's JVM")
    return parser
