import numpy as np
import pytest

from core.decisions import Decider, DecisionPolicy, Rule
from core.errors import IntegrityError
from stores.shelf.golden import Golden, RuleCases, golden_of

VECTORS = np.array([[0.1, np.nan], [3.4e38, -1.0]], dtype=np.float32)
SCORES = np.array([0.25, 0.75], dtype=np.float32)


def test_golden_points_survive_json_to_the_bit():
    again = Golden.model_validate_json(golden_of(VECTORS, SCORES).model_dump_json())
    np.testing.assert_array_equal(again.inputs(), VECTORS)
    assert again.inputs().dtype == np.float32
    assert again.check(SCORES) == 0.0


def test_a_score_within_the_tolerance_passes():
    assert golden_of(VECTORS, SCORES).check(SCORES + 5e-6) > 0


@pytest.mark.parametrize(
    "answer", [SCORES + 2e-5, SCORES[:1], np.array([0.25, np.nan]), np.array([])]
)
def test_another_answer_is_refused(answer):
    with pytest.raises(IntegrityError, match="golden points"):
        golden_of(VECTORS, SCORES).check(answer)


def test_scores_of_shape_n_by_one_are_taken():
    assert golden_of(VECTORS, SCORES).check(SCORES.reshape(-1, 1)) == 0.0


RULES = (
    Rule(decision="BLOCK", above=0.9, reason="r"),
    Rule(decision="REVIEW", when="v.a > 5", reason="r"),
)
DECIDER = Decider(
    DecisionPolicy(rules=RULES, default="APPROVE", default_reason="r"), {"score": (), "v:a": ()}
)
CASES = RuleCases(
    scores=(0.95, 0.1, 0.1, 0.1), values={"v:a": (6.0, 6.0, 5.0, None)}, rules=(0, 1, None, None)
)


def test_rules_that_fire_as_written_pass_and_survive_json():
    golden = golden_of(VECTORS, SCORES, CASES)
    again = Golden.model_validate_json(golden.model_dump_json())
    assert again == golden
    assert again.rule_cases is not None
    again.rule_cases.check(DECIDER)


@pytest.mark.parametrize(
    "changes",
    [
        {"rules": (0, 1, None, 1)},
        {"rules": (1, 1, None, None)},
        {"values": {"v:a": (6.0, 4.0, 5.0, None)}},
        {"values": {"v:b": (6.0, 6.0, 5.0, None)}},
    ],
)
def test_rules_that_fire_otherwise_are_refused(changes):
    with pytest.raises(IntegrityError, match="golden cases"):
        CASES.model_copy(update=changes).check(DECIDER)


def test_golden_points_without_cases_keep_their_bytes():
    assert "rule_cases" not in golden_of(VECTORS, SCORES).model_dump()
