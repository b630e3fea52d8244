from __future__ import annotations

import numpy as np
import pytest

from core.errors import InvalidInputError
from spark_jobs.splitting import stratified_split, time_split

DAY = 86_400_000


@pytest.mark.parametrize("seed", range(20))
def test_parts_are_apart_by_the_gap_and_have_their_shares(seed):
    rng = np.random.default_rng(seed)
    at_ms = rng.integers(0, 60 * DAY, size=3_000)
    split = time_split(at_ms, validation_share=0.15, test_share=0.2, gap_ms=7 * DAY)
    assert split.validation_start_ms - split.train_end_ms == 7 * DAY
    assert split.test_start_ms - split.validation_end_ms == 7 * DAY
    n_train = (at_ms < split.train_end_ms).sum()
    is_validation = (at_ms >= split.validation_start_ms) & (at_ms < split.validation_end_ms)
    n_test = (at_ms >= split.test_start_ms).sum()
    kept = n_train + is_validation.sum() + n_test
    assert is_validation.sum() / kept == pytest.approx(0.15, abs=0.02)
    assert n_test / kept == pytest.approx(0.2, abs=0.02)


def test_examples_of_one_instant_stay_together():
    at_ms = np.repeat(np.arange(20) * DAY, 50)
    split = time_split(at_ms, validation_share=0.2, test_share=0.2, gap_ms=DAY)
    assert {split.test_start_ms % DAY, split.validation_start_ms % DAY} == {0}


@pytest.mark.parametrize("at_ms", [[], [5], [1, 1, 1], list(range(0, 14 * DAY, DAY))])
def test_too_short_a_span_is_refused_with_its_days(at_ms):
    with pytest.raises(InvalidInputError, match="too little time"):
        time_split(
            np.array(at_ms, np.int64), validation_share=0.15, test_share=0.15, gap_ms=7 * DAY
        )


def test_a_stratified_draw_depends_on_ids_and_seed_not_on_order():
    rng = np.random.default_rng(1)
    ids = np.array([f"e{n}" for n in range(1_000)])
    labels = (rng.random(1_000) < 0.1).astype(np.int64)
    draw = {"validation_share": 0.15, "test_share": 0.15}
    first = dict(zip(ids, stratified_split(ids, labels, seed=1, **draw), strict=True))
    order = rng.permutation(1_000)
    again = stratified_split(ids[order], labels[order], seed=1, **draw)
    assert first == dict(zip(ids[order], again, strict=True))
    other = stratified_split(ids, labels, seed=2, **draw)
    assert first != dict(zip(ids, other, strict=True))
    positives = sum(first[i] == "test" for i in ids[labels == 1])
    assert positives == round(labels.sum() * 0.15)
