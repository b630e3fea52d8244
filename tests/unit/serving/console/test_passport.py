"""The passport as a page: whole, escaped, honest about what is not there."""

import asyncio
import copy
import re
from html.parser import HTMLParser

import pytest
from bundles import REQUEST
from engines import Bench, KnownExplainer

from serving.console.passport import passport_page
from serving.console.passport_drawing import ROWS, Line, Push, score_bar, waterfall
from serving.records.passports import Passports
from stores.layout import Layout


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    bench = Bench(Layout(tmp_path_factory.mktemp("home")).create())
    asyncio.run(bench.engine.predict("toy", {**REQUEST, "explain": True}))
    passports = Passports(
        records=bench.records,
        releases=bench.releases,
        loader=bench.loader,
        explaining=KnownExplainer("unavailable"),
        explain_budget_ms=1,
    )
    return asyncio.run(passports.record("toy-0"))


class Reader(HTMLParser):
    """Text, tags and attributes of a page."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.attributes, self.words = [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def test_a_page_says_what_the_record_says(record):
    said = Reader(passport_page(record)).text
    for value in (
        record["prediction_id"],
        record["decision"],
        record["reason"],
        record["model"]["manifest_digest"],
        record["policy_digest"],
        "c1",
        "t1",
        "1250",
        "2026-01-01 00:00:00 UTC",
    ):
        assert value in said
    for view, read in record["features"].items():
        assert view in said
        assert read["status"] in said
        for name in read["values"]:
            assert name in said


def test_a_page_has_thresholds_to_the_last_digit_and_the_event_that_was_decided_about(record):
    told = copy.deepcopy(record)
    told["event_id"] = "payment-7"
    told["policy"]["rules"][0]["above"] = 0.123456789
    page = passport_page(told)
    assert page.count("0.123456789") == 3  # in the list of rules, and as a line of both drawings
    assert "payment-7" in Reader(page).text
    assert "about the event" not in passport_page(record)


def test_a_page_runs_nothing_and_fetches_nothing(record):
    page = Reader(passport_page(record))
    assert not {"script", "img", "link", "iframe", "object"} & set(page.tags)
    names = {name for name, _ in page.attributes}
    assert not [name for name in names if name.startswith("on") or name == "src"]
    links = [value for name, value in page.attributes if name == "href"]
    assert all("//" not in link and ":" not in link for link in links)


def test_nothing_of_a_record_becomes_markup(record):
    evil = "<script>alert(1)</script>'\"&"
    changed = copy.deepcopy(record)
    changed["entities"] = {"card_id": evil, evil: "x"}
    changed["decision"] = changed["reason"] = evil
    changed["degraded"] = {"level": evil, "because": evil}
    changed["policy"]["rules"][0] |= {"decision": evil, "reason": evil}
    changed["explanation"]["contributions"] = {evil: 1.0}
    changed["model"]["channel"] = evil
    page = passport_page(changed)
    assert "<script" not in page
    assert evil in " ".join(Reader(page).words)


def test_the_rule_that_fired_is_marked_and_no_other(record):
    for rule, decision in ((0, "BLOCK"), (1, "REVIEW"), (None, "APPROVE")):
        page = passport_page({**record, "rule": rule})
        (fired,) = re.findall(r'<li class="fired"><strong>(\w+)', page)
        assert fired == decision


@pytest.mark.parametrize(
    ("explanation", "said"),
    [
        (None, "No explanation was asked for"),
        ({"status": "late"}, "longer than its budget"),
        ({"status": "unavailable"}, "did not answer"),
        ({"status": "not_offered"}, "no exact explanation"),
    ],
)
def test_a_page_without_contributions_says_why(record, explanation, said):
    page = passport_page({**record, "explanation": explanation})
    assert said in page
    assert "class=waterfall" not in page


def test_a_degraded_answer_says_so_before_all_else(record):
    degraded = {"level": "no_features", "because": "the online store did not answer"}
    page = passport_page({**record, "degraded": degraded})
    assert page.index("the online store did not answer") < page.index("<h2>")
    assert "Degraded" not in passport_page(record)


def test_a_record_of_the_first_version_is_still_a_page(record):
    old = {k: v for k, v in record.items() if k not in ("policy", "masked")}
    assert record["prediction_id"] in passport_page({**old, "version": 1, "rule": None})


def sums(drawing):
    return [float(value) for value in re.findall(r"class=\"?sum[^>]*>([+-]?[\d.]+)<", drawing)]


def test_a_waterfall_goes_from_the_base_by_all_pushes_to_the_score():
    pushes = [Push(f"f{n}", "", by) for n, by in enumerate([0.5, -2.0, 1.25])]
    start, *middle, end = sums(waterfall(-3.0, pushes, 0.04, []))
    assert (start, end) == (-3.0, pytest.approx(-3.0 + sum(push.by for push in pushes)))
    assert middle == [-2.0, 1.25, 0.5]


def test_many_pushes_are_drawn_with_the_rest_as_one():
    pushes = [Push(f"f{n}", "", 0.1 * n) for n in range(40)]
    drawing = waterfall(0.0, pushes, 0.5, [])
    values = sums(drawing)
    assert len(values) == ROWS + 3
    assert values[0] + sum(values[1:-1]) == pytest.approx(values[-1], abs=1e-3)
    assert f"{40 - ROWS} others" in drawing


def test_labels_of_thresholds_never_meet():
    lines = [Line(0.5, "REVIEW above 0.5"), Line(0.55, "HOLD above 0.55"), Line(0.9, "BLOCK")]
    for drawing in (score_bar(0.2, lines), waterfall(-3.0, [Push("f", "", 2.0)], 0.27, lines)):
        heights = [
            float(y) for y, label in re.findall(r" y=([\d.]+) text-anchor=\w+>([^<]+)<", drawing)
            if label in {line.label for line in lines}
        ]  # fmt: skip
        assert len(set(heights)) == len(lines)


def test_the_end_of_an_epoch_is_said_in_words(record):
    changed = copy.deepcopy(record)
    for place, said in (
        ((7 << 32) + 2**32 - 1, "epoch 7, its end"),
        (7 << 32, "epoch 7, offset 0"),
    ):
        changed["features"]["card_activity_v1"]["seen_position"] = place
        assert said in passport_page(changed)


@pytest.mark.parametrize("score", [0.0, 1.0, 0.5])
def test_drawings_hold_at_the_ends_of_the_scale(score):
    for drawing in (score_bar(score, [Line(0.9, "B")]), waterfall(0.0, [], score, [])):
        places = [float(x) for x in re.findall(r" (?:x|x1|cx)=([\d.-]+)", drawing)]
        assert all(0 <= place <= 760 for place in places)
        assert "nan" not in drawing
        assert "inf" not in drawing
