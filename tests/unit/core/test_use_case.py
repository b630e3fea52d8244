import pytest
from pydantic import ValidationError
from training_sets import small_use_case

from core.monitoring.objectives import Objectives
from core.rollout.limits import Limits
from core.rollout.stages import Rollout
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


@pytest.mark.parametrize(("own", "held"), [({}, 40.0), ({"p99_ms": 100.0}, 100.0)])
def test_a_rollout_that_declares_no_p99_is_held_to_the_objective(own, held):
    rollout = Rollout(assigned_by=("card_id",), limits=Limits(requests_per_entity=3, **own))
    use_case = small_use_case().model_copy(
        update={"objectives": Objectives(p99_ms=40), "rollout": rollout}
    )
    promised = use_case.promised_rollout
    assert promised is not None
    assert promised.limits.p99_ms == held
    assert promised.model_copy(update={"limits": rollout.limits}) == rollout


def test_without_a_rollout_there_is_none_to_hold():
    assert small_use_case().model_copy(update={"rollout": None}).promised_rollout is None
