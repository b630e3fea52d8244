"""The page about contracts says what is so: its code runs, its codes are the code's."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

from core.interface import ContractTerms, Word

TEXT = (Path(__file__).parents[2] / "docs" / "contracts.md").read_text()


def test_the_declaration_runs_and_refusals_have_their_names():
    found: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL):
        exec(block, found)
    assert isinstance(found["CONTRACT"], ContractTerms)
    assert f"`{ContractTerms().version}` where nothing" in TEXT
    for word in ("breaks", "goes_back", "new_major"):
        assert word in get_args(Word)
        assert f"`contract_{word}`" in TEXT
