"""Reports of differences between versions of views, as files of a home."""

import pytest
from bundles import TOY_PLAN
from compared_views import NEW, view_report

from core.errors import IntegrityError
from stores.view_reports import ViewReports


def test_a_report_comes_back_as_it_was_the_newest_of_a_pair(tmp_path):
    reports = ViewReports(tmp_path)
    assert reports.about(TOY_PLAN.views) == []
    reports.put(view_report(at_ms=6))
    path = reports.put(view_report())
    reports.put(view_report(old="card_habit_v1"))
    assert path == tmp_path / "card_activity_v1" / "card_activity_v0.json"
    assert reports.about(TOY_PLAN.views) == [view_report(), view_report(old="card_habit_v1")]


def test_a_report_of_another_definition_says_nothing_of_a_view(tmp_path):
    reports = ViewReports(tmp_path)
    reports.put(view_report(new_digest="1" * 64))
    assert reports.about([NEW]) == []


def test_a_damaged_report_names_the_command_that_writes_it_anew(tmp_path):
    reports = ViewReports(tmp_path)
    reports.put(view_report()).write_text("{")
    with pytest.raises(IntegrityError, match="views compare card_activity_v0 card_activity_v1"):
        reports.about([NEW])
