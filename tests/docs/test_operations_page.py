"""What the page about operating says is so."""

from __future__ import annotations

import doctest
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"


def test_the_examples_on_the_page_run():
    found = doctest.testfile(str(PAGE), module_relative=False)
    assert found.attempted == 2
    assert found.failed == 0
