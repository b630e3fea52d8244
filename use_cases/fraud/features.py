"""Features of the fraud use case: what is known of the card and of the terminal."""

from __future__ import annotations

from use_cases.builders import (
    aggregate,
    attributes,
    entity,
    on_demand,
    request,
    service,
    source_of,
    windows,
)
from use_cases.fraud import transforms
from use_cases.fraud.sources import CARD_PROFILES, FRAUD_LABELS, TRANSACTIONS

OWNER = "fraud-models@throughline.example"

card = entity("card", "card_id", description="A payment card; it stands for the customer.")
terminal = entity("terminal", "terminal_id", description="A point of sale.")

transactions = source_of(TRANSACTIONS)
fraud_labels = source_of(FRAUD_LABELS)
card_profiles = source_of(CARD_PROFILES)

card_activity_v1 = windows(
    "card_activity_v1",
    transactions,
    card,
    [
        *aggregate("amount_minor", "count sum mean max", "5m 1h 1d 7d 30d"),
        *aggregate("terminal_id", "count_distinct", "1d 7d 30d"),
    ],
    owner=OWNER,
    description="How much, how often and at how many terminals a card pays.",
)

terminal_activity_v1 = windows(
    "terminal_activity_v1",
    transactions,
    terminal,
    aggregate("amount_minor", "count", "5m 1h 1d 7d 30d"),
    owner=OWNER,
    description="How many payments a terminal takes.",
)

terminal_risk_v1 = windows(
    "terminal_risk_v1",
    fraud_labels,
    terminal,
    aggregate("is_fraud", "count mean", "1d 7d 30d"),
    owner=OWNER,
    description="Share of frauds among the verdicts that became known about a terminal.",
)

card_profile_v1 = attributes(
    "card_profile_v1",
    card_profiles,
    card,
    ["limit_minor", "country", "since_day"],
    ttl="400d",
    owner=OWNER,
    description="Limit, country and age of a card.",
)

payment = request(transactions, "amount_minor")

payment_v1 = on_demand(
    "payment_v1",
    transforms.payment,
    [card_activity_v1[["amount_minor_mean_30d"]], payment],
    ["amount", "is_weekend", "is_night", "amount_over_mean"],
    owner=OWNER,
    description="The payment asked for, compared with the card's habit.",
)

standing_v1 = on_demand(
    "standing_v1",
    transforms.standing,
    [card_profile_v1[["limit_minor", "since_day"]], payment],
    ["card_age_days", "amount_over_limit"],
    owner=OWNER,
    description="The card's age, and the payment as a share of its limit.",
)

fraud_v1 = service(
    "fraud_v1",
    [
        card_activity_v1,
        terminal_activity_v1,
        terminal_risk_v1,
        card_profile_v1[["limit_minor", "country"]],
        payment_v1,
        standing_v1,
    ],
    owner=OWNER,
    description="Inputs of the fraud model.",
)
