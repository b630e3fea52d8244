"""OpenAPI of what is served now: one request and answer model a use case, one event a source.

Built from the contracts in the bundles, which are what requests are checked by; so the page
never promises another contract than the one that holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.contracts import FieldSpec, Source
from serving.engine import MAX_POINTS
from serving.events import MAX_EVENTS
from serving.ports import Json
from serving.releases import Roster, Served
from serving.transport.schemas import (
    ANSWER,
    EVENTS_ANSWER,
    HEALTH,
    LIFE,
    PROBLEM,
    RECORD,
    REPLAY,
    ROLLOUT,
    object_of,
    schema_of,
)

_PROBLEMS = {
    "400": "The body is not JSON, or an object in it has a key twice (`duplicate_key`).",
    "401": "No key came (`no_key`), or one that opens nothing (`unknown_key`).",
    "403": "The key does not open this (`not_in_scope`).",
    "404": "There is no such thing.",
    "413": "The body is too large, or has more points than the key may spend at once "
    "(`over_burst`).",
    "415": "The body's type is not taken.",
    "422": "The contract is broken; `errors` lists where. Or the instant lies before what is kept "
    "online (`at_too_old`): `detail` says by how much, and from when on one is answered.",
    "429": "More work than room, or than the key may ask for (`rate_limited`, `quota_used`); come "
    "back after `Retry-After` seconds.",
    "503": "Not ready, or a dependency failed.",
}


def openapi_of(roster: Roster, sources: Mapping[str, Source], *, is_open: bool) -> Json:
    """OpenAPI 3.1 document; of a service that is open, or asks for a key."""
    schemas: Json = {
        "Answer": ANSWER,
        "Record": RECORD,
        "Replay": REPLAY,
        "Rollout": ROLLOUT,
        "EventsAnswer": EVENTS_ANSWER,
        "Health": HEALTH,
        "Life": LIFE,
        "Problem": PROBLEM,
    }
    paths: Json = {}
    for name, served in sorted(roster.use_cases.items()):
        schemas[f"{name}_request"] = _request(served)
        paths.update(_prediction_paths(name))
    for name, source in sorted(sources.items()):
        schemas[f"{name}_event"] = _event(source)
        paths[f"/v1/events/{name}"] = {"post": _events_operation(source)}
    paths.update(_RECORD_PATHS)
    paths.update(_ROLLOUT_PATHS)
    paths.update(_PROCESS_PATHS)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Throughline", "version": "1", "description": __doc__},
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": {"key": _SECURITY_SCHEME}},
        "security": [{}, {"key": []}] if is_open else [{"key": []}],
    }


def _request(served: Served) -> Json:
    contract = served.champion.manifest.contract
    schema = object_of(
        {
            "entities": _fields(contract.keys),
            "inputs": _fields(contract.inputs),
            "at": {
                "type": ["string", "integer", "null"],
                "description": "Instant to decide at (ISO 8601 or epoch ms); now when left out. "
                "In production within 5 minutes of receipt (`at_out_of_range`); anywhere not "
                "before what is kept online (`at_too_old`).",
            },
            "explain": {"type": "boolean", "default": False},
        },
        required=["entities", *(["inputs"] if contract.inputs else [])],
    )
    return {**schema, "examples": [_example(served)]}


def _fields(specs: tuple[FieldSpec, ...]) -> Json:
    required = [spec.name for spec in specs if not spec.is_nullable]
    return object_of({spec.name: schema_of(spec) for spec in specs}, required=required)


def _example(served: Served) -> Json:
    contract = served.champion.manifest.contract
    return {
        "entities": {spec.name: _sample(spec) for spec in contract.keys},
        "inputs": {spec.name: _sample(spec) for spec in contract.inputs},
        "explain": True,
    }


def _sample(spec: FieldSpec) -> Any:
    if spec.allowed:
        return spec.allowed[0]
    low = 1 if spec.minimum is None else spec.minimum
    samples: Json = {
        "string": "a1",
        "int64": int(low),
        "float64": float(low),
        "bool": True,
        "timestamp": "2026-01-01T00:00:00Z",
    }
    return samples[spec.type]


def _event(source: Source) -> Json:
    specs = (
        FieldSpec(name="event_id", type="string", description="Unique in its source."),
        FieldSpec(name="event_timestamp", type="timestamp", description="When it happened."),
        *source.fields,
    )
    return {**_fields(specs), "description": source.description}


def _prediction_paths(use_case: str) -> Json:
    request = _reference(f"{use_case}_request")
    many = object_of(
        {"points": {"type": "array", "items": request, "minItems": 1, "maxItems": MAX_POINTS}},
        required=["points"],
    )
    answers = object_of(
        {"predictions": {"type": "array", "items": _reference("Answer")}}, required=["predictions"]
    )
    base = f"/v1/{use_case}/predictions"
    one = _operation(f"Decide about one point of {use_case}.", "predictions", _reference("Answer"))
    batch = _operation(f"Decide about up to {MAX_POINTS} points together.", "predictions", answers)
    return {
        base: {"post": {**one, "requestBody": _body(request)}},
        f"{base}:batch": {"post": {**batch, "requestBody": _body(many)}},
    }


def _events_operation(source: Source) -> Json:
    event = _reference(f"{source.name}_event")
    many = {"type": "array", "items": event, "minItems": 1, "maxItems": MAX_EVENTS}
    operation = _operation(
        f"Take one event of {source.name} or many; durable before the answer.",
        "events",
        _reference("EventsAnswer"),
    )
    operation["responses"]["207"] = {
        "description": "Some were taken, some refused.",
        "content": {"application/json": {"schema": _reference("EventsAnswer")}},
    }
    return {**operation, "requestBody": _body({"oneOf": [event, many]})}


def _operation(summary: str, tag: str, answer: Json) -> Json:
    problem = {"application/problem+json": {"schema": _reference("Problem")}}
    responses: Json = {
        "200": {"description": "Done.", "content": {"application/json": {"schema": answer}}}
    }
    for status, description in _PROBLEMS.items():
        responses[status] = {"description": description, "content": problem}
    return {"summary": summary, "tags": [tag], "responses": responses}


def _with_page(operation: Json) -> Json:
    """The operation, as one that answers a browser with a page."""
    operation["responses"]["200"]["content"]["text/html"] = {"schema": {"type": "string"}}
    return operation


def _open(operation: Json) -> Json:
    """The operation, as one that asks for no key."""
    responses = {k: v for k, v in operation["responses"].items() if k not in ("401", "403")}
    return {**operation, "responses": responses, "security": []}


def _reference(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _body(schema: Json) -> Json:
    return {"required": True, "content": {"application/json": {"schema": schema}}}


_SECURITY_SCHEME: Json = {
    "type": "http",
    "scheme": "bearer",
    "bearerFormat": "tl_<id>_<secret>",
    "description": "A key made by `throughline keys create`, whose scopes say what it opens.",
}
_RECORD_ID = {
    "name": "record_id",
    "in": "path",
    "required": True,
    "description": "The `prediction_id` of an answer.",
    "schema": {"type": "string"},
}
_EXPLAIN = {
    "name": "explain",
    "in": "query",
    "description": "Add the exact contributions to the score.",
    "schema": {"type": "boolean", "default": False},
}
_FORMAT = {
    "name": "format",
    "in": "query",
    "description": "`json` gives JSON to a browser too, which else gets a page.",
    "schema": {"enum": ["json"]},
}
_RECORD_PATHS: Json = {
    "/v1/predictions/{record_id}": {
        "get": {
            **_with_page(
                _operation("The record of a prediction.", "records", _reference("Record"))
            ),
            "parameters": [_RECORD_ID, _EXPLAIN, _FORMAT],
        }
    },
    "/v1/predictions/{record_id}/replay": {
        "get": {
            **_operation(
                "Transforms, vector, score and decision computed again.",
                "records",
                _reference("Replay"),
            ),
            "parameters": [_RECORD_ID],
        }
    },
}
_ROLLOUT_PATHS: Json = {
    "/v1/rollouts/{use_case}": {
        "get": {
            **_operation(
                "Where the rollout of a use case stands and why; a page for `Accept: text/html`.",
                "rollouts",
                _reference("Rollout"),
            ),
            "parameters": [
                {
                    "name": "use_case",
                    "in": "path",
                    "required": True,
                    "description": "A use case that is served.",
                    "schema": {"type": "string"},
                }
            ],
        }
    },
}
_PROCESS_PATHS: Json = {
    "/livez": {"get": _open(_operation("The process runs.", "process", _reference("Life")))},
    "/readyz": {
        "get": _open(_operation("The process can answer.", "process", _reference("Health")))
    },
    "/metrics": {
        "get": {
            "summary": "Prometheus metrics.",
            "tags": ["process"],
            "security": [],
            "responses": {"200": {"description": "Text.", "content": {"text/plain": {}}}},
        }
    },
}
