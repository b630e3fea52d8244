"""The Open Inference Protocol in the OpenAPI document: each served use case is a model."""

from __future__ import annotations

from serving.engine.tensors import DTYPES
from serving.models.releases import Served
from serving.ports import Json
from serving.transport.openapi_examples import inference_of, inferred, metadata_of
from serving.transport.openapi_operations import body, in_path, operation, reference
from serving.transport.problem_codes import INFERENCE, MODEL
from serving.transport.schemas import object_of
from stores.shelf.bundle import MODEL_INPUT

_TAG = "open inference"
_VERSION = in_path("release", "Number of a release that is in memory.", "1")
_PARAMETERS: Json = {"type": "object", "description": "What is not known here changes nothing."}
_SIZES: Json = {
    "type": "array",
    "items": {"type": "integer", "minimum": 1},
    "minItems": 1,
    "maxItems": 2,
}
_NUMBER: Json = {"type": ["number", "boolean", "null"]}
_DATA: Json = {
    "type": "array",
    "description": "Flat, or in rows; null is NaN where the datatype has a point. Left out where "
    "`parameters.binary_data_size` bytes stand behind the JSON.",
    "items": {"anyOf": [_NUMBER, {"type": "array", "items": _NUMBER}]},
}
_METADATA: Json = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "datatype": {"type": "string"},
        "shape": {"type": "array", "items": {"type": "integer"}},
        "parameters": {
            "type": "object",
            "description": "`columns`: names of the vector's columns; each may come as an input "
            "of its own instead, of shape [n] or [n, 1].",
        },
    },
    "required": ["name", "datatype", "shape"],
}

INFERENCE_SCHEMAS: Json = {
    "InferenceRequest": object_of(
        {
            "id": {"type": "string", "maxLength": 256},
            "inputs": {
                "type": "array",
                "minItems": 1,
                "items": object_of(
                    {
                        "name": {"type": "string", "examples": [MODEL_INPUT]},
                        "datatype": {"enum": list(DTYPES)},
                        "shape": _SIZES,
                        "data": _DATA,
                        "parameters": _PARAMETERS,
                    },
                    required=["name", "datatype", "shape"],
                ),
            },
            "outputs": {
                "type": "array",
                "items": object_of(
                    {"name": {"enum": ["score"]}, "parameters": _PARAMETERS}, required=["name"]
                ),
            },
            "parameters": _PARAMETERS,
        },
        required=["inputs"],
    ),
    "InferenceAnswer": {
        "type": "object",
        "properties": {
            "model_name": {"type": "string"},
            "model_version": {"type": "string"},
            "id": {"type": "string"},
            "outputs": {"type": "array", "items": {"type": "object"}},
        },
        "required": ["model_name", "model_version", "outputs"],
    },
    "ModelMetadata": {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "versions": {"type": "array", "items": {"type": "string"}},
            "platform": {"type": "string"},
            "inputs": {"type": "array", "items": _METADATA},
            "outputs": {"type": "array", "items": _METADATA},
        },
        "required": ["name", "versions", "platform", "inputs", "outputs"],
    },
}


def server_paths() -> Json:
    """What is asked about the server."""
    ready: Json = {"type": "object", "properties": {"ready": {"type": "boolean"}}}
    live: Json = {"type": "object", "properties": {"live": {"type": "boolean"}}}
    about: Json = {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "version": {"type": "string"},
            "extensions": {"type": "array", "items": {"type": "string"}},
        },
    }
    said = {"name": "throughline", "version": "1", "extensions": ["binary_tensor_data"]}
    asked = (
        ("/v2", "What this server is.", about, said, ()),
        ("/v2/health/live", "The process runs.", live, {"live": True}, ()),
        ("/v2/health/ready", "Any model can be asked.", ready, {"ready": True}, ("not_ready",)),
    )
    return {
        path: {"get": operation(summary, _TAG, schema, problems=problems, example=example)}
        for path, summary, schema, example, problems in asked
    }


def model_paths(name: str, served: Served) -> Json:
    """What is asked of one model, with and without a version."""
    base = f"/v2/models/{name}"
    version = {**_VERSION, "example": str(served.champion.manifest.release)}
    paths = _model_paths(base, name, served)
    with_version = _model_paths(f"{base}/versions/{{release}}", name, served)
    for operations in with_version.values():
        for found in operations.values():
            found["parameters"] = [version, *found.get("parameters", ())]
    return {**paths, **with_version}


def _model_paths(base: str, name: str, served: Served) -> Json:
    ready: Json = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "ready": {"type": "boolean"}},
    }
    infer = operation(
        f"Scores of {name} for vectors that the caller brings: nothing is read, decided, recorded.",
        _TAG,
        reference("InferenceAnswer"),
        problems=INFERENCE,
        example=inferred(name, served),
    )
    infer["requestBody"] = body(reference("InferenceRequest"), inference_of(served))
    metadata = operation(
        f"What {name} takes and answers.",
        _TAG,
        reference("ModelMetadata"),
        problems=MODEL,
        example=metadata_of(name, served),
    )
    is_ready = operation(
        f"{name} can be asked.", _TAG, ready, problems=MODEL, example={"name": name, "ready": True}
    )
    return {
        base: {"get": metadata},
        f"{base}/ready": {"get": is_ready},
        f"{base}/infer": {"post": infer},
    }
