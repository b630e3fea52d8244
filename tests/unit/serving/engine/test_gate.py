from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from core.clock import FixedClock
from serving.engine.gate import FEW, LAPS, MEASURED, Gate


def gate_of(most=100, patience_ms=50):
    clock = FixedClock(0)
    return Gate(clock, most=most, patience_ms=patience_ms), clock


def busy(gate, clock, *, inside, each_ms, laps=LAPS):
    """Answer so many laps at a pace while so many are inside."""
    while gate.n_inside < inside:
        gate.enter()
    for _ in range(laps * MEASURED):
        clock.advance(each_ms)
        gate.leave()
        gate.enter()


def test_it_is_full_at_its_limit():
    gate, _ = gate_of(most=3)
    for _ in range(3):
        assert not gate.is_full
        gate.enter()
    assert gate.is_full
    gate.leave()
    assert not gate.is_full


def test_it_is_full_before_when_who_comes_would_wait_for_too_long():
    gate, clock = gate_of(patience_ms=50)
    busy(gate, clock, inside=25, each_ms=2)
    assert gate.expected_s == 25 * 0.002
    assert not gate.is_full
    gate.enter()
    assert gate.is_full


def test_few_may_always_be_inside():
    gate, clock = gate_of(patience_ms=50)
    busy(gate, clock, inside=FEW, each_ms=1_000)
    assert not gate.is_full
    gate.enter()
    assert gate.is_full


def test_who_goes_unanswered_makes_room_and_says_nothing_about_the_pace():
    gate, clock = gate_of()
    busy(gate, clock, inside=30, each_ms=1)
    for _ in range(LAPS * MEASURED):
        gate.enter()
        gate.withdraw()
    assert (gate.n_inside, gate.expected_s) == (30, 0.03)


def test_one_slow_moment_is_no_pace():
    gate, clock = gate_of()
    busy(gate, clock, inside=30, each_ms=1)
    clock.advance(5_000)
    busy(gate, clock, inside=30, each_ms=1, laps=1)
    assert gate.expected_s == 0.03
    assert not gate.is_full


def test_nothing_is_expected_before_the_pace_is_known_and_after_a_rest():
    gate, clock = gate_of()
    busy(gate, clock, inside=30, each_ms=10, laps=LAPS - 1)
    assert gate.expected_s == 0
    busy(gate, clock, inside=30, each_ms=10, laps=1)
    assert gate.is_full
    for _ in range(30):
        gate.leave()
    for _ in range(30):
        gate.enter()
    assert gate.expected_s == 0
    assert not gate.is_full


@given(st.lists(st.booleans(), max_size=300), st.integers(1, 20))
def test_who_enters_only_when_it_is_not_full_never_goes_beyond_the_limit(comings, most):
    gate, clock = gate_of(most=most)
    for is_coming in comings:
        clock.advance(1)
        if is_coming and not gate.is_full:
            gate.enter()
        elif not is_coming and gate.n_inside:
            gate.leave()
        assert 0 <= gate.n_inside <= most
