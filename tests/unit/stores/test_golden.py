import numpy as np
import pytest

from core.errors import IntegrityError
from stores.golden import Golden, golden_of

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
