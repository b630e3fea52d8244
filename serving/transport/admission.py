"""What a request shows of its key and of what it is about, before and after its body is read."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.requests import Request
from starlette.types import Scope

from core.access import Verb
from core.errors import PlatformError
from serving.access import Access, Asked, Grant
from serving.events.events import EventIntake
from serving.transport.head_facts import facts_of
from stores.records.ids import parse_record_id

_GRANT = "throughline.grant"
_OPEN = Grant()


def admit(scope: Scope, access: Access, intake: EventIntake, *, verb: Verb, route: str) -> Grant:
    """Let a request pass, or raise; what it may go on to do is kept with it."""
    scope[_GRANT] = grant = (
        _OPEN if access.is_open else _granted(scope, access, intake, verb, route)
    )
    return grant


def _granted(scope: Scope, access: Access, intake: EventIntake, verb: Verb, route: str) -> Grant:
    keys = facts_of(scope).keys
    asked = Asked(
        authorization=keys[0] if keys else None,
        verb=verb,
        use_cases=_use_cases(scope["path_params"], intake),
        route=route,
        client=scope["client"][0] if scope.get("client") else "",
        is_ambiguous=len(keys) > 1,
    )
    return access.admit(asked)


def grant_of(request: Request) -> Grant:
    """What an admitted request may do."""
    grant: Grant = request.scope[_GRANT]
    return grant


def charge_points(request: Request, points: object) -> None:
    """Take the points of a body out of the key's rate, and see that it may explain them."""
    grant = grant_of(request)
    given = points if isinstance(points, list) else []
    if any(isinstance(point, dict) and point.get("explain") is True for point in given):
        grant.require("explain")
    grant.charge(len(given))


def charge_events(request: Request, events: object) -> None:
    """Take the events of a body out of the key's rate."""
    grant_of(request).charge(len(events) if isinstance(events, list) else 1)


def _use_cases(given: Mapping[str, str], intake: EventIntake) -> list[str]:
    """Use cases that a path is about; none when there is no such thing."""
    if "source" in given:
        return intake.readers_of(given["source"])
    if "use_case" in given:
        return [given["use_case"]]
    try:
        return [parse_record_id(given["record_id"]).use_case]
    except PlatformError:
        return []
