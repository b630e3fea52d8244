"""Two versions of a view, feature by feature."""

import math

import numpy as np

from core.features.comparison import differences

NULL = float("nan")


def found(before, after):
    (one,) = differences({"f": np.array(before)}, {"f": np.array(after)})
    return one


def test_one_step_of_float32_is_equal_and_two_are_not():
    one = np.float32(1)
    near = float(np.nextafter(one, np.float32(2)))
    far = float(np.nextafter(np.float32(near), np.float32(2)))
    assert found([1.0, 1.0, NULL], [near, far, NULL]).n_equal == 2


def test_nulls_are_told_apart_by_the_side_they_came_on():
    one = found([1.0, NULL, 2.0, NULL], [NULL, 3.0, 2.0, NULL])
    assert (one.n_points, one.n_equal, one.n_lost, one.n_gained) == (4, 2, 1, 1)
    assert (one.largest, one.mean_before, one.mean_after) == (0.0, 1.5, 2.5)
    assert one.correlation is None


def test_nothing_in_common_is_no_number_and_no_error():
    one = found([NULL, 1.0], [1.0, NULL])
    assert one.largest == 0.0
    assert one.correlation is None
    nothing = found([NULL], [NULL])
    assert nothing.n_equal == 1
    assert nothing.mean_before is None


def test_a_change_of_scale_is_seen_in_the_mean_and_not_in_the_correlation():
    values = np.random.default_rng(7).normal(50, 10, 1_000)
    one = found(values, values * 100)
    assert one.n_equal == 0
    assert math.isclose(one.mean_after, 100 * one.mean_before)
    assert math.isclose(one.correlation, 1.0)


def test_the_most_changed_comes_first_and_what_only_one_has_is_left_out():
    same, other = np.ones(3), np.zeros(3)
    listed = differences({"a": same, "b": same, "gone": same}, {"a": same, "b": other, "new": same})
    assert [each.feature for each in listed] == ["b", "a"]
