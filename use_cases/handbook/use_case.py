"""Fraud on real card data that has no profiles: the same sources and views, one fewer."""

from __future__ import annotations

from use_cases.fraud.sources import FRAUD_LABELS, TRANSACTIONS
from use_cases.fraud.use_case import USE_CASE as FRAUD

USE_CASE = FRAUD.model_copy(
    update={
        "name": "handbook",
        "description": "Whether a card payment was fraud, on transactions without card profiles.",
        "sources": (TRANSACTIONS, FRAUD_LABELS),
        "service": "fraud_without_profile_v1",
        "degradation": None,  # it replays history: nothing in it is late,
        "retraining": None,  # and nothing new comes
        "fairness": None,  # there is no profile to tell groups apart by
    }
)
