"""The declared use cases through Feast: offline and online say the same of the same point."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from feast.errors import RequestDataNotFoundInEntityDfException
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast_repository import (
    OBJECTS,
    WINDOWS,
    historical,
    instant,
    repository,
    tiles_of,
    write_rows,
    write_table,
)

from core.clock import FixedClock
from core.errors import InvalidInputError, NotReadyError
from core.features.keys import entity_key
from core.features.oracle import Row
from core.features.plan import feature_column
from feature_store.compile import view_plan
from feature_store.online import ThroughlineOnlineStore
from stores.layout import Layout
from use_cases.fraud import features as fraud
from use_cases.fraud.sources import CARD_PROFILES, FRAUD_LABELS, TRANSACTIONS
from use_cases.handbook.features import fraud_without_profile_v1

DAY_MS = 86_400_000
NOW_MS = 20_000 * DAY_MS + 12_345_678


def drawn_rows():
    rng = np.random.default_rng(11)
    ago = np.sort(rng.integers(1, 40 * DAY_MS, 600))[::-1]
    ago[-60:] = np.sort(rng.integers(1, 3_600_000, 60))[::-1]
    payments: list[dict[str, Any]] = [
        {
            "event_id": f"t{n}",
            "event_ms": int(NOW_MS - ms),
            "card_id": f"c{rng.integers(0, 12)}",
            "terminal_id": f"s{rng.integers(0, 9)}",
            "amount_minor": int(rng.integers(1, 100_000)),
        }
        for n, ms in enumerate(ago)
    ]
    labels = [
        {
            "event_id": f"l{n}",
            "event_ms": min(row["event_ms"] + 7 * DAY_MS, NOW_MS - 1),
            "transaction_id": row["event_id"],
            "card_id": row["card_id"],
            "terminal_id": row["terminal_id"],
            "is_fraud": int(rng.random() < 0.2),
        }
        for n, row in enumerate(payments[:300])
    ]
    profiles = [
        {
            "event_id": f"p{n}",
            "event_ms": NOW_MS - int(rng.integers(0, 450)) * DAY_MS,
            "card_id": f"c{n % 11}",
            "limit_minor": None if n % 4 == 0 else 50_000 * n,
            "country": None if n % 5 == 0 else ["PT", "DE"][n % 2],
            "since_day": 19_000 + n,
        }
        for n in range(30)
    ]
    return payments, labels, profiles


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    root = tmp_path_factory.mktemp("fraud")
    layout = Layout(root)
    made = repository(root)
    made.apply(OBJECTS)
    payments, labels, profiles = drawn_rows()
    by_source = {"transactions": payments, "fraud_labels": labels}
    write_rows(layout, TRANSACTIONS, payments)
    write_rows(layout, FRAUD_LABELS, labels)
    write_rows(layout, CARD_PROFILES, profiles)
    for declared in WINDOWS:
        view = view_plan(declared)
        rows = [as_row(view, n, row) for n, row in enumerate(by_source[view.source])]
        write_table(layout.tiles(view.name), tiles_of(view, rows), epoch=1)
    now = instant(NOW_MS)
    names = [view.name for view in (*WINDOWS, fraud.card_profile_v1)]
    made.materialize(now - timedelta(days=1), now, feature_views=names)
    return made


def as_row(view, number, given):
    key = entity_key([given[name] for name in view.join_keys])
    at = given["event_ms"]
    values = {name: given[name] for name in view.columns}
    return Row(given["event_id"], key, at, at, 2**32 + number, values)


def points(n=80):
    rng = np.random.default_rng(12)
    return [
        {
            "card_id": f"c{rng.integers(0, 13)}",
            "terminal_id": f"s{rng.integers(0, 10)}",
            "amount_minor": int(rng.integers(1, 100_000)),
            "event_timestamp": instant(NOW_MS - int(rng.integers(-3_600_000, 300_000))),
        }
        for _ in range(n)
    ]


@pytest.mark.parametrize("service", [fraud.fraud_v1, fraud_without_profile_v1])
def test_offline_and_online_say_the_same_in_the_vectors_order(store, service):
    asked = points()
    # Rows that came between a point and now are in the online values: neither side sees them.
    offline = historical(store, pd.DataFrame(asked), service)
    response = store.get_online_features(service, asked, full_feature_names=True)
    vector = [
        f"{projection.name}__{feature.name}"
        for projection in service.feature_view_projections
        for feature in projection.features
    ]
    named = [name for name in offline.columns if "__" in name]
    assert named[: len(vector)] == vector
    # Feast asks for the inputs of request-time views too, after all that the caller asked.
    assert set(named[len(vector) :]) <= {"card_profile_v1__since_day"}
    assert list(response.to_dict()) == ["card_id", "terminal_id", *vector]
    online = response.to_df()
    for name in vector:
        one, other = (frame[name].to_numpy(np.float32) for frame in (offline, online))
        np.testing.assert_array_equal(one, other, err_msg=name)
    assert offline[vector].notna().to_numpy().mean() > 0.6


def test_request_time_views_use_the_request_and_the_instant(store):
    asked = points(20)
    offline = historical(store, pd.DataFrame(asked), fraud.fraud_v1)
    assert offline["payment_v1__amount"].tolist() == [row["amount_minor"] for row in asked]
    ratio = offline["amount_minor"] / offline["card_activity_v1__amount_minor_mean_30d"]
    pd.testing.assert_series_equal(
        offline["payment_v1__amount_over_mean"], ratio, check_names=False, check_dtype=False
    )
    hours = offline["event_timestamp"].dt.hour
    assert offline["payment_v1__is_night"].tolist() == (hours < 6).astype(float).tolist()


def test_features_may_be_asked_by_name_and_one_view_alone(store):
    asked = [{k: v for k, v in row.items() if k != "terminal_id"} for row in points(5)]
    refs = ["payment_v1:amount_over_mean", "card_activity_v1:terminal_id_count_distinct_7d"]
    found = store.get_online_features(refs, asked).to_dict()
    assert list(found) == ["card_id", "amount_over_mean", "terminal_id_count_distinct_7d"]
    offline = store.get_historical_features(pd.DataFrame(asked), refs).to_df()
    assert offline["amount_over_mean"].tolist() == pytest.approx(
        [np.nan if v is None else v for v in found["amount_over_mean"]], nan_ok=True
    )


def test_without_an_instant_the_answer_is_as_of_now(store):
    row = {k: v for k, v in points(1)[0].items() if k != "event_timestamp"}
    found = store.get_online_features(fraud.fraud_v1, [row], full_feature_names=True).to_dict()
    assert found["terminal_activity_v1__amount_minor_count_30d"] == [0]  # all rows are years old


def test_an_unknown_category_and_a_null_attribute_are_null(store):
    found = historical(store, pd.DataFrame(points(200)), fraud.fraud_v1)
    countries = found["card_profile_v1__country"]
    assert set(countries.dropna()) == {3.0, 12.0}
    assert countries.isna().any()
    assert found["card_profile_v1__limit_minor"].isna().any()


def test_awaited_reads_are_the_same(store):
    asked = points(5)
    awaited = asyncio.run(
        store.get_online_features_async(fraud.fraud_v1, asked, full_feature_names=True)
    )
    plain = store.get_online_features(fraud.fraud_v1, asked, full_feature_names=True)
    assert awaited.to_dict() == plain.to_dict()


def test_columns_are_taken_like_rows(store):
    asked = points(6)
    columns = {name: [row[name] for row in asked] for name in asked[0]}
    by_columns = store.get_online_features(fraud.fraud_v1, columns, full_feature_names=True)
    by_rows = store.get_online_features(fraud.fraud_v1, asked, full_feature_names=True)
    assert by_columns.to_dict() == by_rows.to_dict()


def test_feasts_own_read_of_one_view_answers_now(store):
    online = ThroughlineOnlineStore(FixedClock(NOW_MS))
    keys = [
        EntityKey(join_keys=["card_id"], entity_values=[Value(string_val=name)])
        for name in ("c1", "nobody")
    ]
    view = store.get_feature_view("card_profile_v1")
    known, unknown = online.online_read(store.config, view, keys, ["since_day"])
    assert unknown == (None, None)
    values = known[1]
    assert values is not None
    assert list(values) == ["since_day"]
    assert values["since_day"].double_val >= 19_000
    assert online.online_read(store.config, view, []) == []


def without(name):
    return [{k: v for k, v in row.items() if k != name} for row in points(3)]


@pytest.mark.parametrize("name", ["card_id", "terminal_id", "amount_minor"])
def test_a_missing_column_is_named(store, name):
    with pytest.raises(InvalidInputError, match=name):
        store.get_online_features(fraud.fraud_v1, without(name), full_feature_names=True)
    with pytest.raises(
        (InvalidInputError, RequestDataNotFoundInEntityDfException), match=f"'?{name}'?"
    ):
        historical(store, pd.DataFrame(without(name)), fraud.fraud_v1)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"event_timestamp": None}, "'event_timestamp' is null"),
        ({"card_id": None}, "'card_id' is null"),
    ],
)
def test_a_point_without_instant_or_key_is_refused(store, changed, message):
    frame = pd.DataFrame([*points(2), {**points(1)[0], **changed}])
    with pytest.raises(InvalidInputError, match=message):
        historical(store, frame, fraud.fraud_v1)


def test_instants_that_are_text_are_refused(store):
    frame = pd.DataFrame(points(2)).assign(event_timestamp="2026-01-01")
    with pytest.raises(InvalidInputError, match="does not hold instants"):
        historical(store, frame, fraud.fraud_v1)
    rows = [{**row, "event_timestamp": "2026-01-01"} for row in points(2)]
    with pytest.raises(InvalidInputError, match="does not hold instants"):
        store.get_online_features(fraud.fraud_v1, rows, full_feature_names=True)


@pytest.mark.parametrize(
    "rows", [[], [{}], [points(1)[0], {"card_id": "c"}], {"card_id": ["a"], "terminal_id": []}]
)
def test_rows_that_are_no_table_are_refused(store, rows):
    with pytest.raises(InvalidInputError):
        store.get_online_features(fraud.fraud_v1, rows, full_feature_names=True)


def test_an_amount_that_is_no_number_is_refused(store):
    rows = [{**row, "amount_minor": "lots"} for row in points(2)]
    with pytest.raises(InvalidInputError, match="is not a number"):
        store.get_online_features(fraud.fraud_v1, rows, full_feature_names=True)


def test_an_empty_frame_has_the_columns_and_no_rows(store):
    frame = pd.DataFrame(points(1)).iloc[:0]
    found = historical(store, frame, fraud.fraud_v1)
    assert len(found) == 0
    assert "payment_v1__amount" in found.columns


def test_retrieval_without_points_is_refused(store):
    with pytest.raises(InvalidInputError, match="without points"):
        store.get_historical_features("SELECT 1", fraud.fraud_v1, full_feature_names=True)


def test_nothing_is_written_through_feast(store):
    frame = pd.DataFrame(
        {
            "card_id": ["c1"],
            "limit_minor": [1.0],
            "country": [1.0],
            "since_day": [1.0],
            "event_timestamp": [instant(NOW_MS)],
            "available_at": [instant(NOW_MS)],
        }
    )
    with pytest.raises(InvalidInputError, match="cannot be written through Feast"):
        store.write_to_online_store("card_profile_v1", frame)


def test_an_absent_table_is_not_ready(tmp_path):
    made = repository(tmp_path)
    made.apply(OBJECTS)
    with pytest.raises(NotReadyError, match="does not exist yet"):
        historical(made, pd.DataFrame(points(1)), fraud.fraud_v1)
    with pytest.raises(NotReadyError, match="does not exist yet"):
        made.materialize(instant(0), instant(NOW_MS), feature_views=["card_activity_v1"])


def test_names_of_two_views_need_full_names(store):
    columns = [feature_column("card_activity_v1:amount_minor_count_1d")]
    found = historical(store, pd.DataFrame(points(1)), ["card_activity_v1:amount_minor_count_1d"])
    assert columns[0] in found.columns
    with pytest.raises(Exception, match="amount_minor_count"):
        store.get_historical_features(pd.DataFrame(points(1)), fraud.fraud_v1)
