import pytest
from entity_parts import parts_of
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InvalidInputError
from core.features.keys import entity_key, epoch_of, offset_of, position

TEXTS = st.lists(st.text(alphabet="1,|\x00é𐀀 ", max_size=4), min_size=1, max_size=3)


@given(TEXTS)
def test_entity_key_gives_back_its_parts(parts: list[str]) -> None:
    assert parts_of(entity_key(parts)) == tuple(parts)


@given(TEXTS, TEXTS)
def test_entity_keys_are_equal_only_for_equal_parts(one: list[str], other: list[str]) -> None:
    assert (entity_key(one) == entity_key(other)) == (one == other)


def test_entity_key_is_the_documented_bytes() -> None:
    assert entity_key(["é", 12]) == b"\x00\x02\xc3\xa9\x00\x0212"


def test_entity_key_takes_an_integer_as_its_decimal_text() -> None:
    assert entity_key([-7]) == entity_key(["-7"])
    assert entity_key([7]) != entity_key(["07"])


@pytest.mark.parametrize("values", [[], [True], [1.0], [None], ["\ud800"], ["x" * 65_536]])
def test_entity_key_refuses_what_has_no_bytes(values: list[object]) -> None:
    with pytest.raises(InvalidInputError):
        entity_key(values)  # type: ignore[arg-type]


def test_positions_follow_the_log() -> None:
    places = [(0, 0), (0, 1), (0, 2**32 - 1), (1, 0), (2**31 - 1, 2**32 - 1)]
    positions = [position(epoch, offset) for epoch, offset in places]
    assert positions == sorted(positions)
    assert [(epoch_of(p), offset_of(p)) for p in positions] == places
    assert positions[-1] < 2**63


@pytest.mark.parametrize(("epoch", "offset"), [(-1, 0), (0, -1), (0, 2**32), (2**31, 0)])
def test_position_refuses_what_does_not_fit(epoch: int, offset: int) -> None:
    with pytest.raises(InvalidInputError):
        position(epoch, offset)
