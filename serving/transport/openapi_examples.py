"""Examples for the OpenAPI document, made from the contracts that hold, so that they are taken."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.contracts import FieldSpec, Source
from serving.models.releases import Served
from serving.ports import Json
from stores.shelf.bundle import MODEL_INPUT, MODEL_OUTPUT, Contract

NOW_MS = 1_767_225_600_000
NOW = "2026-01-01T00:00:00Z"
_WRITER = "5f0c1a2b3c4d"
_TIMINGS = {"validate": 0.05, "read": 0.4, "transform": 0.2, "score": 0.1, "record": 0.1}


def record_id_of(use_case: str) -> str:
    """An id as records have it."""
    return f"{use_case}-{_WRITER}-1-0"


def request_of(contract: Contract) -> Json:
    """A point that a contract takes."""
    return {
        "entities": {spec.name: _sample(spec) for spec in contract.keys},
        "inputs": {spec.name: _sample(spec) for spec in contract.inputs},
        "explain": True,
    }


def answer_of(name: str, served: Served) -> Json:
    """What such a point may be answered."""
    champion = served.champion
    policy = champion.manifest.decisions
    return {
        "prediction_id": record_id_of(name),
        "score": 0.0125,
        "decision": policy.default,
        "reasons": [{"code": policy.default_reason}],
        "model": {
            "name": name,
            "version": champion.manifest_digest[:12],
            "release": champion.manifest.release,
            "channel": "champion",
        },
        "features": {
            view.name: {"status": "NOT_FOUND", "age_ms": None} for view in champion.plan.views
        },
        "degraded": None,
        "timings_ms": _TIMINGS,
    }


def record_of(name: str, served: Served) -> Json:
    """The record of that answer, shortened."""
    request, answer = request_of(served.champion.manifest.contract), answer_of(name, served)
    return {
        "prediction_id": answer["prediction_id"],
        "use_case": name,
        "received_at_ms": NOW_MS,
        "at_ms": NOW_MS,
        "event_id": None,
        "rollout": None,
        **{part: request[part] for part in ("entities", "inputs")},
        "masked": [],
        **{part: answer[part] for part in ("score", "decision", "model", "degraded", "timings_ms")},
        "reason": answer["reasons"][0]["code"],
        "rule": None,
        "explanation": None,
        "request_id": "order-17",
        "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    }


def replay_of(name: str, served: Served) -> Json:
    """That record, computed again."""
    answer = answer_of(name, served)
    outcome = {"score": 0.0125, "decision": answer["decision"]}
    return {
        "prediction_id": answer["prediction_id"],
        "is_equal": True,
        "differences": [],
        "recorded": outcome,
        "replayed": outcome,
        "model": answer["model"],
        "compared": {"vector": len(served.champion.plan.vector), "score_tolerance": 1e-6},
        "unreplayable": None,
    }


def rollout_of(name: str, served: Served) -> Json:
    """Where nothing is under way."""
    channels: Json = {"champion": served.state.champion, "challenger": None,
                      "challenger_weight": 0.0, "shadow": None, "older": []}  # fmt: skip
    return {"use_case": name, "channels": channels, "rollout": None, "shadow": None, "audit": []}


def event_of(source: Source) -> Json:
    """An event that the contract takes."""
    values = {spec.name: _sample(spec) for spec in source.fields}
    return {"event_id": "e-1", "event_timestamp": NOW, **values}


def events_answer() -> Json:
    """What such an event is answered."""
    return {
        "accepted": 1,
        "duplicate": 0,
        "rejected": 0,
        "results": [{"status": "accepted", "position": 0}],
    }


def metadata_of(name: str, served: Served) -> Json:
    """What the model takes and answers."""
    vector = list(served.champion.plan.vector)
    return {
        "name": name,
        "versions": [str(served.champion.manifest.release)],
        "platform": "onnxruntime_onnx",
        "inputs": [
            {
                "name": MODEL_INPUT,
                "datatype": "FP32",
                "shape": [-1, len(vector)],
                "parameters": {"columns": vector},
            }
        ],
        "outputs": [{"name": MODEL_OUTPUT, "datatype": "FP32", "shape": [-1, 1]}],
    }


def inference_of(served: Served) -> Json:
    """One vector for the model."""
    width = len(served.champion.plan.vector)
    given = {"name": MODEL_INPUT, "datatype": "FP32", "shape": [1, width], "data": [1.0] * width}
    return {"id": "order-17", "inputs": [given]}


def inferred(name: str, served: Served) -> Json:
    """What it may be answered."""
    return {
        "model_name": name,
        "model_version": str(served.champion.manifest.release),
        "id": "order-17",
        "outputs": [{"name": MODEL_OUTPUT, "datatype": "FP32", "shape": [1, 1], "data": [0.0125]}],
    }


def health_of(use_cases: Mapping[str, Served]) -> Json:
    """A process that can answer."""
    serving = {
        name: {
            "champion": served.champion.manifest.release,
            "manifest_digest": served.champion.manifest_digest,
        }
        for name, served in use_cases.items()
    }
    return {"ready": True, "channels": 1, "serving": serving, "shelf": "ok", "sources": {}}


def _sample(spec: FieldSpec) -> Any:
    if spec.allowed:
        return spec.allowed[0]
    low = 1 if spec.minimum is None else spec.minimum
    samples: Json = {
        "string": "a1",
        "int64": int(low),
        "float64": float(low),
        "bool": True,
        "timestamp": NOW,
    }
    return samples[spec.type]
