"""Inferences of one turn of the loop: read one after the other, and scored by one call.

A model that answers in microseconds leaves a request nothing to wait for, so it needs no task: it
is answered in the turn after it came, together with all that came then. What came in one turn has
passed the gate before any of it is begun, so those who would wait for too long are sent away as
ever. A request that is not plain, or asks a model that others would wait for, takes the way of all
requests from its beginning; nothing was done for it that anybody could tell.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from starlette.responses import Response
from starlette.types import Scope

from core.clock import Clock
from serving.engine.gate import Gate
from serving.engine.inference import Inference
from serving.engine.together import MOST_TOGETHER
from serving.models.releases import LoadedRelease
from serving.telemetry.tracing import Trace, current
from serving.transport.crowding import Handler
from serving.transport.head_facts import FACTS, HeadFacts
from serving.transport.known_heads import WHOLE_BODY
from serving.transport.plain_inference import PlainInference, plain_answer, plain_inference
from serving.transport.shortcut import HANDLER
from serving.transport.timed import TimedRoute
from serving.transport.whole_answers import JsonAnswer

MOST_BYTES = 16_384
"""Of a body: some forty rows. Longer ones would hold up those who come in the same turn."""


class Asker(Protocol):
    """A connection with a request under way."""

    def tell(self, cycle: Any, answer: Response) -> None:
        """Write an answer to the request."""
        ...

    def begin_task(self, cycle: Any, trace: Trace) -> None:
        """Have the request answered as all are."""
        ...


class _Asked(NamedTuple):
    asker: Asker
    cycle: Any
    trace: Trace


class _Ready(NamedTuple):
    """A request that was let in, and what it asks for."""

    asked: _Asked
    plain: PlainInference


class InferenceTurns:
    """Answers plain inferences; made anywhere, used on one event loop.

    Attributes
    ----------
    handler
        Who answers all others on that route.
    """

    def __init__(self, inference: Inference, route: TimedRoute, clock: Clock, gate: Gate) -> None:
        self.handler: Handler = route.answer
        self._inference = inference
        self._route = route
        self._clock = clock
        self._gate = gate
        self._waiting: list[_Asked] = []

    def takes(self, scope: Scope) -> bool:
        """Whether a request of a known head is to be answered here."""
        if scope[HANDLER] is not self.handler or len(scope[WHOLE_BODY]) > MOST_BYTES:
            return False
        facts: HeadFacts = scope[FACTS]
        return facts.is_plain_json and facts.timeout_ms is None and facts.n_json is None

    def add(self, asker: Asker, cycle: Any, trace: Trace) -> None:
        """Answer a request with the next turn of the loop."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._turn)
        self._waiting.append(_Asked(asker, cycle, trace))

    def _turn(self) -> None:
        now, self._waiting = self._waiting[:MOST_TOGETHER], self._waiting[MOST_TOGETHER:]
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._turn)
        start_s = self._clock.monotonic_s()
        ready: dict[str, tuple[LoadedRelease, list[_Ready]]] = {}
        for asked in now:
            name = asked.cycle.scope["path_params"]["use_case"]
            release = self._inference.at_once(name)
            each = None if release is None else _ready(asked, len(release.plan.vector))
            if release is None or each is None:
                asked.asker.begin_task(asked.cycle, asked.trace)
            elif self._is_let_in(each, start_s):
                ready.setdefault(name, (release, []))[1].append(each)
        for name, (release, together) in ready.items():
            self._score(name, release, together, start_s)

    def _is_let_in(self, ready: _Ready, start_s: float) -> bool:
        is_admitted = False
        try:
            grant = self._route.admit(ready.asked.cycle.scope)
            is_admitted = True
            grant.charge(ready.plain.n_rows)
        except Exception as error:
            self._tell_error(ready.asked, error, start_s, is_admitted=is_admitted)
            return False
        return True

    def _score(
        self, name: str, release: LoadedRelease, ready: Sequence[_Ready], start_s: float
    ) -> None:
        """Answer requests by one call; one that cannot be answered fails none of the others."""
        vectors = np.frombuffer(b"".join([plain.vectors for _, plain in ready]), dtype="<f4")
        try:
            scores = self._inference.scored(
                name, release, vectors.reshape(-1, len(release.plan.vector))
            )
        except Exception as error:
            if len(ready) == 1:
                self._tell_error(ready[0].asked, error, start_s, is_admitted=True)
                return
            for each in ready:
                self._score(name, release, [each], start_s)
            return
        version, values, end = str(release.manifest.release), scores.tolist(), 0
        for asked, plain in ready:
            start, end = end, end + plain.n_rows
            body = plain_answer(name, version, plain.id, values[start:end])
            self._answer(asked, JsonAnswer(body, 200), start_s)

    def _tell_error(
        self, asked: _Asked, error: Exception, start_s: float, *, is_admitted: bool
    ) -> None:
        current.set(asked.trace)  # of whom the log speaks
        code, answer = self._route.told(error, is_admitted=is_admitted)
        self._answer(asked, answer, start_s, code)

    def _answer(self, asked: _Asked, answer: Response, start_s: float, code: str = "") -> None:
        current.set(asked.trace)  # whose span it is
        self._route.count(asked.cycle.scope, answer.status_code, start_s, code)
        asked.asker.tell(asked.cycle, answer)
        self._gate.leave()


def _ready(asked: _Asked, width: int) -> _Ready | None:
    plain = plain_inference(asked.cycle.scope[WHOLE_BODY], width)
    return None if plain is None else _Ready(asked, plain)
