"""The HTTP routes: bytes to domain values, one call, bytes back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import msgspec
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.types import Lifespan

from core.access import Verb
from core.clock import Clock
from core.errors import PlatformError
from serving.access import Access
from serving.engine.calls import MAX_FAULTS
from serving.engine.engine import Engine
from serving.engine.gate import Gate
from serving.engine.inference import Inference
from serving.engine.speaking import older_headers
from serving.errors import (
    BrokenContractError,
    ConflictError,
    FieldFault,
)
from serving.events.events import EventIntake, Result
from serving.models.releases import Releases
from serving.ports import Json
from serving.records.passports import Passports
from serving.rollouts.views import RolloutViews
from serving.settings import HttpSettings
from serving.telemetry.health import Health
from serving.telemetry.metrics import Telemetry
from serving.telemetry.scraping import Scraping
from serving.transport.admission import charge_events, charge_points, grant_of
from serving.transport.body import json_body
from serving.transport.counted import PREDICT, PREDICT_MANY, note_asked, note_record
from serving.transport.crowding import Handler, in_time, is_counted
from serving.transport.head_facts import facts_of
from serving.transport.inference_routes import MODEL, VERSION, InferenceRoutes
from serving.transport.inference_turns import InferenceTurns
from serving.transport.negotiation import prefers_html
from serving.transport.openapi import openapi_of
from serving.transport.problems import V2, http_problem, internal_problem
from serving.transport.shared_json import predictions_json
from serving.transport.shortcut import Shortcut
from serving.transport.timed import Surroundings, TimedRoute
from serving.transport.whole_answers import JsonAnswer


@dataclass(frozen=True)
class Services:
    """All that the routes call."""

    engine: Engine
    passports: Passports
    intake: EventIntake
    health: Health
    releases: Releases
    telemetry: Telemetry
    clock: Clock
    http: HttpSettings
    access: Access
    rollouts: RolloutViews
    scraping: Scraping
    inference: Inference


class Routes:
    """One method a route."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def predict(self, request: Request) -> Response:
        """One prediction."""
        raw, said = await self._json(request), facts_of(request.scope).contract
        note_asked(request, [raw])
        charge_points(request, [raw])
        use_case = request.path_params["use_case"]
        answer = await self._services.engine.predict(use_case, raw, said)
        return self._of_contract(use_case, said, _json(answer))

    async def predict_many(self, request: Request) -> Response:
        """Up to 1,000 predictions."""
        raw, said = await self._json(request), facts_of(request.scope).contract
        points = raw.get("points") if isinstance(raw, dict) else None
        note_asked(request, points if isinstance(points, list) else ())
        charge_points(request, points)
        use_case = request.path_params["use_case"]
        answer = await self._services.engine.predict_many(use_case, raw, said)
        answered = JsonAnswer(predictions_json(answer["predictions"]), 200)
        return self._of_contract(use_case, said, answered)

    def _of_contract(self, use_case: str, said: str | None, answer: JsonAnswer) -> JsonAnswer:
        """The answer; to callers of an older contract, with since when it is one and until when."""
        headers = older_headers(self._services.releases, use_case, said, self._services.clock)
        return _labelled(answer, headers)

    async def take_events(self, request: Request) -> Response:
        """One event or many, durable when this answers."""
        raw = await self._json(request)
        charge_events(request, raw)
        source, said = request.path_params["source"], facts_of(request.scope).contract
        intake = self._services.intake
        told = intake.contract_of(source, said).headers
        results = await intake.take(source, raw, said)
        for status in ("accepted", "duplicate", "rejected"):
            count = sum(result.status == status for result in results)
            if count:
                self._services.telemetry.taken(source, status, count)
        n_rejected = sum(result.status == "rejected" for result in results)
        if n_rejected == len(results):
            raise _refusal(results, is_many=isinstance(raw, list))
        answer = _json(_taken(results), status=207 if n_rejected else 200)
        return _labelled(answer, told)

    async def record(self, request: Request) -> Response:
        """A prediction record; with ``?explain=true`` its contributions too.

        To a browser it is a page, explained where the key opens that.
        """
        passports, record_id = self._services.passports, request.path_params["record_id"]
        asked = request.query_params
        is_page = asked.get("format") != "json" and prefers_html(request.headers.get("accept"))
        is_explained = asked.get("explain", "false") == "true"
        if is_explained:
            grant_of(request).require("explain")
        is_explained = is_explained or (is_page and grant_of(request).opens("explain"))
        record = await (passports.explained if is_explained else passports.record)(record_id)
        note_record(request, record)
        response = await _page(_passport, record) if is_page else _json(record)
        response.headers["Vary"] = "Accept"
        return response

    async def replay(self, request: Request) -> Response:
        """A prediction's vector and score, computed again."""
        passports = self._services.passports
        record = await passports.record(request.path_params["record_id"])
        note_record(request, record)
        return _json(await passports.replay_of(record))

    async def rollout(self, request: Request) -> Response:
        """Where a rollout stands: JSON, or a page for who asks for HTML."""
        view = await self._services.rollouts.of(request.path_params["use_case"])
        is_page = prefers_html(request.headers.get("accept"))
        response = await _page(_rollout, view) if is_page else _json(view)
        response.headers["Vary"] = "Accept"
        return response

    async def live(self, request: Request) -> Response:
        """The process runs."""
        del request
        return _json(self._services.health.life())

    async def ready(self, request: Request) -> Response:
        """The process can answer."""
        del request
        state = await self._services.health.state()
        return _json(state, status=200 if state["ready"] else 503)

    async def metrics(self, request: Request) -> Response:
        """Prometheus metrics."""
        del request
        text = await self._services.scraping.exposition()
        return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")

    async def docs(self, request: Request) -> Response:
        """The page about all this."""
        del request
        return await _page(_docs, self.openapi())

    def openapi(self) -> Json:
        """OpenAPI of what is served now."""
        services = self._services
        return openapi_of(
            services.releases.roster,
            services.intake.sources(),
            is_open=services.access.is_open,
        )

    async def _json(self, request: Request) -> object:
        http = self._services.http
        return await json_body(
            request, max_bytes=http.max_body_bytes, timeout_ms=http.body_timeout_ms
        )


def build_app(services: Services, lifespan: Lifespan[FastAPI]) -> Shortcut:
    """Application with every route, the pages that describe them, and the table of errors.

    Predictions are found before the framework is asked: its layers cost them a tenth. So are
    inferences.
    """
    app = FastAPI(
        title="Throughline",
        version="1",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # it would tell the caller's Host back
    )
    routes = Routes(services)
    table = _table(routes, InferenceRoutes(services.inference, services.http))
    http = services.http
    gate = Gate(services.clock, most=http.max_waiting, patience_ms=http.patience_ms)
    around = Surroundings(
        services.access,
        services.intake,
        services.telemetry,
        services.clock,
        body_timeout_ms=http.body_timeout_ms,
    )
    timed = {
        path: TimedRoute(path, _keeping_time(method, path, handler, gate), verb, around)
        for method, path, handler, verb in table
    }
    for method, path, _, _ in table:
        app.add_route(path, timed[path].answer, methods=[method])
    turns = InferenceTurns(services.inference, timed[f"{MODEL}/infer"], services.clock, gate)
    often: dict[str, dict[str, Handler]] = {
        "/v1/": {path.rpartition("/")[2]: timed[path].answer for path in (PREDICT, PREDICT_MANY)},
        "/v2/models/": {"infer": turns.handler},
    }
    app.add_exception_handler(HTTPException, _http_problem)
    app.openapi = routes.openapi  # type: ignore[method-assign]  # FastAPI's way to say it
    telemetry = services.telemetry
    return Shortcut(
        app,
        handlers=often,
        limits=http,
        refused=telemetry.refused,
        sent_away=telemetry.sent_away,
        gate=gate,
        turns=turns,
    )


Route = tuple[str, str, Handler, Verb | None]


def _table(routes: Routes, inference: InferenceRoutes) -> tuple[Route, ...]:
    """Method, path, handler, and what a key must open, None where none is asked for."""
    return (
        ("GET", "/v1/predictions/{record_id}", routes.record, "passports"),
        ("GET", "/v1/predictions/{record_id}/replay", routes.replay, "passports"),
        ("GET", "/v1/rollouts/{use_case}", routes.rollout, "rollouts"),
        ("POST", "/v1/events/{source}", routes.take_events, "events"),
        ("POST", PREDICT, routes.predict, "predict"),
        ("POST", PREDICT_MANY, routes.predict_many, "predict"),
        ("GET", "/livez", routes.live, None),
        ("GET", "/readyz", routes.ready, None),
        ("GET", "/metrics", routes.metrics, None),
        ("GET", "/docs", routes.docs, None),
        ("GET", "/v2", inference.server, None),
        ("GET", "/v2/health/live", inference.live, None),
        ("GET", "/v2/health/ready", inference.ready, None),
        *(
            route
            for model in (MODEL, VERSION)
            for route in (
                ("GET", model, inference.metadata, "predict"),
                ("GET", f"{model}/ready", inference.model_ready, "predict"),
                ("POST", f"{model}/infer", inference.infer, "predict"),
            )
        ),
    )


def _keeping_time(method: str, path: str, handler: Handler, gate: Gate) -> Handler:
    """The handler, within its caller's time where it waits for the engine."""
    return partial(in_time, handler, gate) if is_counted(method, path) else handler


async def _http_problem(request: Request, error: Exception) -> Response:
    is_v2 = request.url.path.startswith(V2)
    if isinstance(error, HTTPException):
        return http_problem(error, is_v2=is_v2)
    return internal_problem(is_v2=is_v2)


def _json(value: Json, *, status: int = 200) -> JsonAnswer:
    return JsonAnswer(msgspec.json.encode(value), status)


def _labelled(answer: JsonAnswer, headers: Mapping[str, str]) -> JsonAnswer:
    for name, value in headers.items():
        answer.raw_headers.append((name.lower().encode(), value.encode()))
    return answer


async def _page(draw: Callable[[Json], str], value: Json) -> Response:
    """A page that runs nothing and fetches nothing, whatever stands in it."""
    html = await asyncio.to_thread(draw, value)
    from serving.console.rendering import page_headers

    return HTMLResponse(html, headers=page_headers())


# Templates and what draws them are imported with the first page that is asked for, and not before.
def _passport(record: Json) -> str:
    from serving.console.passport import passport_page

    return passport_page(record)


def _rollout(view: Json) -> str:
    from serving.console.rollout_page import rollout_page

    return rollout_page(view)


def _docs(document: Json) -> str:
    from serving.console.api_page import docs_page

    return docs_page(document)


def _taken(results: list[Result]) -> Json:
    counts = {
        status: sum(result.status == status for result in results)
        for status in ("accepted", "duplicate", "rejected")
    }
    return {**counts, "results": [result.to_json() for result in results]}


def _refusal(results: list[Result], *, is_many: bool) -> PlatformError:
    """Why none of what was sent was taken."""
    violations = [result.violation for result in results if result.violation is not None]
    if not is_many and violations[0].code == "duplicate_conflict":
        return ConflictError(violations[0].message, code=violations[0].code)
    faults = []
    for index, (code, field, message) in enumerate(violations[:MAX_FAULTS]):
        parts = [str(index)] if is_many else []
        parts += [field] if field else []
        faults.append(FieldFault("".join(f"/{part}" for part in parts), code, message))
    return BrokenContractError(faults)
