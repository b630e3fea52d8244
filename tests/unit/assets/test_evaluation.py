"""The fairness gate as a blocking check: what is unfair becomes no bundle."""

from __future__ import annotations

import dagster as dg
import pytest
from bundles import TOY_PLAN
from watched_world import USE_CASE

from assets import names
from assets.evaluation import FAIR, evaluation_asset, fair
from assets.models import bundle_asset
from core.fairness import Fairness, FairnessReport, GroupRate, Groups, rate_verdict
from training.evaluation import Evaluation

DECLARED = Fairness(groups=(Groups(reads="card_profile_v1.country"),), adverse=("BLOCK",))


def evaluation(*, blocked_in_be):
    rates = [
        GroupRate(group=group, value=value, n_rows=4_000, n_effective=4_000)
        for group, value in (("AT", 0.05), ("BE", blocked_in_be))
    ]
    verdict = rate_verdict(DECLARED, "card_profile_v1.country", "selected", rates)
    return Evaluation(fairness=FairnessReport(adverse=("BLOCK",), verdicts=(verdict,)))


def test_an_unfair_candidate_fails_the_gate_and_says_whom_it_is_unfair_to():
    result = fair(evaluation(blocked_in_be=0.6))
    assert (result.passed, result.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert "60.00% of BE" in str(result.description)


@pytest.mark.parametrize("found", [evaluation(blocked_in_be=0.05), Evaluation()])
def test_a_fair_candidate_and_one_without_groups_pass(found):
    assert fair(found).passed


def test_the_gate_stands_before_the_bundle():
    [spec] = evaluation_asset(USE_CASE, TOY_PLAN).check_specs
    assert (spec.name, spec.blocking) == (FAIR, True)
    bundle = bundle_asset(USE_CASE, TOY_PLAN)
    assert names.evaluation("toy") in bundle.asset_deps[bundle.key]
