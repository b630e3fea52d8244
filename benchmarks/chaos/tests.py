"""Parts of chaos that are tests of real processes: run as they are, their figures read.

A test prints its figure in a line of its own. What a line has to look like stands here; the tests
that print one say so.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import servers
from benchmarks.chaos.report import OTHERS, Report

# A line that a test printed, behind what pytest says of those before.
TOLD = re.compile(
    r"^[.FEs]*(\w[\w ]*: (?:\d+ of \d+ requests|p99 without|refused by every|[\d,]+ sent).*)"
)
ROLLOUT_TESTS = (
    "tests/serving/test_rollouts.py",
    "tests/serving/test_canaries.py",
    "tests/serving/test_swaps.py",
)
INPUT_TESTS = (
    "tests/serving/test_bad_bytes.py",
    "tests/serving/test_generated.py",
    "tests/serving/test_connections.py",
)
KEY_TESTS = (
    "tests/serving/test_keys.py",
    "-k",
    "test_a_key_is_rotated_and_revoked_under_load_on_every_worker"
    " or test_the_rate_of_a_key_counts_points or test_the_quota_of_a_key_counts_points",
)
REVOKED_AFTER = re.compile(r"^key revoked: .* after ([\d.]+) s")
SENT = re.compile(r"^input (\w+): ([\d,]+) sent, (\d+) of class 5xx, (\d+) hung")
TAKEN_BACK = re.compile(r"^(\w[\w ]*?)(?: \d+)?: (\d+) of (\d+) requests")
COUNTED = re.compile(r"(\d+) (passed|failed|error|skipped|xfailed)")
REVOKED_LIMIT_S = 5.0
CASES_AT_LEAST = {"cases": 120, "generated": 5_000}
WITHIN_REQUESTS = 1_000
TESTS_END_WITHIN_S = 1_800


@dataclass(frozen=True)
class Ran:
    """What tests told in lines of theirs, and how many there were."""

    told: list[str]
    passed: int
    failed: int

    @property
    def of_all(self) -> str:
        """How many passed, in words."""
        return f"{self.passed} tests of {self.passed + self.failed}"


def rollouts(report: Report, folder: Path) -> None:
    """Rollouts under traffic: bad challengers rolled back, a better one promoted, swaps."""
    found = tested(report, "rollouts", ROLLOUT_TESTS, folder)
    taken = [int(hit[2]) for hit in map(TAKEN_BACK.match, found.told) if hit]
    worst = max(taken, default=None)
    what = "rollouts: requests that a bad challenger met at most"
    report.hold(what, worst, WITHIN_REQUESTS, is_ceiling=True)
    report.rows[OTHERS].append(
        "| rollouts, canaries and swaps under traffic ([rollouts](rollout.md)) | "
        f"{found.of_all}: every bad challenger taken back within {worst} of its requests, in "
        f"{len(taken)} runs | none fails |"
    )


def keys(report: Report, folder: Path) -> None:
    """A key revoked while it is in use; rate and quota of a key."""
    found = tested(report, "keys", KEY_TESTS, folder)
    after_s = next((float(hit[1]) for hit in map(REVOKED_AFTER.match, found.told) if hit), None)
    what = "keys: s until no worker takes one revoked"
    report.hold(what, after_s, REVOKED_LIMIT_S, is_ceiling=True)
    report.rows[OTHERS].append(
        "| a key revoked while it is used, two workers; the rate and the daily quota of a key | "
        f"no worker takes it {after_s} s later; {found.of_all} | 5 s; none fails |"
    )


def bad_input(report: Report, folder: Path) -> None:
    """Bad bytes, generated requests, and the limits of a connection."""
    found = tested(report, "input", INPUT_TESTS, folder)
    hits = [hit for hit in map(SENT.match, found.told) if hit]
    sent = {hit[1]: int(hit[2].replace(",", "")) for hit in hits}
    ours, hung = (sum(int(hit[place]) for hit in hits) for place in (3, 4))
    for sort, at_least in CASES_AT_LEAST.items():
        report.hold(f"input: {sort} sent", sent.get(sort), at_least, is_ceiling=False)
    report.hold("input: answers of class 5xx", ours, 0, is_ceiling=True)
    report.hold("input: requests that hung", hung, 0, is_ceiling=True)
    many = f"{sent.get('cases', 0):,} cases and {sent.get('generated', 0):,} generated requests"
    report.rows[OTHERS].append(
        f"| bad bytes, generated requests, the limits of a connection | {many}: {ours} answers of "
        f"class 5xx, {hung} hung; {found.of_all} | 0, 0; none fails |"
    )


def tested(report: Report, name: str, tests: Sequence[str], folder: Path) -> Ran:
    """Run tests that drive real processes, one after the other; what they told."""
    command = [sys.executable, "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider"]
    log = folder / f"{name}.log"
    with log.open("w") as said:
        done = subprocess.run(
            [*command, *tests],
            cwd=servers.PROJECT,
            stdout=said,
            stderr=said,
            timeout=TESTS_END_WITHIN_S,
        )
    found = told_by(log.read_text())
    for line in found.told:
        print(f"  {line}")
    line = f"{name}: {found.of_all} passed ({log})"
    figures = {"said": found.told, "passed": found.passed, "failed": found.failed}
    report.tell(name, line, figures)
    failed = float(found.failed or done.returncode != 0)
    report.hold(f"{name}: tests that failed", failed, 0, is_ceiling=True)
    return found


def told_by(output: str) -> Ran:
    """Lines of figures in what pytest said, and its counts."""
    lines = output.splitlines()
    told = [found[1] for found in map(TOLD.search, lines) if found is not None]
    counts = {sort: int(n) for n, sort in COUNTED.findall((lines or [""])[-1])}
    return Ran(told, counts.get("passed", 0), counts.get("failed", 0) + counts.get("error", 0))
