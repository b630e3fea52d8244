import contextlib
import math
from types import SimpleNamespace
from typing import Any

import pytest
from bundles import CONTRACT, REQUEST
from example_counts import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from payments import NOW_MS

from core.contracts import FieldSpec
from serving.engine.calls import Call, points_of
from serving.engine.contract import TOLERANCE_MS, Arm, RequestContract
from serving.errors import BrokenContractError
from stores.shelf.bundle import Contract

CHECKED = RequestContract(CONTRACT, is_any_time=False)


def faults(raw, contract=CHECKED, pointer=""):
    with pytest.raises(BrokenContractError) as broken:
        contract.point(raw, now_ms=NOW_MS, pointer=pointer)
    return [(fault.pointer, fault.code) for fault in broken.value.faults]


def changed(part, **values):
    return {**REQUEST, part: {**REQUEST[part], **values}}


def test_a_request_becomes_a_point():
    point = CHECKED.point({**REQUEST, "explain": True}, now_ms=NOW_MS)
    assert point.keys == {"card_id": "c1", "terminal_id": "t1"}
    assert point.inputs == {"amount_minor": 1_250}
    assert (point.at_ms, point.is_explained) == (NOW_MS, True)
    assert (point.event_id, point.arm) == (None, None)


def test_a_point_names_the_event_that_it_is_about():
    assert CHECKED.point({**REQUEST, "event_id": "e1"}, now_ms=NOW_MS).event_id == "e1"


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ([], [("", "malformed")]),
        (None, [("", "malformed")]),
        ("x", [("", "malformed")]),
        ({}, [("/entities", "malformed"), ("/inputs/amount_minor", "missing_field")]),
        ({**REQUEST, "more": 1}, [("", "unknown_field")]),
        ({**REQUEST, "entities": 3}, [("/entities", "malformed")]),
        ({**REQUEST, "inputs": None}, [("/inputs", "malformed")]),
        (changed("entities", secret="x"), [("/entities", "unknown_field")]),
        (changed("entities", card_id=None), [("/entities/card_id", "null_field")]),
        (changed("entities", card_id=""), [("/entities/card_id", "null_field")]),
        (changed("entities", card_id=7), [("/entities/card_id", "wrong_type")]),
        (changed("entities", card_id="c 1"), [("/entities/card_id", "pattern")]),
        (changed("entities", terminal_id="t" * 65), [("/entities/terminal_id", "too_long")]),
        (changed("entities", terminal_id="\ud800"), [("/entities/terminal_id", "wrong_type")]),
        (changed("inputs", amount_minor=0), [("/inputs/amount_minor", "out_of_range")]),
        (changed("inputs", amount_minor=1.5), [("/inputs/amount_minor", "wrong_type")]),
        (changed("inputs", amount_minor=True), [("/inputs/amount_minor", "wrong_type")]),
        (changed("inputs", amount_minor=math.nan), [("/inputs/amount_minor", "not_finite")]),
        (changed("inputs", amount_minor=math.inf), [("/inputs/amount_minor", "not_finite")]),
        (changed("inputs", amount_minor=10**400), [("/inputs/amount_minor", "out_of_range")]),
        ({**REQUEST, "explain": "yes"}, [("/explain", "wrong_type")]),
        ({**REQUEST, "event_id": 7}, [("/event_id", "wrong_type")]),
        ({**REQUEST, "event_id": ""}, [("/event_id", "null_field")]),
        ({**REQUEST, "event_id": "e\0"}, [("/event_id", "wrong_type")]),
        ({**REQUEST, "at": "yesterday"}, [("/at", "wrong_type")]),
        ({**REQUEST, "at": math.nan}, [("/at", "not_finite")]),
        ({**REQUEST, "at": NOW_MS + TOLERANCE_MS + 1}, [("/at", "at_out_of_range")]),
        ({**REQUEST, "at": NOW_MS - TOLERANCE_MS - 1}, [("/at", "at_out_of_range")]),
    ],
)
def test_what_does_not_fit_is_told_by_pointer_and_code(raw, expected):
    assert faults(raw) == expected


@pytest.mark.parametrize(("by_ms", "said"), [(-1, "before"), (1, "after")])
def test_an_instant_that_is_not_taken_is_told_what_is_and_how_far_off_it_lies(by_ms, said):
    at_ms = NOW_MS + by_ms * (TOLERANCE_MS + 7)
    with pytest.raises(BrokenContractError) as broken:
        CHECKED.point({**REQUEST, "at": at_ms}, now_ms=NOW_MS)
    (fault,) = broken.value.faults
    assert fault.message == (
        f"must lie within 5 minutes of the instant of receipt; lies 300007 ms {said} it"
    )
    assert str(at_ms) not in fault.message


def test_every_fault_is_told_at_once_below_the_pointer():
    raw = {"entities": {"card_id": 1}, "inputs": {"amount_minor": -1}, "at": [], "x": 1}
    assert faults(raw, pointer="/points/3") == [
        ("/points/3", "unknown_field"),
        ("/points/3/entities/card_id", "wrong_type"),
        ("/points/3/entities/terminal_id", "missing_field"),
        ("/points/3/inputs/amount_minor", "out_of_range"),
        ("/points/3/at", "wrong_type"),
    ]


@pytest.mark.parametrize("by_ms", [-TOLERANCE_MS, 0, TOLERANCE_MS])
def test_an_instant_within_five_minutes_is_taken(by_ms):
    assert CHECKED.point({**REQUEST, "at": NOW_MS + by_ms}, now_ms=NOW_MS).at_ms == NOW_MS + by_ms


def test_any_instant_is_taken_where_that_is_allowed():
    contract = RequestContract(CONTRACT, is_any_time=True)
    assert contract.point({**REQUEST, "at": "1970-01-01T00:00:01Z"}, now_ms=NOW_MS).at_ms == 1_000


def test_an_instant_is_taken_as_text_too():
    point = CHECKED.point({**REQUEST, "at": "2026-01-01T01:00:00+01:00"}, now_ms=NOW_MS)
    assert point.at_ms == NOW_MS


def test_a_nullable_input_may_be_left_out():
    optional = FieldSpec(name="tip_minor", type="int64", is_nullable=True)
    contract = RequestContract(
        Contract(keys=CONTRACT.keys, inputs=(*CONTRACT.inputs, optional)), is_any_time=False
    )
    assert contract.point(REQUEST, now_ms=NOW_MS).inputs["tip_minor"] is None


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
names = st.sampled_from(["entities", "inputs", "at", "explain", "card_id", "amount_minor", "zz"])


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(raw=values | st.dictionaries(names, values | st.dictionaries(names, values)))
def test_nothing_that_json_can_say_raises_anything_else(raw):
    with contextlib.suppress(BrokenContractError):
        point = CHECKED.point(raw, now_ms=NOW_MS)
        assert set(point.keys) == {"card_id", "terminal_id"}


def test_no_message_repeats_what_was_sent():
    secret = "4111111111111111"
    raw = {"entities": {"card_id": f"{secret} x", secret: 1}, "inputs": {secret: 2}, secret: 3}
    with pytest.raises(BrokenContractError) as broken:
        CHECKED.point(raw, now_ms=NOW_MS)
    assert secret not in repr(broken.value.faults) + str(broken.value)


WIDE = RequestContract(
    Contract(
        keys=(CONTRACT.keys[0], FieldSpec(name="shop", type="int64", minimum=1)),
        inputs=(
            FieldSpec(name="amount", type="float64", minimum=-5, maximum=1e6),
            FieldSpec(name="kind", type="string", allowed=("a", "b"), is_nullable=True),
            FieldSpec(name="note", type="string", max_length=3, pattern="[a-c]+x?"),
            FieldSpec(name="is_new", type="bool"),
            FieldSpec(name="since", type="timestamp"),
        ),
    ),
    is_any_time=False,
)
GOOD = {
    "entities": {"card_id": "c1", "shop": 7},
    "inputs": {"amount": 1.5, "kind": "a", "note": "abx", "is_new": True, "since": 0},
}
ODD = st.sampled_from(
    [
        None,
        0,
        -1,
        2**63,
        -0.0,
        0.0,
        math.nan,
        math.inf,
        2.5,
        "",
        "c2",
        "c 2",
        "\0",
        "é",
        "1",
        [],
        {},
    ]
) | st.sampled_from(["abcx", True, False, "true", "b", "\ud800", NOW_MS, "2026-01-01"])
PLACES = [(part, name) for part in ("entities", "inputs") for name in GOOD[part]]


@st.composite
def wide_requests(draw):
    """A request of which nothing, or one place, is odd."""
    raw = {part: dict(members) for part, members in GOOD.items()}
    what = draw(st.sampled_from(["good"] * 6 + ["value", "left out", "order", "more", "other"]))
    part, name = draw(st.sampled_from(PLACES))
    if what == "value":
        raw[part][name] = draw(ODD)
    elif what == "left out":
        del raw[part][name]
    elif what == "order":
        raw[part] = dict(reversed(raw[part].items()))
    elif what == "more":
        draw(st.sampled_from([raw, raw[part]]))[draw(st.sampled_from(["explain", "x"]))] = True
    elif what == "other":
        raw = draw(st.sampled_from([None, [], {}, {**raw, part: 3}, {"entities": {}}]))
    return raw


def said_one_by_one(raws):
    points: list[Any] = []
    broken: list[Any] = []
    for place, raw in enumerate(raws):
        try:
            points.append(WIDE.point(raw, now_ms=NOW_MS, pointer=f"/{place}", arm=Arm("e", 2)))
        except BrokenContractError as error:
            broken += error.faults
    return broken[:20] or points


@settings(max_examples=examples(400), deadline=None)
@given(st.lists(wide_requests(), min_size=1, max_size=9))
def test_many_requests_are_taken_as_each_is_by_itself(raws):
    call = Call("toy", raws, [f"/{n}" for n in range(len(raws))], NOW_MS, arm=Arm("e", 2))
    release: Any = SimpleNamespace(contract=WIDE)
    try:
        said = repr(points_of(call, release))
    except BrokenContractError as error:
        said = repr([*error.faults])
    assert said == repr(said_one_by_one(raws))


def test_requests_in_order_are_seen_to_be_at_once():
    found = WIDE.points([GOOD] * 5, now_ms=NOW_MS, trace=None, arm=Arm("e", 2))
    assert found == [WIDE.point(GOOD, now_ms=NOW_MS, arm=Arm("e", 2))] * 5
