"""Who opted out is in no training set from then on, and is back when they take it back."""

from __future__ import annotations

import pytest
from payments import LABEL, NOW_MS, PAYMENTS, PLAN, VERDICTS, history, land_rows
from shared_spark import ingested

from core.clock import DAY_MS
from core.consent import Consent
from core.contracts import FieldSpec, Source
from orchestration.rebuild import recorded_arguments
from spark_jobs import training_set
from spark_jobs.delta import read_table
from spark_jobs.job import arguments_of
from stores.layout import Layout
from stores.masking import ensure_mask

pytestmark = pytest.mark.spark

WISHES = Source(
    name="wishes",
    description="What cards say about being learnt from.",
    owner="tests",
    fields=(
        FieldSpec(name="is_out", type="bool", is_nullable=True),
        FieldSpec(name="card_id", type="string", column_class="personal"),
    ),
)
CONSENT = Consent(source="wishes", column="is_out", keys=("card_id",))


def wish(event_id, card_id, is_out, at_ms):
    row = {"event_id": event_id, "event_timestamp": at_ms}
    return row | {"card_id": card_id, "is_out": is_out}


@pytest.fixture(scope="module")
def layout(spark, tmp_path_factory):
    """Thirty days of payments by five cards. Two opt out, one after the cut; one takes it back.

    In a training set the cards are masked.
    """
    root = tmp_path_factory.mktemp("consent")
    layout = Layout(root / "state")
    paid, judged = history(30, 6)
    wishes = [
        wish("w1", "c1", True, NOW_MS - 25 * DAY_MS),
        wish("w2", "c2", True, NOW_MS - 25 * DAY_MS),
        wish("w3", "c2", False, NOW_MS - 20 * DAY_MS),
        wish("w4", "c2", None, NOW_MS - 15 * DAY_MS),
        wish("w5", "c3", True, NOW_MS - DAY_MS),
    ]
    for source, rows in ((PAYMENTS, paid), (VERDICTS, judged), (WISHES, wishes)):
        ingested(spark, layout, source, land_rows(layout, source, rows, root, NOW_MS))
    return layout


def cards_in(spark, layout, **changes):
    arguments = training_set.Arguments(
        root=str(layout.root),
        now_ms=NOW_MS,
        use_case="payments",
        plan=PLAN,
        label=LABEL,
        sources=(PAYMENTS, VERDICTS, WISHES),
        start_date="2025-12-02",
        cut_ms=NOW_MS - 2 * DAY_MS,
    )
    report = training_set.run(spark, arguments.model_copy(update=changes))
    rows = read_table(spark, layout.training("payments"))
    found = rows.where(f"snapshot = '{report.snapshot}'").select("card_id").distinct().collect()
    mask = ensure_mask(layout.keys)
    names = {mask.of(f"c{number}"): f"c{number}" for number in range(5)}
    return {names[row[0]] for row in found}, report


def test_nobody_is_learnt_from_whose_last_word_is_no(spark, layout):
    everybody, before = cards_in(spark, layout)
    assert everybody == {"c0", "c1", "c2", "c3", "c4"}
    assert "wishes" not in before.read_versions
    asked, after = cards_in(spark, layout, consent=CONSENT)
    assert asked == {"c0", "c2", "c4"}
    assert after.read_versions["wishes"] >= 0
    assert after.snapshot != before.snapshot
    built = recorded_arguments(layout, "payments", after.snapshot)
    again = training_set.run(spark, arguments_of(training_set.Arguments, built))
    assert again.snapshot == after.snapshot
