import pytest
from pydantic import ValidationError
from training_sets import small_use_case

from core.use_case import UseCase


def declared(**changes):
    return UseCase(**{**small_use_case().model_dump(), **changes})


def test_records_are_kept_whole_unless_a_share_is_declared():
    assert declared().record_share == 1


@pytest.mark.parametrize("tier", ["low", "medium"])
def test_a_lower_risk_tier_may_keep_a_share(tier):
    assert declared(risk_tier=tier, record_share=0.1).record_share == 0.1


def test_a_high_risk_tier_is_never_sampled():
    with pytest.raises(ValidationError, match="never sampled"):
        declared(risk_tier="high", record_share=0.99)


@pytest.mark.parametrize("share", [0, -0.1, 1.1])
def test_a_share_that_is_none_is_refused(share):
    with pytest.raises(ValidationError):
        declared(risk_tier="low", record_share=share)
