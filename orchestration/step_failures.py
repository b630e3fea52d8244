"""What a failed step says, as an error of the family it was raised in.

Dagster keeps an exception as text, and Spark wraps one of its workers in a trace of its own;
the error of ours inside is found by the name of its class.
"""

import re
from typing import Any

from core import errors
from core.errors import DependencyError, PlatformError

_OURS = re.compile(r"^(?:.*?\W)??core\.errors\.(\w+): (.+)$", re.MULTILINE)
_IN_JVM = "An error occurred while calling "
_LONGEST = 600


def failure_text(event: Any) -> str:
    """Message of the exception that a step's failure began with."""
    data = event.step_failure_data
    if data.user_failure_data is not None and data.user_failure_data.description:
        family = data.user_failure_data.metadata.get("family")
        return _named(str(data.user_failure_data.description), family)
    error = data.error
    while error is not None and error.cause is not None:
        error = error.cause
    return error.message.strip() if error else "unknown"


def _named(description: str, family: Any) -> str:
    """Description, before it the error of ours that ``orchestration.failures`` made it of."""
    name = getattr(family, "value", None)
    return f"core.errors.{name}: {description}" if name else description


def error_told(text: str, run_id: str) -> PlatformError:
    """Error of ours that a text tells of, in its own words; DependencyError of any other.

    Examples
    --------
    >>> error_told("core.errors.NotReadyError: no champion; train one", "0a1b2c3d4e")
    NotReadyError('no champion; train one; see run 0a1b2c3d in the UI')
    """
    remedy = f"see run {run_id[:8]} in the UI"
    told = _OURS.findall(text)
    if told:
        name, words = told[-1]
        family: type[PlatformError] = getattr(errors, name, DependencyError)
        return family(words[:_LONGEST], remedy=remedy)
    return DependencyError(f"run {run_id[:8]} failed", found=_plain(text), remedy=remedy)


def _plain(text: str) -> str:
    """First line of a message, the last one where it is a trace, the JVM's own where it is one."""
    lines = [line.strip() for line in text.splitlines() if line.strip()] or ["nothing said"]
    if "Traceback" in text:
        return lines[-1][:_LONGEST]
    is_of_the_jvm = _IN_JVM in lines[0] and len(lines) > 1
    return lines[1 if is_of_the_jvm else 0].removeprefix(": ")[:_LONGEST]
