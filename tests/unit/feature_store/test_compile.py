"""A feature service compiles to one plan, from code and from a registry alike."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from feast import FeatureStore, FeatureView, PushSource, RepoConfig

from core.errors import ConfigurationError
from core.features.plan import Plan
from feature_store.catalogue import (
    Catalogue,
    catalogue_of,
    catalogue_of_module,
    catalogue_of_registry,
)
from feature_store.compile import compile_service, compile_vector, view_plan
from use_cases.builders import aggregate, entity, source_of, windows
from use_cases.fraud import features as fraud
from use_cases.fraud.sources import TRANSACTIONS

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def plan() -> Plan:
    catalogue = catalogue_of_module("use_cases.fraud.features")
    return compile_service(catalogue.service("fraud_v1"), catalogue)


def test_the_vector_stands_in_the_order_of_the_service(plan):
    assert plan.vector[:3] == (
        "card_activity_v1:amount_minor_count_5m",
        "card_activity_v1:amount_minor_count_1h",
        "card_activity_v1:amount_minor_count_1d",
    )
    assert plan.vector[-8:] == (
        "card_profile_v1:limit_minor",
        "card_profile_v1:country",
        "payment_v1:amount",
        "payment_v1:is_weekend",
        "payment_v1:is_night",
        "payment_v1:amount_over_mean",
        "standing_v1:card_age_days",
        "standing_v1:amount_over_limit",
    )
    assert len(plan.vector) == len(set(plan.vector)) == 42


def test_views_are_whole_whatever_part_a_service_takes(plan):
    profile = plan.view("card_profile_v1")
    assert profile.feature_names == ("limit_minor", "country", "since_day")
    assert profile.ttl_ms == 400 * 86_400_000
    assert profile.attributes[1].categories[:2] == ("AT", "BE")
    assert profile.columns == {"country": "string", "limit_minor": "int64", "since_day": "int64"}
    assert plan.view("card_activity_v1").grids_ms == (
        10_000,
        60_000,
        1_800_000,
        10_800_000,
        43_200_000,
    )


def test_sources_entities_and_request_fields_come_from_feasts_objects(plan):
    assert {view.name: (view.source, view.join_keys) for view in plan.views} == {
        "card_activity_v1": ("transactions", ("card_id",)),
        "terminal_activity_v1": ("transactions", ("terminal_id",)),
        "terminal_risk_v1": ("fraud_labels", ("terminal_id",)),
        "card_profile_v1": ("card_profiles", ("card_id",)),
    }
    assert [(f.name, f.type) for f in plan.request_fields] == [("amount_minor", "int64")]


def test_a_plan_survives_json(plan):
    again = Plan.model_validate_json(plan.model_dump_json())
    assert again == plan
    assert again.digest == plan.digest


def repository(folder: Path) -> FeatureStore:
    config = RepoConfig(
        project="trial",
        provider="local",
        registry=str(folder / "registry.db"),
        offline_store={"type": "file"},
        online_store={"type": "sqlite", "path": str(folder / "online.db")},
        entity_key_serialization_version=3,
    )
    return FeatureStore(config=config)


OBJECTS = [
    fraud.card,
    fraud.terminal,
    fraud.card_activity_v1,
    fraud.terminal_activity_v1,
    fraud.terminal_risk_v1,
    fraud.card_profile_v1,
    fraud.payment_v1,
    fraud.standing_v1,
    fraud.fraud_v1,
]

READ_BACK = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from parsed_once import parse_once
parse_once()
from feature_store.catalogue import catalogue_of_registry
from feature_store.compile import compile_service
from test_compile import repository
catalogue = catalogue_of_registry(repository(Path(sys.argv[1])).registry, "trial")
print(compile_service(catalogue.service("fraud_v1"), catalogue).digest)
"""


@pytest.mark.slow
def test_the_registry_gives_the_same_plan_in_any_process(plan, tmp_path):
    # Feast keeps the fields of stream views in a set, whose order differs from run to run.
    repository(tmp_path).apply(OBJECTS)
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "support")])
    found = {
        subprocess.run(
            [sys.executable, "-c", READ_BACK, str(tmp_path), str(Path(__file__).parent)],
            cwd=ROOT,
            env={"PYTHONPATH": path, "PYTHONHASHSEED": seed, "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert found == {plan.digest}


def test_a_request_time_view_comes_back_as_the_very_function(tmp_path):
    store = repository(tmp_path)
    store.apply(OBJECTS)
    view = catalogue_of_registry(store.registry, "trial").on_demand["payment_v1"]
    found = view.feature_transformation.udf({"amount_minor": [9], "amount_minor_mean_30d": [3]})
    assert found["amount_over_mean"] == [3.0]


def test_a_transform_may_read_a_view_outside_the_vector():
    catalogue = catalogue_of_module("use_cases.fraud.features")
    plan = compile_vector("s", ["standing_v1:card_age_days"], catalogue)
    assert [view.name for view in plan.views] == ["card_profile_v1"]
    assert plan.vector == ("standing_v1:card_age_days",)


@pytest.mark.parametrize(
    ("vector", "message"),
    [
        (["nothing_v1:x"], "no view called 'nothing_v1'"),
        (["card_activity_v1:nothing"], "features that no view has"),
        (["payment_v1:nothing"], "features that no view has"),
        (["amount"], "no view called 'amount'"),
    ],
)
def test_what_no_view_has_is_refused(vector, message):
    with pytest.raises(ConfigurationError, match=message):
        compile_vector("s", vector, catalogue_of_module("use_cases.fraud.features"))


def test_a_view_that_a_transform_reads_must_be_at_hand():
    catalogue = Catalogue(on_demand={"payment_v1": fraud.payment_v1})
    with pytest.raises(ConfigurationError, match="no view called 'card_activity_v1'"):
        compile_vector("s", ["payment_v1:amount"], catalogue)


def test_views_that_our_builders_did_not_make_are_refused():
    batch = fraud.card_activity_v1.batch_source
    bare = FeatureView(name="bare_v1", source=batch, entities=[fraud.card], schema=[])
    with pytest.raises(ConfigurationError, match="not fed by a source of ours"):
        view_plan(bare)
    pushed = PushSource(name="p", batch_source=batch)
    untagged = FeatureView(name="bare_v1", source=pushed, entities=[fraud.card], schema=[])
    with pytest.raises(ConfigurationError, match="does not say which columns"):
        view_plan(untagged)


def test_two_objects_of_one_name_are_refused():
    other = windows(
        "card_activity_v1",
        source_of_transactions(),
        entity("card", "card_id"),
        aggregate("amount_minor", "sum", "1d"),
        owner="o",
    )
    with pytest.raises(ConfigurationError, match="are called 'card_activity_v1'"):
        catalogue_of([fraud.card_activity_v1, other])


def source_of_transactions():
    return source_of(TRANSACTIONS)


def test_definitions_with_other_windows_have_other_digests():
    # Feast calls two stream views equal whose windows differ.
    one, two = (
        windows(
            "spend_v1",
            source_of_transactions(),
            fraud.card,
            aggregate("amount_minor", "sum", "1d", grid=grid),
            owner="o",
        )
        for grid in ("30m", "1h")
    )
    assert one == two
    assert view_plan(one).digest != view_plan(two).digest


def test_the_ledger_is_valid_json():
    assert json.loads((ROOT / "use_cases/digests.json").read_text())
