"""The passport: a prediction's record as a page to read and to print."""

from __future__ import annotations

from typing import Any

from core.decisions import Rule
from core.degradation import is_of_model
from core.features.keys import LAST_OFFSET, epoch_of, offset_of
from serving.console.passport_drawing import Line, Push, probability, score_bar, waterfall
from serving.console.rendering import duration, html, number
from serving.ports import Json

_UNEXPLAINED = {
    "late": "The explanation took longer than its budget.",
    "unavailable": "The explainer did not answer.",
    "not_offered": "This model declares that it has no exact explanation.",
}
_NOT_OF_MODEL = "The release's own model did not give this answer, so there is nothing to explain."
NULL = "null"


def passport_page(record: Json) -> str:
    """HTML of a record outside of the console; what it says is escaped, whoever wrote it."""
    return html("passport.html", passport_facts(record))


def passport_facts(record: Json) -> dict[str, Any]:
    """What the template says of a record."""
    score, lines = record["score"], _lines(record)
    explanation = record["explanation"] or {}
    is_explained = explanation.get("status") == "exact"
    return {
        "record": record,
        "bar": "" if score is None else score_bar(score, lines),
        "drawing": _drawing(record, lines) if is_explained else "",
        "pushes": _pushes(record) if is_explained else [],
        "reading": _reading(record) if is_explained else "",
        "unexplained": _unexplained(record, explanation.get("status", "")),
        "may_be_explained": is_of_model(record),
        "rules": _rules(record),
        "asked": _asked(record),
        "known": [_known(view, read) for view, read in record["features"].items()],
        "transforms": _cells(record["transforms"]),
        "made": _made(record),
    }


def _unexplained(record: Json, status: str) -> str:
    if not is_of_model(record):
        return _NOT_OF_MODEL
    return _UNEXPLAINED.get(status, "No explanation was asked for.")


def _lines(record: Json) -> list[Line]:
    """Thresholds of the score, from the rules that name one."""
    rules = record.get("policy", {}).get("rules", ())
    return [
        Line(r["above"], f"{r['decision']} above {r['above']!r}") for r in rules if "above" in r
    ]


def _drawing(record: Json, lines: list[Line]) -> str:
    return waterfall(record["explanation"]["base"], _pushes(record), record["score"], lines)


def _pushes(record: Json) -> list[Push]:
    """What each feature adds, the largest first."""
    values: dict[str, float | None] = dict(record["transforms"])
    for view, read in record["features"].items():
        values |= {f"{view}:{name}": value for name, value in read["values"].items()}
    pushes = [
        Push(*_named(name, values.get(name)), by)
        for name, by in record["explanation"]["contributions"].items()
    ]
    return sorted(pushes, key=lambda push: -abs(push.by))


def _reading(record: Json) -> str:
    """What the drawing comes to: from where, to where, by what most."""
    base, pushes = probability(record["explanation"]["base"]), _pushes(record)
    score = record["score"]
    said = f"Before any value is known the score is {base:.3g}; with all of them {score:.3g}."
    if not pushes:
        return said
    most = pushes[0]
    way = "up" if most.by >= 0 else "down"
    return f"{said} What pushed most is {most.name} ({most.about}), {way}."


def _named(name: str, value: float | None) -> tuple[str, str]:
    view, _, feature = name.rpartition(":")
    return feature, f"{_said(value)} · {view}"


def _said(value: float | None) -> str:
    return NULL if value is None else number(value)


def _rules(record: Json) -> list[dict[str, Any]]:
    policy = record.get("policy")
    if not policy:
        return []
    rules = [
        {
            "decision": rule["decision"],
            "condition": Rule.model_validate(rule).text,
            "reason": rule["reason"],
            "has_fired": place == record["rule"],
        }
        for place, rule in enumerate(policy["rules"])
    ]
    default = {"decision": policy["default"], "condition": "otherwise"}
    default |= {"reason": policy["default_reason"], "has_fired": record["rule"] is None}
    return [*rules, default]


def _asked(record: Json) -> list[tuple[str, str]]:
    masked = record.get("masked", ())
    return [
        (name, "masked" if value is None and f"{part}/{name}" in masked else str(value))
        for part in ("entities", "inputs")
        for name, value in record[part].items()
    ]


def _known(view: str, read: Json) -> dict[str, Any]:
    age_ms = read["age_ms"]
    return {
        "view": view,
        "status": read["status"],
        "age": "age unknown" if age_ms is None else f"{duration(age_ms)} old",
        "seen": _seen(read["seen_position"]),
        "cells": _cells(read["values"]),
    }


def _cells(values: Json) -> list[tuple[str, str]]:
    return [(name, _said(value)) for name, value in values.items()]


def _seen(position: int | None) -> str:
    if position is None:
        return "no row of it was known"
    epoch, offset = epoch_of(position), offset_of(position)
    end = "its end" if offset == LAST_OFFSET else f"offset {offset:,}"
    return f"rows known up to epoch {epoch}, {end}"


def _made(record: Json) -> list[tuple[str, str]]:
    model = record["model"]
    return [
        ("model", f"{model.get('kind', '')} release {model['release']}, {model['channel']}"),
        ("manifest", model.get("manifest_digest", "")),
        ("plan", model.get("plan_digest", "")),
        ("policy", record.get("policy_digest", "")),
        ("milliseconds", ", ".join(f"{k} {v:g}" for k, v in record["timings_ms"].items())),
    ]
