"""The one place where an error of ours becomes a failure of Dagster's.

Dagster retries a step unless told not to, and only some errors go away by themselves: the
family says which (``is_retryable``). Everything that is no ``PlatformError`` passes as it
is, with its trace, for it is a fault in code.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import dagster as dg

from core.errors import PlatformError

KILLED = (-9, 137)


def failure_of(error: PlatformError) -> dg.Failure:
    """Failure that says what the error says, retried when its family says so."""
    return dg.Failure(
        description=str(error),
        metadata={"code": error.code, "family": type(error).__name__, "remedy": error.remedy},
        allow_retries=error.is_retryable,
    )


def failure_of_message(message: Mapping[str, Any]) -> dg.Failure:
    """Failure that a job reported of itself before it ended."""
    return dg.Failure(
        description=str(message["description"]),
        metadata={"code": str(message.get("code", "")), "family": str(message.get("family", ""))},
        allow_retries=bool(message.get("retryable", False)),
    )


def failure_of_exit(code: int, job: str) -> dg.Failure:
    """Failure of a job that ended without a word: killed, or broken."""
    if code in KILLED:
        text = f"{job} was killed (signal 9); on a busy machine that is mostly lack of memory"
    else:
        text = f"{job} ended with exit code {code}; its output is in the step's log"
    return dg.Failure(description=text, metadata={"exit_code": code}, allow_retries=code in KILLED)


@contextmanager
def translated() -> Iterator[None]:
    """Errors of ours leave the block as failures of Dagster's."""
    try:
        yield
    except PlatformError as error:
        raise failure_of(error) from error
