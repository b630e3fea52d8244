"""What chaos says of tests, shadows and shipping, from what they left; nothing is run here."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress

import numpy as np
import pytest

from benchmarks.chaos import killer as chaos_killer
from benchmarks.chaos import tests as chaos_tests
from benchmarks.chaos.beside import (
    AGAIN,
    CRASHING,
    GOOD,
    HANGING,
    NONE,
    Beside,
    moved,
    p99_ms,
)
from benchmarks.chaos.hanging import hanging_model
from benchmarks.chaos.killer import Killer, scorers
from benchmarks.chaos.load import Answer
from benchmarks.chaos.report import HEADS, OTHERS, Report
from benchmarks.chaos.shipping import segment_of, shipped_of
from benchmarks.chaos.tests import told_by
from benchmarks.load import percentile
from benchmarks.networks import drawn_rows
from benchmarks.open_loop import RESULT
from benchmarks.servers import PROJECT
from serving.rollouts.shadow_keeper import SCORER_NAME
from stores.shelf.bundle import MODEL_INPUT
from training.graph import GraphBuilder
from training.onnx_export import OnnxScorer

INPUT_SAID = """\
....input cases: 271 sent, 0 of class 5xx, 0 hung
.....input generated: 5,113 sent, 1 of class 5xx, 2 hung
..s...............
312 passed, 2 failed, 1 skipped in 61.20s (0:01:01)
"""
ROLLOUTS_SAID = """\
.errors 1: 73 of 1780 requests; more than 1 % fail
errors 2: 293 of 5987 requests; more than 1 % fail
.wrong in equal scores 3: 159 of 831 requests; outcome
.none: p99 without [2.0], with [2.5]
4 passed in 9.00s
"""
KEYS_SAID = """\
..key revoked: refused by every worker after 0.31 s
.
3 passed in 12.00s
"""


def ran(part, said, monkeypatch, tmp_path):
    """The report of a part whose tests said this."""

    def run(command, *, stdout, **_):
        stdout.write(said)
        return subprocess.CompletedProcess(command, int("failed" in said))

    monkeypatch.setattr("benchmarks.chaos.tests.subprocess.run", run)
    report = Report()
    part(report, tmp_path)
    return report


def missed(report):
    return {floor.what for floor in report.floors if not floor.is_met}


def test_counts_and_lines_of_tests_are_read_from_what_pytest_says():
    found = told_by(INPUT_SAID)
    assert (found.passed, found.failed, found.of_all) == (312, 2, "312 tests of 314")
    assert found.told[0] == "input cases: 271 sent, 0 of class 5xx, 0 hung"
    assert told_by("").passed == 0


def test_bad_input_is_counted_from_the_run_and_held(monkeypatch, tmp_path):
    report = ran(chaos_tests.bad_input, INPUT_SAID, monkeypatch, tmp_path)
    assert missed(report) == {
        "input: tests that failed",
        "input: answers of class 5xx",
        "input: requests that hung",
    }
    (row,) = report.rows[OTHERS]
    assert "271 cases and 5,113 generated requests: 1 answers of class 5xx, 2 hung" in row


def test_a_run_that_tells_no_counts_keeps_no_promise(monkeypatch, tmp_path):
    silent = "...\n3 passed in 1.00s\n"
    assert missed(ran(chaos_tests.bad_input, silent, monkeypatch, tmp_path)) == {
        "input: cases sent",
        "input: generated sent",
    }
    assert missed(ran(chaos_tests.keys, silent, monkeypatch, tmp_path)) == {
        "keys: s until no worker takes one revoked"
    }


def test_rollouts_and_keys_tell_what_the_page_shows(monkeypatch, tmp_path):
    report = ran(chaos_tests.rollouts, ROLLOUTS_SAID, monkeypatch, tmp_path)
    assert missed(report) == set()
    assert "within 293 of its requests, in 3 runs" in report.rows[OTHERS][0]
    report = ran(chaos_tests.keys, KEYS_SAID, monkeypatch, tmp_path)
    assert missed(report) == set()
    assert "no worker takes it 0.31 s later; 3 tests of 3" in report.rows[OTHERS][0]


def turns_of(name, *turns, proven=1_000, errors=0):
    return Beside(name, [np.array(turn) for turn in turns], 100, errors, proven)


def test_a_shadow_is_held_to_the_p99_of_all_turns_without_one():
    quiet, loud = np.linspace(1.0, 2.0, 100), np.linspace(1.0, 9.0, 100)
    found = {
        NONE: turns_of(NONE, quiet, quiet, loud),
        AGAIN: turns_of(AGAIN, quiet, quiet, loud),
        GOOD: turns_of(GOOD, quiet + 0.9, quiet + 0.9, loud + 0.9),
        HANGING: turns_of(HANGING, quiet + 1.1, quiet + 1.1, loud + 1.1),
        CRASHING: turns_of(CRASHING, quiet, quiet, loud, proven=0, errors=1),
    }
    report = Report()
    report.shadows(found)
    assert missed(report) == {
        "shadow hanging: p99 moved, ms",
        "shadow crashing: errors",
        "shadow crashing: times it was killed",
    }
    assert "+0.9 ms (+0.9 to +0.9); 0 errors of 100 | 1 ms, 0 |" in report.rows[OTHERS][0]
    assert "one half of 6 turns against the other | +0.0 ms" in report.rows[OTHERS][3]
    json.dumps(report.figures)


def test_a_p99_is_that_of_the_load_generators():
    times = np.random.default_rng(4).exponential(size=997)
    assert p99_ms([times[:400], times[400:]]) == percentile(sorted(times), 0.99)


def test_the_interval_of_what_moved_holds_it_as_often_as_it_says_and_tells_a_millisecond():
    """Turns that differ among themselves, as those of a real run do; one kind is 1 ms later."""
    rng = np.random.default_rng(8)
    held, told = 0, 0
    for _ in range(40):
        slow = rng.gamma(2.0, 0.2, size=12)  # of each place, for all who are there
        alone, beside = (
            [later + at + rng.exponential(0.7, 150) + rng.normal(0, 0.1) for at in slow]
            for later in (1.0, 2.0)
        )
        found = moved(beside, alone, resamples=200)
        held += found.low_ms <= 1.0 <= found.high_ms
        told += found.low_ms > 0.0
    assert held >= 33  # of 40 at 95 %: fewer come by chance once in a thousand times
    assert told >= 38


def test_a_turn_keeps_how_long_answers_took_once_it_had_settled_and_every_error():
    rows = [(0.1, 0, 90.0, 200, 0), (0.2, 0, 5.0, 503, 1), (0.6, 0, 1.0, 200, 0),
            (0.9, 0, 2.0, 200, 0), (1.0, 0, 0.0, 0, 0)]  # fmt: skip
    found = Beside(GOOD)
    found.keep(np.array(rows, dtype=RESULT), settles_s=0.6)
    assert found.turns[0].tolist() == [1.0, 2.0]
    assert (found.sent, found.errors) == (5, 2)


def test_a_hanging_model_scores_like_its_twin_until_it_is_asked_for_something():
    graph = GraphBuilder(3)
    line = graph.add("MatMul", MODEL_INPUT, graph.constant(np.full((3, 1), 1e-3)))
    model = graph.finish(graph.add("Sigmoid", line))
    vectors = drawn_rows(4, 3, seed=1)
    vectors[:, 1] = 0.0
    hanging = OnnxScorer(hanging_model(model, 1))
    np.testing.assert_array_equal(hanging.scores(vectors), OnnxScorer(model).scores(vectors))


def test_a_scorer_under_the_root_is_seen_and_killed_and_nobody_else(monkeypatch):
    monkeypatch.setattr(chaos_killer, "KILL_EVERY_S", 0.05)
    child = "import subprocess, sys; subprocess.run([sys.executable, '-c', {!r}])"
    wait = "import time; from serving.child import be_called; be_called({!r}); time.sleep(60)"
    ours, other = (
        subprocess.Popen(
            [sys.executable, "-c", child.format(wait.format(name))], start_new_session=True
        )
        for name in (SCORER_NAME, "another")
    )
    try:
        while len(scorers(ours.pid)) == 0 and ours.poll() is None:
            time.sleep(0.02)
        assert (len(scorers(ours.pid)), scorers(other.pid)) == (1, set())
        with Killer(ours.pid) as killer, Killer(other.pid) as idle:
            assert ours.wait(timeout=60) == 0  # its child died, so it went on
            time.sleep(0.2)
            assert other.poll() is None
        assert (killer.kills, idle.kills) == (1, 0)
    finally:
        for each in (ours, other):
            with suppress(ProcessLookupError):
                os.killpg(each.pid, signal.SIGKILL)
            each.wait(timeout=60)


def shipped_answer(at_s, segment):
    return Answer(at_s, 500.0, "200", prediction_id=f"fraud-0a1b2c3d4e5f-{segment}-0")


def test_lags_count_from_the_answer_and_what_never_came_is_told():
    answers = [shipped_answer(100.0, 0), shipped_answer(104.0, 0), shipped_answer(106.0, 1)]
    first, last = segment_of(answers[0]), segment_of(answers[2])
    found = shipped_of(answers, {first: 107.0, last: 110.0})
    assert (found.records, found.segments, found.missing) == (3, 2, 0)
    assert found.worst_s == pytest.approx(6.5)
    report = Report()
    report.shipped(shipped_of(answers * 500, {first: 111.0}))
    assert missed(report) == {
        "shipped: worst s to shared storage",
        "shipped: records that never came",
    }


def test_everything_is_written_with_the_rows_of_the_page(tmp_path, capsys):
    report = Report()
    report.tell("a", "a: done", {"n": 1}, ["| a | 1 |"])
    report.hold("a: n", 1, 2, is_ceiling=False)
    target = tmp_path / "chaos.json"
    assert report.written(target) == ["a: n"]
    assert json.loads(target.read_text())["rows"][OTHERS] == ["| a | 1 |"]
    assert "|---|---|---|\n| a | 1 |" in capsys.readouterr().out


def test_the_page_has_the_tables_that_a_run_prints():
    page = (PROJECT / "docs" / "chaos.md").read_text()
    assert all(head in page for head in HEADS.values())
