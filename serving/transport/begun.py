"""Awaiting what is mostly there already: its first step is taken at once, before any clock runs.

Most bodies arrive with their head. A time limit for those costs as much as reading them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Generator
from typing import Any, Generic, NamedTuple, TypeVar

T = TypeVar("T")


class Finished(NamedTuple):
    """It did not wait for anything."""

    value: Any


class Begun(Generic[T]):
    """What waits, to be awaited once, where it was begun."""

    def __init__(self, steps: Generator[Any, Any, T], waits_for: Any) -> None:
        self._steps = steps
        self._waits_for = waits_for

    def __await__(self) -> Generator[Any, Any, T]:
        """Go on from where it waits."""
        waits_for = self._waits_for
        while True:
            try:
                try:
                    given = yield waits_for
                except BaseException as error:
                    waits_for = self._steps.throw(error)
                else:
                    waits_for = self._steps.send(given)
            except StopIteration as end:
                value: T = end.value
                return value


def begun(awaitable: Awaitable[T]) -> Finished | Begun[T]:
    """Take the first step of an awaitable, in a task.

    Examples
    --------
    >>> async def there() -> int:
    ...     return 7
    >>> begun(there())
    Finished(value=7)
    """
    steps = awaitable.__await__()
    try:
        return Begun(steps, steps.send(None))
    except StopIteration as end:
        return Finished(end.value)
