from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.chaos.crowd import Crowd, crowd_of
from benchmarks.chaos.faults import Broken, Fault, figures_of
from benchmarks.chaos.load import Answer, answer_of, read_answers
from benchmarks.chaos.report import Report
from benchmarks.open_loop import RESULT

ALONE = "reading online values failed again and again and is left alone for a while"
TOTAL = Fault("f", lambda: None, lambda: None)
PARTIAL = Fault("f", lambda: None, lambda: None, is_total=False)
BEGAN_S, MENDED_S = 100.0, 106.0


def answer(at_s, ms=5.0, status="200", **more):
    return Answer(at_s, ms, status, **{"writer": "w1", **more})


def degraded(at_s, ms=5.0, because="took more than 100 ms", **more):
    return answer(at_s, ms, level="fallback", because=because, is_lacking=True, **more)


def figures(*answers, fault=TOTAL):
    return figures_of(fault, answers, Broken(BEGAN_S, MENDED_S, MENDED_S))


def test_what_was_sent_before_the_fault_does_not_count():
    found = figures(answer(99.0, status="503"), degraded(101.0))
    assert (found.sent, found.answered_share, found.degraded_share) == (1, 1.0, 1.0)


def test_what_is_not_answered_counts_against_the_share():
    found = figures(*[degraded(101.0)] * 3, answer(102.0, status="503"))
    assert found.answered_share == 0.75


@pytest.mark.parametrize(
    ("one", "fault", "unlabelled"),
    [
        (answer(101.0, is_lacking=True), TOTAL, 1),
        (answer(101.0, is_lacking=True), PARTIAL, 1),
        (answer(101.0), TOTAL, 1),
        (answer(101.0), PARTIAL, 0),
        (answer(105.9), TOTAL, 0),
        (answer(107.0), TOTAL, 0),
        (degraded(101.0), TOTAL, 0),
    ],
)
def test_an_answer_that_lacks_something_and_does_not_say_so_is_counted(one, fault, unlabelled):
    assert figures(one, fault=fault).unlabelled == unlabelled


def test_failures_are_counted_by_process_until_it_leaves_the_store_alone():
    first = [degraded(100.0 + n / 10, 100.0) for n in range(12)]
    waiting = [degraded(101.19, 100.0)] * 5
    alone = [degraded(101.25 + n, because=ALONE) for n in range(4)]
    other = [degraded(100.5, 100.0, writer="w2"), degraded(102.0, because=ALONE, writer="w2")]
    found = figures(*first, *waiting, *alone, *other)
    assert found.failures_to_open == 12
    assert found.opened_ms == pytest.approx(1_250)
    assert figures(*first).failures_to_open is None


def test_it_is_whole_again_with_the_last_answer_that_was_not():
    found = figures(degraded(105.0), degraded(106.75), answer(107.0))
    assert found.closed_ms == pytest.approx(750)
    assert figures(answer(107.0)).closed_ms == 0


def test_it_is_never_whole_again_where_the_last_answer_is_not():
    assert figures(answer(107.0), degraded(113.9)).closed_ms == math.inf


def test_what_shows_later_is_missed_only_from_then_on():
    late = replace(TOTAL, shows_after_s=1.0)
    assert figures(answer(101.0), fault=late).unlabelled == 0
    assert figures(answer(101.5), fault=late).unlabelled == 1


def test_a_folder_that_dies_is_to_lead_down_both_rungs():
    report = Report()
    report.aged(figures(degraded(101.0), degraded(105.0), answer(107.0), fault=TOTAL))
    assert {floor.what for floor in report.floors if not floor.is_met} == {"f: answers at stale"}


def test_an_answer_is_read_from_its_bytes():
    body = {
        "prediction_id": "fraud-0a1b-0-7",
        "degraded": {"level": "stale", "because": "late"},
        "features": {"v": {"status": "expired"}},
    }
    raw = b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n" + json.dumps(body).encode()
    found = answer_of(1.0, 2.0, "200", raw)
    assert (found.level, found.because, found.writer) == ("stale", "late", "0a1b")
    assert found.is_lacking
    assert found.is_answered
    assert not answer_of(1.0, 2.0, "503", b"").is_answered


def test_answers_come_back_from_their_file(tmp_path):
    path = tmp_path / "answers.ndjson"
    path.write_text(json.dumps({"at_s": 1.0, "ms": 2.0, "status": "200"}) + "\n")
    assert read_answers(path) == [Answer(1.0, 2.0, "200")]


def crowd(**changes):
    """A crowd that met what was promised, but for so little asked and answered."""
    good = Crowd(
        peak=1_000, offered=2_000, goodput=790, accepted_p50_ms=40, accepted_p99_ms=99,
        refused_p50_ms=3, refused_p99_ms=9, generator_p99_ms=1, lost=0, no_retry=0,
        watched=50, watched_failed=0, watched_p99_ms=8,
    )  # fmt: skip
    return replace(good, **changes)


def test_what_a_crowd_met_is_counted_from_every_request():
    rows = [
        *[(n / 100, 0.1, 20.0 + n, 200, 0) for n in range(50)],
        *[(0.5 + n / 100, 0.2, 5.0, 503, 1) for n in range(48)],
        (0.98, 0.1, 4_000.0, 200, 0),  # came when nobody asked any more
        (0.99, 0.1, 5.0, 429, 0),
        (1.0, 0.1, 0.0, 0, 0),
    ]
    found = crowd_of(np.array(rows, dtype=RESULT), 50.0, [2.0, 1.0], 3)
    assert found.offered == 101
    assert found.goodput == 50
    assert found.share == 1.0
    assert (found.accepted_p50_ms, found.accepted_p99_ms) == (45.0, 4_000.0)
    assert (found.refused_p50_ms, found.refused_p99_ms) == (5.0, 5.0)
    assert (found.lost, found.no_retry) == (1, 1)
    assert (found.watched, found.watched_failed, found.watched_p99_ms) == (5, 3, 2.0)
    assert "overload at 2.0x" in found.said


def test_a_floor_is_held_against_every_figure(capsys):
    report = Report()
    report.fault(
        figures(*[degraded(101.0)] * 998, answer(102.0, 600.0, status="closed"), answer(107.0))
    )
    missed = {floor.what for floor in report.floors if not floor.is_met}
    assert missed == {"f: worst, ms"}
    report.crowd(crowd(lost=1, watched_failed=1))
    missed = {floor.what for floor in report.floors if not floor.is_met}
    assert missed == {
        "f: worst, ms",
        "overload: asked, of the peak",
        "overload: goodput, of the peak",
        "overload: neither answered nor refused",
        "overload: health that failed",
    }
    assert "99.90% of 1,000 answered" in capsys.readouterr().out
