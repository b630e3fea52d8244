"""The fraud use case, as data."""

from __future__ import annotations

from core.decisions import DecisionPolicy, Rule
from core.degradation import Degradation, Freshness
from core.fairness import Fairness, Groups
from core.monitoring.objectives import Objectives
from core.retraining import OnDecay, OnDrift, OnLabels, OnSchedule, Retraining
from core.rollout.limits import Limits
from core.rollout.stages import Rollout
from core.use_case import Label, ModelSpec, UseCase
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

# What is answered when something fails. Payments are known within a second or two; a minute late
# is told, a quarter of an hour late is no longer what the card has just done. Verdicts take days
# to come, so a day more changes little; a card's profile changes less often still. Where no model
# can score, who is asked for much waits for a person, and the others are not kept waiting for a
# machine.
DEGRADATION = Degradation(
    freshness=(
        Freshness(view="card_activity_v1", fresh_s=60, usable_s=900),
        Freshness(view="terminal_activity_v1", fresh_s=60, usable_s=900),
        Freshness(view="terminal_risk_v1", fresh_s=3_600, usable_s=86_400),
        Freshness(view="card_profile_v1", fresh_s=86_400, usable_s=7 * 86_400),
    ),
    fallbacks=(
        ("terminal_risk_v1",),
        ("card_activity_v1", "terminal_activity_v1", "terminal_risk_v1", "card_profile_v1"),
    ),
    unscored=DecisionPolicy(
        rules=(
            Rule(
                decision="REVIEW",
                when=f"request.amount_minor >= {LARGE_MINOR}",
                reason="large_amount_not_scored",
            ),
        ),
        default="APPROVE",
        default_reason="small_amount_not_scored",
    ),
)

# A card stays with one release, whatever terminal it pays at. Payments of one card in a row are
# decided alike; in an hour, the longest stage, 0.2 % of the cards that pay do so more than thrice.
ROLLOUT = Rollout(assigned_by=("card_id",), limits=Limits(requests_per_entity=3))

# Where a card comes from must not decide how often its holder is stopped, nor how often wrongly.
FAIRNESS = Fairness(groups=(Groups(reads="card_profile_v1.country"),), adverse=("BLOCK", "REVIEW"))

# A month is what a fraudster takes to find another way. A loss of a fifth is more than the
# interval of a month's labels; half a thousand frauds are about as many as a test part holds.
RETRAINING = Retraining(
    drift=OnDrift(cool_down_hours=72),
    decay=OnDecay(least_loss=0.2, cool_down_hours=72),
    shadow_decay=OnDecay(least_loss=0.2, cool_down_hours=168),
    labels=OnLabels(rows=100_000, positives=500, cool_down_hours=168),
    schedule=OnSchedule(days=30),
)

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
    degradation=DEGRADATION,
    fairness=FAIRNESS,
    retraining=RETRAINING,
)
