"""JSON schemas of what goes in and out, as OpenAPI 3.1 spells them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from core.contracts import FieldSpec
from core.interface import ANSWER_FIELDS
from core.rows.field_checks import EARLIEST_MS, INT64_MAX, INT64_MIN, LATEST_MS
from serving.transport.problem_codes import FAULTS

Schema = dict[str, Any]

INSTANT: Schema = {
    "type": ["string", "integer"],
    "format": "date-time",
    "minimum": EARLIEST_MS,
    "maximum": LATEST_MS,
    "description": "ISO 8601, in UTC where no zone is told, or epoch milliseconds.",
    "examples": ["2026-01-01T00:00:00Z"],
}
_TYPES: dict[str, Schema] = {
    "int64": {"type": "integer", "minimum": INT64_MIN, "maximum": INT64_MAX},
    "float64": {"type": "number"},
    "string": {"type": "string", "pattern": "^[^\\u0000]*$"},
    "bool": {"type": "boolean"},
    "timestamp": INSTANT,
}


def object_of(properties: Schema, *, required: Sequence[str]) -> Schema:
    """An object that holds these properties and no others."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


def schema_of(spec: FieldSpec) -> Schema:
    """Schema of one declared field."""
    schema = dict(_TYPES[spec.type])
    if spec.type in ("int64", "float64"):
        bounds = {"minimum": spec.minimum, "maximum": spec.maximum}
        schema.update({name: bound for name, bound in bounds.items() if bound is not None})
    if spec.type == "string":
        schema.update(minLength=1, maxLength=spec.max_length)
        if spec.pattern is not None:
            schema["pattern"] = f"^(?:{spec.pattern})$"
        if spec.allowed:
            schema["enum"] = list(spec.allowed)
    if spec.description:
        schema["description"] = spec.description
    if spec.is_nullable:
        schema = {"anyOf": [schema, {"type": "null"}]}
    return schema


def _nullable(kind: str) -> Schema:
    return {"type": [kind, "null"]}


_MODEL = object_of(
    {
        "name": {"type": "string"},
        "version": {"type": "string", "description": "Start of the manifest's digest."},
        "release": {"type": "integer"},
        "channel": {
            "type": "string",
            "pattern": "^(champion|challenger|shadow|contract_[1-9][0-9]*)$",
            "description": "`contract_1`: the release that answers callers of an older contract.",
        },
    },
    required=["name", "version", "release", "channel"],
)
_DEGRADED: Schema = {
    "anyOf": [
        {"type": "null"},
        object_of(
            {"level": {"type": "string"}, "because": {"type": "string"}},
            required=["level", "because"],
        ),
    ]
}
_TIMINGS: Schema = {"type": "object", "additionalProperties": {"type": "number"}}
_FRESHNESS = object_of(
    {
        "status": {
            "enum": [
                *("PRESENT", "NOT_FOUND", "fresh", "stale", "missing"),
                *("expired", "unavailable", "withheld"),
            ],
        },
        "age_ms": _nullable("integer"),
    },
    required=["status", "age_ms"],
)
_REASON = object_of(
    {
        "code": {"type": "string"},
        "feature": {"type": "string"},
        "value": _nullable("number"),
        "contribution": {"type": "number", "description": "Log-odds."},
    },
    required=["code"],
)

_SCORE: Schema = {
    **_nullable("number"),
    "description": "null where no model could score: see `degraded`.",
}

ANSWER = object_of(
    {
        "prediction_id": {
            "type": ["string", "null"],
            "description": "null where the use case keeps records of a share of its entities "
            "and this one is not among them.",
        },
        "score": _SCORE,
        "decision": {"type": "string"},
        "reasons": {"type": "array", "items": _REASON},
        "model": _MODEL,
        "features": {"type": "object", "additionalProperties": _FRESHNESS},
        "degraded": _DEGRADED,
        "timings_ms": _TIMINGS,
    },
    required=ANSWER_FIELDS,
)

RECORD: Schema = {
    "type": "object",
    "description": "Everything that was known when the decision was made.",
    "properties": {
        "prediction_id": {"type": "string"},
        "version": {"type": "integer"},
        "use_case": {"type": "string"},
        "received_at_ms": {"type": "integer"},
        "at_ms": {"type": "integer"},
        "event_id": _nullable("string"),
        "rollout": {
            **_nullable("object"),
            "description": "`experiment` and `stage` that the request was assigned in.",
        },
        "entities": {
            "type": "object",
            "description": "Join keys; personal ones as `masked:...`, equal where the key is.",
        },
        "inputs": {"type": "object", "description": "Personal ones are null."},
        "masked": {"type": "array", "items": {"type": "string"}},
        "features": {"type": "object"},
        "transforms": {"type": "object"},
        "vector": {"type": "array", "items": _nullable("number")},
        "score": _SCORE,
        "decision": {"type": "string"},
        "reason": {"type": "string"},
        "rule": {
            "type": ["integer", "null"],
            "description": "Place in `policy` of the rule that decided; null is the default.",
        },
        "policy_digest": {"type": "string"},
        "policy": {"type": "object"},
        "model": {"type": "object"},
        "explanation": _nullable("object"),
        "degraded": _DEGRADED,
        "timings_ms": _TIMINGS,
        "request_id": _nullable("string"),
        "traceparent": _nullable("string"),
    },
}

REPLAY: Schema = {
    "type": "object",
    "properties": {
        "prediction_id": {"type": "string"},
        "is_equal": {"type": "boolean"},
        "differences": {"type": "array", "items": {"type": "object"}},
        "recorded": {"type": "object"},
        "replayed": {"type": "object"},
        "model": {"type": "object"},
        "compared": {"type": "object"},
        "unreplayable": _nullable("object"),
    },
}

ROLLOUT: Schema = {
    "type": "object",
    "description": "Channels as this worker serves them, the controller's last look, its moves.",
    "properties": {
        "use_case": {"type": "string"},
        "channels": {"type": "object"},
        "rollout": {
            "type": ["object", "null"],
            "description": "Step, verdicts of the gates, counts by stage and arm; how it `ended`.",
        },
        "shadow": {
            "type": ["object", "null"],
            "description": "Agreement, score shift, decision flips and latency of a shadow.",
        },
        "audit": {
            "type": "array",
            "items": {"type": "object"},
            "description": "Moves, the latest first: what, who, why, on what numbers.",
        },
    },
    "required": ["use_case", "channels", "rollout", "shadow", "audit"],
}

EVENTS_ANSWER = object_of(
    {
        "accepted": {"type": "integer"},
        "duplicate": {"type": "integer"},
        "rejected": {"type": "integer"},
        "results": {
            "type": "array",
            "items": object_of(
                {
                    "status": {"enum": ["accepted", "duplicate", "rejected"]},
                    "position": {"type": "integer"},
                    "code": {"type": "string"},
                    "field": {"type": "string"},
                    "message": {"type": "string"},
                },
                required=["status"],
            ),
        },
    },
    required=["accepted", "duplicate", "rejected", "results"],
)

LIFE = object_of(
    {
        "live": {"type": "boolean"},
        "home": {"type": "string", "description": "Random id of the home that is served."},
    },
    required=["live", "home"],
)

HEALTH: Schema = {
    "type": "object",
    "properties": {
        "ready": {"type": "boolean"},
        "channels": {"type": "integer"},
        "serving": {"type": "object"},
        "shelf": {"type": "string"},
        "sources": {"type": "object", "additionalProperties": _nullable("integer")},
    },
}

_FAULT_CODES = " ".join(f"`{code}`: {when}" for code, when in FAULTS.items())
PROBLEM: Schema = {
    "type": "object",
    "description": "RFC 9457. `code` is stable; nothing that was sent is repeated.",
    "properties": {
        "type": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string"},
        "title": {"type": "string"},
        "detail": {"type": "string"},
        "retryable": {"type": "boolean"},
        "errors": {
            "type": "array",
            "items": object_of(
                {
                    "pointer": {"type": "string", "description": "RFC 6901, of declared names."},
                    "code": {"type": "string", "description": _FAULT_CODES},
                    "message": {"type": "string"},
                },
                required=["pointer", "code", "message"],
            ),
        },
    },
    "required": ["type", "status", "code", "title"],
}
