import numpy as np
import pytest

from training.points import (
    EXTREMES,
    drawn_points,
    extreme_points,
    nearest_points,
    points_at,
    split_points,
)


def steps(vectors):
    """A score that takes 2,001 values."""
    return np.clip(np.round(np.nan_to_num(vectors).sum(axis=1) * 500), 0, 2_000) / 2_000


def slope(vectors):
    return 1 / (1 + np.exp(-np.nan_to_num(vectors).astype(np.float64).sum(axis=1)))


ROWS = np.random.default_rng(1).normal(size=(500, 3)).astype(np.float32)


def test_draws_stay_in_their_range_and_repeat():
    ranges = np.array([[0.0, 12.0], [0.5, 0.75], [-3.0, -3.0]])
    points = drawn_points(ranges, 2_000, 1)
    np.testing.assert_array_equal(points, drawn_points(ranges, 2_000, 1))
    assert (np.nanmin(points, axis=0) >= ranges[:, 0]).all()
    assert (np.nanmax(points, axis=0) <= ranges[:, 1]).all()
    assert 0.05 < np.isnan(points).mean() < 0.15
    counts = points[:, 0][~np.isnan(points[:, 0])]
    np.testing.assert_array_equal(counts, np.round(counts))  # a range of whole numbers


def test_extremes_are_tried_one_by_one_and_together():
    points = extreme_points(np.array([1.0, 2.0], dtype=np.float32))
    assert points.shape == (3 * (len(EXTREMES) + 1), 2)
    assert np.isnan(points).all(axis=1).any()
    assert np.isfinite(points[~np.isnan(points)]).all()


def test_bisection_ends_at_neighbours_on_both_sides():
    points = points_at(slope, ROWS, 0.5, 50, 1)
    assert len(points) > 50
    assert np.abs(slope(points) - 0.5).max() < 1e-6
    assert (slope(points) > 0.5).any()
    assert (slope(points) <= 0.5).any()


@pytest.mark.parametrize("threshold", [-1.0, 2.0])
def test_a_threshold_that_no_score_reaches_has_no_points(threshold):
    edges = points_at(slope, ROWS, threshold, 50, 1)
    assert edges.shape == (0, 3)
    assert nearest_points(slope, edges, ROWS, threshold, 1).shape == (0, 3)


def test_small_changes_lead_nearer_to_a_threshold_than_bisection_does():
    def uneven(vectors):  # steps of uneven height: no edge of one lies at the threshold
        return slope(np.round(vectors * [7.0, 11.0, 13.0]) / [70.0, 110.0, 130.0])

    edges = points_at(uneven, ROWS, 0.5001, 100, 1)
    near = nearest_points(uneven, edges, ROWS, 0.5001, 1)
    distance = {
        name: np.median(np.abs(uneven(points) - 0.5001))
        for name, points in (("edges", edges), ("near", near))
    }
    assert distance["near"] < distance["edges"] / 10


def test_steps_are_found_at_their_edge():
    points = points_at(steps, ROWS, 0.25, 50, 1)
    assert np.unique(steps(points)).size == 2


def test_a_model_without_trees_has_no_splits():
    from training.graph import GraphBuilder

    graph = GraphBuilder(3)
    weights = graph.constant(np.ones((3, 1)))
    content = graph.finish(graph.add("Sigmoid", graph.add("MatMul", "vector", weights)))
    assert split_points(content, ROWS, 1).shape == (0, 3)
