"""The instant until which the caller of a request waits, carried to whatever works on it.

A timer alone cannot keep it: a pass that does not give the loop back is seen to be late when it
has ended. So stages look at it themselves, reads take no more than a part of what is left, and a
request that is late before its record is written leaves none.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import NamedTuple

from serving.errors import LateError

READING_SHARE = 0.6
"""Of the time that is left, what reads may take: the rest is for scoring without them. So much of
what is left then may explanations take: the rest is for leaving without one."""


class Deadline(NamedTuple):
    """How long a caller waits in all, and until when by the monotonic clock."""

    timeout_ms: int
    until_s: float

    def late(self) -> LateError:
        """What was asked cannot be answered in that time."""
        return LateError(
            "the answer would not come in time",
            found=f"{self.timeout_ms} ms to answer in",
            remedy="come back after Retry-After, or wait for longer",
        )

    def check(self, now_s: float) -> None:
        """Return while there is time.

        Raises
        ------
        LateError
            If there is none.

        Examples
        --------
        >>> Deadline(20, until_s=5.02).check(5.0)
        >>> Deadline(20, until_s=5.02).check(5.03)
        Traceback (most recent call last):
        serving.errors.LateError: the answer would not come in time; found 20 ms to answer in; \
come back after Retry-After, or wait for longer
        """
        if now_s > self.until_s:
            raise self.late()


current: ContextVar[Deadline | None] = ContextVar("deadline", default=None)
"""Of the request that is worked on; None where its caller said nothing."""
