"""How the OpenAPI document tells of contracts: the header of a request, and those of answers."""

from __future__ import annotations

from core.clock import event_date
from core.contracts import Source
from serving.engine.speaking import HEADER
from serving.models.releases import Served
from serving.ports import Json


def contract_parameter(served: Served) -> Json:
    """The header by which a request says which contract it speaks."""
    champion = served.champion.manifest.contract
    silence = served.state.older[0].major if served.state.older else champion.major
    told = [
        f"{kept.major} is answered until {event_date(kept.until_ms)}"
        for kept in served.state.older
        if kept.release is not None
    ]
    return _parameter("the request", silence, champion.version, told)


def events_parameter(source: Source) -> Json:
    """The header by which a sender says which contract its events keep."""
    silence = min([source.major, *(former.major for former in source.former)])
    told = [f"{former.major} is taken until {former.until}" for former in source.former]
    return _parameter("the sender", silence, source.version, told)


def _parameter(who: str, silence: int, newest: str, told: list[str]) -> Json:
    return {
        "name": HEADER,
        "in": "header",
        "description": f"Major version of the contract that {who} speaks, or `major.minor`; "
        f"{silence} where nothing is said. {newest} is the newest"
        f"{''.join(f'; {each}' for each in told)}.",
        "schema": {"type": "string", "pattern": r"^[1-9][0-9]{0,3}(\.(0|[1-9][0-9]{0,3}))?$"},
        "example": newest.partition(".")[0],
    }


def contract_headers(*, has_older: bool) -> Json:
    """Headers of answers to callers of an older contract; none where there is none."""
    if not has_older:
        return {}
    return {
        HEADER: _header("Version of the older contract that was answered.", "1.0"),
        "Deprecation": _header("Since when it is an older one (RFC 9745).", "@1767225600"),
        "Sunset": _header("Until when it is answered (RFC 8594).", "Wed, 01 Apr 2026 00:00:00 GMT"),
    }


def _header(description: str, example: str) -> Json:
    return {"description": description, "schema": {"type": "string", "examples": [example]}}
