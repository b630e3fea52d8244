"""Use cases are found by walking packages; nothing else is edited to add one."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

import use_cases
from core.contracts import FieldSpec, Reference
from core.decisions import DecisionPolicy, Rule
from core.errors import ConfigurationError
from core.use_case import UseCase
from use_cases.declaration import check_use_case
from use_cases.fraud.sources import FRAUD_LABELS, TRANSACTIONS
from use_cases.fraud.use_case import USE_CASE as FRAUD

ROOT = Path(__file__).parents[3]


@pytest.fixture
def package(tmp_path, monkeypatch, request):
    """Write packages of use cases into a folder on the path."""
    monkeypatch.syspath_prepend(tmp_path)
    made: list[str] = []

    def write(files: dict[str, str]) -> None:
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            made.append(name.split("/")[0].removesuffix(".py"))
        importlib.invalidate_caches()

    yield write
    for name in [m for m in sys.modules if m.split(".")[0] in made]:
        del sys.modules[name]


COPY = """
from use_cases.fraud.use_case import USE_CASE as FRAUD
USE_CASE = FRAUD.model_copy(update={{"name": {name!r}}})
"""


def test_fraud_and_handbook_are_found_with_their_packages():
    found = use_cases.discover()
    assert {"fraud", "handbook"} <= set(found)
    assert list(found) == sorted(found)
    assert found["fraud"].package == "use_cases.fraud"
    assert found["fraud"].model_copy(update={"package": ""}) == FRAUD


def test_packages_elsewhere_are_found_when_named(package):
    package({"elsewhere_a/__init__.py": "", "elsewhere_a/leaving/__init__.py": ""})
    package({"elsewhere_a/leaving/use_case.py": COPY.format(name="leaving")})
    package({"lone_b/__init__.py": "", "lone_b/use_case.py": COPY.format(name="lone")})
    found = use_cases.discover(extra=["elsewhere_a", "lone_b", "lone_b"])
    assert {name: found[name].package for name in ("leaving", "lone")} == {
        "leaving": "elsewhere_a.leaving",
        "lone": "lone_b",
    }


def test_discovery_imports_no_framework():
    code = (
        "import sys, use_cases; use_cases.discover();"
        "heavy = {'feast', 'pandas', 'pyarrow', 'pyspark', 'dagster', 'numba', 'mlflow'};"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"bad_c/__init__.py": ""}, "holds no use case"),
        ({"bad_c/__init__.py": "", "bad_c/use_case.py": "X = 1"}, "declares no use case"),
        ({"bad_c.py": ""}, "holds no use case"),
        (
            {"bad_c/__init__.py": "", "bad_c/use_case.py": COPY.format(name="fraud")},
            "two use cases are called 'fraud'",
        ),
        (
            {
                "bad_c/__init__.py": "",
                "bad_c/use_case.py": COPY.format(name="other").replace(
                    '"name"',
                    '"sources": tuple(s.model_copy(update={"retention_days": 999})'
                    ' for s in FRAUD.sources), "name"',
                ),
            },
            "'transactions' has two contracts|'fraud_labels' has two contracts",
        ),
    ],
)
def test_a_wrong_package_is_refused_with_the_reason(package, files, message):
    package(files)
    with pytest.raises(ConfigurationError, match=message):
        use_cases.discover(extra=["bad_c"])


def test_a_package_that_is_not_there_is_refused():
    with pytest.raises(ConfigurationError, match="cannot be imported"):
        use_cases.discover(extra=["no_such_package"])


def changed(**update):
    return FRAUD.model_copy(update=update)


def rules(*limits, when=()):
    return DecisionPolicy(
        rules=(
            *(Rule(decision="X", above=limit, reason="r") for limit in limits),
            *(Rule(decision="X", when=condition, reason="r") for condition in when),
        ),
        default="APPROVE",
        default_reason="r",
    )


@pytest.mark.parametrize(
    ("use_case", "message"),
    [
        (changed(name="Fraud 1"), "cannot be called so"),
        (changed(name="fraud__x"), "cannot be called so"),
        (changed(owners=()), "has no owner"),
        (changed(sources=(TRANSACTIONS, TRANSACTIONS, FRAUD_LABELS)), "declares a source twice"),
        (changed(sources=(TRANSACTIONS,)), "lacks the source 'fraud_labels'"),
        (changed(sources=(FRAUD_LABELS,)), "lacks the source 'transactions'"),
        (
            changed(label=FRAUD.label.model_copy(update={"column": "verdict"})),
            "lacks the column 'verdict' of the label",
        ),
        (
            changed(label=FRAUD.label.model_copy(update={"column": "terminal_id"})),
            "is not 0 or 1",
        ),
        (changed(label=FRAUD.label.model_copy(update={"maturity_days": 731})), "maturity"),
        (changed(decisions=rules(0.5, 0.9)), "never fire"),
        (changed(decisions=rules(0.9, 0.9)), "never fire"),
        (
            changed(decisions=rules(0.5, when=["score > 0.7"])),
            r"in the use case 'fraud', decision rule 2 can never fire; found `score > 0.7`",
        ),
        (changed(decisions=rules(when=["score"])), "rule 1: a rule needs a condition"),
        (changed(decisions=rules(0.9, when=["open('x') > 1"])), "rule 2: a condition stands"),
        (
            changed(
                sources=(
                    TRANSACTIONS,
                    FRAUD_LABELS.model_copy(
                        update={
                            "references": (
                                Reference(
                                    columns=("transaction_id",),
                                    source="transactions",
                                    target_columns=("id",),
                                ),
                            )
                        }
                    ),
                )
            ),
            "lacks the column 'id' of the reference",
        ),
        (
            changed(
                sources=(
                    TRANSACTIONS.model_copy(
                        update={"fields": (FieldSpec(name="position", type="int64"),)}
                    ),
                    FRAUD_LABELS,
                )
            ),
            "declares field position wrongly",
        ),
    ],
)
def test_a_declaration_that_contradicts_itself_is_refused(use_case, message):
    with pytest.raises(ConfigurationError, match=message):
        check_use_case(use_case)


def test_a_rollout_by_the_keys_of_no_entity_is_refused():
    declared = FRAUD.model_dump()
    declared["rollout"]["assigned_by"] = ("card_id", "terminal_id")
    with pytest.raises(ValidationError, match="join keys of no entity"):
        UseCase.model_validate(declared)


def test_declared_use_cases_are_whole():
    for use_case in use_cases.discover().values():
        check_use_case(use_case)


def test_fraud_and_handbook_decide_alike_and_are_of_high_risk():
    for use_case in (use_cases.discover()[name] for name in ("fraud", "handbook")):
        assert use_case.risk_tier == "high"
        assert [(rule.decision, rule.text) for rule in use_case.decisions.rules] == [
            ("BLOCK", "score > 0.9"),
            ("REVIEW", "score > 0.5"),
            (
                "REVIEW",
                "request.amount_minor >= 30000 and card_activity_v1.amount_minor_count_30d == 0",
            ),
        ]
        assert use_case.decisions.default == "APPROVE"


def test_every_text_and_number_that_a_request_or_event_carries_is_bounded():
    for source in FRAUD.sources:
        for field in source.fields:
            if field.type == "string":
                assert field.pattern is not None, (source.name, field.name)
                assert field.max_length <= 64, (source.name, field.name)
            else:
                assert field.minimum is not None, (source.name, field.name)
                assert field.maximum is not None, (source.name, field.name)


def test_personal_columns_stand_after_the_indexed_ones():
    for source in FRAUD.sources:
        classes = [field.column_class in {"personal", "sensitive"} for field in source.fields]
        assert classes == sorted(classes), source.name


def test_the_handbook_use_case_is_a_few_lines():
    for path in (ROOT / "use_cases/handbook").glob("*.py"):
        assert len(path.read_text().splitlines()) <= 30, path.name
