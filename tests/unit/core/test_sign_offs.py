from __future__ import annotations

from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from core.sign_offs import ROLES_OF_TIER, SignOff, missing_roles, name_of, roles_of

ROLES = ("risk", "owner", "legal")
PEOPLE = ("ann", "bob", "carl", "dora")
signed = st.lists(
    st.builds(
        SignOff,
        who=st.sampled_from(PEOPLE),
        role=st.sampled_from((*ROLES, "other")),
        expires_at_ms=st.sampled_from([5, 15]),
    ),
    max_size=6,
)


def most_filled(signed_off, author):
    """The slow obvious way: try every way to give each role to one person."""
    holding = {(each.who, each.role) for each in signed_off if each.expires_at_ms > 10}
    people = [*(p for p in PEOPLE if p != author), *("",) * len(ROLES)]
    return max(
        sum((person, role) in holding for person, role in zip(order, ROLES, strict=True))
        for order in permutations(people, len(ROLES))
    )


@given(signed, st.sampled_from(("", *PEOPLE)))
def test_as_few_roles_are_missing_as_can_be_when_nobody_fills_two(signed_off, author):
    missing = missing_roles(ROLES, signed_off, author=author, now_ms=10)
    assert len(missing) == len(ROLES) - most_filled(signed_off, author)
    assert set(missing) <= set(ROLES)


def test_a_higher_tier_never_asks_for_less():
    assert set(ROLES_OF_TIER["low"]) <= set(ROLES_OF_TIER["medium"]) <= set(ROLES_OF_TIER["high"])
    assert roles_of("low", ("legal",)) == ("legal",)


def test_a_name_written_in_another_way_is_the_same_person():
    assert name_of("\uff2aosé  Müller") == name_of("josé mu\u0308ller ")
    assert name_of("ann") != name_of("anne")
