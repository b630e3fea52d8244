"""What the service shows of a rollout: the channels it serves, the report and the audit."""

from __future__ import annotations

import asyncio

from core.features.plan import Frozen
from serving.models.releases import Releases
from serving.ports import Json
from stores.shelf.channels import ChannelState
from stores.shelf.rollouts import RolloutBoard

SHOWN_ENTRIES = 50


class RolloutViews:
    """Reads what the controller wrote on the shelf."""

    def __init__(self, releases: Releases, board: RolloutBoard) -> None:
        self._releases = releases
        self._board = board

    async def of(self, use_case: str) -> Json:
        """Where the rollout of a use case stands, latest moves first.

        Raises
        ------
        NotFoundError
            If the use case is not served.
        IntegrityError
            If what the controller wrote was changed.
        """
        state = self._releases.served(use_case).state
        return await asyncio.to_thread(rollout_view, use_case, state, self._board)


def rollout_view(use_case: str, state: ChannelState, board: RolloutBoard) -> Json:
    """The channels of a use case, what the controller reports, and what happened, latest first.

    Raises
    ------
    IntegrityError
        If what the controller wrote was changed.
    """
    report = board.standing(use_case, state)
    audit = board.audit(use_case, latest=SHOWN_ENTRIES)
    return {
        "use_case": use_case,
        "channels": {
            "champion": state.champion,
            "challenger": state.challenger,
            "challenger_weight": state.challenger_weight,
            "shadow": state.shadow,
            "older": [kept.model_dump(mode="json") for kept in state.older],
        },
        "rollout": _json(report.rollout),
        "shadow": _json(report.shadow),
        "audit": [entry.model_dump(mode="json") for entry in reversed(audit)],
    }


def _json(document: Frozen | None) -> Json | None:
    return None if document is None else document.model_dump(mode="json")
