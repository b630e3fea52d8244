"""Checks of sources and training sets on small tables: each passes, and each can fail."""

from datetime import UTC, date, datetime

import dagster as dg
import numpy as np
import pyarrow as pa
import pytest
from deltalake import write_deltalake
from training_sets import small_use_case

from assets.checks import training as checks
from assets.checks.expectations import source_expectations, training_expectations
from assets.resources import Platform
from core.consent import Consent
from core.contracts import FieldSpec, Source
from stores.frames.masked_columns import masked_column
from stores.masking import ensure_mask

AT = datetime(2026, 1, 1, tzinfo=UTC)
SOURCE = Source(
    name="payments",
    description="Payments.",
    owner="a@b.example",
    fields=(
        FieldSpec(name="amount", type="int64", minimum=1, maximum=100),
        FieldSpec(name="country", type="string", is_nullable=True, allowed=("BE", "NL")),
        FieldSpec(name="card", type="string", pattern="c[0-9]+"),
    ),
)


def payments(**changes) -> pa.Table:
    columns = {
        "event_id": ["a", "b"],
        "event_timestamp": [AT, AT],
        "available_at": [AT, AT],
        "amount": [5, 6],
        "country": ["BE", None],
        "card": ["c1", "c2"],
        "event_date": [date(2026, 1, 1)] * 2,
    }
    return pa.table({**columns, **changes})


def test_a_table_that_keeps_its_contract_passes():
    result = source_expectations(SOURCE, payments())
    assert result.passed
    assert result.metadata["rows"].value == 2


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"event_id": ["a", "a"]}, "unique"),
        ({"amount": [5, 500]}, "amount"),
        ({"amount": [5, None]}, "not_be_null amount"),
        ({"country": ["BE", "XX"]}, "country"),
        ({"card": ["c1", "d2"]}, "card"),
        ({"colour": ["red", "red"]}, "columns_to_match"),
    ],
)
def test_a_table_that_breaks_its_contract_fails_and_says_where(changes, said):
    result = source_expectations(SOURCE, payments(**changes))
    assert not result.passed
    assert result.description is not None
    assert said in result.description
    assert "500" not in result.description.replace("500 rows", "")


def test_an_empty_table_fails_unless_it_was_declared():
    empty = payments().slice(0, 0)
    assert not source_expectations(SOURCE, empty).passed
    declared = SOURCE.model_copy(update={"is_empty_allowed": True})
    assert source_expectations(declared, empty).passed


def training_set(n: int = 90) -> pa.Table:
    return pa.table(
        {
            "example_id": [f"e{i}" for i in range(n)],
            "event_timestamp": [AT] * n,
            "label": [i % 2 for i in range(n)],
            "split": [("train", "validation", "test")[i * 3 // n] for i in range(n)],
            "weight": [1.0] * n,
        }
    )


def test_a_training_set_of_the_declared_kind_passes():
    assert training_expectations(training_set()).passed


@pytest.mark.parametrize(
    ("column", "value"), [("label", 2), ("split", "tset"), ("weight", -1.0), ("example_id", None)]
)
def test_a_training_set_of_another_kind_fails(column, value):
    table = training_set()
    index = table.column_names.index(column)
    changed = pa.array([value, *table[column].to_pylist()[1:]])
    assert not training_expectations(table.set_column(index, column, changed)).passed


def test_an_empty_training_set_fails():
    assert not training_expectations(training_set().slice(0, 0)).passed


def test_repeated_examples_are_counted():
    assert checks._distinct(["a", "b"]).passed
    result = checks._distinct(["a", "b", "a"])
    assert not result.passed
    assert result.metadata["repeated"].value == 1


def test_every_part_needs_both_classes():
    labels, parts = np.arange(90) % 2, np.repeat(["train", "validation", "test"], 30)
    assert checks._classes(labels, parts).passed
    assert not checks._classes(np.where(parts == "test", 0, labels), parts).passed
    assert not checks._classes(labels[:60], parts[:60]).passed


def test_a_feature_that_says_the_label_is_a_leak():
    rng = np.random.default_rng(1)
    labels, inside = np.arange(200) % 2, np.ones(200, dtype=bool)
    honest = {"x": rng.normal(size=200) + labels}
    assert checks._leaks(honest, labels, inside).passed
    result = checks._leaks({**honest, "told": labels.astype(float)}, labels, inside)
    assert not result.passed
    assert "told" in (result.description or "")


def test_a_feature_that_leaks_by_being_null_is_a_leak():
    labels = np.arange(200) % 2
    leaks = {"verdict": np.where(labels == 1, 3.0, np.nan)}
    assert not checks._leaks(leaks, labels, np.ones(200, dtype=bool)).passed


def test_constant_columns_are_named():
    assert checks._constant({"a": np.array([1.0, 2.0])}).passed
    result = checks._constant({"a": np.array([1.0, 2.0]), "dead": np.array([np.nan, np.nan])})
    assert not result.passed
    assert "dead" in (result.description or "")


CONSENT = Consent(source="wishes", column="is_out", keys=("card_id",))


@pytest.fixture
def wishes(tmp_path):
    """A home where c1 opted out, and c2 did and took it back."""
    platform = Platform(home=str(tmp_path), online_url="none", tracking_uri="none")
    said = [("w1", "c1", True), ("w2", "c2", True), ("w3", "c2", False)]
    ids, cards, words = zip(*said, strict=True)
    told = {"event_id": ids, "card_id": cards, "is_out": words}
    at = {name: [AT, AT, AT.replace(hour=1)] for name in ("event_timestamp", "available_at")}
    write_deltalake(platform.layout.events("wishes"), pa.table(told | at))
    return platform


@pytest.mark.parametrize("masked_keys", [(), ("card_id",)])
@pytest.mark.parametrize(("cards", "n_planted"), [(["c2", "c3", None], 0), (["c1", "c2", "c1"], 2)])
def test_an_example_of_somebody_who_opted_out_is_found(wishes, cards, n_planted, masked_keys):
    column = pa.chunked_array([cards], pa.string())
    if masked_keys:
        column = masked_column(ensure_mask(wishes.layout.keys), column)
    table = pa.table({"card_id": column})
    result = checks.nobody_opted_out(wishes, CONSENT, table, masked_keys)
    assert result.passed == (n_planted == 0)
    assert result.metadata["examples"].value == n_planted
    assert result.metadata["opted_out"].value == 1
    assert "c1" not in str(result.description)


def test_the_check_of_consent_blocks_where_subjects_are_asked_and_is_not_elsewhere():
    key = dg.AssetKey(["training", "small"])
    asked = small_use_case().model_copy(update={"consent": CONSENT})
    found = {spec.name: spec.blocking for spec in checks.training_specs(key, asked)}
    assert found[checks.CONSENT]
    assert set(found) - {checks.CONSENT} == set(checks.MEANING)
    assert {spec.name for spec in checks.training_specs(key, small_use_case())} == set(
        checks.MEANING
    )
