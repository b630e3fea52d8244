"""What an answered request counts for: its route, its problem, its objectives; synthetic, nothing.

A synthetic request asks what products ask, so that it fails when they would. It is not one of
them: how often we ask ourselves, and how long that takes, says nothing about anybody's day.
"""

from __future__ import annotations

from collections.abc import Sequence

from starlette.requests import Request
from starlette.types import Scope

from core.synthetic import is_marked, is_synthetic
from serving.ports import Json
from serving.telemetry.metrics import Telemetry

PREDICT = "/v1/{use_case}/predictions"
PREDICT_MANY = f"{PREDICT}:batch"
_SYNTHETIC = "throughline.synthetic"


def note_asked(request: Request, raws: Sequence[object]) -> None:
    """Note what a request asks for: whether all of it is synthetic."""
    if is_synthetic(raws):
        request.scope[_SYNTHETIC] = True


def note_record(request: Request, record: Json) -> None:
    """Note whose record a request is about: whether it is that of a synthetic one."""
    if is_marked(record.get("event_id")):
        request.scope[_SYNTHETIC] = True


class Counted:
    """Counts the requests of one route."""

    def __init__(self, route: str, telemetry: Telemetry) -> None:
        self._route = route
        self._telemetry = telemetry
        self._is_promised = route in (PREDICT, PREDICT_MANY)
        self._is_one = route == PREDICT

    def request(self, scope: Scope, status: int, seconds: float, code: str) -> None:
        """Count one; ``code`` is that of the problem it was answered by, "" where by none."""
        if _SYNTHETIC in scope:
            return
        if code:
            self._telemetry.refused(code)
        self._telemetry.requested(self._route, status, seconds)
        if self._is_promised:
            meter = self._telemetry.objectives.of(scope["path_params"]["use_case"])
            if meter is not None:
                meter.asked(seconds, status, code, is_one=self._is_one)
