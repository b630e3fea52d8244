"""The fraud use case, as data."""

from __future__ import annotations

from core.decisions import DecisionPolicy, Rule
from core.rollout.limits import Limits
from core.rollout.stages import Rollout
from core.use_case import Label, ModelSpec, Objectives, UseCase
from use_cases.fraud.sources import CARD_PROFILES, FRAUD_LABELS, TRANSACTIONS

LABEL = Label(
    source="fraud_labels",
    column="is_fraud",
    refers_to="transaction_id",
    example_source="transactions",
    maturity_days=7,
    absent_means="0",
)

# The model compares a payment with the card's habit; where there is none, its score says
# little, and one payment in a thousand is as large as this.
LARGE_MINOR = 30_000

DECISIONS = DecisionPolicy(
    rules=(
        Rule(decision="BLOCK", above=0.9, reason="fraud_very_likely"),
        Rule(decision="REVIEW", above=0.5, reason="fraud_likely"),
        Rule(
            decision="REVIEW",
            when=f"request.amount_minor >= {LARGE_MINOR} "
            "and card_activity_v1.amount_minor_count_30d == 0",
            reason="large_amount_on_a_new_card",
        ),
    ),
    default="APPROVE",
    default_reason="no_sign_of_fraud",
)

# A card stays with one release, whatever terminal it pays at. Payments of one card in a row are
# decided alike; in an hour, the longest stage, 0.2 % of the cards that pay do so more than thrice.
ROLLOUT = Rollout(assigned_by=("card_id",), limits=Limits(requests_per_entity=3))

USE_CASE = UseCase(
    name="fraud",
    description="Whether a card payment was made by its cardholder, decided while they wait.",
    owners=("fraud-models@throughline.example",),
    risk_tier="high",
    entities={"card": ("card_id",), "terminal": ("terminal_id",)},
    sources=(TRANSACTIONS, FRAUD_LABELS, CARD_PROFILES),
    service="fraud_v1",
    label=LABEL,
    model=ModelSpec(candidates=("logistic", "xgboost"), metric="average_precision", floor=0.3),
    decisions=DECISIONS,
    objectives=Objectives(p99_ms=100.0, availability_share=0.999),
    prediction_retention_days=400,
    rollout=ROLLOUT,
)
