"""Splitting: while a rollout runs, each entity is answered by the release of its arm.

Where the challenger cannot answer, the champion does, and the answer says so: a release on
trial costs nobody an answer. It is counted as the challenger's error all the same. What the
request itself is to blame for is counted for nobody: what breaks the contract, and a caller who
waits for less time than the limit of latency allows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from core.clock import Clock
from core.errors import IntegrityError, InvalidInputError
from core.rollout.assignment import arm_of, assignment_point
from core.rollout.counting import ArmCount
from core.synthetic import is_marked
from serving.engine.calls import Call, Run, points_of
from serving.engine.contract import Arm, Point
from serving.engine.deadline import current as deadline
from serving.errors import LateError
from serving.models.releases import Served
from serving.ports import Json
from serving.rollouts.counting import Counting, Experiment
from stores.shelf.channels import RolloutState

INSTEAD: Json = {"level": "champion", "because": "the challenger could not answer"}
CHALLENGERS_SHARE = 0.75
"""Of the time that a caller gives, what the challenger may take: the rest is the champion's."""


class Splitting:
    """Answers the calls of use cases with a rollout under way, and counts them.

    Parameters
    ----------
    patience_ms
        How long the challenger may take before the champion answers.
    """

    def __init__(self, counting: Counting, clock: Clock, *, patience_ms: int) -> None:
        self._counting = counting
        self._clock = clock
        self._patience_ms = patience_ms

    async def answers(
        self, call: Call, served: Served, rollout: RolloutState, run: Run
    ) -> list[Json]:
        """Answers of a call in order, each by the release of its entity's arm.

        Synthetic requests are the champion's, and are counted for nobody.

        Raises
        ------
        PlatformError
            What the champion raises, with or without a rollout.
        """
        call = replace(call, arm=Arm(rollout.experiment, rollout.stage))
        points = points_of(call, served.champion)
        if all(is_marked(point.event_id) for point in points):
            return await run(replace(call, arm=None), served.champion, "champion", None)
        experiment = self._counting.experiment(rollout.experiment)
        taken = self._taken(points, served, rollout, experiment)
        given = [place for place in range(len(points)) if place not in taken]
        stage = experiment.stage(rollout.stage)
        answers: dict[int, Json] = {}
        if given:
            part = call.part(given)
            found = await self._by_champion(part, served, run, stage.champion)
            answers.update(zip(given, found, strict=True))
        if taken:
            places = sorted(taken)
            found = await self._by_challenger(call.part(places), served, run, stage.challenger)
            answers.update(zip(places, found, strict=True))
        return [answers[place] for place in range(len(points))]

    def _taken(
        self,
        points: Sequence[Point],
        served: Served,
        rollout: RolloutState,
        experiment: Experiment,
    ) -> set[int]:
        """Places of the points whose entities are the challenger's; their arms noted."""
        weights = {"challenger": served.state.challenger_weight}
        stage = experiment.stage(rollout.stage)
        taken = set()
        for place, point in enumerate(points):
            entity = [point.keys[name] for name in rollout.plan.assigned_by]
            at = assignment_point(rollout.experiment, entity)
            is_taken = arm_of(at, weights, rest="champion") == "challenger"
            experiment.met(at, stage.challenger if is_taken else stage.champion)
            if is_taken:
                taken.add(place)
        return taken

    async def _by_champion(
        self, call: Call, served: Served, run: Run, count: ArmCount
    ) -> list[Json]:
        start_s = self._clock.monotonic_s()
        with self._failures(served, count, start_s):
            answers = await run(call, served.champion, "champion", None)
        count.requested(self._since_ms(start_s))
        _count_answers(count, answers)
        return answers

    async def _by_challenger(
        self, call: Call, served: Served, run: Run, count: ArmCount
    ) -> list[Json]:
        start_s = self._clock.monotonic_s()
        is_hurried = False
        if served.challenger is not None:
            patience_s = self._challengers_s()
            try:
                async with asyncio.timeout(patience_s):
                    answers = await run(call, served.challenger, "challenger", None)
            except Exception as error:  # whatever it is, the champion answers
                is_late = isinstance(error, TimeoutError | LateError)
                is_hurried = is_late and patience_s * 1_000 < min(
                    self._patience_ms, _limit_ms(served)
                )
                if isinstance(error, IntegrityError) and error.code == "score_not_finite":
                    count.n_nonfinite += 1
            else:
                count.requested(self._since_ms(start_s))
                _count_answers(count, answers)
                return answers
        with self._failures(served, count, start_s):
            answers = await run(call, served.champion, "champion", INSTEAD)
        if not is_hurried:
            count.requested(self._since_ms(start_s), is_error=True)
        return answers

    @contextmanager
    def _failures(self, served: Served, count: ArmCount, start_s: float) -> Iterator[None]:
        """Count an arm's failure to answer, unless the request is to blame for it.

        A caller whose time is up ends the work by cancelling it, or finds it late.
        """
        try:
            yield
        except InvalidInputError:
            raise
        except (LateError, asyncio.CancelledError):
            until = deadline.get()
            if until is not None and until.timeout_ms >= _limit_ms(served):
                count.requested(self._since_ms(start_s), is_error=True)
            raise
        except Exception:
            count.requested(self._since_ms(start_s), is_error=True)
            raise

    def _challengers_s(self) -> float:
        """How long the challenger may take, so that the champion can still answer in time."""
        patience_s, until = self._patience_ms / 1_000, deadline.get()
        if until is None:
            return patience_s
        left_s = until.until_s - self._clock.monotonic_s()
        return min(patience_s, CHALLENGERS_SHARE * max(0.0, left_s))

    def _since_ms(self, start_s: float) -> float:
        return (self._clock.monotonic_s() - start_s) * 1_000


def _limit_ms(served: Served) -> float:
    """What 99 of 100 requests of this rollout must keep within."""
    rollout = served.state.rollout
    return 0.0 if rollout is None else rollout.plan.limits.p99_ms


def _count_answers(count: ArmCount, answers: Sequence[Json]) -> None:
    for answer in answers:
        if answer["degraded"] is not None:
            count.n_degraded += 1
        else:
            count.answered(answer["score"], answer["decision"])
