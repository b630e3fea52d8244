"""Payments under a second major: less of an amount, and where it was made must be said."""

from __future__ import annotations

from payments import PAYMENTS

from core.contracts import FieldSpec, FormerContract, Source
from core.rows.field_mapping import always

TERMINAL, AMOUNT, CARD = PAYMENTS.fields
WAS = FormerContract(
    version="1.0",
    fields=PAYMENTS.fields,
    since="2025-12-01",
    until="2026-03-01",
    rows={"way": always("shop")},
)
GROWN: Source = PAYMENTS.model_copy(
    update={
        "version": "2.0",
        "fields": (
            TERMINAL,
            AMOUNT.model_copy(update={"maximum": 5_000.0}),
            CARD,
            FieldSpec(name="way", type="string", allowed=("shop", "web")),
        ),
        "former": (WAS,),
    }
)
