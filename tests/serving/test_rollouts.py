"""Rollouts for real: two workers, a controller, replayed traffic over HTTP, nobody at the helm."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from typing import Any

import httpx
import numpy as np
import pytest
from bundles import BIAS, shelve
from challengers import challenger_files
from online_processes import controller, service
from payments import NOW_MS
from replayed import Replay
from rollouts import fast_rollout

from stores.layout import Layout
from stores.rollouts import RolloutBoard
from stores.shelf import Shelf

pytestmark = pytest.mark.slow

SEEDS = (1, 2, 3)
WITHIN_REQUESTS = 1_000
WITHIN_S = 90.0


class Town:
    """A home with a champion that serves, and its board."""

    def __init__(self, root):
        self.layout = Layout(root).create()
        self.shelf = Shelf(self.layout.shelf)
        self.rollouts = RolloutBoard(self.layout.shelf)
        self.champion = shelve(self.layout)

    def ask(self, deciding, action, release=None, **said):
        board = self.shelf.board
        request = board.ask(
            action, "toy", release=release, why="test", who="ann", at_ms=NOW_MS, **said
        )
        answer = deciding.wait_until(lambda: board.answer_to(request.request_id))
        assert answer.is_accepted, answer.because

    def ended(self):
        """How the last rollout ended; nothing while one is under way."""
        last = self.rollouts.audit("toy")[-1]
        return last if last.event in ("rolled_back", "promoted") else None

    @contextmanager
    def serving(self, *, workers=2, look_ms=200):
        settings = {"CONTROLLER__POLL_MS": 50, "CONTROLLER__LOOK_MS": look_ms}
        with controller(self.layout, **settings) as deciding:
            self.ask(deciding, "promote", self.champion)
            with service(self.layout, ENGINE__SHELF_POLL_MS=100, HTTP__WORKERS=workers) as started:
                yield deciding, started


@pytest.fixture
def town(tmp_path):
    return Town(tmp_path)


FAULTS: dict[str, tuple[dict[str, Any], float, set[str]]] = {
    "errors": ({"fault": "errors"}, 300.0, {"errors", "errors_against_champion"}),
    "slow": ({"fault": "slow"}, 150.0, {"latency", "latency_against_champion"}),
    "nan": ({"fault": "nan"}, 300.0, {"soundness", "errors", "errors_against_champion"}),
    "constant": ({"fault": "constant"}, 300.0, {"soundness", "scores", "decisions"}),
    "miscalibrated": ({"fault": "none", "bias": BIAS + 1.2}, 300.0, {"scores", "decisions"}),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_challenger_is_rolled_back_in_time_and_hurts_nobody(town, fault):
    made, per_s, gates = FAULTS[fault]
    release = shelve(town.layout, files=challenger_files(**made), rollout=fast_rollout())
    exposed = total = 0
    # Looks some seconds apart: of a few hundred requests no share can be told to a point.
    with town.serving(look_ms=4_000) as (deciding, started):
        for seed in SEEDS:
            town.ask(deciding, "start", release)
            replay = Replay(started.url, seed, per_s=per_s)
            replay.start()
            ending = deciding.wait_until(town.ended, within_s=WITHIN_S)
            started.wait_until(lambda: not is_rolling(started.url))
            seen = replay.stop()
            assert ending.event == "rolled_back", ending.why
            assert ending.stage == 0
            broken = {v["gate"] for v in ending.numbers["verdicts"] if v["state"] == "broken"}
            assert broken & gates, ending.why
            assert_nobody_was_hurt(replay, seen)
            taken = [each for each in seen if each.is_challengers]
            assert len(taken) <= WITHIN_REQUESTS
            print(f"{fault} {seed}: {len(taken)} of {len(seen)} requests; {ending.why}")
            (stage,) = ending.numbers["stages"]
            exposed += stage["challenger"]["n_requests"]
            total += stage["challenger"]["n_requests"] + stage["champion"]["n_requests"]
    assert abs(exposed / total - 0.05) <= 0.01, (exposed, total)


def assert_nobody_was_hurt(replay, seen):
    assert replay.lost == []
    assert len(seen) == replay.sent
    assert {each.status for each in seen} == {200}


def is_rolling(url):
    return "challenger" in httpx.get(f"{url}/readyz").json()["serving"]["toy"]


def test_a_better_challenger_is_promoted_with_nobody_at_the_helm(town):
    # What is at stake is the way through the stages; a test's machine keeps no promise of latency.
    rollout = fast_rollout(p99_ms=2_000, p99_ratio=3)
    release = shelve(town.layout, rollout=rollout)
    with town.serving() as (deciding, started):
        for seed in SEEDS:
            champion = httpx.get(f"{started.url}/readyz").json()["serving"]["toy"]["champion"]
            town.ask(deciding, "start", release)
            replay = Replay(started.url, seed, per_s=300.0)
            replay.start()
            ending = deciding.wait_until(town.ended, within_s=WITHIN_S)
            seen = replay.stop()
            assert ending.event == "promoted", ending.why
            assert_nobody_was_hurt(replay, seen)
            assert {each.release for each in seen} == {champion, release}
            stages = ending.numbers["stages"]
            assert [stage["weight"] for stage in stages] == [0.05, 0.15, 0.3, 0.5, 0.75, 1.0]
            release = shelve(town.layout, rollout=rollout)


ROUNDS = 3
ROUND_S = 5.0


@pytest.mark.parametrize("fault", ["hang", "errors", "none"])
def test_a_shadow_whatever_it_does_moves_nothing(town, fault):
    # Where others keep the cores busy, a percentile says how busy, and nothing else.
    is_calm = os.getloadavg()[0] < (os.cpu_count() or 1) / 2
    shadow = shelve(town.layout, files=challenger_files(fault), rollout=fast_rollout())
    with town.serving(workers=1) as (deciding, started):
        p99_ms: dict[bool, list[float]] = {False: [], True: []}
        for round_number in range(2 * ROUNDS):
            is_on = bool(round_number % 2)
            town.ask(deciding, "shadow", shadow if is_on else None)
            started.wait_until(lambda is_on=is_on: has_shadow(started.url) == is_on)
            replay = Replay(started.url, round_number, per_s=150.0)
            replay.start()
            time.sleep(ROUND_S)
            seen = replay.stop()
            assert_nobody_was_hurt(replay, seen)
            assert {each.channel for each in seen} == {"champion"}
            if round_number > 1:  # the first two warm everything up
                p99_ms[is_on].append(float(np.percentile([each.latency_ms for each in seen], 99)))
        report = town.rollouts.report("toy").shadow
        print(f"{fault}: p99 without {p99_ms[False]}, with {p99_ms[True]}; {report}")
        if is_calm:
            assert min(p99_ms[True]) <= min(p99_ms[False]) + 1.0
        state = {"none": "alike", "errors": "fails", "hang": "fails"}[fault]
        assert report.verdict.state == state


def has_shadow(url):
    return "shadow" in httpx.get(f"{url}/readyz").json()["serving"]["toy"]
