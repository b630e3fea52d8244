"""Pages of drift: the newest state first, the same numbers drawn and in a table."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest
from access_keys import made_key
from console_home import Console
from looks import DATES, LATE, NIGHT_MS, WINDOW, put_looks

from core.clock import DAY_MS, HOUR_MS, FixedClock
from core.monitoring.triage import triaged
from serving.console.rendering import NOTHING
from stores.layout import Layout
from stores.monitoring.looks import Looks
from stores.monitoring.triages import Triages


@pytest.fixture
def layout(tmp_path):
    return Layout(tmp_path).create()


@pytest.fixture
def console(layout):
    put_looks(layout)
    return Console(layout, FixedClock(NIGHT_MS + HOUR_MS))


def drawings(reply):
    """Every drawing of a page, read as XML."""
    return [ElementTree.fromstring(each) for each in re.findall(r"<svg.*?</svg>", reply.text)]


def marks(drawing, kind):
    """Classes of the marks of a kind."""
    return [each.get("class") for each in drawing.iter(kind)]


def test_the_list_has_the_verdict_since_when_and_one_mark_a_night(console):
    reply = console.get("/drift")
    assert "toy real drift" in reply.words
    assert "amount moved 0.40 (limit 0.10)" in reply.words
    assert "Looked at 1 h ago; the verdict is the same since the look of 2026-01-01" in reply.words
    [nights] = drawings(reply)
    assert marks(nights, "rect") == ["night bad", "night warn"]


def test_a_night_that_was_left_out_is_said(layout):
    put_looks(layout)
    late = Console(layout, FixedClock(NIGHT_MS + 3 * DAY_MS)).get("/drift/toy")
    assert "A night was left out" in late.words


def test_what_drifted_stands_on_top_with_its_days_drawn_and_named(console):
    reply = console.get("/drift/toy")
    assert reply.words.index("day against day 1 drifted") < reply.words.index("Training against")
    rows = re.findall(r"<tr><th scope=\"row\"><a.*?</tr>", reply.text, re.DOTALL)
    names = [re.sub("<.*?>", "", row.partition("</a>")[0]) for row in rows]
    assert names == ["amount", "&lt;b&gt;", "v1__mean"]
    assert "<b>" not in reply.text
    sparks = [each for each in drawings(reply) if each.get("class") == "spark"]
    assert [marks(each, "circle") for each in sparks] == [["dot bad"], [], []]
    assert f"highest 40 % of rows on {DATES[-1]}" in sparks[0].get("aria-label")
    assert "What to do about real drift" in reply.words


def test_a_column_has_a_page_with_the_numbers_of_its_drawing(console):
    [link] = [each for each in console.get("/drift/toy").links if each.endswith("column=amount")]
    reply = console.get(link)
    assert reply.status == 200
    assert f"It has drifted, each day since {DATES[-1]}: 40.0 % of the rows moved" in reply.words
    table = reply.words.partition("Day by day")[2]
    assert f"{DATES[-1]} 40.00 % 10.0 % 100 drifted {DATES[-2]} 1.00 %" in table
    assert table.count("not judged") == 7
    assert "0.00 % before, 25.00 % now" in reply.words
    assert "PSI 0.2000 nats; chance alone makes as much in 0.4 % of looks" in reply.words


def test_a_column_is_drawn_before_and_now_where_that_was_kept(console, layout):
    path = "/drift/toy/column?of=events/payments,+day+against+day&column=amount"
    reply = console.get(path)
    bars = drawings(reply)[1]
    assert marks(bars, "rect") == ["was", "bar"] * 3  # what they are, then a pair a range
    assert "below 30 100 %, now 75 %" in bars.get("aria-label")
    assert (
        "Most gained: missing, from 0.0 % to 25.0 % of the rows; most lost: below 30" in reply.words
    )
    seen = Looks(layout.monitoring).drift("toy")
    assert seen is not None
    old = [
        line.model_copy(
            update={"columns": tuple(c.model_copy(update={"bars": ()}) for c in line.columns)}
        )
        for line in seen.timelines
    ]
    Looks(layout.monitoring).put(seen.model_copy(update={"timelines": tuple(old)}))
    assert "Before and now" not in console.get(path).words


def test_a_chart_has_its_numbers_below_and_the_days_outside_in_red(console):
    reply = console.get("/drift/toy")
    [chart] = [each for each in drawings(reply) if each.get("class") == "plot"]
    assert "1 of 10 days outside" in chart.get("aria-label")
    assert marks(chart, "circle").count("dot bad") == 1
    assert len(marks(chart, "circle")) == 9  # one day has no number
    assert f"{DATES[-1]} 30 5 to 15 10 5 to 15 out" in reply.words
    assert f"{DATES[2]} {NOTHING} 5 to 15" in reply.words


def test_an_incident_names_what_is_wrong_upstream_and_the_runbook(layout):
    Triages(layout.monitoring).put(triaged("toy", [], [LATE], at_ms=NIGHT_MS, window=WINDOW))
    reply = Console(layout, FixedClock(NIGHT_MS)).get("/drift/toy")
    assert f"events/payments {DATES[-1]} late partition {NOTHING} 9 h late" in reply.words
    assert "/alerts/runbooks#a-data-incident" in reply.links


def test_how_decisions_fared_keeps_labels_and_estimates_apart(console):
    reply = console.get("/drift/toy/performance")
    assert "Skill has decayed. auc of release 3 moved 0.07" in reply.words
    assert "100 of 400 answers name the event" in reply.words
    assert "/alerts/runbooks#answers-name-no-event" in reply.links
    skill, reliability = drawings(reply)
    assert marks(skill, "circle") == ["dot", "dot open"]
    assert sorted(marks(reliability, "circle")) == ["dot", "dot bad"]
    assert "0.812 0.790 to 0.830" in reply.words
    assert "country = NL" in reply.words
    assert "0.0500 0.2000 0.1400 to 0.2800 100 off" in reply.words
    assert "scores 0.2134 0.4011 page hinkley" in reply.words


@pytest.mark.parametrize("path", ["/drift/toy", "/drift/toy/performance"])
def test_before_the_first_look_pages_say_what_will_fill_them(layout, path):
    Triages(layout.monitoring).put(triaged("toy", [], [], at_ms=NIGHT_MS, window=WINDOW))
    reply = Console(layout, FixedClock(NIGHT_MS)).get(path)
    assert reply.status == 200
    assert "03:30 UTC" in reply.words
    assert "monitoring/toy_" in reply.words


def test_an_empty_home_says_how_to_begin(layout):
    reply = Console(layout).get("/drift")
    assert reply.status == 200
    assert "throughline train" in reply.words


@pytest.mark.parametrize(
    "path",
    [
        "/drift/unknown",
        "/drift/..%2f..",
        "/drift/toy/column",
        "/drift/toy/column?of=another&column=amount",
        "/drift/toy/column?of=training+against+serving&column=amount",
    ],
)
def test_what_was_never_looked_at_is_not_there(console, path):
    assert console.get(path).status == 404


def test_a_look_that_cannot_be_read_says_how_to_have_another(console, layout):
    (layout.monitoring / "toy/seen/drift.json").write_text("{")
    reply = console.get("/drift/toy")
    assert reply.status == 500
    assert "monitoring/toy_drift" in reply.words
    assert Looks(layout.monitoring).performance("toy") is not None


def test_a_key_of_another_use_case_sees_nothing_of_it(layout):
    put_looks(layout)
    key = made_key(layout, ["fraud:rollouts"])
    reply = Console(layout).get("/drift", key)
    assert reply.status == 200
    assert "toy" not in reply.words
    assert Console(layout).get("/drift/toy", key).status == 403
