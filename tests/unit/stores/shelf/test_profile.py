import numpy as np

from stores.shelf.profile import Profile, profile_of


def test_a_profile_survives_json():
    vectors = np.random.default_rng(3).normal(size=(50, 2)).astype(np.float32)
    profile = profile_of(vectors, ("a", "b"), np.linspace(0, 1, 50), {"APPROVE": 50})
    assert Profile.model_validate_json(profile.model_dump_json()) == profile
    assert profile.score.counts[0] == 0
    assert profile.score.n == 50
