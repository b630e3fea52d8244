"""What a release that needs nobody's approval asks of the controller: a rollout where it can."""

import pytest
from bundles import serve, shelve
from rollouts import fast_rollout

from assets.releases import released
from assets.resources import Platform
from stores.layout import Layout
from stores.shelf import Shelf
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
