from core.clock import FixedClock
from serving.telemetry.repeats import EVERY_S, Repeats


def test_the_first_is_told_and_then_one_in_a_while_with_how_many_were_not():
    clock, told = FixedClock(0), list[str]()
    repeats = Repeats(clock)
    for _ in range(1_000):
        repeats.met("route", told.append)
    assert told == [""]
    clock.advance(int(EVERY_S * 1_000))
    repeats.met("route", told.append)
    assert told == ["", " (999 more since it was last said)"]
    clock.advance(int(EVERY_S * 1_000))
    repeats.met("route", told.append)
    assert told[-1] == ""


def test_kinds_are_told_apart():
    told = list[str]()
    repeats = Repeats(FixedClock(0))
    repeats.met("one", told.append)
    repeats.met("other", told.append)
    assert told == ["", ""]
