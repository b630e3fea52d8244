"""Over HTTP, against a real server with a real model: predictions, records, replay, pages."""

from __future__ import annotations

import re
from html import unescape

import httpx
import jsonschema
import pytest
from bundles import REQUEST, expected_score, serve, shelve
from online_processes import OnlineProcess, service
from training_sets import small_use_case

from assets.resources import Platform
from assets.watching.synthetic import asked
from core.clock import SystemClock
from core.synthetic import RECORD_MARK, is_marked
from orchestration.http_service import HttpService
from orchestration.processes import free_port
from stores.home_id import known_home_id
from stores.layout import Layout


@pytest.fixture(scope="module")
def layout(tmp_path_factory):
    layout = Layout(tmp_path_factory.mktemp("home")).create()
    serve(layout, shelve(layout), counter=1)
    return layout


@pytest.fixture(scope="module")
def client(layout):
    with service(layout) as started, httpx.Client(base_url=started.url, timeout=60) as client:
        yield client


def test_a_prediction(client):
    answer = client.post("/v1/toy/predictions", json=REQUEST)
    assert answer.status_code == 200
    body = answer.json()
    assert body["score"] == pytest.approx(expected_score([1_250, None, 0, None, None]), abs=1e-7)
    assert body["decision"] == "APPROVE"
    assert body["degraded"] is None
    assert body["prediction_id"].startswith("toy-")


def counted(client):
    """All that counts or times requests, but for scrapes."""
    lines = client.get("/metrics").text.splitlines()
    named = re.compile(r"throughline_\w+_(total|count|sum|bucket)\{")
    return [line for line in lines if named.match(line) and "/metrics" not in line]


def test_a_synthetic_request_goes_the_real_way_and_its_record_bears_the_mark(client, layout):
    platform = Platform(home=str(layout.root), online_url=layout.online_url, tracking_uri="")
    there = HttpService(home=str(layout.root), url=str(client.base_url).rstrip("/"))
    use_case = small_use_case().model_copy(update={"name": "toy"})
    before = counted(client)
    answer, faults = asked(platform, there, use_case)
    assert faults == []
    assert counted(client) == before  # no statistic has it, nor that its record was read
    assert is_marked(client.get(f"/v1/predictions/{answer['prediction_id']}").json()["event_id"])
    segments = [path.read_bytes() for path in layout.records("toy").rglob("*") if path.is_file()]
    assert sum(RECORD_MARK.encode() in segment for segment in segments) == 1


def test_a_prediction_explained(client):
    reasons = client.post("/v1/toy/predictions", json={**REQUEST, "explain": True}).json()[
        "reasons"
    ]
    assert reasons[0] == {"code": "no_sign"}
    assert reasons[1]["feature"] == "payment_v1:amount"
    assert reasons[1]["value"] == 1_250
    assert reasons[1]["contribution"] == pytest.approx(0.5)


def test_what_is_asked_is_measured_by_what_is_promised(client):
    def found(objective):
        name = f'throughline_objective_requests_total{{objective="{objective}"'
        lines = [line for line in counted(client) if line.startswith(name)]
        return sum(float(line.rpartition(" ")[2]) for line in lines)

    before = found("p99"), found("availability")
    client.post("/v1/toy/predictions", json=REQUEST).raise_for_status()
    client.post("/v1/toy/predictions:batch", json={"points": [REQUEST]}).raise_for_status()
    assert client.post("/v1/toy/predictions", json={}).status_code == 422
    assert (found("p99"), found("availability")) == (before[0] + 1, before[1] + 2)
    assert 'throughline_objective_p99_seconds{use_case="toy"} 0.1' in client.get("/metrics").text


def test_a_thousand_at_once(client):
    points = [{**REQUEST, "inputs": {"amount_minor": 1 + n * 20}} for n in range(1_000)]
    answer = client.post("/v1/toy/predictions:batch", json={"points": points})
    predictions = answer.json()["predictions"]
    assert [p["decision"] for p in predictions] == sorted(
        (p["decision"] for p in predictions), key=["APPROVE", "REVIEW", "BLOCK"].index
    )
    assert {p["decision"] for p in predictions} == {"APPROVE", "REVIEW", "BLOCK"}
    record = client.get(f"/v1/predictions/{predictions[777]['prediction_id']}").json()
    assert record["inputs"]["amount_minor"] == 1 + 777 * 20


BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


def test_a_browser_gets_a_record_as_a_page_explained(client):
    record_id = client.post("/v1/toy/predictions", json=REQUEST).json()["prediction_id"]
    path = f"/v1/predictions/{record_id}"
    page = client.get(path, headers={"Accept": BROWSER})
    assert page.headers["content-type"].startswith("text/html")
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
    assert page.headers["vary"] == "Accept"
    assert record_id in page.text
    assert "class=waterfall" in page.text
    for answer in (
        client.get(path, headers={"Accept": BROWSER}, params={"format": "json"}),
        client.get(path, headers={"Accept": "application/json"}),
        client.get(path),
    ):
        assert answer.json()["prediction_id"] == record_id
    assert client.get("/v1/predictions/toy-0", headers={"Accept": BROWSER}).status_code == 404


def test_a_record_and_its_replay(client):
    record_id = client.post("/v1/toy/predictions", json=REQUEST).json()["prediction_id"]
    record = client.get(f"/v1/predictions/{record_id}").json()
    assert record["prediction_id"] == record_id
    assert record["entities"] == REQUEST["entities"]
    replay = client.get(f"/v1/predictions/{record_id}/replay").json()
    assert replay["is_equal"], replay
    explained = client.get(f"/v1/predictions/{record_id}", params={"explain": "true"}).json()
    assert explained["explanation"]["base"] == -4.0


@pytest.mark.parametrize(
    "record_id", ["toy-00000000-0-0", "nothing", "..%2F..%2Fchannels", "toy-0-0-0", "%00"]
)
def test_a_record_that_is_not_there(client, record_id):
    for path in (f"/v1/predictions/{record_id}", f"/v1/predictions/{record_id}/replay"):
        answer = client.get(path)
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "application/problem+json"


def test_a_use_case_that_is_not_served(client):
    answer = client.post("/v1/fraudulent/predictions", json=REQUEST)
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_use_case")
    assert "fraudulent" not in answer.text


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/toy", "/v2/health", "/v1/toy/predictions:x"])
def test_a_path_that_is_not_there(client, path):
    answer = client.get(path)
    assert answer.status_code in (404, 405)
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_method_that_is_not_there(client):
    answer = client.get("/v1/toy/predictions")
    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
    assert answer.headers["allow"] == "POST"


def test_health_says_what_is_served_and_of_which_home(client, layout):
    assert client.get("/livez").json() == {"live": True, "home": known_home_id(layout)}
    state = client.get("/readyz").json()
    assert state["ready"]
    assert state["channels"] == 1
    assert state["serving"]["toy"]["champion"] == 1
    assert state["shelf"] == "ok"
    assert state["sources"] == {"card_states": None, "payments": None, "verdicts": None}


def test_a_rollout_is_told_as_json_and_as_a_page(client):
    told = client.get("/v1/rollouts/toy").json()
    assert told["channels"]["champion"] == 1
    assert told["rollout"] is None
    page = client.get("/v1/rollouts/toy", headers={"Accept": "text/html,*/*;q=0.8"})
    assert page.headers["content-type"].startswith("text/html")
    assert page.headers["vary"] == "Accept"
    program = client.get("/v1/rollouts/toy", headers={"Accept": "application/json, text/html;q=0"})
    assert program.headers["content-type"] == "application/json"
    assert "Release <b>1</b> is the champion" in page.text
    missing = client.get("/v1/rollouts/other")
    assert (missing.status_code, missing.json()["code"]) == (404, "unknown_use_case")


def test_metrics_count_what_happened(client):
    client.post("/v1/toy/predictions", json=REQUEST)
    client.post("/v1/toy/predictions", json={})
    text = client.get("/metrics").text
    assert 'throughline_predictions_total{channel="champion",decision="APPROVE"' in text
    assert 'throughline_refusals_total{code="contract"}' in text
    assert 'throughline_release{channel="champion",use_case="toy"} 1.0' in text
    assert 'route="/v1/{use_case}/predictions",status="422"' in text
    assert "c1" not in text


def test_the_pages_describe_every_route_and_contract(client):
    assert client.get("/docs").status_code == 200
    document = client.get("/openapi.json").json()
    assert set(document["paths"]) == {
        "/v1/rollouts/{use_case}",
        "/v1/toy/predictions",
        "/v1/toy/predictions:batch",
        "/v1/events/payments",
        "/v1/events/verdicts",
        "/v1/events/card_states",
        "/v1/predictions/{record_id}",
        "/v1/predictions/{record_id}/replay",
        "/v2",
        "/v2/health/live",
        "/v2/health/ready",
        "/v2/models/toy",
        "/v2/models/toy/ready",
        "/v2/models/toy/infer",
        "/v2/models/toy/versions/{release}",
        "/v2/models/toy/versions/{release}/ready",
        "/v2/models/toy/versions/{release}/infer",
        "/livez",
        "/readyz",
        "/metrics",
    }
    request = document["components"]["schemas"]["toy_request"]
    amount = request["properties"]["inputs"]["properties"]["amount_minor"]
    assert (amount["type"], amount["minimum"], amount["maximum"]) == ("integer", 1, 10_000_000)
    assert request["properties"]["entities"]["required"] == ["card_id", "terminal_id"]


def test_the_page_stands_alone_and_its_commands_work(client):
    page = client.get("/docs").text
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "https://" not in page
    assert "<script" not in page
    commands = re.findall(r">curl -s localhost:8080(\S+) .*? -d &#39;(.*?)&#39;</pre>", page)
    assert len(commands) == 7
    for path, body in commands:
        answer = client.post(
            path, content=unescape(body), headers={"content-type": "application/json"}
        )
        assert answer.status_code == 200, (path, answer.text)


def test_the_example_of_the_pages_is_taken(client):
    document = client.get("/openapi.json").json()
    (example,) = document["components"]["schemas"]["toy_request"]["examples"]
    assert client.post("/v1/toy/predictions", json=example).status_code == 200


def test_every_reference_of_the_pages_leads_somewhere(client):
    document = client.get("/openapi.json").json()
    components = document["components"]
    known = {
        f"#/components/{kind}/{name}"
        for kind in ("schemas", "headers", "examples")
        for name in components[kind]
    }

    def references(node):
        if isinstance(node, dict):
            if "$ref" in node:
                yield node["$ref"]
            for value in node.values():
                yield from references(value)
        if isinstance(node, list):
            for value in node:
                yield from references(value)

    found = set(references(document))
    assert found
    assert found <= known
    of_no_route = {f"#/components/examples/{code}" for code in ("not_found", "method_not_allowed")}
    assert known - found == of_no_route


def test_answers_keep_to_their_schemas(client):
    document = client.get("/openapi.json").json()
    answer = client.post("/v1/toy/predictions", json={**REQUEST, "explain": True}).json()
    record = client.get(f"/v1/predictions/{answer['prediction_id']}").json()
    problem = client.post("/v1/toy/predictions", json={}).json()
    event = {"event_id": "s1", "event_timestamp": SystemClock().now_ms(), "payment_id": "p"}
    event |= {"terminal_id": "t1", "is_fraud": 0}
    taken = client.post("/v1/events/verdicts", json=[event, {}]).json()
    for name, value in [
        ("toy_request", REQUEST),
        ("verdicts_event", event),
        ("Answer", answer),
        ("Record", record),
        ("Problem", problem),
        ("EventsAnswer", taken),
        ("Health", client.get("/readyz").json()),
    ]:
        schema = {**document["components"]["schemas"][name], "components": document["components"]}
        jsonschema.Draft202012Validator(schema).validate(value)


@pytest.mark.slow
def test_without_a_champion_the_service_lives_but_is_not_ready(tmp_path):
    layout = Layout(tmp_path).create()
    started = OnlineProcess("serving.main", layout, free_port())
    try:
        started.wait_until(lambda: is_live(started.url))
        answer = httpx.get(f"{started.url}/readyz")
        assert (answer.status_code, answer.json()["ready"]) == (503, False)
        refused = httpx.post(f"{started.url}/v1/toy/predictions", json=REQUEST)
        assert refused.status_code == 404
        serve(layout, shelve(layout), counter=1)
        started.wait_until_ready()
        assert httpx.post(f"{started.url}/v1/toy/predictions", json=REQUEST).status_code == 200
    finally:
        assert started.end() == 0


def is_live(url):
    try:
        return httpx.get(f"{url}/livez").status_code == 200
    except httpx.HTTPError:
        return False


def test_a_misspelt_setting_stops_the_start(tmp_path):
    for module in ("serving.main", "serving.folder", "serving.controller"):
        started = OnlineProcess(module, Layout(tmp_path).create(), 0, HTTP__PROT=1)
        assert started.process.wait(timeout=60) == 1
        assert "THROUGHLINE_HTTP__PROT matches no setting" in started.log.read_text()
