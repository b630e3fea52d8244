"""What the fraud use case reads: three logs and the contract of each.

Only ``core`` is imported here, so that ingest, the service and the command line can load
a contract without loading Feast.
"""

from __future__ import annotations

from core.contracts import FieldSpec, Reference, Source

KEY_PATTERN = r"[A-Za-z0-9_.:-]+"

COUNTRIES = ("AT", "BE", "CH", "DE", "DK", "ES", "FR", "GB", "IE", "IT", "NL", "PL", "PT", "SE")

CARD_ID = FieldSpec(
    name="card_id",
    type="string",
    column_class="personal",
    max_length=64,
    pattern=KEY_PATTERN,
    description="The card, which stands for the customer; a token, never the card number.",
)

TERMINAL_ID = FieldSpec(
    name="terminal_id",
    type="string",
    max_length=64,
    pattern=KEY_PATTERN,
    description="The point of sale.",
)

TRANSACTIONS = Source(
    name="transactions",
    description="Card payments asked for, one row an authorisation.",
    owner="payments@throughline.example",
    fields=(
        TERMINAL_ID,
        FieldSpec(
            name="amount_minor",
            type="int64",
            minimum=0,
            maximum=10_000_000,
            description="Amount in minor units (cents), so that sums are exact.",
        ),
        CARD_ID,
    ),
    retention_days=730,
)

FRAUD_LABELS = Source(
    name="fraud_labels",
    description=(
        "Verdicts on payments, positive or not, one row a verdict; event_timestamp is when "
        "the verdict became known."
    ),
    owner="fraud-investigation@throughline.example",
    fields=(
        FieldSpec(
            name="transaction_id",
            type="string",
            max_length=64,
            pattern=KEY_PATTERN,
            description="event_id of the payment that this verdict is about.",
        ),
        TERMINAL_ID,
        FieldSpec(
            name="is_fraud",
            type="int64",
            minimum=0,
            maximum=1,
            description="1 when the cardholder did not make the payment.",
        ),
        CARD_ID,
    ),
    references=(
        Reference(columns=("transaction_id",), source="transactions", target_columns=("event_id",)),
    ),
    retention_days=730,
)

CARD_PROFILES = Source(
    name="card_profiles",
    description="The state of a card, one row a change; event_timestamp is when it took effect.",
    owner="card-operations@throughline.example",
    fields=(
        FieldSpec(
            name="limit_minor",
            type="int64",
            minimum=0,
            maximum=100_000_000,
            is_nullable=True,
            description="Monthly spending limit in minor units; null when the card has none.",
        ),
        FieldSpec(
            name="country",
            type="string",
            is_nullable=True,
            max_length=2,
            pattern=r"[A-Z]{2}",
            allowed=COUNTRIES,
            description="Country where the card was issued, ISO 3166-1 alpha-2.",
        ),
        FieldSpec(
            name="since_day",
            type="int64",
            minimum=0,
            maximum=36_500,
            description="Day the card was issued, in days since 1970-01-01 UTC.",
        ),
        CARD_ID,
    ),
    retention_days=800,
)
