"""The page of watching: its example runs, every runbook is there, its limits are the code's."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

from assets.watching.performance import MOST_OFF
from core.monitoring.alerts import RUNBOOKS as PAGE_OF_RUNBOOKS
from core.monitoring.alerts import SEVERITIES, severity_of
from core.monitoring.live import LEAST_DROP
from core.monitoring.runbooks import STEPS
from core.monitoring.unit_change import LARGE
from core.monitoring.upstream import LEAST_FACTOR, LEAST_SHIFT, MOST_LATE, MOST_REFUSED
from core.watching import Watching
from orchestration.alerting import RUN_FAILED, RUNBOOKS, TRY_EVERY_MS
from orchestration.watching import ASKED_AT, HOURLY_AT, NIGHTLY_AT

ROOT = Path(__file__).parents[2]
PAGE = ROOT / PAGE_OF_RUNBOOKS
TEXT = PAGE.read_text()


def test_the_example_runs():
    found = doctest.testfile(str(PAGE), module_relative=False)
    assert found.attempted > 0
    assert found.failed == 0


def test_every_finding_has_its_runbook():
    titles = re.findall(r"^### (.+)$", TEXT, re.MULTILINE)
    anchors = {title.lower().replace(" ", "-") for title in titles}
    assert {*RUNBOOKS.values(), RUN_FAILED, "a-check-failed"} == anchors


def test_what_is_shown_of_a_runbook_is_what_the_page_says():
    sections = re.split(r"^##+ (.+)$", TEXT, flags=re.MULTILINE)
    texts = dict(zip(sections[1::2], sections[2::2], strict=True))
    plain = {
        title.lower().replace(" ", "-"): _plain(text)
        for title, text in texts.items()
        if title.lower().replace(" ", "-") in STEPS
    }
    assert {anchor: " ".join(steps) for anchor, steps in STEPS.items()} == plain


def _plain(text):
    """A section without Markdown but for code: no links, numbers of lists, or line ends."""
    words = re.sub(r"\[([^]]+)\]\([^)]*\)", r"\1", text)
    words = re.sub(r"^\d+\. ", "", words, flags=re.MULTILINE)
    return " ".join(words.replace("*", "").split())


def test_severities_are_those_of_the_code():
    rows = re.findall(r"^\| (a check .+?) \| (\w+) \| (\w+) \| (\w+) \|$", TEXT, re.MULTILINE)
    bases = SEVERITIES[::-1]
    assert len(rows) == len(bases)
    for base, (_, *told) in zip(bases, rows, strict=True):
        assert told == [severity_of(base, tier) for tier in ("low", "medium", "high")]


def test_times_and_limits_are_those_of_the_code():
    watching = Watching()
    assert "03:30" in TEXT
    assert NIGHTLY_AT == "30 3 * * *"
    assert (HOURLY_AT, ASKED_AT) == ("25 * * * *", "40 * * * *")
    assert f"last {watching.current_days} whole days" in TEXT
    assert f"the {watching.baseline_days} before" in TEXT
    assert f"only {watching.late_hours:g} hours after" in TEXT
    assert f"Nothing new for {watching.fresh_hours:g} hours" in TEXT
    assert (MOST_LATE, LEAST_SHIFT, LEAST_FACTOR, LARGE, MOST_OFF) == (0.1, 0.1, 2.0, 7.0, 0.2)
    assert f"{MOST_REFUSED:.0%} of what came".replace("%", " %") in TEXT
    assert f"{LEAST_DROP} of AUC" in TEXT
    assert f"every {TRY_EVERY_MS // 60_000} minutes" in TEXT
