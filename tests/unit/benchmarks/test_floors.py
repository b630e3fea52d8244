from __future__ import annotations

import pytest

from benchmarks.floors import Floor, Section, ratio
from benchmarks.measure import Measurement
from benchmarks.tiles_suite import said

QUICK = Measurement("ours", 9.0, 100.0, {"seconds": 2.0, "cpu_s": 3.5, "profile": "one process"})
SLOW = Measurement("peer", 30.0, 2_000.0, {"seconds": 10.0, "first_pass_s": 14.0})
DEAD = Measurement("peer", 30.0, 50.0, failure="out of memory")


@pytest.mark.parametrize(
    ("value", "is_ceiling", "is_met"),
    [(3.0, False, True), (2.99, False, False), (3.0, True, True), (3.01, True, False)],
)
def test_a_floor_is_met_at_its_limit(value, is_ceiling, is_met):
    assert Floor("x", value, 3, is_ceiling=is_ceiling).is_met is is_met


@pytest.mark.parametrize("is_ceiling", [True, False])
def test_what_was_not_measured_is_missed(is_ceiling):
    floor = Floor("doubling", None, 2.3, is_ceiling=is_ceiling, note="no memory")
    assert not floor.is_met
    assert "MISSED" in floor.line()
    assert "not measured" in floor.line()
    assert "(no memory)" in floor.line()


def test_a_ratio_is_of_the_seconds_of_the_work():
    assert ratio(SLOW, QUICK) == 5.0
    assert ratio(SLOW, DEAD) is ratio(DEAD, QUICK) is None
    assert said("x", None) == "x: not measured"
    assert said("x", 1_234.5) == "x: 1,234.50"


def test_the_table_has_a_row_a_measurement_then_floors_and_notes(capsys):
    section = Section("Join", notes=["as it is"])
    for measurement in (QUICK, SLOW, DEAD):
        assert section.add(measurement) is measurement
    section.floors.append(Floor("peer / ours", ratio(SLOW, QUICK), 3))
    assert capsys.readouterr().out.splitlines() == [
        "... ours: 2.00 s",
        "... peer: 10.00 s",
        "... peer: out of memory",
    ]
    lines = [" ".join(line.split()) for line in section.table().splitlines()]
    assert lines[1:] == [
        "Join",
        "case seconds first CPU s peak RSS",
        "ours 2.00 - 3.50 100 MB one process",
        "peer 10.00 14.00 - 2000 MB",
        "peer - - - 50 MB out of memory",
        "met peer / ours: 5.00 >= 3",
        "note: as it is",
    ]
