from __future__ import annotations

import numpy as np
import psycopg
import pyarrow as pa
import pytest
from bundles import (
    CARD_STATES,
    POLICY,
    TOY_PLAN,
    bundle_files,
    expected_score,
    logistic_onnx,
    shelve,
)
from deltalake import DeltaTable, write_deltalake
from payments import DAY_MS, NOW_MS, PAYMENTS, VERDICTS, history, land_rows, payment, seal_events
from postgres_server import postgres_server
from pydantic import SecretStr
from shared_spark import ingested

from core.clock import event_date
from core.consent import Consent
from core.decisions import Decider
from core.erasing.sought import Sought
from core.errors import ConfigurationError, IntegrityError, NotReadyError
from core.stats.histogram import Histogram
from spark_jobs import scores, tiles
from spark_jobs.audit import AuditLimits
from spark_jobs.delta import latest_version, read_table
from stores.erasing.tables import erase_in_table
from stores.frames.frames import plan_table
from stores.layout import Layout
from stores.shelf.bundle import GOLDEN, MODEL, PROFILE
from stores.shelf.golden import golden_of
from stores.shelf.profile import Profile

pytestmark = pytest.mark.spark

AS_OF = event_date(NOW_MS - DAY_MS)
TINY = AuditLimits(min_rows=10**9)


@pytest.fixture(scope="module")
def layout(spark, tmp_path_factory):
    root = tmp_path_factory.mktemp("scores")
    layout = Layout(root / "state").create()
    paid, judged = history(12, 20)
    states = [
        {"event_id": f"s{card}", "event_timestamp": NOW_MS - 9 * DAY_MS, "card_id": f"c{card}"}
        | {"limit_minor": 10_000 * card}
        for card in range(4)
    ]
    for source, rows in ((PAYMENTS, paid), (VERDICTS, judged), (CARD_STATES, states)):
        ingested(spark, layout, source, land_rows(layout, source, rows, root, NOW_MS))
    return layout


def asked(layout, release, **changes):
    arguments = scores.Arguments(
        root=str(layout.root),
        now_ms=NOW_MS,
        use_case="toy",
        release=release,
        as_of=(AS_OF,),
        example_source=PAYMENTS,
        limits=TINY,
    )
    return arguments.model_copy(update=changes)


def scores_of(spark, layout, use_case="toy"):
    frame = read_table(spark, layout.scores(use_case)).where(f"as_of = DATE'{AS_OF}'")
    return frame.toArrow()


def test_who_opted_out_is_not_scored_where_that_is_declared(spark, layout, release):
    opted_out = {"card_id": ["c1", "c2", "c2"], "is_out": [True, True, False]}
    words = pa.table(
        {
            **opted_out,
            "event_id": ["w1", "w2", "w3"],
            "event_timestamp": [1, 2, 3],
            "available_at": [1, 2, 3],
        }
    )
    write_deltalake(layout.events("wishes"), words)
    consent = Consent(source="wishes", column="is_out", keys=("card_id",), scores="left_out")
    own = {"use_case": "toy", "as_of": (event_date(NOW_MS - 2 * DAY_MS),)}
    everybody = scores.run(spark, asked(layout, release, **own))
    asked_first = scores.run(spark, asked(layout, release, consent=consent, **own))
    frame = read_table(spark, layout.scores("toy")).where(f"as_of = DATE'{own['as_of'][0]}'")
    cards = {row[0] for row in frame.select("card_id").distinct().collect()}
    assert asked_first.is_published
    assert 0 < asked_first.rows < everybody.rows
    assert "c2" in cards
    assert "c1" not in cards


@pytest.fixture(scope="module")
def release(layout):
    return shelve(layout)


@pytest.fixture(scope="module")
def report(spark, layout, release):
    return scores.run(spark, asked(layout, release))


def test_scores_and_decisions_are_those_of_the_release_at_each_instant(spark, layout, report):
    table = scores_of(spark, layout).sort_by("example_id")
    assert report.rows == len(table) == 20
    rows = {
        name: DeltaTable(layout.events(name)).to_pyarrow_table()
        for name in ("payments", "verdicts", "card_states")
    }
    paid = rows["payments"].select(["event_id", "amount_minor"])
    points = table.join(paid, "example_id", "event_id").sort_by("example_id")
    vectors = zip(*plan_table(TOY_PLAN, rows, points).to_pydict().values(), strict=True)
    for vector, row in zip(vectors, table.to_pylist(), strict=True):
        assert row["score"] == pytest.approx(expected_score(vector), abs=1e-5)
        (decided,) = Decider.of(POLICY, TOY_PLAN).decide(np.array([row["score"]]), {})
        assert (row["decision"], row["reason"]) == (decided.decision, decided.reason)
    assert len(set(table["decision"].to_pylist())) > 1


def test_a_rerun_reads_what_the_first_run_read_unless_refreshed(spark, layout, report, release):
    before = scores_of(spark, layout).sort_by("example_id")
    late = payment("late", NOW_MS - DAY_MS + 1, card_id="c1")
    ingested(spark, layout, PAYMENTS, seal_events(layout, PAYMENTS, [late], NOW_MS - 1))
    again = scores.run(spark, asked(layout, release))
    assert again.read_versions == report.read_versions
    assert scores_of(spark, layout).sort_by("example_id").equals(before)
    fresh = scores.run(spark, asked(layout, release, refresh=True))
    assert fresh.rows == report.rows + 1
    assert fresh.read_versions["events/payments"] > report.read_versions["events/payments"]
    assert erase_in_table(layout.events("payments"), Sought("late"))["rows"] == 1
    without = scores.run(spark, asked(layout, release))  # what was read first is not there now
    assert without.rows == report.rows
    assert without.read_versions["events/payments"] > fresh.read_versions["events/payments"]
    assert (
        scores_of(spark, layout)
        .sort_by("example_id")
        .drop_columns("read_versions")
        .equals(before.drop_columns("read_versions"))
    )


def test_scores_that_fail_the_audit_are_not_published(spark, layout, report, release):
    strict = AuditLimits(min_rows=1, max_null_shift=0.1)
    before = read_table(spark, layout.scores("toy")).count()
    refused = scores.run(spark, asked(layout, release, limits=strict, refresh=True))
    assert not refused.is_published
    assert "share of nulls" in refused.audit.faults[0]
    assert read_table(spark, layout.scores("toy")).count() == before
    empty = scores.run(spark, asked(layout, release, as_of=("2020-01-01",)))
    assert "nothing was scored" in empty.audit.faults[0]


def test_many_dates_are_one_run_and_each_keeps_the_versions_it_was_bound_to(
    spark, layout, report, release
):
    dates = tuple(event_date(NOW_MS - day * DAY_MS) for day in range(1, 6))
    before = latest_version(spark, layout.scores("toy"))
    several = scores.run(spark, asked(layout, release, as_of=dates))
    assert several.as_of == f"{dates[-1]} to {dates[0]}"
    assert several.version == before + 1
    rows = read_table(spark, layout.scores("toy")).select("as_of", "read_versions").distinct()
    by_date = {str(row[0]): row[1] for row in rows.collect()}
    assert sorted(by_date) == sorted(dates)
    assert several.rows == read_table(spark, layout.scores("toy")).count() > 90


@pytest.mark.postgres
def test_a_database_holds_what_the_table_holds(spark, layout, release, tmp_path_factory):
    with postgres_server(tmp_path_factory.mktemp("pg")) as url:
        changes = {"scores_url": SecretStr(url)}
        report = scores.run(spark, asked(layout, release, **changes))
        assert report.rows_in_database == report.rows
        scores.run(spark, asked(layout, release, **changes))
        with psycopg.connect(url) as connection:
            found = connection.execute("SELECT example_id, score, decision FROM scores_toy")
            held = sorted(tuple(row) for row in found)
    table = scores_of(spark, layout).select(["example_id", "score", "decision"])
    assert held == sorted(tuple(row.values()) for row in table.to_pylist())


def test_entities_are_scored_at_midnight_from_tiles(spark, layout):
    views = tuple(view for view in TOY_PLAN.views if view.entity == "card")
    vector = tuple(f"{view.name}:{name}" for view in views for name in view.feature_names)
    plan = TOY_PLAN.model_copy(
        update={"views": views, "transforms": (), "request_fields": (), "vector": vector}
    )
    dates = [event_date(NOW_MS - day * DAY_MS) for day in range(1, 14)]
    arguments = {"root": str(layout.root), "now_ms": NOW_MS}
    tiles.run(spark, tiles.Arguments(**arguments, view=views[0], dates=dates))
    weights, inputs = (0.1, 0.0001, -0.00001), np.zeros((1, 3), np.float32)
    flat = Histogram(edges=(0.0, 1.0), counts=(0, 1, 0), n_null=0)
    profile = Profile(n=1, features=dict.fromkeys(vector, flat), score=flat, decisions={})
    files = bundle_files() | {
        MODEL: logistic_onnx(weights, -1.0),
        GOLDEN: golden_of(inputs, np.array([expected_score([0, 0, 0], weights, -1.0)]))
        .model_dump_json()
        .encode(),
        PROFILE: profile.model_dump_json().encode(),
    }
    release = shelve(layout, files=files, use_case="cards", plan=plan)
    changes = {"use_case": "cards", "grain": "entity", "example_source": None}
    report = scores.run(spark, asked(layout, release, **changes))
    table = scores_of(spark, layout, "cards").sort_by("card_id")
    rows = {
        name: DeltaTable(layout.events(name)).to_pyarrow_table()
        for name in ("payments", "card_states")
    }
    wanted = plan_table(plan, rows, table.select(["card_id", "event_timestamp"]))
    vectors = zip(*wanted.to_pydict().values(), strict=True)
    assert report.rows == len(table) == 5
    for values, score in zip(vectors, table["score"].to_pylist(), strict=True):
        assert score == pytest.approx(expected_score(values, weights, -1.0), abs=1e-5)


def test_a_release_that_is_not_there_or_was_touched_is_refused(spark, layout, release):
    with pytest.raises(NotReadyError, match="not on the shelf"):
        scores.run(spark, asked(layout, 99))
    with pytest.raises(ConfigurationError, match="without their source"):
        scores.run(spark, asked(layout, release, example_source=None))
    with pytest.raises(ConfigurationError, match="entity grain"):
        scores.run(spark, asked(layout, release, grain="entity"))
    broken = shelve(layout)
    model = layout.shelf / "releases" / "toy" / str(broken) / "bundle" / MODEL
    model.write_bytes(model.read_bytes() + b"x")
    with pytest.raises(IntegrityError, match="not what was built"):
        scores.run(spark, asked(layout, broken))
