"""OpenAPI of what is served now: one request and answer model a use case, one event a source.

Built from the contracts in the bundles, which are what requests are checked by; so the page
never promises another contract than the one that holds.
"""

from __future__ import annotations

from collections.abc import Mapping

from core.contracts import EVENT_ID, FieldSpec, Source
from serving.engine.contract import EVENT_ID_SPEC
from serving.engine.engine import MAX_POINTS
from serving.events.events import MAX_EVENTS
from serving.models.releases import Roster, Served
from serving.ports import Json
from serving.transport.openapi_contracts import (
    contract_headers,
    contract_parameter,
    events_parameter,
)
from serving.transport.openapi_examples import (
    answer_of,
    event_of,
    events_answer,
    health_of,
    record_id_of,
    record_of,
    replay_of,
    request_of,
    rollout_of,
)
from serving.transport.openapi_inference import INFERENCE_SCHEMAS, model_paths, server_paths
from serving.transport.openapi_operations import answered, body, in_path, operation, reference
from serving.transport.problem_codes import (
    EVENT,
    HEADERS,
    PREDICTION,
    PROBLEMS,
    RECORD,
    REPLAY,
    ROLLOUT,
    TRACED,
    example_of,
)
from serving.transport.schemas import (
    ANSWER,
    EVENTS_ANSWER,
    HEALTH,
    INSTANT,
    LIFE,
    PROBLEM,
    object_of,
    schema_of,
)
from serving.transport.schemas import RECORD as RECORD_SCHEMA
from serving.transport.schemas import REPLAY as REPLAY_SCHEMA
from serving.transport.schemas import ROLLOUT as ROLLOUT_SCHEMA
from stores.shelf.bundle import Contract

_SCHEMAS: Json = {
    "Answer": ANSWER,
    "Record": RECORD_SCHEMA,
    "Replay": REPLAY_SCHEMA,
    "Rollout": ROLLOUT_SCHEMA,
    "EventsAnswer": EVENTS_ANSWER,
    "Health": HEALTH,
    "Life": LIFE,
    "Problem": PROBLEM,
    **INFERENCE_SCHEMAS,
}
_SECURITY_SCHEME: Json = {
    "type": "http",
    "scheme": "bearer",
    "bearerFormat": "tl_<id>_<secret>",
    "description": "A key made by `throughline keys create`, whose scopes say what it opens.",
}
_ABOUT_EVENT: Json = {
    **schema_of(EVENT_ID_SPEC),
    "type": ["string", "null"],
    "description": "The `event_id` of the event that is decided about, where it has one already: "
    "its label, once known, is counted for the release that answers.",
}
_EXPLAIN: Json = {
    "name": "explain",
    "in": "query",
    "description": "Add the exact contributions to the score.",
    "schema": {"type": "boolean", "default": False},
}
_FORMAT: Json = {
    "name": "format",
    "in": "query",
    "description": "`json` gives JSON to a browser too, which else gets a page.",
    "schema": {"enum": ["json"]},
}


def openapi_of(roster: Roster, sources: Mapping[str, Source], *, is_open: bool) -> Json:
    """OpenAPI 3.1 document; of a service that is open, or asks for a key."""
    schemas, paths = dict(_SCHEMAS), {}
    served_by_name = sorted(roster.use_cases.items())
    for name, served in served_by_name:
        schemas[f"{name}_request"] = _request(served.champion.manifest.contract)
        for major, release in served.older.items():
            schemas[f"{name}_request_{major}"] = _request(release.manifest.contract)
        paths.update(_prediction_paths(name, served))
    for name, source in sorted(sources.items()):
        schemas[f"{name}_event"] = _event(source)
        for former in source.former:
            schemas[f"{name}_event_{former.major}"] = _event(source.as_of(former.major))
        paths[f"/v1/events/{name}"] = {"post": _events_operation(source)}
    for name, served in served_by_name[:1]:  # routes of every use case, shown by the first
        paths.update(_record_paths(name, served))
        paths.update(_rollout_paths(name, served))
    for name, served in served_by_name:
        paths.update(model_paths(name, served))
    paths.update(server_paths())
    paths.update(_process_paths(roster))
    return {
        "openapi": "3.1.0",
        "info": {"title": "Throughline", "version": "1", "description": __doc__},
        "paths": paths,
        "components": {
            "schemas": schemas,
            "headers": HEADERS,
            "examples": {
                code: {"summary": known.when, "value": example_of(code)}
                for code, known in PROBLEMS.items()
            },
            "securitySchemes": {"key": _SECURITY_SCHEME},
        },
        "security": [{}, {"key": []}] if is_open else [{"key": []}],
    }


def _request(contract: Contract) -> Json:
    schema = object_of(
        {
            "entities": _fields(contract.keys),
            "inputs": _fields(contract.inputs),
            "at": {
                **INSTANT,
                "type": ["string", "integer", "null"],
                "description": "Instant to decide at (ISO 8601 or epoch ms); now when left out. "
                "In production within 5 minutes of receipt (`at_out_of_range`); anywhere not "
                "before what is kept online (`at_too_old`).",
            },
            "explain": {"type": "boolean", "default": False},
            EVENT_ID: _ABOUT_EVENT,
        },
        required=["entities", *(["inputs"] if contract.inputs else [])],
    )
    about = f"Contract {contract.version}."
    return {**schema, "description": about, "examples": [request_of(contract)]}


def _fields(specs: tuple[FieldSpec, ...]) -> Json:
    required = [spec.name for spec in specs if not spec.is_nullable]
    return object_of({spec.name: schema_of(spec) for spec in specs}, required=required)


def _event(source: Source) -> Json:
    specs = (
        FieldSpec(name="event_id", type="string", description="Unique in its source."),
        FieldSpec(name="event_timestamp", type="timestamp", description="When it happened."),
        *source.fields,
    )
    about = f"{source.description} Contract {source.version}."
    return {**_fields(specs), "description": about}


def _prediction_paths(use_case: str, served: Served) -> Json:
    request, example = _requests(use_case, served), request_of(served.champion.manifest.contract)
    answer = answer_of(use_case, served)
    many = object_of(
        {"points": {"type": "array", "items": request, "minItems": 1, "maxItems": MAX_POINTS}},
        required=["points"],
    )
    answers = object_of(
        {"predictions": {"type": "array", "items": reference("Answer")}}, required=["predictions"]
    )
    base = f"/v1/{use_case}/predictions"
    one = operation(
        f"Decide about one point of {use_case}.",
        "predictions",
        reference("Answer"),
        problems=PREDICTION,
        example=answer,
    )
    batch = operation(
        f"Decide about up to {MAX_POINTS} points together.",
        "predictions",
        answers,
        problems=PREDICTION,
        example={"predictions": [answer]},
    )
    for made in (one, batch):
        made["parameters"].append(contract_parameter(served))
        done = made["responses"]["200"]
        done["headers"] = {**done["headers"], **contract_headers(has_older=bool(served.older))}
    return {
        base: {"post": {**one, "requestBody": body(request, example)}},
        f"{base}:batch": {"post": {**batch, "requestBody": body(many, {"points": [example]})}},
    }


def _requests(use_case: str, served: Served) -> Json:
    """What a request may be: of the champion's contract, or of an older one that is answered."""
    names = [f"{use_case}_request", *(f"{use_case}_request_{major}" for major in served.older)]
    return _any_of(names)


def _any_of(names: list[str]) -> Json:
    found = [reference(name) for name in names]
    return found[0] if len(found) == 1 else {"anyOf": found}


def _events_operation(source: Source) -> Json:
    names = [f"{source.name}_event", *(f"{source.name}_event_{f.major}" for f in source.former)]
    event = _any_of(names)
    many = {"type": "array", "items": event, "minItems": 1, "maxItems": MAX_EVENTS}
    taken = operation(
        f"Take one event of {source.name} or many; durable before the answer.",
        "events",
        reference("EventsAnswer"),
        problems=EVENT,
        example=events_answer(),
    )
    taken["responses"]["207"] = answered(
        "Some were taken, some refused.",
        reference("EventsAnswer"),
        {
            "accepted": 0,
            "duplicate": 1,
            "rejected": 1,
            "results": [
                {"status": "duplicate", "position": 0},
                {
                    "status": "rejected",
                    "code": "missing_field",
                    "field": "event_id",
                    "message": "must be there",
                },
            ],
        },
    )
    taken["parameters"] = [events_parameter(source)]
    done = taken["responses"]["200"]
    done["headers"] = {**done["headers"], **contract_headers(has_older=bool(source.former))}
    return {**taken, "requestBody": body({"oneOf": [event, many]}, event_of(source))}


def _with_page(operation: Json) -> Json:
    """The operation, as one that answers a browser with a page."""
    operation["responses"]["200"]["content"]["text/html"] = {"schema": {"type": "string"}}
    return operation


def _record_paths(use_case: str, served: Served) -> Json:
    record_id = in_path("record_id", "The `prediction_id` of an answer.", record_id_of(use_case))
    record = operation(
        "The record of a prediction.",
        "records",
        reference("Record"),
        problems=RECORD,
        example=record_of(use_case, served),
    )
    replay = operation(
        "Transforms, vector, score and decision computed again.",
        "records",
        reference("Replay"),
        problems=REPLAY,
        example=replay_of(use_case, served),
    )
    base = "/v1/predictions/{record_id}"
    return {
        base: {"get": {**_with_page(record), "parameters": [record_id, _EXPLAIN, _FORMAT]}},
        f"{base}/replay": {"get": {**replay, "parameters": [record_id]}},
    }


def _rollout_paths(use_case: str, served: Served) -> Json:
    rollout = operation(
        "Where the rollout of a use case stands and why; a page for `Accept: text/html`.",
        "rollouts",
        reference("Rollout"),
        problems=ROLLOUT,
        example=rollout_of(use_case, served),
    )
    name = in_path("use_case", "A use case that is served.", use_case)
    return {"/v1/rollouts/{use_case}": {"get": {**_with_page(rollout), "parameters": [name]}}}


def _process_paths(roster: Roster) -> Json:
    life = operation(
        "The process runs.",
        "process",
        reference("Life"),
        problems=(),
        example={"live": True, "home": "1f2e3d4c"},
    )
    ready = operation(
        "The process can answer.",
        "process",
        reference("Health"),
        problems=(),
        example=health_of(roster.use_cases),
    )
    nothing = health_of({}) | {"ready": False}
    ready["responses"]["503"] = answered("Nothing is served.", reference("Health"), nothing)
    text = {"text/plain": {"schema": {"type": "string"}}}
    metrics = {
        "summary": "Prometheus metrics.",
        "tags": ["process"],
        "security": [],
        "responses": {"200": {"description": "Text.", "headers": TRACED, "content": text}},
    }
    return {"/livez": {"get": life}, "/readyz": {"get": ready}, "/metrics": {"get": metrics}}
