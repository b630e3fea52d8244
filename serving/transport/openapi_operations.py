"""What every operation of the OpenAPI document is made of."""

from __future__ import annotations

from typing import Any

from serving.errors import LateError
from serving.ports import Json
from serving.transport.head_facts import LONGEST_MS, TIMEOUT_HEADER
from serving.transport.problem_codes import KEY, TRACED, responses_of

_TIMEOUT: Json = {
    "name": TIMEOUT_HEADER.decode(),
    "in": "header",
    "description": "How many milliseconds the caller waits. What cannot be answered in that time "
    "is refused at once, what was begun is refused when the time is up, both with 503 `late`. What "
    "is no positive whole number, or comes twice, is refused with 400 `unreadable_timeout`; more "
    "than the maximum is the maximum.",
    "schema": {"type": "integer", "minimum": 1, "maximum": LONGEST_MS},
    "example": 80,
}


def operation(
    summary: str, tag: str, answer: Json, *, problems: tuple[str, ...], example: Any
) -> Json:
    """An operation that answers JSON, as its problems say.

    It asks for no key where none is about one, and knows no caller's deadline where none is `late`.
    """
    found: Json = {
        "summary": summary,
        "tags": [tag],
        "responses": {"200": answered("Done.", answer, example), **responses_of(problems)},
    }
    if LateError.code in problems:
        found["parameters"] = [_TIMEOUT]
    return found if KEY[0] in problems else {**found, "security": []}


def answered(description: str, schema: Json, example: Any) -> Json:
    """A JSON answer."""
    content = {"application/json": {"schema": schema, "examples": {"one": {"value": example}}}}
    return {"description": description, "headers": TRACED, "content": content}


def body(schema: Json, example: Any) -> Json:
    """A JSON body that must come."""
    content = {"application/json": {"schema": schema, "examples": {"one": {"value": example}}}}
    return {"required": True, "content": content}


def reference(name: str) -> Json:
    """A schema by its name."""
    return {"$ref": f"#/components/schemas/{name}"}


def in_path(name: str, description: str, example: str) -> Json:
    """A part of a path."""
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": description,
        "schema": {"type": "string"},
        "example": example,
    }
