"""The routes of the Open Inference Protocol: `/v2` and what lies below it."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from serving.engine.inference import SERVER, Inference
from serving.ports import Json
from serving.settings import HttpSettings
from serving.transport.admission import grant_of
from serving.transport.body import tensor_body
from serving.transport.head_facts import facts_of
from serving.transport.open_inference import HEADER_LENGTH, infer_answer, infer_request
from serving.transport.whole_answers import JsonAnswer

MODEL = "/v2/models/{use_case}"
VERSION = f"{MODEL}/versions/{{release}}"


class InferenceRoutes:
    """One method a route; a model is a use case, its version the number of a release."""

    def __init__(self, inference: Inference, http: HttpSettings) -> None:
        self._inference = inference
        self._http = http

    async def server(self, request: Request) -> Response:
        """What this server is."""
        del request
        return _json(SERVER)

    async def live(self, request: Request) -> Response:
        """The process runs."""
        del request
        return _json({"live": True})

    async def ready(self, request: Request) -> Response:
        """Any model can be asked."""
        del request
        is_ready = self._inference.is_ready()
        return _json({"ready": is_ready}, status=200 if is_ready else 503)

    async def metadata(self, request: Request) -> Response:
        """What a model takes and answers."""
        return _json(self._inference.metadata(*_model(request)))

    async def model_ready(self, request: Request) -> Response:
        """A model is in memory; 404 else, as there is no state between."""
        name, version = _model(request)
        self._inference.metadata(name, version)
        return _json({"name": name, "ready": True})

    async def infer(self, request: Request) -> Response:
        """Scores of the vectors in the body."""
        http, (name, version) = self._http, _model(request)
        body = await tensor_body(
            request, max_bytes=http.max_body_bytes, timeout_ms=http.body_timeout_ms
        )
        asked, tensors = infer_request(body, facts_of(request.scope).n_json)
        grant_of(request).charge(max((len(each.values) for each in tensors), default=0))
        answered_by, scores = await self._inference.infer(name, version, tensors)
        content, n_json = infer_answer(name, answered_by, asked, scores)
        if n_json is None:
            return JsonAnswer(content, 200)
        headers = {HEADER_LENGTH: str(n_json)}
        return Response(content, media_type="application/octet-stream", headers=headers)


def _model(request: Request) -> tuple[str, str]:
    """Name and version that a path asks for; an empty version where it names none."""
    return request.path_params["use_case"], request.path_params.get("release", "")


def _json(value: Json, *, status: int = 200) -> Response:
    return JsonAnswer(msgspec.json.encode(value), status)
