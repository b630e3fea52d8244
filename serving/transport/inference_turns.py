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
from typing import Protocol

import numpy as np
from starlette.responses import Response
from starlette.types import Scope

from core.clock import Clock
from serving.engine.gate import Gate
from serving.engine.inference import Inference
from serving.engine.together import MOST_TOGETHER
from serving.models.releases import LoadedRelease
from serving.telemetry.tracing import current
from serving.transport.crowding import Handler
from serving.transport.head_facts import FACTS, HeadFacts
from serving.transport.known_cycle import KnownCycle
from serving.transport.known_heads import WHOLE_BODY
from serving.transport.plain_inference import PlainInference, plain_answer, plain_inference
from serving.transport.shortcut import HANDLER
from serving.transport.timed import TimedRoute
from serving.transport.whole_answers import JsonAnswer

MOST_BYTES = 16_384
"""Of a body: some forty rows. Longer ones would hold up those who come in the same turn."""


class Asker(Protocol):
    """A connection with a request under way."""

    def tell(self, cycle: KnownCycle, answer: Response) -> None:
        """Write an answer to the request."""
        ...

    def begin_task(self, cycle: KnownCycle) -> None:
        """Have the request answered as all are."""
        ...


_Asked = tuple[Asker, KnownCycle]
_Ready = tuple[_Asked, PlainInference]
"""A request that was let in, and what it asks for."""


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

    def add(self, asker: Asker, cycle: KnownCycle) -> None:
        """Answer a request with the next turn of the loop."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._turn)
        self._waiting.append((asker, cycle))

    def _turn(self) -> None:
        now, self._waiting = self._waiting[:MOST_TOGETHER], self._waiting[MOST_TOGETHER:]
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._turn)
        start_s = self._clock.monotonic_s()
        ready: dict[str, tuple[LoadedRelease, list[_Ready]]] = {}
        for asked in now:
            asker, cycle = asked
            name = cycle.scope["path_params"]["use_case"]
            release = self._inference.at_once(name)
            plain = None if release is None else _plain(cycle, release)
            if release is None or plain is None:
                asker.begin_task(cycle)
            elif self._is_let_in(asked, plain.n_rows, start_s):
                ready.setdefault(name, (release, []))[1].append((asked, plain))
        for name, (release, together) in ready.items():
            self._score(name, release, together, start_s)

    def _is_let_in(self, asked: _Asked, n_rows: int, start_s: float) -> bool:
        is_admitted = False
        try:
            grant = self._route.admit(asked[1].scope)
            is_admitted = True
            grant.charge(n_rows)
        except Exception as error:
            self._tell_error(asked, error, start_s, is_admitted=is_admitted)
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
                self._tell_error(ready[0][0], error, start_s, is_admitted=True)
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
        current.set(asked[1].trace)  # of whom the log speaks
        code, answer = self._route.told(error, is_admitted=is_admitted)
        self._answer(asked, answer, start_s, code)

    def _answer(self, asked: _Asked, answer: Response, start_s: float, code: str = "") -> None:
        asker, cycle = asked
        current.set(cycle.trace)  # whose span it is
        self._route.count(cycle.scope, answer.status_code, start_s, code)
        asker.tell(cycle, answer)
        self._gate.leave()


def _plain(cycle: KnownCycle, release: LoadedRelease) -> PlainInference | None:
    return plain_inference(cycle.scope[WHOLE_BODY], len(release.plan.vector))
