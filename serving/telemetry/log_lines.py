"""Lines of a process's log: words for a person, JSON for a collector, neither with a secret.

Everything that this process and its libraries say goes through one handler, uncaught errors
included. Of an error that is not ours only its class and where it came from are told: its
message may repeat what was sent.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from core.errors import PlatformError
from core.scrubbing import Scrubber, secrets_of
from serving.telemetry.tracing import current

DEEPEST_FRAMES = 6
_STANDARD_ERROR = 2
_ROOT = Path(__file__).parents[2]
_OURS = "throughline"


class Trouble(str):
    """A sentence that somebody on call should read: told as a warning."""

    __slots__ = ()


def where_of(error: BaseException) -> list[str]:
    """Where an error came from, innermost first: file, line and function, never a value.

    Examples
    --------
    >>> try:
    ...     int("a secret")
    ... except ValueError as error:
    ...     [frame.split()[-1] for frame in where_of(error)]
    ['<module>']
    """
    frames = traceback.extract_tb(error.__traceback__)[-DEEPEST_FRAMES:]
    return [f"{_shortened(f.filename)}:{f.lineno} {f.name}" for f in reversed(frames)]


def _shortened(filename: str) -> str:
    path = Path(filename)
    if "site-packages" in path.parts:
        return "/".join(path.parts[path.parts.index("site-packages") + 1 :])
    return str(path.relative_to(_ROOT)) if path.is_relative_to(_ROOT) else path.name


def error_facts(error: BaseException) -> dict[str, Any]:
    """What a log may hold of an error; the message only of one of ours."""
    facts: dict[str, Any] = {"error": type(error).__name__, "where": where_of(error)}
    if isinstance(error, PlatformError):
        facts |= {"code": error.code, "said": str(error)}
    return facts


class _Lines(logging.Formatter):
    """What JSON and words share: the facts of a record."""

    def __init__(self, process: str, scrubber: Scrubber) -> None:
        super().__init__()
        self._process = process
        self._scrub = scrubber.scrub

    def facts(self, record: logging.LogRecord) -> dict[str, Any]:
        at = datetime.fromtimestamp(record.created, UTC)
        facts: dict[str, Any] = {
            "at": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "process": self._process,
            "pid": record.process,
            "message": self._scrub(record.getMessage()),
        }
        trace = current.get()
        if trace is not None:
            facts["request_id"] = trace.request_id
            facts |= {"trace_id": trace.trace_id} if trace.trace_id else {}
        if not record.name.startswith(_OURS):
            facts["logger"] = record.name
            # asyncio, for one, writes errors with their messages below its first line.
            facts["message"] = facts["message"].partition("\n")[0]
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            found = error_facts(error)
            facts |= {k: self._scrub(v) if k == "said" else v for k, v in found.items()}
        return facts


class JsonLines(_Lines):
    """A record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        return json.dumps(self.facts(record), ensure_ascii=False)


class Words(_Lines):
    """A record as a sentence: the process, what it says, and where an error came from."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        facts = self.facts(record)
        error = facts.get("error")
        came = f" ({error} at {' < '.join(facts['where'])})" if error else ""
        said = f": {facts['said']}" if "said" in facts else ""
        return f"{self._process}: {facts['message']}{said}{came}"


class _ToStandardError(logging.Handler):
    """Writes each line at once and whole, so that those of several workers do not mix."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line; a closed or full standard error costs the line and nothing else."""
        try:
            line = self.format(record)
        except Exception as error:  # the trace that logging would print has the message in it
            line = json.dumps({"level": "error", "message": "a line of the log was lost",
                               "error": type(error).__name__})  # fmt: skip
        with suppress(OSError):
            os.write(_STANDARD_ERROR, line.encode("utf-8", "backslashreplace") + b"\n")


def set_up_logs(
    process: str, environment: Mapping[str, str], *, is_json: bool
) -> Callable[[str], None]:
    """Send all that this process says to standard error as such lines; how to say a sentence.

    Safe to call again: the last call holds.
    """
    form = JsonLines if is_json else Words
    handler = _ToStandardError()
    handler.setFormatter(form(process, Scrubber(secrets_of(environment))))
    handler.addFilter(_is_not_of_lifespan)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)
    ours = logging.getLogger(_OURS)
    ours.setLevel(logging.INFO)
    _take_crashes(ours)

    def told(sentence: str) -> None:
        ours.log(logging.WARNING if isinstance(sentence, Trouble) else logging.INFO, "%s", sentence)

    return told


def _is_not_of_lifespan(record: logging.LogRecord) -> bool:
    """Whether a record is not uvicorn's word on a start or an end that failed.

    ``ending_in_words`` has said by then what was wrong; uvicorn shows the trace of how it ended.
    """
    return (record.name, record.module) != ("uvicorn.error", "on")


def tell_unforeseen(sentence: str, error: BaseException) -> None:
    """Say that something went wrong in a way that nobody foresaw, and where it came from."""
    logging.getLogger(_OURS).error("%s", sentence, exc_info=error)


def tell_failed(route: str, error: BaseException, repeats: str = "") -> None:
    """Say that a request could not be answered for an error on our side."""
    is_ours = isinstance(error, PlatformError)
    tell_unforeseen(f"{route}: {'failed' if is_ours else 'an unforeseen error'}{repeats}", error)


@contextmanager
def ending_in_words(sentence: str) -> Iterator[None]:
    """Let an error inside end the process by a line of its log and status 1, never by a trace."""
    try:
        yield
    except PlatformError as error:
        logging.getLogger(_OURS).critical("%s", error)
        raise SystemExit(1) from None
    except Exception as error:
        tell_unforeseen(sentence, error)
        raise SystemExit(1) from None


def _take_crashes(logger: logging.Logger) -> None:
    """Let what nobody caught end as a line too, and not as a trace with its message."""

    def crashed(
        kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        if issubclass(kind, KeyboardInterrupt):
            return
        logger.critical("ended by an error that was not foreseen", exc_info=(kind, error, trace))

    def thread_crashed(args: threading.ExceptHookArgs) -> None:
        if args.exc_value is not None and args.exc_type is not SystemExit:
            facts = (args.exc_type, args.exc_value, args.exc_traceback)
            logger.error("a thread ended by an error that was not foreseen", exc_info=facts)

    sys.excepthook = crashed
    threading.excepthook = thread_crashed
