from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.breaker import Breaker
from core.errors import ConfigurationError

MOST, REST_S = 3, 1.0
STEPS = st.lists(
    st.tuples(st.sampled_from(["ask", "succeed", "fail", "vanish"]), st.integers(0, 40)),
    max_size=120,
)


def breaker():
    return Breaker(most_failures=MOST, rest_s=REST_S)


def opened(at_s=0.0):
    found = breaker()
    assert [found.failed(at_s) for _ in range(MOST)] == [False] * (MOST - 1) + [True]
    return found


def test_a_success_forgets_failures():
    found = breaker()
    for _ in range(10):
        assert not found.failed(0.0)
        assert not found.failed(0.0)
        assert not found.succeeded()
    assert found.state(0.0) == "closed"


def test_an_open_one_lets_nothing_through_until_it_has_rested():
    found = opened()
    assert [found.lets(at_s) for at_s in (0.0, 0.5, 0.99)] == [False] * 3
    assert found.state(0.99) == "open"
    assert found.state(1.0) == "half_open"


def test_one_probe_goes_through_when_half_open():
    found = opened()
    assert [found.lets(1.0 + n / 100) for n in range(50)] == [True] + [False] * 49


def test_a_probe_that_fails_begins_the_rest_again():
    found = opened()
    assert found.lets(1.0)
    assert not found.failed(1.1)
    assert found.state(1.2) == "open"
    assert not found.lets(2.0)
    assert found.lets(2.1)


def test_a_probe_that_succeeds_closes_it():
    found = opened()
    assert found.lets(1.0)
    assert found.succeeded()
    assert [found.lets(1.1) for _ in range(5)] == [True] * 5
    assert not found.failed(1.2)


def test_a_probe_of_which_nothing_is_heard_holds_nobody_up():
    found = opened()
    assert found.lets(1.0)
    assert not found.lets(1.9)
    assert found.lets(2.0)


@pytest.mark.parametrize("limits", [(0, 1.0), (1, 0.0), (-1, 1.0)])
def test_limits_that_mean_nothing_are_refused(limits):
    with pytest.raises(ConfigurationError, match="above 0"):
        Breaker(most_failures=limits[0], rest_s=limits[1])


class Told:
    """The same in words: what was told since it opened, kept whole and read anew each time."""

    def __init__(self):
        self.log = []

    def is_open(self):
        in_a_row = longest = 0
        for what, _ in self.log:
            if what == "succeed":
                in_a_row = longest = 0
            elif what == "fail":
                in_a_row += 1
                longest = max(longest, in_a_row)
        return longest >= MOST

    def lets(self, now_s):
        if not self.is_open():
            return True
        since = max(at_s for what, at_s in self.log if what in ("fail", "probe"))
        return now_s >= since + REST_S


@given(STEPS)
def test_it_does_what_the_words_say(steps):
    found, told, now_s = breaker(), Told(), 0.0
    for what, tenths in steps:
        now_s += tenths / 10
        if what == "ask":
            expected = told.lets(now_s)
            assert found.lets(now_s) == expected
            if told.is_open() and expected:
                told.log.append(("probe", now_s))
        elif what == "succeed":
            was_open = told.is_open()
            told.log.append(("succeed", now_s))
            assert found.succeeded() == was_open
        elif what == "fail":
            was_open = told.is_open()
            told.log.append(("fail", now_s))
            assert found.failed(now_s) == (told.is_open() and not was_open)
        assert (found.state(now_s) == "closed") == (not told.is_open())


@given(st.lists(st.integers(0, 30), min_size=1, max_size=200))
def test_while_everything_fails_calls_are_at_least_a_rest_apart(tenths):
    found, now_s, asked = opened(), 0.0, []
    for step in tenths:
        now_s += step / 10
        if found.lets(now_s):
            asked.append(now_s)
            found.failed(now_s)
    assert all(later - earlier > REST_S - 1e-9 for earlier, later in pairwise(asked))
