"""What the job of batch scores is told."""

from training_sets import small_use_case

from assets.scores import scores_arguments
from core.consent import Consent


def told(**consent):
    said = Consent(source="wishes", column="is_out", keys=("card_id",), **consent)
    use_case = small_use_case().model_copy(update={"consent": said})
    return scores_arguments(use_case, 1, refresh=False)["consent"]


def test_the_job_asks_for_consent_only_where_it_says_who_is_scored():
    assert told() is None
    assert told(scores="left_out") == {
        "source": "wishes",
        "column": "is_out",
        "keys": ["card_id"],
        "scores": "left_out",
    }
