"""Every column of every table says what it is, and nothing is said of a column there is not."""

from pathlib import Path

import pytest
from deltalake import write_deltalake
from pyspark.sql.types import StringType, StructField, StructType

from assets import columns
from assets.tables import facts_of
from core.decisions import DecisionPolicy, Rule, read_beside
from core.features.partials import NEEDS
from core.features.plan import ViewPlan, WindowFeature
from core.features.tile_building import tile_columns as tile_fields
from orchestration.code_location import declared_by
from orchestration.settings import Settings
from spark_jobs.examples import join_keys_of
from spark_jobs.tables import events_table, scores_table, tiles_table, training_table
from stores.layout import Layout

LAYOUT = Layout(Path("/nowhere"))


@pytest.fixture(scope="module")
def declared(tmp_path_factory):
    return declared_by(Settings(home=tmp_path_factory.mktemp("home"), environment="test"))


def texts(*names):
    return StructType([StructField(name, StringType()) for name in names])


def says_all(described, table):
    assert set(described) == set(table.schema.names)
    assert [name for name, text in described.items() if len(text) < 10] == []


def test_events_are_described(declared):
    for source in declared.sources.values():
        says_all(columns.event_columns(source), events_table(LAYOUT, source))


def test_a_field_is_described_with_its_class(declared):
    described = columns.event_columns(declared.sources["transactions"])
    assert described["card_id"].endswith("never the card number. (personal)")


def test_tiles_are_described(declared):
    for view in declared.views.values():
        if view.windows:
            table = tiles_table(LAYOUT, view.name, view.join_keys, tile_fields(view))
            says_all(columns.tile_columns(view, declared.sources[view.source]), table)


@pytest.mark.parametrize("kind", ["int64", "float64"])
@pytest.mark.parametrize("function", NEEDS)
def test_what_a_tile_keeps_for_any_function_is_described(declared, function, kind):
    source = declared.sources["transactions"]
    window = WindowFeature(
        name="x", function=function, column="amount_minor", window_ms=1_000, grid_ms=1_000
    )
    view = ViewPlan(
        name="v_v1",
        entity="card",
        join_keys=("card_id",),
        source=source.name,
        columns={"amount_minor": kind},
        windows=(window,),
    )
    table = tiles_table(LAYOUT, view.name, view.join_keys, tile_fields(view))
    says_all(columns.tile_columns(view, source), table)


@pytest.mark.parametrize("name", ["fraud", "handbook"])
def test_training_sets_are_described(declared, name):
    use_case, plan = declared.use_cases[name], declared.plans[name]
    rule = Rule(decision="D", when="request.amount_minor > 1", reason="r")
    policy = DecisionPolicy(rules=(rule,), default="A", default_reason="r")
    for declared_case in (use_case, use_case.model_copy(update={"decisions": policy})):
        beside = read_beside(declared_case.decisions, plan)
        table = training_table(LAYOUT, name, plan, texts(*join_keys_of(plan)), beside)
        says_all(columns.training_columns(declared_case, plan), table)
    assert beside == ("request:amount_minor",)


@pytest.mark.parametrize("grain", ["example", "entity"])
def test_scores_are_described(declared, grain):
    plan = declared.plans["fraud"]
    use_case = declared.use_cases["fraud"].model_copy(update={"scores_grain": grain})
    subject = texts(*(["example_id"] if grain == "example" else []), *join_keys_of(plan))
    says_all(columns.score_columns(use_case, plan), scores_table(LAYOUT, "fraud", subject))


def test_a_feature_says_function_entity_window_grid_and_what_the_contract_says(declared):
    described = columns.training_columns(declared.use_cases["fraud"], declared.plans["fraud"])
    assert described["card_activity_v1__amount_minor_mean_30d"] == (
        "Mean of amount_minor of the card over 30d, tail on a grid of 12h: "
        "Amount in minor units (cents), so that sums are exact."
    )
    assert described["card_profile_v1__limit_minor"].startswith(
        "limit_minor of the card in force, at most 400d old: Monthly"
    )
    assert "use_cases.fraud.transforms:payment" in described["payment_v1__is_night"]


def test_a_training_set_says_which_keys_are_masked(declared):
    described = columns.training_columns(declared.use_cases["fraud"], declared.plans["fraud"])
    masked = {name for name, text in described.items() if text.endswith(columns.MASKED)}
    assert masked == {"card_id"}
    assert described["card_id"].startswith("The card")


def test_a_table_is_shown_with_its_columns_described(tmp_path):
    import pyarrow as pa

    write_deltalake(tmp_path / "table", pa.table({"a": [1], "b": ["x"]}))
    shown = facts_of(str(tmp_path / "table")).metadata({"a": "The first."})
    (first, second) = shown["dagster/column_schema"].columns
    assert (first.name, first.description) == ("a", "The first.")
    assert (second.name, second.description) == ("b", None)
