"""Assignment: the published hash, its vectors, stickiness, independence."""

import hashlib
import json
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2

from core.errors import ConfigurationError, InvalidInputError
from core.rollout.assignment import arm_of, assignment_point

VECTORS = json.loads((Path(__file__).parent / "vectors.json").read_text())["vectors"]
POINTS = st.integers(0, 2**53 - 1).map(lambda number: number / 2**53)
WEIGHTS = st.floats(0, 1)


def _published(experiment, entity):
    """The recipe of the page, written a second time with nothing but hashlib."""
    message = b""
    for text in [experiment, *map(str, entity)]:
        encoded = text.encode("utf-8")
        message += bytes(divmod(len(encoded), 256)) + encoded
    return (int(hashlib.sha256(message).hexdigest()[:16], 16) // 2048) / 2**53


def test_there_are_vectors_with_unicode_and_empty_texts():
    assert len(VECTORS) >= 20
    texts = [text for v in VECTORS for text in (v["experiment"], *map(str, v["entity"]))]
    assert "" in texts
    assert any(ord(max(text)) > 0xFFFF for text in texts if text)


@pytest.mark.parametrize("vector", VECTORS, ids=[str(i) for i in range(len(VECTORS))])
def test_assignment_keeps_its_published_vectors(vector):
    point = assignment_point(vector["experiment"], vector["entity"])
    assert point == vector["point"]
    assert (point * 2**53).hex() == float(vector["point_53_bits"]).hex()
    assert (arm_of(point, {"challenger": 0.05}, rest="champion") == "challenger") == vector["at_5"]
    assert (arm_of(point, {"challenger": 0.5}, rest="champion") == "challenger") == vector["at_50"]


@given(st.text(max_size=5), st.lists(st.text(max_size=5), min_size=1, max_size=3))
def test_assignment_point_is_the_published_recipe(experiment, entity):
    point = assignment_point(experiment, entity)
    assert point == _published(experiment, entity)
    assert 0 <= point < 1


def test_assignment_point_tells_texts_apart_that_look_alike_when_joined():
    points = {
        assignment_point(experiment, entity)
        for experiment, entity in [("a", ["b", "c"]), ("ab", ["c"]), ("a", ["bc"]), ("", ["abc"])]
    }
    assert len(points) == 4


def test_assignment_point_takes_an_integer_as_its_decimal_text():
    assert assignment_point("e", [7]) == assignment_point("e", ["7"])


@pytest.mark.parametrize("entity", [[], [None], [True], ["\ud800"], ["x" * 65_536]])
def test_assignment_point_refuses_what_is_no_entity(entity):
    with pytest.raises(InvalidInputError):
        assignment_point("e", entity)


@given(POINTS, WEIGHTS, WEIGHTS)
def test_whoever_is_in_the_challenger_stays_in_as_it_grows(point, one, other):
    smaller, greater = sorted((one, other))
    if arm_of(point, {"challenger": smaller}, rest="champion") == "challenger":
        assert arm_of(point, {"challenger": greater}, rest="champion") == "challenger"


@given(POINTS)
def test_arms_at_the_ends_take_nobody_or_everybody(point):
    assert arm_of(point, {"challenger": 0.0}, rest="champion") == "champion"
    assert arm_of(point, {"challenger": 1.0}, rest="champion") == "challenger"
    assert arm_of(point, {"a": 0.0, "b": 1.0}, rest="champion") == "b"


def test_arms_meet_their_weights():
    weights = {"a": 0.05, "b": 0.15, "c": 0.3}
    n = 20_000
    arms = [arm_of(assignment_point("e", [k]), weights, rest="rest") for k in range(n)]
    expected = np.array([*weights.values(), 0.5]) * n
    counts = np.array([arms.count(name) for name in (*weights, "rest")])
    assert ((counts - expected) ** 2 / expected).sum() < chi2.ppf(0.999, df=3)


@pytest.mark.parametrize("weights", [{"a": -0.1}, {"a": 1.1}, {"a": 0.6, "b": 0.5}, {"a": np.nan}])
def test_arm_of_refuses_weights_that_are_not_shares(weights):
    with pytest.raises(ConfigurationError) as refused:
        arm_of(0.5, weights, rest="champion")
    assert refused.value.code == "weights_not_shares"


def test_weights_that_round_above_one_are_shares():
    assert arm_of(1 - 2**-53, {"a": 0.1, "b": 0.2, "c": 0.7}, rest="rest") in {"c", "rest"}


def test_experiments_assign_independently_of_each_other():
    n, names = 10_000, ["fraud-1", "fraud-2", "fraud-11", "Fraud-1", "", "handbook-1"]
    points = {e: np.array([assignment_point(e, [f"card-{k}"]) for k in range(n)]) for e in names}
    pairs = list(combinations(names, 2))
    for one, other in pairs:
        table, _, _ = np.histogram2d(points[one], points[other], bins=8, range=[[0, 1], [0, 1]])
        expected = n / 64
        statistic = ((table - expected) ** 2 / expected).sum()
        assert statistic < chi2.ppf(1 - 0.001 / len(pairs), df=63), (one, other)
