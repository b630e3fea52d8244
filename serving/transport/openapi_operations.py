"""What every operation of the OpenAPI document is made of."""

from __future__ import annotations

from typing import Any

from serving.ports import Json
from serving.transport.problem_codes import KEY, TRACED, responses_of


def operation(
    summary: str, tag: str, answer: Json, *, problems: tuple[str, ...], example: Any
) -> Json:
    """An operation that answers JSON; it asks for no key where no problem is about one."""
    found: Json = {
        "summary": summary,
        "tags": [tag],
        "responses": {"200": answered("Done.", answer, example), **responses_of(problems)},
    }
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
