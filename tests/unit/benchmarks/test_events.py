"""The events benchmark's arithmetic: what was sent, what was taken, when it could be read."""

import json
import math

from benchmarks.events.load import bodies, payments, taken_of
from benchmarks.events.suite import _readable_ms
from core.rows.row_parser import ParsedRow, RowParser
from use_cases.fraud.sources import TRANSACTIONS

NOW_MS = 1_780_000_000_000


def test_what_is_sent_keeps_the_contract_and_has_ids_of_its_own():
    parser = RowParser(TRANSACTIONS)
    events = list(payments(50, cards=10, run="a", now_ms=NOW_MS))
    assert all(isinstance(parser.parse(event, now_ms=NOW_MS), ParsedRow) for event in events)
    assert len({event["event_id"] for event in events}) == 50
    assert [len(json.loads(body)) for body in bodies(iter(events), 20)] == [20, 20, 10]
    assert json.loads(bodies(iter(events), 1)[0]) == events[0]


def test_an_answer_says_how_many_it_took_and_where_the_last_stands():
    results = [{"status": "accepted", "position": 7}, {"status": "rejected", "code": "x"}]
    body = json.dumps({"accepted": 1, "duplicate": 0, "rejected": 1, "results": results}).encode()
    assert taken_of(b"HTTP/1.1 207 Multi-Status\r\nX: y\r\n\r\n" + body) == (1, 7)


def test_an_event_can_be_read_from_the_step_on_that_covers_it():
    steps = [(1.0, 5), (1.010, 20), (1.5, 30)]
    answers = [(1.008, 20), (1.2, 6), (1.4, 25), (1.45, 31)]
    found = _readable_ms(answers, steps)
    assert [round(each, 6) for each in found[:3]] == [0.0, 2.0, 100.0]
    assert found[3] == math.inf
