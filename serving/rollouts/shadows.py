"""Shadows: releases that are asked beside the champion and answer nobody.

What the champion answered goes into a short queue, and an answer never waits for it: where the
queue is full it is dropped, and counted. One task takes what has come in a tenth of a second, has
the shadow score it in its own process, and compares: ten times a second it may hold up an answer,
and not beside each.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from core.clock import Clock
from core.errors import DependencyError
from core.rollout.comparison import ComparisonCount
from core.synthetic import is_marked
from serving.engine.outcomes import Outcomes
from serving.models.releases import LoadedRelease, Releases
from serving.ports import Reader
from serving.rollouts.counting import Counting

QUEUE_PASSES = 256
GATHER_S = 0.1
"""Until what the champion answered is looked at: a call of the process costs the loop as much as
five comparisons."""

POINTS_A_CALL, POINTS_A_TURN = 500, 16
"""Sent in one call, if they are of several passes, and counted before requests go in between: more
would hold up the loop for a seventh of a millisecond."""

REST_S, LONGEST_REST_S = 1.0, 60.0
"""After a failure of the process; twice as long after each that follows within the longest. One
that always hangs would have a processor for itself all the time. Each experiment has its own rest:
what hangs for one use case, or hung until it was replaced, keeps no other shadow waiting."""

READ_BUDGET_S = 0.25
PROCESS_FAILED = "shadow_process_failed"
"""Code of the error that says so: the process, and not a row that it could not score."""


Vectors = NDArray[np.float32]
"""Vectors of one pass, a row each."""


class _Rest(NamedTuple):
    """Until when an experiment's shadow is not asked, and how long that is."""

    until_s: float
    lasts_s: float


class Scored(NamedTuple):
    """What a pass came to: scores in order, None for what is no number, and how long they took.

    ``trouble`` says why there are none.
    """

    scores: Sequence[float | None]
    spent_ms: float
    trouble: str = ""


class Scores(Protocol):
    """Whatever scores a shadow's vectors, elsewhere."""

    async def score(self, release: LoadedRelease, passes: Sequence[Vectors]) -> list[Scored]:
        """What passes came to, in order; fewer where the process failed at the next one.

        DependencyError when there are none.
        """
        ...

    async def close(self) -> None:
        """End what was started."""
        ...


@dataclass(frozen=True, slots=True)
class _Pass:
    """What the champion answered in one pass, to be compared."""

    experiment: str
    shadow: LoadedRelease
    champion: LoadedRelease
    count: ComparisonCount
    outcomes: Outcomes
    scoring_ms: float
    spent_ms: float


class _Asked(NamedTuple):
    """A pass, and what the shadow is asked for it: vectors, and what rules may read."""

    taken: _Pass
    vectors: Vectors
    values: Mapping[str, NDArray[np.float64]]


class Shadows:
    """Takes what champions answered, and compares in its own time."""

    def __init__(
        self,
        releases: Releases,
        counting: Counting,
        reader: Reader,
        scores: Scores,
        clock: Clock,
        *,
        gather_s: float = GATHER_S,
    ) -> None:
        self._releases = releases
        self._counting = counting
        self._reader = reader
        self._scores = scores
        self._clock = clock
        self._gather_s = gather_s
        self._queue: asyncio.Queue[_Pass] = asyncio.Queue(QUEUE_PASSES)
        self._rests: dict[str, _Rest] = {}

    def offer(
        self,
        champion: LoadedRelease,
        channel: str,
        outcomes: Outcomes,
        stages_ms: Mapping[str, float],
    ) -> None:
        """Take what a pass answered, where its use case has a shadow and there is room."""
        served = self._releases.roster.use_cases.get(champion.manifest.use_case)
        if served is None or served.shadow is None or channel != "champion":
            return
        whole = [
            place
            for place, (point, degraded) in enumerate(
                zip(outcomes.points, outcomes.degraded, strict=True)
            )
            if degraded is None and not is_marked(point.event_id)
        ]
        if not whole:
            return
        experiment = served.state.shadow_experiment
        count = self._counting.comparison(experiment)
        if self._queue.full() or self._is_at_rest(experiment):
            count.n_dropped += len(whole)
            return
        self._queue.put_nowait(
            _Pass(
                experiment,
                served.shadow,
                champion,
                count,
                outcomes if len(whole) == len(outcomes) else outcomes.some(whole),
                stages_ms["score"],
                sum(stages_ms.values()),
            )
        )

    async def follow(self) -> None:
        """Compare until cancelled."""
        try:
            while True:
                first = await self._queue.get()
                await asyncio.sleep(self._gather_s)
                waiting = [self._queue.get_nowait() for _ in range(self._queue.qsize())]
                for batch in _calls([first, *waiting]):
                    await self._compare(batch[0].shadow, batch)
        finally:
            await self._scores.close()

    async def _compare(self, shadow: LoadedRelease, batch: Sequence[_Pass]) -> None:
        experiment = batch[0].experiment
        if self._is_at_rest(experiment):  # since another call's failure, just now
            for taken in batch:
                _drop(taken)
            return
        asked = [each for taken in batch if (each := await self._asked(taken)) is not None]
        found = await self._scored(shadow, [each.vectors for each in asked])
        await _count(zip(asked, found, strict=False))
        if len(found) < len(asked):
            asked[0].taken.count.n_ended += 1
            _fail(asked[len(found)].taken)
            for each in asked[len(found) + 1 :]:
                _drop(each.taken)
            self._rest(experiment)

    async def _asked(self, taken: _Pass) -> _Asked | None:
        """What the shadow is asked for a pass; None where that cannot be told."""
        try:
            return _Asked(taken, *await self._inputs(taken))
        except Exception:  # as above
            _fail(taken)
            return None

    async def _scored(self, shadow: LoadedRelease, passes: Sequence[Vectors]) -> Sequence[Scored]:
        """What passes came to; fewer where the process failed."""
        if not passes:
            return []
        try:
            return await self._scores.score(shadow, passes)
        except Exception as error:
            if isinstance(error, DependencyError) and error.code == PROCESS_FAILED:
                return []
            return [Scored((), 0.0, type(error).__name__)] * len(passes)

    def _is_at_rest(self, experiment: str) -> bool:
        rest = self._rests.get(experiment)
        return rest is not None and self._clock.monotonic_s() < rest.until_s

    def _rest(self, experiment: str) -> None:
        """Drop what waits and what comes: at one failure a pass, the queue would be old news."""
        now_s = self._clock.monotonic_s()
        known = {k: v for k, v in self._rests.items() if now_s < v.until_s + LONGEST_REST_S}
        last = known.get(experiment)
        lasts_s = REST_S if last is None else min(2 * last.lasts_s, LONGEST_REST_S)
        self._rests = {**known, experiment: _Rest(now_s + lasts_s, lasts_s)}
        for taken in [self._queue.get_nowait() for _ in range(self._queue.qsize())]:
            if taken.experiment == experiment:
                _drop(taken)
            else:
                self._queue.put_nowait(taken)

    async def _inputs(self, taken: _Pass) -> tuple[Vectors, Mapping[str, NDArray[np.float64]]]:
        """Vectors, and what rules may read; read again only where the shadow's plan is another."""
        shadow, outcomes = taken.shadow, taken.outcomes
        if shadow.plan_digest == taken.champion.plan_digest:
            return outcomes.vectors, outcomes.readings.table
        async with asyncio.timeout(READ_BUDGET_S):
            readings = await shadow.features.read(outcomes.points, self._reader)
        if shadow.consenting is not None:
            readings, _ = shadow.consenting.followed(readings, None)
        return shadow.features.vectors(readings.table), readings.table


def _calls(waiting: Sequence[_Pass]) -> list[list[_Pass]]:
    """Passes that wait, in order: in a call those of one shadow, one or so few points in all."""
    calls: list[list[_Pass]] = []
    open_calls: dict[tuple[int, str], list[_Pass]] = {}
    room: Counter[tuple[int, str]] = Counter()
    for taken in waiting:
        asked, n = (id(taken.shadow), taken.experiment), len(taken.outcomes)
        if room[asked] < n:
            open_calls[asked] = []
            calls.append(open_calls[asked])
            room[asked] = max(n, POINTS_A_CALL)
        open_calls[asked].append(taken)
        room[asked] -= n
    return calls


def _fail(taken: _Pass) -> None:
    for _ in taken.outcomes.points:
        taken.count.failed()


def _drop(taken: _Pass) -> None:
    taken.count.n_dropped += len(taken.outcomes)


async def _count(scored: Iterable[tuple[_Asked, Scored]]) -> None:
    """Compare passes with what the shadow made of them; after so many points others have a turn."""
    n_points = 0
    for asked, found in scored:
        try:
            for _ in _compared(asked, found):
                n_points += 1
                if n_points % POINTS_A_TURN == 0:
                    await asyncio.sleep(0)
        except Exception:  # a shadow may do what it likes: it did not answer
            _fail(asked.taken)
    await asyncio.sleep(0)


def _compared(asked: _Asked, scored: Scored) -> Iterator[None]:
    """Compare one pass, a step a point."""
    taken, scores = asked.taken, scored.scores
    outcomes, count = taken.outcomes, taken.count
    if scored.trouble or len(scores) != len(outcomes):
        _fail(taken)
        return
    # What is no number is decided by nobody; the rest is, all at once.
    numbers = np.array([0.0 if score is None else score for score in scores])
    decided = taken.shadow.decider.decide(numbers, asked.values)
    count.requested(taken.spent_ms, taken.scoring_ms, scored.spent_ms)
    compared = zip(outcomes.scores, outcomes.decided, scores, decided, strict=True)
    for score, decision, by_shadow, shadows in compared:
        if score is None or by_shadow is None:
            count.nonfinite()
        else:
            count.answered((score, decision.decision), (by_shadow, shadows.decision))
        yield
