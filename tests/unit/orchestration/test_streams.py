"""What is said reaches every kind of terminal, and who said it has a name everywhere."""

import io
import sys

from orchestration import cli
from orchestration.streams import open_to_any_text


def test_a_terminal_without_a_letter_is_told_it_by_its_number(monkeypatch):
    sink = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(sink, encoding="ascii"))
    open_to_any_text()
    sys.stdout.write("Zo\xeb")
    sys.stdout.flush()
    assert sink.getvalue() == b"Zo\\xeb"


def test_who_closed_the_output_is_told_nothing_and_that_is_no_fault(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    assert cli.main([]) == 0
    sys.stdout.close()
