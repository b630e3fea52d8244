"""Predictions: each by its id, as its passport, explained and computed again when asked."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from core.errors import PlatformError
from serving.console.pages import Asking, Drawn, Gone, Page
from serving.console.passport import passport_facts
from stores.records.ids import parse_record_id


def found(asked: Asking) -> Gone | Drawn:
    """The page of the id that was searched for; without one, where to find one."""
    wanted = asked.query.get("id", "").strip()
    return Gone(f"/predictions/{quote(wanted, safe='')}") if wanted else Drawn("predictions.html")


async def passport(asked: Asking) -> Drawn:
    """The record of a prediction; explained when that was asked for."""
    passports, record_id = asked.home.passports, asked.path["record_id"]
    use_cases = [name for name in (_about(asked.path),) if name]
    if asked.query.get("explain") == "true":
        asked.require("explain", *use_cases)
        record = await passports.explained(record_id)
    else:
        record = await passports.record(record_id)
    may_explain = asked.opens("explain", *use_cases)
    return Drawn("passport.html", {**passport_facts(record), "may_explain": may_explain})


async def replay(asked: Asking) -> Drawn:
    """Vector and score of a prediction, computed again."""
    result = await asked.home.passports.replay(asked.path["record_id"])
    return Drawn("replay.html", {"result": result, "record_id": asked.path["record_id"]})


def _about(path: Mapping[str, str]) -> str:
    try:
        return parse_record_id(path["record_id"]).use_case
    except PlatformError:
        return ""


PAGES = (
    Page("/predictions", found, "passports"),
    Page("/predictions/{record_id}", passport, "passports", about=_about),
    Page("/predictions/{record_id}/replay", replay, "passports", about=_about),
)
