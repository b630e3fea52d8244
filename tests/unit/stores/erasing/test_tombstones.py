"""Rows of who was forgotten are known by their mask, in whatever shape they come."""

from __future__ import annotations

import pickle

import pytest
from payments import PAYMENTS

from core.erasing.erasure import Tombstone
from core.errors import ConfigurationError, IntegrityError
from stores.erasing.tombstones import Tombstones
from stores.layout import Layout
from stores.masking import KEY_FILE, ensure_mask


@pytest.fixture
def layout(tmp_path):
    return Layout(tmp_path / "home").create()


def bury(layout, *people, key="card_id"):
    for person in people:
        token = ensure_mask(layout.keys).of(person)
        Tombstones(layout).put(Tombstone(key=key, token=token, at_ms=1))
    forgotten = Tombstones(layout).forgotten()
    assert forgotten is not None
    return forgotten


def test_a_home_in_which_nobody_was_forgotten_asks_nothing(layout):
    assert Tombstones(layout).forgotten() is None
    assert not (layout.keys / KEY_FILE).exists()


def test_a_row_is_told_by_any_text_and_by_its_key(layout):
    forgotten = bury(layout, "card-7")
    columns = forgotten.columns(PAYMENTS)
    values = [f"x{n}" for n in range(len(PAYMENTS.fields))]
    assert not forgotten.is_in_row(values, columns)
    values[columns[0]] = "card-7"
    assert forgotten.is_in_row(values, columns)


def test_a_number_is_known_as_text_and_as_number(layout):
    forgotten = bury(layout, "4012888888881881")
    assert forgotten.is_of(4012888888881881)
    assert forgotten.is_of("4012888888881881")
    assert not any(map(forgotten.is_of, (None, True, 1.5, "x" * 70_000, "\ud800")))


def test_a_refused_record_is_told_however_deep_it_names_them(layout):
    forgotten = bury(layout, "card-7")
    assert forgotten.is_in_record({"Card": {"number": ["card-7"]}})
    assert forgotten.is_in_record('{"card": "card-7", torn')
    assert not forgotten.is_in_record({"Card": "card-71", "n": 7})


def test_it_travels_to_workers(layout):
    forgotten = bury(layout, "card-7")
    assert forgotten.is_of("card-7")
    assert pickle.loads(pickle.dumps(forgotten)).is_of("card-7")


def test_who_holds_the_list_sees_who_came_to_it(layout):
    bury(layout, "card-7")
    held = Tombstones(layout)
    before = held.forgotten()
    assert before is not None
    assert held.forgotten() is before
    bury(layout, "card-8")
    after = held.forgotten()
    assert after is not None
    assert not before.is_of("card-8")
    assert after.is_of("card-8")


def test_without_the_key_nothing_is_taken(layout):
    bury(layout, "card-7")
    (layout.keys / KEY_FILE).unlink()
    with pytest.raises(ConfigurationError, match="the key that tells who is not there"):
        Tombstones(layout).forgotten()
    assert not (layout.keys / KEY_FILE).exists()


def test_a_torn_tombstone_stops_everything(layout):
    bury(layout, "card-7")
    (layout.erasure / "tombstones" / "x.json").write_text("{")
    with pytest.raises(IntegrityError, match="cannot be read"):
        Tombstones(layout).forgotten()
