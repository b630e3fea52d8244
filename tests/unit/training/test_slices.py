import numpy as np
from training_sets import small_plan, small_training_set

from core.stats.metrics import area_under_roc, auc_interval, ranked
from core.stats.slices import MIN_POSITIVE, MIN_ROWS
from training.examples import examples_of
from training.slices import slices_of

PLAN = small_plan()
EXAMPLES = examples_of(PLAN, small_training_set(12_000))
SCORES = EXAMPLES.test.vectors[:, PLAN.vector.index("payment_size:amount")].astype(np.float64)


def test_slices_cover_weeks_categories_and_histories():
    names = [part.name for part in slices_of(PLAN, EXAMPLES.test, SCORES)]
    assert "week from 2026-02-18" in names
    assert "card_profile_v1:country = CH" in names
    assert "card with history in card_activity_v1" in names


def test_a_slice_has_the_metrics_of_its_rows():
    test = EXAMPLES.test
    found = {part.name: part for part in slices_of(PLAN, test, SCORES)}
    mask = test.vectors[:, PLAN.vector.index("card_profile_v1:country")] == 2
    part = found["card_profile_v1:country = CH"]
    assert (part.n_rows, part.n_positive) == (mask.sum(), test.labels[mask].sum())
    rows = ranked(SCORES[mask], test.labels[mask])
    assert (part.auc, part.auc_interval) == (area_under_roc(rows), auc_interval(rows))
    low, high = part.auc_interval or (1.0, 0.0)
    assert low < part.auc < high


def test_a_slice_from_before_intervals_were_put_down_can_be_read():
    (first, *_) = slices_of(PLAN, EXAMPLES.test, SCORES)
    former = first.model_dump(exclude={"auc_interval"})
    assert type(first).model_validate(former).auc_interval is None


def test_small_slices_are_left_out():
    for part in slices_of(PLAN, EXAMPLES.test, SCORES):
        assert part.n_rows >= MIN_ROWS
        assert part.n_positive >= MIN_POSITIVE
    few = EXAMPLES.test.take(np.arange(50))
    assert slices_of(PLAN, few, SCORES[:50]) == ()
