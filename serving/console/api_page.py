"""The page at the service's ``/docs``: made of the OpenAPI document."""

from __future__ import annotations

import json
from typing import Any

from serving.console.rendering import html
from serving.ports import Json


def docs_page(document: Json) -> str:
    """HTML of every operation: what it takes, an example to copy, what it answers."""
    schemas = document["components"]["schemas"]
    operations = [
        _facts(path, method, operation, schemas)
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    ]
    facts = {"operations": operations, "asks_for_key": {} not in document["security"]}
    return html("api.html", facts)


def _facts(path: str, method: str, operation: Json, schemas: Json) -> dict[str, Any]:
    answer = operation["responses"]["200"]["content"].get("application/json")
    facts: dict[str, Any] = {
        "path": path,
        "method": method.upper(),
        "summary": operation["summary"],
        "parameters": operation.get("parameters", ()),
        "responses": operation["responses"],
        "answers": _schema(answer["schema"], schemas) if answer else "",
        "takes": "",
    }
    if "requestBody" in operation:
        taken = operation["requestBody"]["content"]["application/json"]
        body = json.dumps(taken["examples"]["one"]["value"])
        parts = {each["name"]: each.get("example") for each in facts["parameters"]}
        facts["takes"] = _schema(taken["schema"], schemas)
        facts["curl"] = (
            f"curl -s localhost:8080{path.format_map(parts)} "
            f"-H 'Content-Type: application/json' -d '{body}'"
        )
    return facts


def _schema(schema: Any, schemas: Json) -> str:
    return json.dumps(_resolved(schema, schemas), indent=1)


def _resolved(schema: Any, schemas: Json) -> Any:
    """The schema with every reference replaced by what it refers to."""
    if isinstance(schema, dict):
        if "$ref" in schema:
            return _resolved(schemas[schema["$ref"].rpartition("/")[2]], schemas)
        return {key: _resolved(value, schemas) for key, value in schema.items()}
    if isinstance(schema, list):
        return [_resolved(value, schemas) for value in schema]
    return schema
