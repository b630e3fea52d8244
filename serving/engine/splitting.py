"""Splitting: while a rollout runs, each entity is answered by the release of its arm.

Where the challenger cannot answer, the champion does, and the answer says so: a release on
trial costs nobody an answer. It is counted as the challenger's error all the same. What the
request itself is to blame for is counted for nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from core.clock import Clock
from core.errors import IntegrityError, InvalidInputError
from core.rollout.assignment import arm_of, assignment_point
from core.rollout.counting import ArmCount
from core.synthetic import is_marked
from serving.engine.calls import Call, Run, points_of
from serving.engine.contract import Arm, Point
from serving.models.releases import LoadedRelease, Served
from serving.ports import Json
from serving.rollouts.counting import Counting, Experiment
from stores.shelf.channels import RolloutState

INSTEAD: Json = {"level": "champion", "because": "the challenger could not answer"}


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
            found = await self._by_champion(part, served.champion, run, stage.champion)
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
        self, call: Call, champion: LoadedRelease, run: Run, count: ArmCount
    ) -> list[Json]:
        start_s = self._clock.monotonic_s()
        try:
            answers = await run(call, champion, "champion", None)
        except InvalidInputError:
            raise
        except Exception:
            count.requested(self._since_ms(start_s), is_error=True)
            raise
        count.requested(self._since_ms(start_s))
        _count_answers(count, answers)
        return answers

    async def _by_challenger(
        self, call: Call, served: Served, run: Run, count: ArmCount
    ) -> list[Json]:
        start_s = self._clock.monotonic_s()
        if served.challenger is not None:
            try:
                async with asyncio.timeout(self._patience_ms / 1_000):
                    answers = await run(call, served.challenger, "challenger", None)
            except Exception as error:  # whatever it is, the champion answers
                if isinstance(error, IntegrityError) and error.code == "score_not_finite":
                    count.n_nonfinite += 1
            else:
                count.requested(self._since_ms(start_s))
                _count_answers(count, answers)
                return answers
        try:
            answers = await run(call, served.champion, "champion", INSTEAD)
        except InvalidInputError:
            raise
        except Exception:
            count.requested(self._since_ms(start_s), is_error=True)
            raise
        count.requested(self._since_ms(start_s), is_error=True)
        return answers

    def _since_ms(self, start_s: float) -> float:
        return (self._clock.monotonic_s() - start_s) * 1_000


def _count_answers(count: ArmCount, answers: Sequence[Json]) -> None:
    for answer in answers:
        if answer["degraded"] is not None:
            count.n_degraded += 1
        else:
            count.answered(answer["score"], answer["decision"])
