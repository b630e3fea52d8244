"""A definition may not change under its name."""

from __future__ import annotations

import json

import pytest

from core.errors import ConfigurationError
from core.features.plan import Plan
from feature_store import ledger
from feature_store.plans import compile_use_case
from use_cases import discover


def plans() -> list[Plan]:
    return [compile_use_case(use_case) for use_case in discover().values()]


def test_declared_definitions_are_those_of_the_committed_ledger():
    """Fails when a definition changed: give the new one the next version.

    Fails when one is new: run ``python -m feature_store.ledger --add``.
    """
    current = ledger.digests_of(plans())
    kept = ledger.read_ledger(ledger.LEDGER)
    ledger.refuse_changes(current, kept, where="the ledger")
    assert set(current) <= set(kept)


def test_shared_views_are_entered_once():
    found = discover()
    shared = [compile_use_case(found[name]) for name in ("fraud", "handbook")]
    assert len(ledger.digests_of(shared)) == 8


def test_new_names_are_entered_and_old_ones_stay(tmp_path):
    path = tmp_path / "digests.json"
    assert ledger.add(path, {"view b_v1": "2", "view a_v1": "1"}) == ["view a_v1", "view b_v1"]
    assert ledger.add(path, {"view c_v1": "3"}) == ["view c_v1"]
    assert ledger.add(path, {"view c_v1": "3"}) == []
    assert json.loads(path.read_text()) == {"view a_v1": "1", "view b_v1": "2", "view c_v1": "3"}


def test_a_changed_definition_is_refused_and_nothing_is_written(tmp_path):
    path = tmp_path / "digests.json"
    ledger.add(path, {"view a_v1": "1"})
    before = path.read_bytes()
    with pytest.raises(ConfigurationError, match="view a_v1") as error:
        ledger.add(path, {"view a_v1": "2", "view b_v1": "1"})
    assert "_v2" in error.value.remedy
    assert path.read_bytes() == before


def test_any_part_of_a_definition_changes_its_digest():
    plan = plans()[0]
    view = plan.views[0]
    window = view.windows[0].model_copy(update={"grid_ms": 1_000})
    changed_view = view.model_copy(update={"windows": (window, *view.windows[1:])})
    transform = plan.transforms[0].model_copy(update={"source_digest": "0" * 64})
    changed = plan.model_copy(
        update={
            "views": (changed_view, *plan.views[1:]),
            "transforms": (transform, *plan.transforms[1:]),
        }
    )
    before, after = ledger.digests_of([plan]), ledger.digests_of([changed])
    assert {name for name in before if before[name] != after[name]} == {
        f"view {view.name}",
        f"function {transform.name}",
        f"service {plan.service}",
    }


def test_two_use_cases_may_not_mean_different_things_by_one_name():
    plan = plans()[0]
    view = plan.views[0].model_copy(update={"source": "other"})
    other = plan.model_copy(update={"service": "other_v1", "views": (view, *plan.views[1:])})
    with pytest.raises(ConfigurationError, match=view.name):
        ledger.digests_of([plan, other])
