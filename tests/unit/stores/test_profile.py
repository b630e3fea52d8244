import numpy as np
import pytest

from core.errors import InvalidInputError
from stores.profile import Profile, edges_of, histogram_of, profile_of


def test_every_value_is_counted_once():
    values = np.random.default_rng(1).normal(size=1_000)
    values[::7] = np.nan
    histogram = histogram_of(values, edges_of(values))
    assert histogram.n == 1_000
    assert histogram.n_null == np.isnan(values).sum()


def test_edges_belong_to_the_bin_above():
    assert histogram_of(np.array([1.0, 2.0]), (1.0, 2.0)).counts == (0, 1, 1)


def test_quantile_edges_fill_bins_evenly():
    values = np.random.default_rng(2).lognormal(8, 2, 10_000)
    inner = histogram_of(values, edges_of(values)).counts[1:-1]
    assert min(inner) > 900
    assert max(inner) < 1_100


def test_no_edge_is_a_value_of_somebody():
    values = np.array([123_456.0, 765_432.0, 999_999.0])
    assert not set(edges_of(values)) & set(values.tolist())


@pytest.mark.parametrize(
    "values", [np.array([]), np.array([np.nan]), np.array([np.inf]), np.array([4.0, 4.0])]
)
def test_degenerate_columns_have_one_edge(values):
    assert len(edges_of(values)) == 1
    assert histogram_of(values, edges_of(values)).n == len(values)


def test_edges_that_do_not_rise_are_refused():
    with pytest.raises(InvalidInputError, match="rise"):
        histogram_of(np.array([1.0]), (1.0, 1.0))


def test_a_profile_survives_json():
    vectors = np.random.default_rng(3).normal(size=(50, 2)).astype(np.float32)
    profile = profile_of(vectors, ("a", "b"), np.linspace(0, 1, 50), {"APPROVE": 50})
    assert Profile.model_validate_json(profile.model_dump_json()) == profile
    assert profile.score.counts[0] == 0
    assert profile.score.n == 50
