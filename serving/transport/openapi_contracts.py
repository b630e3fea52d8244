"""How the OpenAPI document tells of contracts: the header of a request, and those of answers."""

from __future__ import annotations

from core.clock import event_date
from serving.ports import Json
from serving.releases import Served
from serving.speaking import HEADER


def contract_parameter(served: Served) -> Json:
    """The header by which a request says which contract it speaks."""
    champion = served.champion.manifest.contract
    silence = served.state.older[0].major if served.state.older else champion.major
    told = [
        f"{kept.major} is answered until {event_date(kept.until_ms)}"
        for kept in served.state.older
        if kept.release is not None
    ]
    return {
        "name": HEADER,
        "in": "header",
        "description": f"Major version of the contract that the request speaks, or `major.minor`; "
        f"{silence} where nothing is said. {champion.version} is the newest"
        f"{''.join(f'; {each}' for each in told)}.",
        "schema": {"type": "string", "pattern": r"^[1-9][0-9]{0,3}(\.(0|[1-9][0-9]{0,3}))?$"},
        "example": str(champion.major),
    }


def contract_headers(served: Served) -> Json:
    """Headers of answers to callers of an older contract; none where there is none."""
    if not served.older:
        return {}
    return {
        HEADER: _header("Version of the older contract that was answered.", "1.0"),
        "Deprecation": _header("Since when it is an older one (RFC 9745).", "@1767225600"),
        "Sunset": _header("Until when it is answered (RFC 8594).", "Wed, 01 Apr 2026 00:00:00 GMT"),
    }


def _header(description: str, example: str) -> Json:
    return {"description": description, "schema": {"type": "string", "examples": [example]}}
