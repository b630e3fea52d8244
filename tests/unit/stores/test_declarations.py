"""What is declared is kept for who may not import declarations."""

from __future__ import annotations

import pytest

from core.errors import IntegrityError
from stores.declarations import FILE, declarations, put_declarations
from stores.layout import Layout
from use_cases import discover


def test_what_is_declared_is_kept_until_it_changes(tmp_path):
    layout = Layout(tmp_path)
    assert declarations(layout) == {}
    found = discover()
    put_declarations(layout, found.values())
    kept = declarations(layout)
    assert list(kept) == list(found)
    fraud = kept["fraud"]
    assert (fraud.risk_tier, fraud.owners) == (found["fraud"].risk_tier, found["fraud"].owners)
    assert "transactions" in fraud.sources
    written = (layout.state / FILE).stat()
    put_declarations(layout, found.values())
    assert (layout.state / FILE).stat() == written
    put_declarations(layout, [found["handbook"]])
    assert list(declarations(layout)) == ["handbook"]


def test_a_damaged_file_is_said(tmp_path):
    layout = Layout(tmp_path).create()
    (layout.state / FILE).write_text("{")
    with pytest.raises(IntegrityError, match="writes it again"):
        declarations(layout)
