"""What a release that needs nobody's approval asks of the controller: a rollout where it can."""

import pytest
from bundles import CONTRACT, manifest_of, serve, shelve
from grown_payments import GROWN
from payments import PAYMENTS
from rollouts import fast_rollout

from assets.releases import held_to_contract, released
from assets.resources import Platform
from stores.layout import Layout
from stores.shelf.shelf import Shelf
from training.verdict import Verdict
from use_cases.fraud.use_case import USE_CASE

BETTER = Verdict(
    is_better=True,
    because="0.6 is above 0.5",
    metric="auc",
    value=0.6,
    limit=0.5,
    against="the floor",
)


def asked(home, use_case, *, has_champion):
    """Actions that were asked for when the asset let a release through."""
    layout = Layout(home).create()
    if has_champion:
        serve(layout, shelve(layout, use_case="fraud"), counter=1, use_case="fraud")
    release = shelve(layout, use_case="fraud", approvers=())
    platform = Platform(home=str(home), online_url="sqlite:///none", tracking_uri="none")
    released(platform, use_case, release, BETTER)
    board = Shelf(layout.shelf).board
    return [board.request(request_id).action for request_id in board.pending()]


@pytest.mark.parametrize(
    ("risk_tier", "rollout", "has_champion", "actions"),
    [
        ("low", fast_rollout(), True, ["start"]),
        ("low", fast_rollout(), False, ["promote"]),
        ("low", None, True, ["promote"]),
        ("high", fast_rollout(), True, []),
    ],
)
def test_the_way_to_everybody(tmp_path, risk_tier, rollout, has_champion, actions):
    use_case = USE_CASE.model_copy(update={"risk_tier": risk_tier, "rollout": rollout})
    assert asked(tmp_path, use_case, has_champion=has_champion) == actions


@pytest.mark.parametrize(
    ("version", "maximum", "is_let_through", "word"),
    [
        ("1.0", 500, False, "/inputs/amount_minor takes up to 500, before 1e+07; declare "
         "version 2.0"),
        ("2.0", 500, True, "contract 2.0 after 1.0: 1 breaking"),
        ("1.1", None, True, "contract 1.1 takes callers of 1.0"),
        ("1.0", 10_000_000, True, ""),
    ],
)  # fmt: skip
def test_the_gate_holds_a_release_to_the_contract_that_is_served(
    tmp_path, version, maximum, is_let_through, word
):
    layout = Layout(tmp_path).create()
    serve(layout, shelve(layout), counter=1)
    amount = CONTRACT.inputs[0].model_copy(update={"maximum": maximum})
    contract = CONTRACT.model_copy(update={"inputs": (amount,), "version": version})
    platform = Platform(home=str(tmp_path), online_url="sqlite:///none", tracking_uri="none")
    verdict = held_to_contract(platform, manifest_of(2, contract=contract), BETTER)
    assert verdict.is_better is is_let_through
    assert verdict.because.startswith(BETTER.because)
    assert word in verdict.because


@pytest.mark.parametrize(
    ("source", "is_let_through", "word"),
    [
        (GROWN, True, "contract 2.0 of events of payments after 1.0: 2 breaking"),
        (GROWN.model_copy(update={"former": ()}), False, "no longer takes 1.0"),
        (PAYMENTS.model_copy(update={"fields": PAYMENTS.fields[:2]}), False,
         "breaks callers of 1.0: /card_id is no longer taken; declare version 2.0"),
        (PAYMENTS, True, ""),
    ],
)  # fmt: skip
def test_the_gate_holds_a_release_to_the_events_that_are_taken(
    tmp_path, source, is_let_through, word
):
    layout = Layout(tmp_path).create()
    serve(layout, shelve(layout), counter=1)
    contract = CONTRACT.model_copy(update={"sources": (source, *CONTRACT.sources[1:])})
    platform = Platform(home=str(tmp_path), online_url="sqlite:///none", tracking_uri="none")
    verdict = held_to_contract(platform, manifest_of(2, contract=contract), BETTER)
    assert verdict.is_better is is_let_through
    assert verdict.contract is None  # of the use case's own nothing changed: shares may be given
    assert word in verdict.because
