"""The page about releases says what is so: its code runs, its names and figures are the code's."""

from __future__ import annotations

import re
from pathlib import Path

from core.archive import FORMER_CHAMPIONS_KEPT
from core.fairness import Fairness, Groups
from core.rollout.stages import DEFAULT_STAGES
from core.sign_offs import ROLES_OF_TIER
from core.use_case import ModelSpec, UseCase
from orchestration.retraining import LOOK_EVERY_S, WHO
from use_cases.fraud.use_case import RETRAINING

PAGE = Path(__file__).parents[2] / "docs" / "release.md"
TEXT = PAGE.read_text()
CODE = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


def ran():
    found: dict[str, object] = {}
    for block in CODE:
        exec(compile(block, str(PAGE), "exec"), found)
    return found


def test_the_declarations_run_and_the_triggers_are_those_of_fraud():
    found = ran()
    assert found["RETRAINING"] == RETRAINING
    model, fairness = found["MODEL"], found["FAIRNESS"]
    assert isinstance(model, ModelSpec)
    assert model.ensemble is not None
    assert isinstance(fairness, Fairness)
    for kind, _ in RETRAINING.triggers:
        assert f"| `{kind}` |" in TEXT


def test_figures_are_those_of_the_code():
    plain = Fairness(groups=(Groups(reads="v.a"),), adverse=("BLOCK",))
    gaps = [plain.gap("selected"), plain.gap("false_positive"), plain.gap("false_negative")]
    assert gaps == [0.2, 0.1, 0.2]
    assert (plain.least_rows, plain.least_of_class) == (200, 30)
    assert UseCase.model_fields["archive_after_days"].default == 90
    assert (FORMER_CHAMPIONS_KEPT, LOOK_EVERY_S) == (3, 300)
    assert f'"{WHO}"' in TEXT.replace("\n", " ")
    assert ROLES_OF_TIER == {"low": (), "medium": ("risk",), "high": ("risk", "owner")}
    waits = {
        tier: [s.weight for s in DEFAULT_STAGES if tier in s.waits_for_person]
        for tier in ROLES_OF_TIER
    }
    assert waits == {"low": [], "medium": [], "high": [0.05, 0.5]}
