"""A plan is compiled once for each state of the code, and must agree with its use case."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from training_sets import small_plan

from core.consent import Consent
from core.decisions import Decider, DecisionPolicy, Rule
from core.errors import ConfigurationError
from core.features.plan import AttributeFeature, ViewPlan
from feature_store.agreement import check_agreement
from feature_store.plans import compile_use_case, plan_for, with_consent
from stores.layout import Layout
from use_cases import discover
from use_cases.fraud.sources import CARD_PROFILES, FRAUD_LABELS, TRANSACTIONS

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def fraud():
    return discover()["fraud"]


@pytest.fixture(scope="module")
def plan(fraud):
    return compile_use_case(fraud)


def test_a_kept_plan_is_the_compiled_one(fraud, plan, tmp_path):
    layout = Layout(tmp_path)
    assert plan_for(fraud, layout) == plan
    assert len(list(layout.plans.iterdir())) == 1
    assert plan_for(fraud, layout) == plan
    assert len(list(layout.plans.iterdir())) == 1


def test_a_kept_plan_is_read_without_feast(fraud, tmp_path):
    plan_for(fraud, Layout(tmp_path))
    code = (
        "import sys; from pathlib import Path; from use_cases import discover;"
        "from feature_store.plans import plan_for; from stores.layout import Layout;"
        "plan_for(discover()['fraud'], Layout(Path(sys.argv[1])));"
        "sys.exit(', '.join({'feast', 'pandas', 'numba', 'deltalake'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_a_use_case_that_was_not_discovered_is_refused(fraud):
    with pytest.raises(ConfigurationError, match="where it was declared"):
        compile_use_case(fraud.model_copy(update={"package": ""}))


def test_a_package_without_features_is_refused(fraud):
    with pytest.raises(ConfigurationError, match="cannot be imported"):
        compile_use_case(fraud.model_copy(update={"package": "use_cases.nowhere"}))


def test_an_unknown_service_is_refused_with_those_that_are_there(fraud):
    with pytest.raises(ConfigurationError, match="no feature service called 'x'") as error:
        compile_use_case(fraud.model_copy(update={"service": "x"}))
    assert error.value.found == "fraud_v1"


def rule(when):
    made = Rule(decision="D", when=when, reason="r")
    return DecisionPolicy(rules=(made,), default="A", default_reason="r")


def shorter(source, days):
    return source.model_copy(update={"retention_days": days})


@pytest.mark.parametrize(
    ("update", "message"),
    [
        ({"sources": (TRANSACTIONS, FRAUD_LABELS)}, "reads the source 'card_profiles'"),
        ({"entities": {"card": ("card_id",)}}, "entity 'terminal' is found by 'terminal_id'"),
        (
            {"sources": (shorter(TRANSACTIONS, 29), FRAUD_LABELS, CARD_PROFILES)},
            "'card_activity_v1' looks back 30 days.*is kept for 29",
        ),
        (
            {"sources": (TRANSACTIONS, FRAUD_LABELS, shorter(CARD_PROFILES, 399))},
            "'card_profile_v1' looks back 400 days",
        ),
        (
            {
                "sources": (
                    TRANSACTIONS.model_copy(update={"fields": TRANSACTIONS.fields[1:]}),
                    FRAUD_LABELS,
                    CARD_PROFILES,
                )
            },
            "an example has no 'terminal_id'",
        ),
        (
            {
                "sources": (
                    TRANSACTIONS.model_copy(
                        update={"fields": (TRANSACTIONS.fields[0], TRANSACTIONS.fields[2])}
                    ),
                    FRAUD_LABELS,
                    CARD_PROFILES,
                )
            },
            "request field 'amount_minor' is to be int64; found no column",
        ),
        (
            {"decisions": rule("card_activity_v1.amount_minor_maen_30d > 1")},
            "in the use case 'fraud' decision rule 1: .* found "
            "`card_activity_v1.amount_minor_maen_30d`; card_activity_v1.amount_minor_mean_30d",
        ),
        ({"decisions": rule("card_profile_v1.country == 'XX'")}, "found 'XX'; take one of AT"),
    ],
)
def test_a_plan_that_the_declaration_cannot_feed_is_refused(fraud, plan, update, message):
    with pytest.raises(ConfigurationError, match=message):
        check_agreement(fraud.model_copy(update=update), plan)


@pytest.mark.parametrize(
    ("score", "amount", "payments", "reason"),
    [
        (0.95, 50_000, 0, "fraud_very_likely"),
        (0.6, 50_000, 0, "fraud_likely"),
        (0.1, 30_000, 0, "large_amount_on_a_new_card"),
        (0.1, 29_999, 0, "no_sign_of_fraud"),
        (0.1, 50_000, 1, "no_sign_of_fraud"),
        (0.1, 50_000, None, "no_sign_of_fraud"),
    ],
)
def test_a_large_amount_on_a_new_card_is_reviewed(fraud, plan, score, amount, payments, reason):
    values = {
        "request:amount_minor": np.array([amount], dtype=np.float64),
        "card_activity_v1:amount_minor_count_30d": np.array([payments], dtype=np.float64),
    }
    (decided,) = Decider.of(fraud.decisions, plan).decide(np.array([score]), values)
    assert decided.reason == reason


def test_declared_use_cases_agree_with_their_plans():
    for use_case in discover().values():
        check_agreement(use_case, compile_use_case(use_case))


def test_the_newest_view_of_words_joins_the_plan_though_no_vector_needs_it():
    consent = Consent(source="wishes", column="is_out", keys=("card_id",), requests="by_rules")
    plan = small_plan()

    def words(name):
        column = AttributeFeature(name="is_out", column="is_out")
        return ViewPlan(name=name, entity="card", join_keys=("card_id",), source="wishes",
                        columns={"is_out": "bool"}, attributes=(column,))  # fmt: skip

    asking = with_consent(plan, consent, [*plan.views, words("wish_v1"), words("wish_v2")])
    assert [view.name for view in asking.views] == [*(v.name for v in plan.views), "wish_v2"]
    assert asking.vector == plan.vector
    assert with_consent(asking, consent, asking.views) == asking
    with pytest.raises(ConfigurationError, match="declare attributes without a ttl of card_id"):
        with_consent(plan, consent, plan.views)
