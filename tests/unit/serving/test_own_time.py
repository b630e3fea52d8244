"""A process's own time: work and sleep, and no waiting for a processor."""

import pytest

from core.clock import FixedClock
from serving.own_time import OwnTime, Seen


def spent_s(looks):
    """Seconds that a process spent, looked at once a second and found so."""
    clock, found = FixedClock(0), iter([Seen("R", 0.0), *looks])
    own = OwnTime(1, clock, look=lambda _: next(found))
    total_s = 0.0
    for _ in looks:
        clock.advance(1_000)
        total_s = own.spent_s()
    return total_s


@pytest.mark.parametrize(
    ("looks", "expected_s"),
    [
        ([Seen("R", 0.0)] * 1_000, 0.0),  # nobody lets it work
        ([Seen("R", 1.0), Seen("R", 2.0)], 2.0),
        ([Seen("R", 0.25), Seen("R", 0.5)], 0.5),
        ([Seen("R", 9.0)], 1.0),  # threads worked beside each other
        ([Seen("S", 0.0)] * 3, 3.0),
        ([Seen("D", 0.0), Seen("T", 0.0), Seen("Z", 0.0)], 3.0),
        ([Seen("S", 0.0), Seen("R", 0.5), Seen("R", 0.5)], 1.5),
    ],
)
def test_work_and_sleep_count_and_waiting_for_a_processor_does_not(looks, expected_s):
    assert spent_s(looks) == pytest.approx(expected_s)


def test_where_nobody_tells_the_clock_counts():
    clock = FixedClock(0)

    def nobody(_):
        raise FileNotFoundError

    own = OwnTime(1, clock, look=nobody)
    clock.advance(2_000)
    assert own.spent_s() == pytest.approx(2.0)
