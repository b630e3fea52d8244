"""The overview: what serves, and of what is declared and serves nothing what is missing."""

from __future__ import annotations

import pyarrow as pa
import pytest
from access_keys import made_key
from bundles import serve, shelve
from console_home import Console
from deltalake import write_deltalake

from core.clock import DAY_MS, FixedClock, event_date
from core.monitoring.objectives import Measured, Objectives
from core.rollout.counters import latency_bin
from stores.declarations import put_declarations
from stores.keys.signing import KeyRing, ensure_signer
from stores.layout import Layout
from stores.monitoring.measured import FOLDER, put_measured
from stores.shelf.channels import ChannelState, KeptContract
from stores.shelf.shelf import Shelf
from use_cases import discover

NOW_MS = 100 * DAY_MS


@pytest.fixture
def layout(tmp_path):
    layout = Layout(tmp_path).create()
    put_declarations(layout, [discover()["handbook"]])
    return layout


def test_a_declared_use_case_says_what_is_missing_and_what_makes_it(layout):
    console = Console(layout)
    words = console.get("/").words
    assert "handbook no release yet" in words
    assert "No rows of transactions, fraud_labels have come yet" in words
    assert "throughline ingest transactions FILE" in words
    for source in ("transactions", "fraud_labels"):
        write_deltalake(layout.events(source), pa.table({"event_id": ["a"]}))
    words = console.get("/use-cases/handbook").words
    assert "transactions (rows are there), fraud_labels (rows are there)" in words
    assert "throughline train handbook" in words
    assert "fraud-models@throughline.example" in words
    assert "Promises 99 of 100 predictions within 100 ms, 99.900 % of requests answered" in words


def test_only_those_that_the_key_opens_are_there(layout):
    key = made_key(layout, ["fraud:rollouts"])
    console = Console(layout)
    assert "handbook" not in console.get("/", key).words
    assert console.get("/use-cases/handbook").status == 403


def test_what_is_neither_declared_nor_released_is_not_there(layout):
    assert Console(layout).get("/use-cases/nothing").status == 404


def test_a_release_that_serves_nobody_says_where_to_look(layout):
    shelve(layout, approvers=())
    console = Console(layout)
    for page in ("/", "/use-cases/toy"):
        reply = console.get(page)
        assert "nobody is answered yet. The page of release 1 says" in reply.words
        assert "/releases/toy/1" in reply.links


def test_older_contracts_are_named_with_who_answers_them_until_when(layout):
    serve(layout, shelve(layout), counter=1)
    board = Shelf(layout.shelf).board
    channels = board.read(KeyRing.from_directory(layout.keys))
    older = (
        KeptContract(major=1, since_ms=NOW_MS - 99 * DAY_MS, until_ms=NOW_MS - 9 * DAY_MS),
        KeptContract(major=2, release=1, since_ms=NOW_MS - DAY_MS, until_ms=NOW_MS + 20 * DAY_MS),
    )
    state = ChannelState(champion=1, older=older)
    after = channels.model_copy(update={"counter": 2, "use_cases": {"toy": state}})
    board.write(after, ensure_signer(layout.keys, "channels"))
    console = Console(layout, FixedClock(NOW_MS))
    words = console.get("/rollouts/toy").words
    assert "1 nobody any more 1970-01-02" in words
    assert "2 release 1 1970-04-10 00:00:00 UTC 1970-05-01 00:00:00 UTC (in 20 d)" in words
    assert "release 1 answers contract 2 until 1970-05-01" in console.get("/rollouts").words
    assert "release 1 for callers of contract 2 until 1970-05-01" in console.get("/").words


PROMISED = Objectives(p99_ms=40, availability_share=0.99)


def test_a_use_case_shows_what_is_promised_beside_what_was_measured(tmp_path):
    layout = Layout(tmp_path).create()
    serve(layout, shelve(layout, objectives=PROMISED), counter=1)
    console = Console(layout, FixedClock(NOW_MS))
    words = console.get("/use-cases/toy").words
    assert "Nothing was asked in the last 30 days" in words
    assert "99 of 100 predictions within 40 ms, 99.000 % of requests answered" in words
    slow, fast = latency_bin(90.0), latency_bin(9.0)
    kept = Measured(n_asked=1_000, n_timed=800, n_late=16, latencies={fast: 784, slow: 16})
    put_measured(layout, event_date(NOW_MS), "a", {"toy": kept})
    put_measured(layout, event_date(NOW_MS), "b", {"toy": Measured(n_asked=1_000, n_failed=5)})
    words = console.get("/use-cases/toy").words
    assert "99 of 100 predictions within 40 ms 91.3 ms 800 16 broken -100 %" in words
    assert "Requests answered 99.000 % 99.750 % 2,000 5 75 %" in words
    assert "Declared now" not in words


def test_what_is_declared_otherwise_comes_with_the_next_release(layout):
    changed = discover()["handbook"].model_copy(update={"name": "toy", "objectives": PROMISED})
    serve(layout, shelve(layout), counter=1)
    put_declarations(layout, [changed])
    words = Console(layout, FixedClock(NOW_MS)).get("/use-cases/toy").words
    assert "Promised: 99 of 100 predictions within 100 ms, 99.900 % of requests answered." in words
    assert "Declared now: 99 of 100 predictions within 40 ms" in words


def test_what_was_counted_and_cannot_be_read_leaves_the_page_as_it_is(layout):
    serve(layout, shelve(layout), counter=1)
    put_measured(layout, event_date(NOW_MS), "a", {"toy": Measured(n_asked=1)})
    next((layout.state / FOLDER).rglob("a.json")).write_text("{")
    reply = Console(layout, FixedClock(NOW_MS)).get("/use-cases/toy")
    assert reply.status == 200
    assert "what was counted of objectives cannot be read" in reply.words
    assert "What a decision reads" in reply.words
