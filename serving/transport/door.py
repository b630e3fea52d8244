"""The door: a connection that asks the gate before a request costs anything.

Bytes that come while nothing is under way begin a request. One that would wait for too long is
sent away, and one whose head was met before is begun, unparsed either way; all else is parsed as
on every connection.
"""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from serving.engine.gate import Gate
from serving.telemetry.tracing import current, lines_of, trace_of
from serving.transport.connections import Connection
from serving.transport.crowding import INSIDE, SENT_AWAY, Refusals, is_counted
from serving.transport.head_facts import FACTS, facts_of
from serving.transport.inference_turns import InferenceTurns
from serving.transport.known_cycle import Headers, KnownCycle
from serving.transport.known_heads import WHOLE_BODY, KnownHeads, Met
from serving.transport.shortcut import HANDLER
from serving.transport.whole_answers import JsonAnswer, is_written

_LEARNT = (FACTS, HANDLER, "path_params")


class Door(Connection):
    """One connection. Its application says who may come in: ``gate``.

    A request is counted from when it came whole, so nobody takes a place who is slow to ask.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._gate: Gate = self.app.gate
        self._refusals: Refusals = self.app.refusals
        self._heads: KnownHeads = self.app.heads
        self._lines: tuple[Headers, bytes] = [], b""
        self._turns: InferenceTurns | None = self.app.turns

    def data_received(self, data: bytes) -> None:
        """Send away who would wait for too long, begin what is known, parse the rest."""
        if not (self._is_idle or self._is_resting):
            super().data_received(data)
            return
        if self._gate.is_full:
            refusal = self._refusals.to(data, self.server_state.default_headers)
            if refusal is not None:
                self._send_away(refusal, data)
                return
        met = self._heads.met(data)
        if met is not None:
            self._begin(met)
            return
        super().data_received(data)
        if self._heads.comes_again(data) and self._is_one_request(data):
            self._learn(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Whoever still waits behind another request has gone: nobody answers it."""
        for cycle, _ in self.pipeline:
            scope: Any = cycle.scope
            if INSIDE in scope:
                self._gate.withdraw()
        self.pipeline.clear()
        super().connection_lost(exc)

    def on_message_complete(self) -> None:
        """The request is whole: it counts from here."""
        super().on_message_complete()
        scope: Any = self.cycle.scope
        if self.cycle.response_complete or not is_counted(scope["method"], scope["path"]):
            return
        if self._gate.is_full:  # it could not be sent away unparsed: in pieces, in chunks, to close
            scope[SENT_AWAY] = True
        else:
            scope[INSIDE] = True
            self._gate.enter()

    def _send_away(self, refusal: bytes, data: bytes) -> None:
        self.app.sent_away(data)
        self.transport.write(refusal)
        if not self._is_idle:
            self._stop_clock()
            self._rest()
        else:  # as it was: the same again, only later
            self._rests_since_s = self.loop.time()

    def _begin(self, met: Met) -> None:
        """Do what the parser would have had done: one request, whole, plain and to be counted."""
        self._stop_clock()
        self._rests_since_s = None
        self._is_idle = False
        trace = trace_of(met.traced)
        current.set(trace)  # the task that answers takes it along
        scope: Any = met.scope
        scope["server"], scope["client"], scope["scheme"] = self.server, self.client, self.scheme
        scope["state"] = self.app_state.copy()
        scope[WHOLE_BODY] = met.body
        scope[INSIDE] = True
        self.scope = scope
        self.cycle = cycle = KnownCycle(self, scope, met.body, trace, self._server_lines())
        self._gate.enter()
        if self._turns is not None and self._turns.takes(scope):
            self._running = cycle
            self._turns.add(self, cycle)
            return
        self._join_writes(cycle)
        self._start_asgi_task(cycle, self.app)

    def _server_lines(self) -> bytes:
        """What every answer begins with, put together when it has changed: once a second."""
        headers = self.server_state.default_headers
        if headers is not self._lines[0]:
            self._lines = headers, lines_of(headers)
        return self._lines[1]

    def tell(self, cycle: KnownCycle, answer: Response) -> None:
        """Write an answer to a request that has no task."""
        if not isinstance(answer, JsonAnswer) or not is_written(cycle, answer):
            self._join_writes(cycle)
            self._start_asgi_task(cycle, answer)

    def begin_task(self, cycle: KnownCycle) -> None:
        """Have a request answered as all are."""
        current.set(cycle.trace)
        self._join_writes(cycle)
        self._start_asgi_task(cycle, self.app)

    def _is_one_request(self, data: bytes) -> bool:
        """Whether bytes that came to a resting connection were one whole request, and no more."""
        cycle, is_whole = self.cycle, not (self._is_begun or self._is_refused or self._is_over)
        if not is_whole or cycle is None or cycle.more_body or not cycle.keep_alive:
            return False
        return self._running is cycle and not self.pipeline and data.endswith(bytes(cycle.body))

    def _learn(self, data: bytes) -> None:
        """Know this head again, where its request takes the short way."""
        scope: Any = self.cycle.scope
        if self.app.place(scope) is not None:
            facts_of(scope)
            self._heads.learn(data, scope, {name: scope[name] for name in _LEARNT})
