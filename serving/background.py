"""Work beside the watcher: started when first asked for, looked after without waiting for it.

Each piece has a thread of its own, so that one that takes long, or for ever, holds up no other.
A thread cannot be ended: one that outlasts its patience is left to itself and never asked again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from core.clock import Clock
from core.errors import IntegrityError

T = TypeVar("T")


class PendingError(Exception):
    """The work has not ended yet; ask again."""


@dataclass
class _Piece:
    started_s: float
    ended: threading.Event = field(default_factory=threading.Event)
    result: Any = None
    error: BaseException | None = None

    def run(self, work: Callable[[], Any]) -> None:
        try:
            self.result = work()
        except BaseException as error:
            self.error = error
        finally:
            self.ended.set()


class Background:
    """Pieces of work by name, for one thread that asks for them.

    Parameters
    ----------
    patience_s
        From so long on a piece of work counts as hanging.
    """

    def __init__(self, clock: Clock, *, patience_s: float) -> None:
        self._clock = clock
        self._patience_s = patience_s
        self._pieces: dict[Hashable, _Piece] = {}

    def result(self, name: Hashable, work: Callable[[], T], *, wait_s: float) -> T:
        """What ``work`` returns, once it has; its result and its error are given once.

        Raises
        ------
        PendingError
            If it has not ended after ``wait_s``.
        IntegrityError
            If it has taken longer than the patience: then for ever.
        """
        piece = self._pieces.get(name)
        if piece is None:
            piece = self._pieces[name] = _Piece(self._clock.monotonic_s())
            threading.Thread(target=piece.run, args=(work,), daemon=True, name=str(name)).start()
        if not piece.ended.wait(wait_s):
            self._check_patience(piece)
            raise PendingError
        del self._pieces[name]
        if piece.error is not None:
            raise piece.error
        found: T = piece.result
        return found

    def _check_patience(self, piece: _Piece) -> None:
        if self._clock.monotonic_s() - piece.started_s >= self._patience_s:
            raise IntegrityError(
                "a release hangs when it is loaded",
                found=f"no end after {self._patience_s:g} s",
                remedy="build another; this one is not tried again before a restart",
                code="model_hangs",
            )
