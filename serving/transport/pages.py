"""The page at ``/docs``: drawn from the OpenAPI document, without scripts or foreign servers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from html import escape
from typing import Any

from serving.ports import Json

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
       color: #1c1e21; background: #fff; }
code, pre { font: 13px/1.45 ui-monospace, monospace; }
pre { background: #f4f5f7; padding: .7rem; overflow-x: auto; border-radius: 4px; }
section { border-top: 1px solid #d8dbe0; margin-top: 1.2rem; }
h2 code { font-size: 15px; }
.method { background: #27496d; color: #fff; border-radius: 3px; padding: .1rem .45rem; }
table { border-collapse: collapse; } td { padding: .1rem .9rem .1rem 0; vertical-align: top; }
"""


_KEY = (
    "<p>This service asks for a key: add <code>-H 'Authorization: Bearer tl_...'</code> to every "
    "request but those of the process.</p>"
)


def docs_page(document: Json) -> str:
    """HTML of every operation: what it takes, an example to copy, what it answers."""
    schemas = document["components"]["schemas"]
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><title>Throughline API</title>",
        f"<style>{_STYLE}</style><h1>Throughline API</h1>",
        "<p>Machine-readable: <a href=openapi.json>openapi.json</a>. Errors are ",
        "<code>application/problem+json</code> with a stable <code>code</code>.</p>",
    ]
    if {} not in document["security"]:
        parts.append(_KEY)
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            parts.extend(_operation(path, method, operation, schemas))
    return "".join(parts)


def _operation(path: str, method: str, operation: Json, schemas: Json) -> Iterator[str]:
    title = f"<span class=method>{method.upper()}</span> <code>{escape(path)}</code>"
    yield f"<section><h2>{title}</h2><p>{escape(operation['summary'])}</p>"
    for parameter in operation.get("parameters", ()):
        said = escape(parameter["description"])
        yield f"<p><code>{escape(parameter['name'])}</code> ({parameter['in']}): {said}</p>"
    if "requestBody" in operation:
        taken = operation["requestBody"]["content"]["application/json"]
        schema = taken["schema"]
        body = json.dumps(taken["examples"]["one"]["value"])
        parts = {each["name"]: each.get("example") for each in operation.get("parameters", ())}
        yield f"<pre>{escape(_curl(path.format_map(parts), body))}</pre>"
        yield _details("What it takes", _resolved(schema, schemas))
    yield "<table>"
    for status, response in operation["responses"].items():
        yield f"<tr><td><code>{status}</code><td>{escape(response['description'])}"
    yield "</table>"
    answer = operation["responses"]["200"]["content"].get("application/json")
    if answer:
        yield _details("What it answers", _resolved(answer["schema"], schemas))
    yield "</section>"


def _curl(path: str, body: str) -> str:
    return f"curl -s localhost:8080{path} -H 'Content-Type: application/json' -d '{body}'"


def _details(title: str, schema: Json) -> str:
    text = escape(json.dumps(schema, indent=1))
    return f"<details><summary>{title}</summary><pre>{text}</pre></details>"


def _resolved(schema: Any, schemas: Json) -> Any:
    """The schema with every reference replaced by what it refers to."""
    if isinstance(schema, dict):
        if "$ref" in schema:
            return _resolved(schemas[schema["$ref"].rpartition("/")[2]], schemas)
        return {key: _resolved(value, schemas) for key, value in schema.items()}
    if isinstance(schema, list):
        return [_resolved(value, schemas) for value in schema]
    return schema
