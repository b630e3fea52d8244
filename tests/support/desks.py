"""A controller on a shelf of its own, and somebody who asks it."""

from __future__ import annotations

from typing import Any

from payments import NOW_MS

from core.clock import FixedClock
from serving.rollouts.channel_requests import Tries
from serving.rollouts.controlling import Controller
from stores.keys.signing import KeyRing, ensure_signer
from stores.layout import Layout
from stores.shared_counts.sqlite import SqliteSharedCounts
from stores.shelf.channels import Asked, ChannelAnswer, ChannelState
from stores.shelf.shelf import Shelf


class Desk:
    """A controller, and somebody who asks it."""

    def __init__(self, layout: Layout, trials: Tries | None = None) -> None:
        self.layout = layout
        self._trials = trials
        self.shelf = Shelf(layout.shelf)
        self.clock = FixedClock(NOW_MS)
        self.counts = SqliteSharedCounts(layout.shared_counts)

    @property
    def keys(self) -> KeyRing:
        return KeyRing.from_directory(self.layout.keys)

    def controller(self) -> Controller:
        signer = ensure_signer(self.layout.keys, "channels")
        return Controller(self.shelf, self.keys, signer, self.clock, self.counts, self._trials)

    def ask(
        self, action: Asked, release: int | None = None, use_case: str = "toy", **said: Any
    ) -> ChannelAnswer:
        self.clock.advance(1)
        request = self.shelf.board.ask(
            action,
            use_case,
            release=release,
            why="test",
            who="ann",
            at_ms=self.clock.now_ms(),
            **said,
        )
        (answer,) = self.controller().work()
        assert self.shelf.board.answer_to(request.request_id) == answer
        return answer

    def state(self, use_case: str = "toy") -> ChannelState:
        return self.shelf.board.read(self.keys).state(use_case)

    def counter(self) -> int:
        return self.shelf.board.read(self.keys).counter
