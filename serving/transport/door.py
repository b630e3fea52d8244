"""The door: a connection that asks the gate before a request costs anything."""

from __future__ import annotations

from typing import Any

from serving.errors import BusyError
from serving.gate import Gate
from serving.transport.connections import Connection
from serving.transport.crowding import INSIDE, Refusals, is_counted


class Door(Connection):
    """One connection. Its application says who may come in: ``gate``.

    A request is counted from when it came whole, so nobody takes a place who is slow to ask.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._gate: Gate = self.app.gate
        self._refusals: Refusals = self.app.refusals

    def data_received(self, data: bytes) -> None:
        """Send away who would wait for too long; else as every connection."""
        if self._gate.is_full and self._is_resting:
            refusal = self._refusals.to(data, self.server_state.default_headers)
            if refusal is not None:
                self._send_away(refusal)
                return
        super().data_received(data)

    def on_message_complete(self) -> None:
        """The request is whole: it counts from here."""
        super().on_message_complete()
        scope: Any = self.cycle.scope
        if not self.cycle.response_complete and is_counted(scope["method"], scope["path"]):
            scope[INSIDE] = True
            self._gate.enter()

    def _send_away(self, refusal: bytes) -> None:
        self.app.refused(BusyError.code)
        self._stop_clock()
        self.transport.write(refusal)
        self._rest()

    @property
    def _is_resting(self) -> bool:
        """Whether nothing is under way here, so that bytes that come begin a request.

        A request may be answered before its body has come: what comes then is no request.
        """
        if self._is_begun or self._is_refused or self._is_over or self._is_answering:
            return False
        return self.cycle is None or not self.cycle.more_body
