"""What stands around every route: its key, its time, its count, and its errors told as problems."""

from __future__ import annotations

from functools import partial

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from core.access import Verb
from core.clock import Clock
from core.errors import PlatformError
from serving.access import Access, Grant
from serving.errors import UnreadBodyError
from serving.events.events import EventIntake
from serving.telemetry.log_lines import tell_failed
from serving.telemetry.metrics import Telemetry
from serving.telemetry.repeats import Repeats
from serving.transport.admission import admit
from serving.transport.counted import Counted
from serving.transport.crowding import Handler
from serving.transport.parting import PartingResponse
from serving.transport.problems import V2, internal_problem, is_fault, problem


class Surroundings:
    """What the routes of an application share, so that each can be asked for and counted."""

    def __init__(
        self,
        access: Access,
        intake: EventIntake,
        telemetry: Telemetry,
        clock: Clock,
        *,
        body_timeout_ms: int,
    ) -> None:
        self.access = access
        self.intake = intake
        self.telemetry = telemetry
        self.clock = clock
        self.body_timeout_ms = body_timeout_ms


class TimedRoute:
    """A handler behind its key, timed, its refusals counted and its errors told as problems.

    Parameters
    ----------
    verb
        What a key must open; None where none is asked for.
    """

    def __init__(
        self, route: str, handler: Handler, verb: Verb | None, around: Surroundings
    ) -> None:
        self._route = route
        self._handler = handler
        self._verb = verb
        self._around = around
        self._is_v2 = route.startswith(V2)
        self._repeats = Repeats(around.clock)
        self._counted = Counted(route, around.telemetry)

    async def answer(self, request: Request) -> Response:
        """The answer, whatever comes of it."""
        scope, start_s = request.scope, self._around.clock.monotonic_s()
        is_admitted, code = False, ""
        try:
            self.admit(scope)
            is_admitted = True
            response = await self._handler(request)
        except Exception as error:  # the last line: nobody gets a trace
            code, response = self.told(error, is_admitted=is_admitted)
        self.count(scope, response.status_code, start_s, code)
        return response

    def admit(self, scope: Scope) -> Grant:
        """What a request may do; raises where it may not come in."""
        around = self._around
        if self._verb is None:
            return Grant()
        return admit(scope, around.access, around.intake, verb=self._verb, route=self._route)

    def told(self, error: Exception, *, is_admitted: bool) -> tuple[str, Response]:
        """The code and the problem by which a request is answered that came to an error."""
        if not isinstance(error, PlatformError):
            self._repeats.met(type(error).__name__, partial(tell_failed, self._route, error))
            return "internal", internal_problem(is_v2=self._is_v2)
        response = problem(error, is_v2=self._is_v2)
        if is_fault(error):
            self._repeats.met(error.code, partial(tell_failed, self._route, error))
        if not is_admitted or isinstance(error, UnreadBodyError):
            response = PartingResponse(response, within_ms=self._around.body_timeout_ms)
        return error.code, response

    def count(self, scope: Scope, status: int, start_s: float, code: str = "") -> None:
        """Count a request that was begun at an instant and is answered now."""
        spent_s = self._around.clock.monotonic_s() - start_s
        self._counted.request(scope, status, spent_s, code)
