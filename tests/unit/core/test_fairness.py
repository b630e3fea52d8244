import numpy as np
import pytest
from pydantic import ValidationError
from training_sets import small_plan, small_use_case

from core.errors import ConfigurationError
from core.fairness import (
    Fairness,
    FairnessReport,
    GroupRate,
    Groups,
    check_fairness,
    rate_verdict,
)

COUNTRY = Groups(reads="card_profile_v1.country")
DECLARED = Fairness(groups=(COUNTRY,), adverse=("BLOCK",), false_negative_gap=None)
POLICY = small_use_case().decisions


def rate(group, value, n):
    return GroupRate(group=group, value=value, n_rows=n, n_effective=float(n))


@pytest.mark.parametrize(
    ("apart", "n", "state"),
    [
        (0.25, 4_000, "unfair"),
        (0.25, 210, "unsure"),
        (0.15, 4_000, "fair"),
        (0.9, 199, "too_small"),
    ],
)
def test_a_gap_is_unfair_only_where_chance_is_ruled_out(apart, n, state):
    rates = [rate("AT", 0.1, n), rate("BE", 0.1 + apart, n)]
    found = rate_verdict(DECLARED, "v.country", "selected", rates)
    assert found is not None
    assert found.state == state
    assert FairnessReport(adverse=("BLOCK",), verdicts=(found,)).is_passed == (state != "unfair")


def test_equal_groups_are_almost_never_called_unfair():
    rng = np.random.default_rng(5)
    declared = DECLARED.model_copy(update={"selected_gap": 0.01})
    unfair = 0
    for _ in range(300):
        shares = rng.binomial(400, 0.1, 6) / 400
        found = rate_verdict(
            declared, "v", "selected", [rate(str(n), s, 400) for n, s in enumerate(shares)]
        )
        unfair += found is not None and found.state == "unfair"
    assert unfair <= 15  # 5 %


def test_a_rate_without_a_limit_is_not_looked_at():
    assert rate_verdict(DECLARED, "v", "false_negative", [rate("AT", 0.1, 999)]) is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"groups": (Groups(reads="card_profile_v1.town"),)}, "card_profile_v1.town"),
        ({"groups": (Groups(reads="card_profile_v1.country", edges=(1.0,)),)}, "edges"),
        ({"groups": (Groups(reads="request.amount_minor"),)}, "edges"),
        ({"adverse": ("STOP",)}, "STOP"),
    ],
)
def test_a_declaration_of_what_is_not_there_is_refused(change, words):
    with pytest.raises(ConfigurationError, match=words):
        check_fairness(DECLARED.model_copy(update=change), POLICY, small_plan())


def test_a_declaration_of_what_is_there_is_taken():
    bands = Groups(reads="request.amount_minor", edges=(1_000.0, 10_000.0))
    check_fairness(DECLARED.model_copy(update={"groups": (COUNTRY, bands)}), POLICY, small_plan())


def test_edges_that_do_not_grow_are_refused():
    with pytest.raises(ValidationError, match="must grow"):
        Fairness(groups=(Groups(reads="v.a", edges=(2.0, 1.0)),), adverse=("BLOCK",))
