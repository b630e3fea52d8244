"""The shelf as the service follows it: verify, load, prove, then swap one reference.

A counter that goes back is refused, across restarts too: the highest one that was followed
is kept beside the service's state. What is bad on the shelf changes nothing here: the roster
that was good stays, and the reason is told.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from core.clock import Clock
from core.errors import IntegrityError, OverloadedError, PlatformError
from serving.background import PendingError
from serving.models.devices import DeviceError
from serving.models.model_room import Key
from serving.models.releases import LoadedRelease, Releases, Roster, Served
from serving.models.warming import Warming
from serving.telemetry.log_lines import Trouble
from stores.durable import write_durably
from stores.keys.signing import KeyRing
from stores.shelf.channels import ChannelBoard, Channels, ChannelState

Told = Callable[[str], None]
RETRY_S = 5.0
"""A shelf that was found bad is looked at again after this, though its channels stand still."""
WAIT_S = 1.0
"""How long one look waits for releases on their way; the next look asks again."""


class _Found(NamedTuple):
    """What came of asking for a release; ``is_left_out``: not there, by no fault of its own."""

    loaded: LoadedRelease | None = None
    key: Key = ("", 0)
    is_left_out: bool = False


class ShelfWatcher:
    """Keeps ``releases`` equal to what the signed channels say.

    Parameters
    ----------
    told
        Called with a sentence when something changed or was refused.
    counter_path
        Where the highest counter that was followed is kept.

    Attributes
    ----------
    is_pending
        Whether releases are on their way.
    trouble
        What is wrong with the shelf; "" for nothing.
    misplaced
        Of that, champions that would run on another device than was asked for.
    """

    def __init__(
        self,
        board: ChannelBoard,
        keys: Callable[[], KeyRing],
        warming: Warming,
        releases: Releases,
        *,
        clock: Clock,
        counter_path: Path,
        told: Told,
    ) -> None:
        self._board = board
        self._keys = keys
        self._warming = warming
        self._releases = releases
        self._clock = clock
        self._counter_path = counter_path
        self._told = told
        self._looked_at: tuple[int, int, int] | None = None
        self._again_s = 0.0
        self._wait_until_s = 0.0
        self.is_pending = False
        self.trouble = ""
        self.misplaced: list[str] = []

    def look(self) -> bool:
        """Follow the channels if they changed; whether the roster was replaced.

        Blocking: call it in a thread. Never raises on what is on the shelf.
        """
        stamp, now_s = self._stamp(), self._clock.monotonic_s()
        self._warming.begin()
        is_due = self.is_pending or (self.trouble and now_s >= self._again_s)
        if stamp == self._looked_at and not is_due:
            return False
        self._looked_at, self._again_s = stamp, now_s + RETRY_S
        self._wait_until_s = now_s + WAIT_S
        try:
            trouble, is_replaced = self._follow()
        except (PlatformError, OSError) as error:
            trouble, is_replaced = str(error), False
        if trouble and trouble != self.trouble:
            self._told(Trouble(f"kept what is served: {trouble}"))
        self.trouble = trouble
        return is_replaced

    def _stamp(self) -> tuple[int, int, int] | None:
        """What tells one state of the file from the next: it is replaced, never edited."""
        try:
            found = self._board.path.stat()
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    def _follow(self) -> tuple[str, bool]:
        """What is wrong with the shelf ("" for nothing), and whether the roster was replaced."""
        before = self._releases.roster
        channels = self._board.read(self._keys())
        self._refuse_older(channels)
        if channels == before.channels and not self.trouble and not self.is_pending:
            return "", False
        roster, faults = self._roster(channels)
        is_replaced = roster != before
        self._releases.roster = roster
        try:
            self._keep_counter(channels.counter)
        except OSError as error:  # what is served is followed all the same
            faults.append(f"how far the channels were followed is not kept: {error.strerror}")
        if is_replaced:
            self._told(f"serving channels {channels.counter}: {_spelled(roster)}")
        return "; ".join(faults), is_replaced

    def _refuse_older(self, channels: Channels) -> None:
        highest = max(self._releases.roster.channels.counter, self._kept_counter())
        if channels.counter < highest:
            raise IntegrityError(
                "the channels went back in time",
                found=f"counter {channels.counter} after {highest}",
                remedy=f"put the newer channels back, or, if the shelf was made anew on purpose, "
                f"remove {self._counter_path.name} from the state folder and restart",
                code="counter_went_back",
            )

    def _roster(self, channels: Channels) -> tuple[Roster, list[str]]:
        """Roster of the channels; a use case whose new champion is bad keeps the one it has.

        Champions come first: they may turn others out. A challenger that is bad is served as one
        that answers nothing, so that the gates see it; one that is on its way, or has no room, as
        if it were not there. One that was taken out goes at once, whatever is on its way.
        """
        faults: list[str] = []
        self.is_pending, self.misplaced = False, []
        serving = {name: s for name, s in channels.use_cases.items() if s.champion is not None}
        champions = {
            name: self._release(name, state.champion, faults, is_champion=True).loaded
            for name, state in serving.items()
        }
        use_cases: dict[str, Served] = {}
        for name, state in serving.items():
            champion = champions[name]
            if champion is not None:
                use_cases[name] = self._served(name, state, champion, faults)
            elif name in self._releases.roster.use_cases:
                use_cases[name] = _kept(self._releases.roster.use_cases[name], name, state)
        return Roster(channels, use_cases), faults

    def _served(
        self,
        name: str,
        state: ChannelState,
        champion: LoadedRelease,
        faults: list[str],
    ) -> Served:
        challenger = self._release(name, state.challenger, faults)
        shadow = self._release(name, state.shadow, faults)
        found = {k.major: self._release(name, k.release, faults, is_champion=True).loaded
                 for k in state.older}  # fmt: skip
        older = {major: loaded for major, loaded in found.items() if loaded is not None}
        served = Served(state, champion, challenger.loaded, shadow.loaded, older)
        return served.without({each.key for each in (challenger, shadow) if each.is_left_out})

    def _release(
        self, use_case: str, release: int | None, faults: list[str], *, is_champion: bool = False
    ) -> _Found:
        if release is None:
            return _Found()
        key = use_case, release
        wait_s = max(0.0, self._wait_until_s - self._clock.monotonic_s())
        try:
            return _Found(
                self._warming.release(key, is_champion=is_champion, wait_s=wait_s), key=key
            )
        except PendingError:
            self.is_pending = True
            return _Found(key=key, is_left_out=True)
        except OverloadedError as error:
            faults.append(f"{use_case} {release}: {error}")
            return _Found(key=key, is_left_out=True)
        except (PlatformError, OSError) as error:
            faults.append(f"{use_case} {release}: {error}")
            if is_champion and isinstance(error, DeviceError):
                self.misplaced.append(faults[-1])
            return _Found(key=key)

    def _kept_counter(self) -> int:
        try:
            return int(self._counter_path.read_text())
        except (FileNotFoundError, ValueError):
            return 0

    def _keep_counter(self, counter: int) -> None:
        self._counter_path.parent.mkdir(parents=True, exist_ok=True)
        write_durably(self._counter_path, str(counter).encode())


def _kept(served: Served, name: str, state: ChannelState) -> Served:
    """What is served while a champion cannot be: without those that are in no channel any more."""
    before, now = served.state, (state.challenger, state.shadow)
    others = (before.challenger, before.shadow)
    return served.without({(name, n) for n in others if n is not None and n not in now})


def _spelled(roster: Roster) -> str:
    """What is served, and champions that are still to be loaded or cannot be."""
    parts = [
        f"{name} {state.champion} not yet"
        for name, state in roster.channels.use_cases.items()
        if state.champion is not None and name not in roster.use_cases
    ]
    for name, served in roster.use_cases.items():
        state, others = served.state, []
        if served.challenger is not None:
            others.append(f"challenger {state.challenger} at {state.challenger_weight:.0%}")
        if served.shadow is not None:
            others.append(f"shadow {state.shadow}")
        others += [f"{each.manifest.release} for contract {major}"
                   for major, each in served.older.items()]  # fmt: skip
        beside = f" ({', '.join(others)})" if others else ""
        parts.append(f"{name} {served.champion.manifest.release}{beside}")
    return ", ".join(sorted(parts)) or "no champion"
