import numpy as np
import pyarrow as pa
import pytest
from training_sets import small_plan, small_training_set

from core.errors import InvalidInputError
from training.examples import PARTS, examples_of

PLAN = small_plan()


def test_parts_are_disjoint_and_hold_every_row():
    table = small_training_set()
    for split in ("time", "stratified"):
        counts = examples_of(PLAN, table, split).counts
        assert list(counts) == list(PARTS)
        assert sum(n for n, _ in counts.values()) == len(table)
        assert sum(p for _, p in counts.values()) == sum(table["label"].to_pylist())


def test_the_first_half_of_validation_is_the_older_in_each_class():
    examples = examples_of(PLAN, small_training_set())
    for label in (0, 1):
        stop = examples.stop.at_ms[examples.stop.labels == label]
        calibrate = examples.calibrate.at_ms[examples.calibrate.labels == label]
        assert stop.max() <= calibrate.min()
        assert 0 <= len(stop) - len(calibrate) <= 1


def test_the_order_of_rows_does_not_matter():
    table = small_training_set()
    order = np.random.default_rng(1).permutation(len(table))
    first, second = examples_of(PLAN, table), examples_of(PLAN, table.take(pa.array(order)))
    for name in PARTS:
        np.testing.assert_array_equal(getattr(first, name).vectors, getattr(second, name).vectors)


def test_vectors_are_float32_in_the_plan_s_order():
    table = small_training_set()
    train = examples_of(PLAN, table).train
    assert train.vectors.dtype == np.float32
    column = table["payment_size__amount"].to_numpy()[: len(train)].astype(np.float32)
    np.testing.assert_array_equal(
        train.vectors[:, PLAN.vector.index("payment_size:amount")], column
    )


def test_instants_are_epoch_milliseconds():
    train = examples_of(PLAN, small_training_set()).train
    first = small_training_set()["event_timestamp"][0].as_py().timestamp() * 1_000
    assert train.at_ms[0] == int(first)


def test_a_missing_column_is_named():
    table = small_training_set().drop_columns(["payment_size__amount", "weight"])
    with pytest.raises(InvalidInputError, match="no weight, payment_size__amount"):
        examples_of(PLAN, table)


@pytest.mark.parametrize("label", [0, 1])
def test_a_part_with_one_class_is_refused_with_its_numbers(label):
    table = small_training_set()
    labels = np.where(
        np.asarray(table["split"].to_pylist()) == "test", label, table["label"].to_numpy()
    )
    one_class = table.set_column(table.schema.get_field_index("label"), "label", pa.array(labels))
    with pytest.raises(InvalidInputError, match=r"'test'.*among 1217 rows"):
        examples_of(PLAN, one_class)


def test_one_positive_in_validation_is_too_few():
    table = small_training_set()
    is_validation = np.asarray(table["split"].to_pylist()) == "validation"
    labels = np.where(is_validation, 0, table["label"].to_numpy())
    labels[np.flatnonzero(is_validation)[3]] = 1
    few = table.set_column(table.schema.get_field_index("label"), "label", pa.array(labels))
    with pytest.raises(InvalidInputError, match="'calibrate'"):
        examples_of(PLAN, few)
