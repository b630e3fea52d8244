"""A wrong rule stops any command that loads declarations, with the rule and what to do."""

import importlib
import os
import sys

import pytest

from orchestration import cli
from orchestration.commands.why import rule_in_words

PACKAGE = """
from core.decisions import Rule
from use_cases.fraud.use_case import USE_CASE as FRAUD
RULE = Rule(decision="HOLD", when={when!r}, reason="r")
POLICY = FRAUD.decisions.model_copy(update={{"rules": (*FRAUD.decisions.rules, RULE)}})
USE_CASE = FRAUD.model_copy(update={{"name": "shop", "decisions": POLICY}})
"""


@pytest.fixture
def declare(tmp_path, monkeypatch):
    """Writes a package with a use case that has one more rule than fraud."""
    for name in [name for name in os.environ if name.startswith("THROUGHLINE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("THROUGHLINE_USE_CASE_PACKAGES", "shop_rules")
    monkeypatch.syspath_prepend(tmp_path)
    folder = tmp_path / "shop_rules"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "features.py").write_text("from use_cases.fraud.features import *\n")

    def write(when):
        (folder / "use_case.py").write_text(PACKAGE.format(when=when))
        importlib.invalidate_caches()

    yield write
    for name in [name for name in sys.modules if name.startswith("shop_rules")]:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("when", "said"),
    [
        (
            "score > 0.3 and",
            "in the use case 'shop', decision rule 4: a rule cannot be read; found `score > 0.3 "
            "and` (invalid syntax)",
        ),
        ("request.amount_minor", "decision rule 4: a rule needs a condition"),
        ("score > 0.5 and request.amount_minor > 1", "decision rule 4 can never fire"),
        (
            "request.amount > 1",
            "in the use case 'shop' decision rule 4: a rule reads a name that the use case's "
            "features do not have; found `request.amount`; request.amount_minor is near",
        ),
    ],
)
def test_status_says_which_rule_is_wrong(declare, tmp_path, capsys, when, said):
    declare(when)
    assert cli.main(["status", "--home", str(tmp_path / "home")]) == 2
    assert said in capsys.readouterr().err


def test_a_right_rule_is_taken(declare, tmp_path, capsys):
    declare("card_profile_v1.country in ('DE', 'FR') and payment_v1.is_night == 1")
    assert cli.main(["status", "--home", str(tmp_path / "home")]) == 0
    assert "shop" in capsys.readouterr().out


def test_why_says_the_rule_that_decided():
    rules = [
        {"decision": "BLOCK", "above": 0.9, "reason": "r"},
        {"decision": "HOLD", "when": "v.a > 1", "reason": "r"},
    ]
    record = {"policy": {"rules": rules}}
    assert rule_in_words({**record, "rule": 0}) == "by rule 1 of 2: score > 0.9"
    assert rule_in_words({**record, "rule": 1}) == "by rule 2 of 2: v.a > 1"
    assert rule_in_words({**record, "rule": None}) == "by default: none of 2 rules was true"
    assert rule_in_words({}) == "by default"
