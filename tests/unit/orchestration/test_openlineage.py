"""What a keeper of lineage is told of a run, over HTTP and in a file."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import dagster as dg
import pytest
from bundles import TOY_PLAN
from training_sets import small_use_case

from assets.declared import Declared
from core.errors import ConfigurationError
from orchestration.openlineage import (
    columns_of,
    events_of_run,
    openlineage_sensors,
    source_of,
    transport_of,
)
from orchestration.settings import Settings

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning")
DECLARED = Declared({"toy": small_use_case().model_copy(update={"name": "toy"})}, {"toy": TOY_PLAN})
COLUMNS = dg.TableSchema(columns=[dg.TableColumn("amount_minor", "long", "Amount.")])


@dg.asset(key=["events", "payments"])
def payments():
    return dg.MaterializeResult(
        metadata={"dagster/row_count": 3, "delta_version": 7, "dagster/column_schema": COLUMNS}
    )


@dg.asset(key=["training", "toy"], deps=[payments])
def training():
    return dg.MaterializeResult(metadata={"dagster/row_count": 2})


@dg.asset(key=["training", "broken"])
def broken():
    raise ValueError("no")


def definitions():
    return dg.Definitions(assets=[payments, training, broken])


def ran(*assets):
    """A run that has ended, its log, and what events are made of."""
    instance = dg.DagsterInstance.ephemeral()
    result = dg.materialize(list(assets), instance=instance, raise_on_error=False)
    run = instance.get_run_by_id(result.run_id)
    graph = definitions().resolve_asset_graph()
    return (
        run,
        instance.all_logs(result.run_id),
        source_of(columns_of(DECLARED), graph, "s3://lake"),
    )


def documents(run, log, source, path):
    transport = transport_of(path.as_uri())
    for event in events_of_run(run, log, source):
        transport.emit(event)
    transport.close()
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    run, log, source = ran(payments, training)
    return run, documents(run, log, source, tmp_path_factory.mktemp("told") / "deep/lineage.ndjson")


def test_every_asset_is_a_run_that_began_and_ended(told):
    run, events = told
    assert [(each["job"]["name"], each["eventType"]) for each in events] == [
        ("events/payments", "START"),
        ("events/payments", "COMPLETE"),
        ("training/toy", "START"),
        ("training/toy", "COMPLETE"),
    ]
    assert len({each["run"]["runId"] for each in events}) == 2
    parents = {each["run"]["facets"]["parent"]["run"]["runId"] for each in events}
    assert parents == {run.run_id}


def test_what_was_read_and_written_is_named(told):
    _, events = told
    written = events[1]["outputs"][0]
    assert (written["namespace"], written["name"]) == ("s3://lake", "events/payments")
    assert written["facets"]["version"]["datasetVersion"] == "7"
    (field,) = written["facets"]["schema"]["fields"]
    assert (field["name"], field["type"], field["description"]) == (
        "amount_minor", "long", "Amount."
    )  # fmt: skip
    assert written["outputFacets"]["outputStatistics"]["rowCount"] == 3
    assert [each["name"] for each in events[3]["inputs"]] == ["events/payments"]


def test_columns_of_a_training_set_lead_to_those_of_sources(told):
    _, events = told
    fields = events[3]["outputs"][0]["facets"]["columnLineage"]["fields"]
    read = fields["card_activity_v1__amount_minor_count_1d"]["inputFields"]
    assert [(each["name"], each["field"]) for each in read] == [
        ("events/payments", "amount_minor"),
        ("events/payments", "card_id"),
    ]
    assert fields.keys() == {name.replace(":", "__") for name in TOY_PLAN.vector}


def test_a_failed_run_is_told_of(tmp_path):
    run, log, source = ran(broken)
    events = documents(run, log, source, tmp_path / "lineage.ndjson")
    assert [each["eventType"] for each in events] == ["FAIL"]


class Keeper(BaseHTTPRequestHandler):
    """Takes what it is told, as Marquez does."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        assert isinstance(self.server, KeeperServer)
        self.server.taken.append((self.path, json.loads(body)))
        self.send_response(201)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


class KeeperServer(HTTPServer):
    """All that it was told, in order: path and event."""

    taken: list[tuple[str, dict[str, Any]]]


@pytest.fixture
def keeper():
    with KeeperServer(("127.0.0.1", 0), Keeper) as server:
        server.taken = []
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_the_sensor_tells_a_keeper_over_http(keeper):
    settings = Settings(lineage_url=f"http://127.0.0.1:{keeper.server_port}")
    sensor = next(s for s in openlineage_sensors(DECLARED, settings) if "success" in s.name)
    instance = dg.DagsterInstance.ephemeral()
    result = dg.materialize([payments], instance=instance)
    run = instance.get_run_by_id(result.run_id)
    assert run is not None
    context = dg.build_run_status_sensor_context(
        sensor_name=sensor.name,
        dagster_instance=instance,
        dagster_run=run,
        dagster_event=result.all_events[-1],
        repository_def=definitions().get_repository_def(),
    )
    told = sensor(context)
    assert isinstance(told, dg.SkipReason)
    assert (told.skip_message or "").endswith("2 events")
    assert [(path, body["eventType"]) for path, body in keeper.taken] == [
        ("/api/v1/lineage", "START"),
        ("/api/v1/lineage", "COMPLETE"),
    ]


def test_nobody_is_told_unless_asked_for():
    assert openlineage_sensors(DECLARED, Settings()) == []


@pytest.mark.parametrize("url", ["lineage.ndjson", "ftp://host/x", "http://", "file://"])
def test_an_address_of_another_kind_ends_the_start(url):
    with pytest.raises(ConfigurationError, match="THROUGHLINE_LINEAGE_URL"):
        openlineage_sensors(DECLARED, Settings(lineage_url=url))
