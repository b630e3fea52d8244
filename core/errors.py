"""The error families. Constructors take facts and build the message.

A message says what was wrong, what was there and what to do. Each boundary (HTTP,
command line, Dagster) translates once, by walking the class's MRO.
"""

from __future__ import annotations


class PlatformError(Exception):
    """Root of every error the platform raises on purpose.

    Parameters
    ----------
    wrong
        What was wrong, one clause.
    found
        What was there instead; never a personal value.
    remedy
        What the reader should do next.
    code
        Stable machine code; the family's own code when not given.

    Examples
    --------
    >>> print(NotReadyError("no champion", found="an empty shelf", remedy="run `make demo`"))
    no champion; found an empty shelf; run `make demo`
    """

    code = "platform_error"
    is_retryable = False

    def __init__(
        self, wrong: str, *, found: str = "", remedy: str = "", code: str | None = None
    ) -> None:
        self.wrong = wrong
        self.found = found
        self.remedy = remedy
        if code is not None:
            self.code = code
        parts = [wrong, f"found {found}" if found else "", remedy]
        super().__init__("; ".join(part for part in parts if part))


class ConfigurationError(PlatformError):
    """A setting or a declaration is wrong; nothing will work until a person mends it."""

    code = "configuration"


class InvalidInputError(PlatformError):
    """The caller sent something that breaks the contract."""

    code = "invalid_input"


class NotReadyError(PlatformError):
    """What was asked for does not exist yet."""

    code = "not_ready"
    is_retryable = True


class OverloadedError(PlatformError):
    """There is more work than room; come back later."""

    code = "overloaded"
    is_retryable = True


class DependencyError(PlatformError):
    """Another system failed us."""

    code = "dependency"
    is_retryable = True


class IntegrityError(PlatformError):
    """Bytes are not what was signed, counted or promised."""

    code = "integrity"
