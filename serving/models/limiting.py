"""Limits: how long a model may take that answers beside the loop, in a thread or on a GPU.

It may hang where others wait for it. So it is asked within a budget and behind a breaker: who asks
is told in time, and one that hangs is left alone for a while. A model on the loop is not timed:
nothing else runs meanwhile.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.breaker import Breaker
from core.clock import Clock
from core.errors import DependencyError
from serving.errors import SlowModelError
from serving.guard import MOST_FAILURES, REST_S, RESTING, SLOW, Guard
from serving.ports import Scorer
from serving.process import Told

BUDGET_S, BUDGET_A_ROW_S = 0.2, 0.02
FEW_ROWS = 32
"""Up to so many rows, as many as requests share a pass, have the budget of one: with what a read
may take, and a fallback, an answer leaves within half a second."""


class LimitedScorer:
    """A model asked within its budget, and not at all while it keeps exceeding it."""

    def __init__(self, scorer: Scorer, guard: Guard) -> None:
        self._scorer = scorer
        self._guard = guard

    async def score(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scores, shape ``(n,)``.

        Raises
        ------
        SlowModelError
            If it took too long, or is left alone because it did again and again.
        """
        n_rows = len(vectors)
        budget_s = BUDGET_S if n_rows <= FEW_ROWS else BUDGET_A_ROW_S * n_rows
        try:
            return await self._guard.call(lambda: self._scorer.score(vectors), budget_s=budget_s)
        except DependencyError as error:
            if error.code == SLOW:
                raise _slow("the model took too long", f"more than {budget_s:g} s") from None
            if error.code == RESTING:
                raise _slow("the model took too long again and again and is left alone") from None
            raise


class Limits(NamedTuple):
    """What limits of models need: a clock, and who is told when one is left alone."""

    clock: Clock
    told: Told

    def of(self, name: str, scorer: Scorer) -> LimitedScorer:
        """A model within limits of its own; ``name`` is what sentences call it."""
        guard = Guard(
            name,
            Breaker(most_failures=MOST_FAILURES, rest_s=REST_S),
            self.clock,
            budget_ms=None,
            told=self.told,
            changed=lambda _: None,
        )
        return LimitedScorer(scorer, guard)


def _slow(wrong: str, found: str = "") -> SlowModelError:
    return SlowModelError(wrong, found=found, remedy="come back later")
