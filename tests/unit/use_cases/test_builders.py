"""Builders make what Feast would have taken silently into an error that says what to do."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from feast import PushSource, RequestSource, StreamFeatureView
from feast.aggregation import Aggregation

from core.contracts import FieldSpec, Source
from core.errors import ConfigurationError
from use_cases.builders import (
    aggregate,
    attributes,
    entity,
    on_demand,
    request,
    service,
    source_of,
    windows,
)
from use_cases.fraud import transforms

SOURCE = Source(
    name="payments",
    description="d",
    owner="o@x",
    fields=(
        FieldSpec(name="card_id", type="string"),
        FieldSpec(name="shop_id", type="int64"),
        FieldSpec(name="maybe_id", type="string", is_nullable=True),
        FieldSpec(name="amount_minor", type="int64"),
        FieldSpec(name="country", type="string", allowed=("PT", "ES")),
        FieldSpec(name="free_text", type="string"),
        FieldSpec(name="seen_at", type="timestamp"),
        FieldSpec(name="is_new", type="bool"),
    ),
)
payments = source_of(SOURCE)
card = entity("card", "card_id")
shop = entity("shop", "shop_id", key_type="int64")


def view(name="spend_v1", source=payments, entities=card, aggregations=None, **more):
    chosen = aggregate("amount_minor", "sum", "1d") if aggregations is None else aggregations
    return windows(name, source, entities, chosen, owner="o@x", **more)


def aggregation(**changed):
    given = {
        "column": "amount_minor",
        "function": "sum",
        "time_window": timedelta(days=1),
        "slide_interval": timedelta(minutes=30),
        "name": "total",
    }
    return Aggregation(**{**given, **changed})


def refused(make, *parts):
    with pytest.raises(ConfigurationError) as error:
        make()
    for part in parts:
        assert part in str(error.value)
    assert error.value.remedy, "an error says what to do"


def test_windows_are_genuine_feast_stream_views_with_named_aggregations():
    made = view(aggregations=aggregate("amount_minor", "count sum", "5m 7d"), entities=[card, shop])
    assert isinstance(made, StreamFeatureView)
    assert isinstance(made.stream_source, PushSource)
    assert [a.name for a in made.aggregations] == [
        "amount_minor_count_5m",
        "amount_minor_count_7d",
        "amount_minor_sum_5m",
        "amount_minor_sum_7d",
    ]
    assert [a.slide_interval for a in made.aggregations[:2]] == [
        timedelta(seconds=10),
        timedelta(hours=3),
    ]
    assert made.join_keys == ["card_id", "shop_id"]


@pytest.mark.parametrize(
    "name", ["spend", "Spend_v1", "spend__x_v1", "spend_v0", "v1", "1spend_v1", "x" * 80 + "_v1"]
)
def test_a_views_name_ends_in_its_version(name):
    refused(lambda: view(name=name), "end in its version", name, "call it")


@pytest.mark.parametrize(
    ("changed", "parts"),
    [
        ({"function": "bogus"}, ["unknown function", "'bogus'", "count_distinct"]),
        ({"function": ""}, ["unknown function"]),
        ({"column": "amount"}, ["has not", "'amount'", "amount_minor"]),
        ({"column": "country"}, ["takes the sum of a string column"]),
        ({"column": "seen_at", "function": "max"}, ["takes the max of a timestamp column"]),
        ({"time_window": None}, ["has no window"]),
        ({"slide_interval": timedelta(hours=7)}, ["divide a day"]),
        ({"slide_interval": timedelta(days=2)}, ["divide a day"]),
        ({"time_window": timedelta(minutes=45)}, ["its grid does not divide", "2700000"]),
        ({"time_window": timedelta(microseconds=1)}, ["positive number of milliseconds"]),
        ({"name": None}, ["lower-case words"]),
        ({"name": "a__b"}, ["lower-case words"]),
    ],
)
def test_a_wrong_aggregation_is_refused(changed, parts):
    refused(lambda: view(aggregations=[aggregation(**changed)]), *parts)


def test_a_window_without_a_default_grid_needs_one():
    refused(lambda: aggregate("amount_minor", "sum", "2d"), "no default grid", "30d")
    assert aggregate("amount_minor", "sum", "2d", grid="1h")[0].name == "amount_minor_sum_2d"


@pytest.mark.parametrize("window", ["1w", "d", "0d", "1.5h", "-1d"])
def test_a_duration_that_cannot_be_read_is_refused(window):
    refused(lambda: aggregate("amount_minor", "sum", window), "duration")


def test_two_features_of_one_name_are_refused():
    twice = [*aggregate("amount_minor", "sum", "1d"), *aggregate("amount_minor", "sum", "24h")]
    refused(lambda: view(aggregations=twice), "twice", "'amount_minor_sum_1d'")


def test_a_view_without_features_or_entities_is_refused():
    refused(lambda: view(aggregations=[]), "no feature")
    refused(lambda: view(entities=[]), "no entity")


@pytest.mark.parametrize(
    ("key", "parts"),
    [
        (entity("other", "other_id"), ["has not", "'other_id'"]),
        (entity("maybe", "maybe_id"), ["nullable string"]),
        (entity("shop", "shop_id"), ["a int64 column where the entity wants string"]),
        ([card, entity("again", "card_id")], ["twice"]),
    ],
)
def test_an_entity_that_the_source_cannot_name_is_refused(key, parts):
    refused(lambda: view(entities=key), *parts)


def test_a_source_that_is_not_ours_is_refused():
    bare = PushSource(name="bare", batch_source=payments.batch_source)
    refused(lambda: view(source=bare), "does not say which columns", "source_of")


def test_stddev_needs_a_declared_centre():
    chosen = aggregate("amount_minor", "stddev", "1d")
    refused(lambda: view(aggregations=chosen), "declared centre")
    assert view(aggregations=chosen, centres={"amount_minor": 50})


def test_attributes_are_refused_where_they_have_no_number():
    def make(*columns, ttl="7d"):
        return attributes("profile_v1", payments, card, columns, ttl=ttl, owner="o@x")

    assert make("country", "amount_minor", "is_new", "seen_at").ttl == timedelta(days=7)
    assert make("country", ttl=None).ttl == timedelta(0)
    refused(lambda: make("free_text"), "without declared categories")
    refused(lambda: make("nothing"), "has not")
    refused(lambda: make("country", "country"), "twice")
    refused(lambda: make("country", ttl="soon"), "duration")
    refused(lambda: service("s_v1", [make("seen_at")], owner="o"), "instant", "float32")


def test_request_fields_are_numeric_columns_of_the_source():
    assert isinstance(request(payments, "amount_minor"), RequestSource)
    refused(lambda: request(payments, "country"), "not a number")
    refused(lambda: request(payments, "nothing"), "has not")


HABIT = view("habit_v1", aggregations=aggregate("amount_minor", "mean", "30d"))
HABIT_OF_SHOP = view("shop_v1", entities=shop, aggregations=HABIT.aggregations)
OUTPUTS = ["amount", "is_weekend", "is_night", "amount_over_mean"]


def payment_view(sources=None, outputs=OUTPUTS, function=transforms.payment, name="payment_v1"):
    given = [HABIT, request(payments, "amount_minor")] if sources is None else sources
    return on_demand(name, function, given, outputs, owner="o@x")


def test_a_request_time_view_refers_to_its_function():
    made = payment_view()
    assert "# sha256: " in made.udf_string
    assert "use_cases.fraud.transforms:payment" in made.udf_string


@pytest.mark.parametrize(
    ("changed", "parts"),
    [
        ({"outputs": OUTPUTS[:2]}, ["other outputs than declared"]),
        ({"outputs": [*OUTPUTS, "amount"]}, ["twice"]),
        ({"sources": [HABIT]}, ["reads an input", "amount_minor"]),
        ({"sources": [HABIT, HABIT_OF_SHOP]}, ["twice", "amount_minor_mean_30d"]),
        ({"function": lambda inputs: inputs}, ["top level of a module"]),
        ({"name": "payment"}, ["end in its version"]),
    ],
)
def test_a_wrong_request_time_view_is_refused(changed, parts):
    refused(lambda: payment_view(**changed), *parts)


def test_a_request_time_view_of_another_shape_is_refused():
    refused(lambda: payment_view(function=np_mean, outputs=["mean"]), "in another shape")


def np_mean(inputs):
    return {"mean": np.mean(inputs["amount_minor"])}


def test_a_service_is_refused_when_empty_or_doubled():
    refused(lambda: service("s_v1", [], owner="o"), "is empty")
    refused(lambda: service("s_v1", [HABIT, HABIT], owner="o"), "twice")
    refused(lambda: service("s", [HABIT], owner="o"), "end in its version")
