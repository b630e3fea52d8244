"""The OpenAPI document: examples that keep to their schemas and are taken, and every code."""

from __future__ import annotations

import ast
from pathlib import Path

import httpx
import jsonschema
import pytest
from bad_bodies import BODIES
from bad_messages import MESSAGES
from bundles import serve, shelve
from online_processes import service

import serving.errors as errors_module
from core.errors import PlatformError
from serving.transport.problem_codes import FAULTS, PROBLEMS, example_of
from serving.transport.problems import STATUS, status_of
from stores.layout import Layout

SERVING = Path(errors_module.__file__).parent
OF_OTHER_PROCESSES = {
    *("no_verdict", "verdict_refused", "no_rollout_declared", "no_shadow_of_itself"),
    *("not_approved", "no_release_named", "no_rollout", "no_other_champion", "rollout_running"),
    *("no_approval", "another_stage", "no_former_champion", "not_a_former_champion"),
    *("contract_new_major", "callers_refused", "overtaken", "another_approver"),
}
AT_START_AND_AT_SWAPS = {
    *("open_to_others", "bad_setting", "unknown_setting", "counter_went_back", "metrics_port"),
    "port_taken",
    *("model_unreadable", "model_shape", "contract_incomplete"),
    *("model_hangs", "model_crashes", "no_room", "forked_session"),
    *("no_such_device", "device_not_got", "no_tracing"),
}
FAMILIES = {"platform_error", "configuration", "invalid_input", "overloaded", "unread_body"}
"""Codes of classes that are raised under codes of their own only."""


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    layout = Layout(tmp_path_factory.mktemp("home")).create()
    serve(layout, shelve(layout), counter=1)
    with service(layout) as started, httpx.Client(base_url=started.url) as client:
        yield client


@pytest.fixture(scope="module")
def document(client):
    return client.get("/openapi.json").json()


def operations(document):
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def contents(document):
    """Every place that has a schema and examples, with where it is."""
    for path, method, operation in operations(document):
        here = f"{method} {path}"
        places = {"body": operation.get("requestBody", {}), **operation["responses"]}
        for name, place in places.items():
            for media_type, content in place.get("content", {}).items():
                if media_type.endswith("json"):
                    yield f"{here} {name}", content


def test_whoever_may_say_how_long_they_wait_reads_how(document):
    name = "x-request-timeout-ms"
    told = {
        path
        for path, _, operation in operations(document)
        if name in [each["name"] for each in operation.get("parameters", ())]
    }
    base, model = "/v1/toy/predictions", "/v2/models/toy"
    versioned = f"{model}/versions/{{release}}/infer"
    assert told == {base, f"{base}:batch", f"{model}/infer", versioned}
    parameters = document["paths"][versioned]["post"]["parameters"]
    assert [each["name"] for each in parameters] == ["release", name]


def test_every_route_has_examples_that_keep_to_their_schemas(document):
    components = document["components"]
    seen = 0
    for where, content in contents(document):
        validator = jsonschema.Draft202012Validator({**content["schema"], "components": components})
        assert content["examples"], where
        for example in content["examples"].values():
            name = example.get("$ref", "").rpartition("/")[2]
            value = components["examples"][name]["value"] if name else example["value"]
            validator.validate(value)
            seen += 1
    assert seen > 100


def test_every_route_is_asked_with_its_example_and_answers_as_it_says(client, document):
    asked = 0
    for path, method, operation in operations(document):
        parameters = {each["name"]: each for each in operation.get("parameters", ())}
        given = {name: each["example"] for name, each in parameters.items() if each["in"] == "path"}
        json_ = None
        if "requestBody" in operation:
            examples = operation["requestBody"]["content"]["application/json"]["examples"]
            json_ = examples["one"]["value"]
        answer = client.request(method, path.format(**given), json=json_)
        is_unknown_record = "record_id" in given
        assert answer.status_code == (404 if is_unknown_record else 200), (path, answer.text)
        said = operation["responses"][str(answer.status_code)]
        media_type = answer.headers["content-type"].partition(";")[0]
        assert media_type in said["content"]
        if media_type.endswith("json"):
            schema = {**said["content"][media_type]["schema"], "components": document["components"]}
            jsonschema.Draft202012Validator(schema).validate(answer.json())
        asked += 1
    assert asked == len(list(operations(document)))


def test_every_operation_says_what_it_may_answer_and_how_answers_are_traced(document):
    for path, _, operation in operations(document):
        assert operation["summary"]
        for status, response in operation["responses"].items():
            assert response["description"], (path, status)
            assert {"X-Request-ID", "traceparent"} <= set(response["headers"])


def test_every_code_is_told_with_the_status_that_it_has():
    codes = {error.code: error for error in errors_of()}
    for code, error in codes.items():
        if code not in FAMILIES | {"conflict"}:  # a conflict always says of what
            built = error("wrong") if error is not errors_module.BrokenContractError else error([])
            assert PROBLEMS[code].status == status_of(built), code
            assert PROBLEMS[code].is_retryable in (built.is_retryable, True), code


def errors_of():
    """Classes of errors that the service may answer by."""
    own = [each for each in vars(errors_module).values() if isinstance(each, type)]
    return {each for each in (*own, *STATUS) if issubclass(each, PlatformError)}


def test_no_code_that_the_service_raises_is_missing():
    raised = set()
    for path in SERVING.rglob("*.py"):
        if "console" in path.parts:  # pages for people, not problems
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.keyword) and node.arg == "code":
                value = node.value.value if isinstance(node.value, ast.Constant) else None
                raised |= {value} if isinstance(value, str) else set()
    missing = raised - set(PROBLEMS) - OF_OTHER_PROCESSES - AT_START_AND_AT_SWAPS
    missing -= {"model_failed"}  # a rung of the ladder, never an answer's code
    assert missing == set(), "tell them in PROBLEMS, or here where no caller meets them"


def literals_of(*calls):
    """First texts that look like codes in calls of these names, in core and serving."""
    for path in [*SERVING.rglob("*.py"), *(SERVING.parent / "core").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in calls:
                texts = [a.value for a in node.args if isinstance(a, ast.Constant)]
                found = [t for t in texts if isinstance(t, str) and t.replace("_", "").isalpha()]
                yield from found[:1]


def test_every_code_of_a_field_is_told(client, document):
    raised = set(literals_of("FieldFault", "refuse", "Violation", "fault", "RefusedValue"))
    assert {"wrong_type", "unknown_field", "future_event", "wrong_size"} <= raised
    assert raised <= set(FAULTS), raised - set(FAULTS)
    told = document["components"]["schemas"]["Problem"]["properties"]["errors"]["items"]
    assert all(f"`{code}`" in told["properties"]["code"]["description"] for code in FAULTS)


def test_every_code_of_the_corpus_is_told(document):
    met = {code for _, code in BODIES.values()} | {m.code for m in MESSAGES.values() if m.code}
    assert met <= set(document["components"]["examples"])
    for message in MESSAGES.values():
        if message.code:
            assert PROBLEMS[message.code].status == message.status


def test_examples_of_problems_look_like_those_that_are_sent(client):
    sent = client.post("/v1/toy/predictions", json={}).json()
    assert set(example_of("contract")) | {"detail"} == set(sent)
    assert example_of("not_found")["status"] == 404
    assert example_of("method_not_allowed")["status"] == 405
