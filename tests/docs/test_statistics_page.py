"""What the page of statistics shows is what comes out, and its limits are those of the code."""

from __future__ import annotations

import doctest
from pathlib import Path

import pytest

from core.stats.verdicts import DriftLimits, threshold_of

PAGE = Path(__file__).parents[2] / "docs" / "statistics.md"


def test_the_example_runs():
    found = doctest.testfile(str(PAGE), module_relative=False)
    assert found.attempted > 0
    assert found.failed == 0


def test_the_limits_told_are_those_of_the_code():
    text = PAGE.read_text()
    limits = DriftLimits()
    assert f"`least_effect` ({limits.least_effect:g} of the rows)" in text
    assert f"`alpha` ({limits.alpha:g})" in text
    assert f"it is {threshold_of(200, 200, 50):.3f} of 200 rows" in text


@pytest.mark.parametrize(("rows", "is_chance"), [(700, True), (800, False)])
def test_from_about_750_rows_the_least_effect_is_the_limit(rows, is_chance):
    assert (threshold_of(rows, rows, 50) > DriftLimits().least_effect) == is_chance
