"""Words that still hold stay beyond their period, and values do not outlive their rows."""

import json
import time
from typing import Any

import pyarrow as pa
import pytest
from bundles import CARD_STATES, TOY_PLAN
from deltalake import CommitProperties, write_deltalake
from payments import PAYMENTS, VERDICTS
from platforms import platform_at
from training_sets import small_use_case
from wishes import CONSENT, WISH, WISHES

from assets.declared import Declared
from assets.retention_entities import ENDED, WORD
from assets.retention_pieces import Inventory
from core.clock import DAY_MS, event_date
from core.features.blob import base_key
from core.features.keys import entity_key, position
from core.retention import target_plan
from feature_store.ended import ended_values
from feature_store.engine import materialise
from stores.holds import Holds
from stores.layout import Layout
from stores.online import open_online_store

AT_MS = int(time.time() * 1_000) + 1_000 * DAY_MS
SAID = (  # card, days ago, whether it is out
    ("stays-out", 600, True),
    ("came-back", 610, True),
    ("came-back", 500, False),
    ("said-twice", 590, True),
    ("said-twice", 450, True),
    ("young", 30, False),
)


def words(said=SAID, first=0):
    at_us = [(AT_MS - days * DAY_MS) * 1_000 for _, days, _ in said]
    instants = pa.array(at_us, pa.timestamp("us", tz="UTC"))
    return pa.table(
        {
            "event_id": [f"w{first + n}" for n in range(len(said))],
            "event_timestamp": instants,
            "available_at": instants,
            "position": [position(1 + first, n) for n in range(len(said))],
            "event_date": instants.cast(pa.date32()),
            "card_id": [card for card, _, _ in said],
            "is_out": [is_out for _, _, is_out in said],
        }
    )


def write(layout, table, *, epoch, mode="append"):
    says = CommitProperties(custom_metadata={"userMetadata": json.dumps({"epoch": epoch})})
    uri = layout.events("wishes")
    write_deltalake(uri, table, partition_by=["event_date"], mode=mode, commit_properties=says)


def declared(*, is_asking=False):
    told: dict[str, Any] = {"name": "toy", "sources": (PAYMENTS, VERDICTS, CARD_STATES, WISHES)}
    if is_asking:
        told["consent"] = CONSENT
    plan = TOY_PLAN.model_copy(update={"views": (WISH,)})
    return Declared({"toy": small_use_case().model_copy(update=told)}, {"toy": plan})


@pytest.fixture
def layout(tmp_path):
    layout = Layout(tmp_path / "home").create()
    write(layout, words(), epoch=1)
    return layout


@pytest.fixture
def store(layout):
    store = open_online_store(layout.online_url)
    materialise(WISH, layout=layout, store=store, now_ms=AT_MS)
    yield store
    store.close()


def kept_of(layout, target, *, is_asking=False):
    platform = platform_at(layout.root, AT_MS, online_url=layout.online_url)
    found = Inventory(declared(is_asking=is_asking), platform, AT_MS).kept()
    (kept,) = [each for each in found if each.target == target]
    holds = Holds(layout).all()
    return kept, target_plan(target, kept.days, kept.pieces(), holds, now_ms=AT_MS)


def dates(*days_ago):
    return tuple(event_date(AT_MS - days * DAY_MS) for days in days_ago)


def test_the_last_word_of_who_opted_out_outlives_its_period(layout):
    """Else a subject who opted out more than a year ago would be learnt from again."""
    _, plan = kept_of(layout, "events/wishes", is_asking=True)
    assert plan.due == dates(610, 590, 500)
    assert plan.kept == {WORD: 2}
    assert plan.n_young == 1


def test_where_nobody_is_asked_words_are_rows_like_others(layout):
    _, plan = kept_of(layout, "events/wishes")
    assert (plan.due, plan.kept) == (dates(610, 600, 590, 500, 450), {})


def cards_in(store):
    found = store.read([base_key(WISH.name, entity_key([card])) for card, *_ in SAID])
    return {card for (card, *_), value in zip(SAID, found, strict=True) if value is not None}


def test_values_go_with_the_last_row_of_their_entity(layout, store):
    everybody = cards_in(store)
    assert everybody == {"stays-out", "came-back", "said-twice", "young"}
    kept, plan = kept_of(layout, f"online/{WISH.name}", is_asking=True)
    assert (plan.due, plan.due_rows) == ((ENDED,), 1)
    kept.remove(plan.due)
    assert cards_in(store) == everybody - {"came-back"}
    kept, plan = kept_of(layout, f"online/{WISH.name}")
    assert plan.due_rows == 2
    kept.remove(plan.due)
    assert cards_in(store) == {"young"}
    assert kept_of(layout, f"online/{WISH.name}")[1].due == ()


@pytest.mark.parametrize("target", ["events/*", "online/*"])
def test_a_hold_on_rows_or_values_keeps_values(layout, store, target):
    Holds(layout).place(target, who="Legal", why="case 7", now_ms=0, until_ms=AT_MS + DAY_MS)
    kept, plan = kept_of(layout, f"online/{WISH.name}")
    kept.remove(plan.due)
    assert len(cards_in(store)) == 4


def test_a_value_of_an_entity_that_comes_meanwhile_is_not_taken_for_one_without_rows(
    layout, store, monkeypatch
):
    """The events are read, then an ingest and a materialisation come between, then values are."""
    keys = store.keys

    def keys_later(start):
        write(layout, words([("new", 1, True)], first=1), epoch=2)
        materialise(WISH, layout=layout, store=store, now_ms=AT_MS)
        write(layout, words(), epoch=1, mode="overwrite")  # what an earlier look at it would see
        return keys(start)

    monkeypatch.setattr(store, "keys", keys_later)
    assert ended_values(WISH, layout=layout, store=store) == []


def test_a_value_that_cannot_be_read_goes_too(layout, store):
    store.write({base_key(WISH.name, entity_key(["nobody"])): b"other bytes"})
    (key,) = ended_values(WISH, layout=layout, store=store)
    assert b"nobody" in key


def test_without_a_table_nothing_is_said_to_have_no_rows(layout, store, tmp_path):
    elsewhere = Layout(tmp_path / "elsewhere").create()
    assert ended_values(WISH, layout=elsewhere, store=store) == []
