"""Features of real card data: those of the fraud use case that need no profile."""

from __future__ import annotations

from use_cases.builders import service
from use_cases.fraud.features import (
    OWNER,
    card_activity_v1,
    payment_v1,
    terminal_activity_v1,
    terminal_risk_v1,
)

fraud_without_profile_v1 = service(
    "fraud_without_profile_v1",
    [card_activity_v1, terminal_activity_v1, terminal_risk_v1, payment_v1],
    owner=OWNER,
    description="Inputs of the fraud model where cards have no profile.",
)
