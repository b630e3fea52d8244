from __future__ import annotations

from datetime import UTC, date, datetime

import psycopg
import pyarrow as pa
import pytest
from postgres_server import postgres_server

from core.errors import DependencyError, InvalidInputError
from stores.postgres import ScoreTable

pytestmark = pytest.mark.postgres

KEYS = ("as_of", "example_id")
DAY, NEXT = date(2026, 1, 1), date(2026, 1, 2)


def rows_of(day, **scores):
    return pa.table(
        {
            "as_of": pa.array([day] * len(scores), pa.date32()),
            "example_id": pa.array(list(scores), pa.string()),
            "event_timestamp": pa.array(
                [datetime(2026, 1, 1, tzinfo=UTC)] * len(scores), pa.timestamp("us", tz="UTC")
            ),
            "score": pa.array(list(scores.values()), pa.float64()),
            "decision": pa.array(["APPROVE"] * len(scores), pa.string()),
            "release": pa.array([3] * len(scores), pa.int32()),
        }
    )


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    with postgres_server(tmp_path_factory.mktemp("pg")) as url:
        yield url


def held(url, name):
    with psycopg.connect(url) as connection:
        found = connection.execute(f"SELECT as_of, example_id, score FROM {name} ORDER BY 1, 2")
        return [tuple(row) for row in found]


def test_a_date_holds_exactly_what_was_published_last(url):
    table = ScoreTable(url, "first")
    assert table.publish(["2026-01-01"], KEYS, rows_of(DAY, a=0.1, b=0.2)) == 2
    table.publish(["2026-01-02"], KEYS, rows_of(NEXT, a=0.5))
    table.publish(["2026-01-01"], KEYS, rows_of(DAY, b=0.3, c=0.4))
    table.publish(["2026-01-01"], KEYS, rows_of(DAY, b=0.3, c=0.4))
    assert held(url, "scores_first") == [(DAY, "b", 0.3), (DAY, "c", 0.4), (NEXT, "a", 0.5)]


def test_a_refusal_in_the_middle_leaves_the_table_as_it_was(url):
    table = ScoreTable(url, "second")
    table.publish(["2026-01-01"], KEYS, rows_of(DAY, a=0.1))
    doubled = pa.concat_tables([rows_of(DAY, a=0.2, b=0.3), rows_of(DAY, b=0.4)])
    with pytest.raises(DependencyError, match="holds what it held before"):
        table.publish(["2026-01-01"], KEYS, doubled)
    assert held(url, "scores_second") == [(DAY, "a", 0.1)]


def test_a_server_that_is_not_there_is_named_without_its_password():
    table = ScoreTable("postgresql://u:s3cret@127.0.0.1:1/x", "third")
    with pytest.raises(DependencyError) as caught:
        table.publish(["2026-01-01"], KEYS, rows_of(DAY, a=0.1))
    assert "s3cret" not in str(caught.value)


def test_only_a_plain_name_becomes_a_table():
    with pytest.raises(InvalidInputError, match="not the name"):
        ScoreTable("", "x; drop table y")
