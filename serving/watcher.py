"""The shelf as the service follows it: verify, load, prove, then swap one reference.

A counter that goes back is refused, across restarts too: the highest one that was followed
is kept beside the service's state. What is bad on the shelf changes nothing here: the roster
that was good stays, and the reason is told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from core.errors import IntegrityError, PlatformError
from serving.releases import LoadedRelease, Loader, Releases, Roster, Served
from stores.channels import ChannelBoard, Channels
from stores.durable import write_durably
from stores.signing import KeyRing

Told = Callable[[str], None]


class ShelfWatcher:
    """Keeps ``releases`` equal to what the signed channels say.

    Parameters
    ----------
    told
        Called with a sentence when something changed or was refused.
    counter_path
        Where the highest counter that was followed is kept.
    """

    def __init__(
        self,
        board: ChannelBoard,
        keys: KeyRing,
        loader: Loader,
        releases: Releases,
        *,
        counter_path: Path,
        told: Told,
    ) -> None:
        self._board = board
        self._keys = keys
        self._loader = loader
        self._releases = releases
        self._counter_path = counter_path
        self._told = told
        self._looked_at: tuple[int, int, int] | None = None
        self.trouble = ""

    def look(self) -> bool:
        """Follow the channels if they changed; whether the roster was replaced.

        Blocking: call it in a thread. Never raises on what is on the shelf.
        """
        stamp = self._stamp()
        if stamp == self._looked_at and not self.trouble:
            return False
        try:
            return self._follow(stamp)
        except (PlatformError, OSError) as error:
            if str(error) != self.trouble:
                self._told(f"kept what is served: {error}")
            self.trouble = str(error)
            return False

    async def follow(self, every_ms: int) -> None:
        """Look again and again, until cancelled."""
        while True:
            await asyncio.sleep(every_ms / 1_000)
            await asyncio.to_thread(self.look)

    def _stamp(self) -> tuple[int, int, int] | None:
        """What tells one state of the file from the next: it is replaced, never edited."""
        try:
            found = self._board.path.stat()
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    def _follow(self, stamp: tuple[int, int, int] | None) -> bool:
        channels = self._board.read(self._keys)
        highest = max(self._releases.roster.channels.counter, self._kept_counter())
        if channels.counter < highest:
            raise IntegrityError(
                "the channels went back in time",
                found=f"counter {channels.counter} after {highest}",
                remedy=f"put the newer channels back, or, if the shelf was made anew on purpose, "
                f"remove {self._counter_path.name} and restart",
                code="counter_went_back",
            )
        is_new = channels != self._releases.roster.channels
        if is_new:
            self._releases.roster = self._roster(channels)
            self._keep_counter(channels.counter)
            self._told(f"serving channels {channels.counter}: {_spelled(self._releases.roster)}")
        self.trouble = ""
        self._looked_at = stamp
        return is_new

    def _roster(self, channels: Channels) -> Roster:
        use_cases = {}
        for name, state in channels.use_cases.items():
            if state.champion is not None:
                use_cases[name] = Served(state, self._release(name, state.champion))
        return Roster(channels, use_cases)

    def _release(self, use_case: str, release: int) -> LoadedRelease:
        return self._releases.loaded(use_case, release) or self._loader.load(use_case, release)

    def _kept_counter(self) -> int:
        try:
            return int(self._counter_path.read_text())
        except (FileNotFoundError, ValueError):
            return 0

    def _keep_counter(self, counter: int) -> None:
        self._counter_path.parent.mkdir(parents=True, exist_ok=True)
        write_durably(self._counter_path, str(counter).encode())


def _spelled(roster: Roster) -> str:
    parts = [f"{name} {s.champion.manifest.release}" for name, s in roster.use_cases.items()]
    return ", ".join(sorted(parts)) or "no champion"
