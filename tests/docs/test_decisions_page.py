"""What the page of decisions shows is what is declared, and what the command line takes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from core.decisions import DecisionPolicy, Rule, check_policy
from core.rules.reading import condition_of
from orchestration.commands.decisions import policy_of
from use_cases.fraud.use_case import USE_CASE as FRAUD

PAGE = (Path(__file__).parents[2] / "docs" / "decisions.md").read_text()


def block(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return str(found)


def test_the_policy_shown_is_that_of_the_fraud_use_case():
    names: dict[str, object] = {"DecisionPolicy": DecisionPolicy, "Rule": Rule}
    exec(block("python"), names)
    assert names["DECISIONS"] == FRAUD.decisions


def test_the_file_shown_is_a_policy(tmp_path):
    path = tmp_path / "policy.yaml"
    path.write_text(block("yaml"))
    policy = policy_of(path)
    check_policy(policy)
    assert policy.decisions == ("BLOCK", "REVIEW", "APPROVE")


@pytest.mark.parametrize(
    "condition",
    [c for c in re.findall(r"`([^`\n]+)`", PAGE) if re.search(r" (<=?|>=?|in) |is_missing\(", c)],
)
def test_every_condition_shown_is_one(condition):
    condition_of(re.sub(r"\bx\b", "v.x", condition))  # in prose `x` stands for any feature
