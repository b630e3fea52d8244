"""What is shown of a rollout: JSON for programs, a page for people."""

import asyncio
from typing import Any

import pytest
from bundles import shelve
from desks import Desk
from rollouts import fast_rollout, worker_counts

from core.rollout.comparison import ComparisonCount
from core.rollout.published import WorkerCounts
from serving.console.rollout_page import rollout_page
from serving.errors import NotFoundError
from serving.models.releases import Releases, Roster, Served
from serving.rollouts.views import RolloutViews
from stores.layout import Layout
from stores.shelf.rollouts import RolloutBoard


class Shown(Desk):
    """A desk, and the view of what happens at it. The view asks a release for nothing."""

    def __init__(self, layout):
        super().__init__(layout)
        self.ask("promote", shelve(layout))
        self.release = shelve(layout, rollout=fast_rollout())
        self.releases = Releases()

    def view(self, use_case="toy"):
        nobody: Any = None
        self.releases.roster = Roster(use_cases={"toy": Served(self.state(), nobody)})
        views = RolloutViews(self.releases, RolloutBoard(self.shelf.root))
        return asyncio.run(views.of(use_case))

    @property
    def experiment(self):
        rollout = self.state().rollout
        assert rollout is not None
        return rollout.experiment

    def count(self, n, **challenger):
        counts = worker_counts(0, n, 0.05, **challenger)
        experiment = self.experiment
        document = counts.model_dump_json().encode()
        self.counts.publish(experiment, "w", document, now_ms=self.clock.now_ms())
        self.clock.advance(1_000)
        self.controller().look()


@pytest.fixture
def shown(tmp_path):
    return Shown(Layout(tmp_path).create())


def test_nothing_has_happened(shown):
    view = shown.view()
    assert view["channels"]["champion"] == 1
    assert (view["rollout"], view["shadow"], view["audit"]) == (None, None, [])
    assert "No rollout and no shadow yet" in rollout_page(view)


def test_a_rollout_that_holds_says_what_it_waits_for(shown):
    shown.ask("start", shown.release)
    shown.count(1_000)
    view = shown.view()
    assert view["channels"]["challenger_weight"] == 0.05
    assert view["rollout"]["step"]["missing"][0]["what"] == "requests"
    page = rollout_page(view)
    assert "release <b>2</b> answers 5% of entities" in page
    assert "50 of 100 requests" in page
    assert page.count("pill good") == 8
    assert page.count(">nothing to compare<") == 2  # no label has come


def test_a_rollout_that_was_rolled_back_says_why_in_numbers(shown):
    shown.ask("start", shown.release)
    shown.count(8_000, errors=25)
    view = shown.view()
    assert view["rollout"]["ended"] == "rolled_back"
    assert view["audit"][0]["event"] == "rolled_back"
    assert view["audit"][0]["numbers"]["stages"][0]["challenger"]["n_errors"] == 25
    page = rollout_page(view)
    assert "Release 2 against 1: rolled back" in page
    assert page.count("pill bad") == 2
    assert "6.25% of 400 challenger requests failed" in page
    assert "the gates" in page


def test_a_rollout_whose_end_is_not_in_its_report_is_over_all_the_same(shown):
    shown.ask("start", shown.release)
    shown.count(1_000)
    report = shown.layout.shelf / "rollouts" / "toy" / "report.json"
    before = report.read_bytes()
    assert "Release 2 against 1: under way" in rollout_page(shown.view())
    shown.ask("withdraw")
    report.write_bytes(before)  # as it is where the controller ends just then
    assert shown.view()["rollout"]["ended"] == "withdrawn"
    assert "Release 2 against 1: withdrawn" in rollout_page(shown.view())
    shown.ask("start", shown.release)
    assert shown.view()["rollout"]["ended"] == "withdrawn"  # the next one has no report yet


def test_a_shadow_is_shown_with_its_flips(shown):
    shown.ask("shadow", shown.release)
    count = ComparisonCount()
    for _ in range(200):
        count.requested(5.0, 0.1, 0.1)
        count.answered((0.4, "APPROVE"), (0.6, "REVIEW"))
    document = WorkerCounts(comparison=count.comparison()).model_dump_json().encode()
    shown.counts.publish(shown.state().shadow_experiment, "w", document, now_ms=0)
    shown.controller().look()
    page = rollout_page(shown.view())
    assert "Shadow: release 2 differs" in page
    assert "APPROVE -&gt; REVIEW" in page


def test_what_people_wrote_is_text_on_the_page(shown):
    request = shown.shelf.board.ask(
        "start", "toy", release=shown.release, why="<script>x</script>", who="<b>", at_ms=1
    )
    shown.controller().work()
    assert shown.shelf.board.answer_to(request.request_id).is_accepted
    page = rollout_page(shown.view())
    assert "<script>" not in page
    assert "&lt;script&gt;x" in page


def test_a_use_case_that_is_not_served_has_no_page(shown):
    with pytest.raises(NotFoundError):
        shown.view("other")
