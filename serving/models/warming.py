"""Warming: how a release on the shelf comes into memory beside those that answer.

Tried in a process of its own, then given room, then loaded in a thread: whoever answers waits for
none of it, and neither does another release. Where nothing answers yet there is nobody to protect,
and what was never tried is loaded without a trial: a service that starts is ready sooner. If that
ends the process, the one after it tries the release first, so that all others are served.
"""

from __future__ import annotations

from core.clock import Clock
from serving.background import Background
from serving.models.model_room import Key, Tenant, who_goes
from serving.models.releases import LoadedRelease, Loader, Releases, Roster
from serving.models.trials import Trials
from serving.process import Told
from serving.telemetry.log_lines import Trouble


class Warming:
    """Brings releases into memory, within a budget; for the watcher's thread.

    Parameters
    ----------
    trials
        None where releases are loaded untried.
    budget_bytes
        What all releases in memory may take together; 0 for no limit.
    """

    def __init__(
        self,
        loader: Loader,
        releases: Releases,
        background: Background,
        trials: Trials | None,
        *,
        budget_bytes: int,
        clock: Clock,
        told: Told,
    ) -> None:
        self._loader = loader
        self._releases = releases
        self._background = background
        self._trials = trials
        self._budget_bytes = budget_bytes
        self._clock = clock
        self._told = told
        self._sizes: dict[Key, int] = {}
        self._used: dict[Key, tuple[int, float]] = {}
        self._fresh: dict[Key, tuple[LoadedRelease, bool]] = {}

    def release(self, key: Key, *, is_champion: bool, wait_s: float) -> LoadedRelease:
        """A release in memory, once it is.

        Raises
        ------
        PendingError
            If it is on its way.
        OverloadedError
            If there is no room for it.
        PlatformError
            As `Loader.load` and `Trials.measured_bytes`.
        """
        here = self._releases.loaded(*key) or self._fresh.get(key, (None,))[0]
        if here is not None:
            return here
        if key not in self._sizes:
            found = self._background.result(
                ("try", *key), lambda: self._measured(key), wait_s=wait_s
            )
            if found is not None:
                self._sizes[key] = found
        self._make_room(key, self._sizes.get(key, 0), is_champion=is_champion)
        loaded = self._background.result(("load", *key), lambda: self._loaded(key), wait_s=wait_s)
        if key not in self._sizes:  # not tried: what was seen here has to do
            self._make_room(key, loaded.grown_bytes, is_champion=is_champion)
            self._sizes[key] = loaded.grown_bytes
        self._fresh[key] = loaded, is_champion
        return loaded

    def sizes(self) -> dict[Key, int]:
        """Memory that each release takes, those in memory alone."""
        here = {loaded.key for loaded in _all(self._releases.roster)}
        return {key: size for key, size in self._sizes.items() if key in here}

    def begin(self) -> None:
        """Begin a look: see who was asked since the last one, and forget who has gone."""
        self._fresh = {}
        now_s = self._clock.monotonic_s()
        used = {}
        for loaded in _all(self._releases.roster):
            calls, at_s = self._used.get(loaded.key, (-1, now_s))
            used[loaded.key] = (loaded.calls, at_s if calls == loaded.calls else now_s)
        self._used = used

    def _measured(self, key: Key) -> int | None:
        """What it takes; None where nobody knows and nobody is there to be protected."""
        if self._trials is None:
            return None
        folder, digest = self._loader.bundle(*key)
        known = self._trials.known_bytes(digest)
        is_anybody_served = bool(self._releases.roster.use_cases)
        if known is None and (is_anybody_served or self._trials.has_ended_a_process(digest)):
            return self._trials.measured_bytes(folder, digest)
        return known

    def _loaded(self, key: Key) -> LoadedRelease:
        if self._trials is None or key in self._sizes:
            return self._loader.load(*key)
        with self._trials.marked(self._loader.bundle(*key)[1]):
            return self._loader.load(*key)

    def _make_room(self, key: Key, n_bytes: int, *, is_champion: bool) -> None:
        roster = self._releases.roster
        gone = who_goes(self._tenants(roster), n_bytes, self._budget_bytes, is_champion=is_champion)
        if not gone:
            return
        self._releases.roster = _without(roster, gone)
        named = ", ".join(f"{use_case} {release}" for use_case, release in gone)
        self._told(Trouble(f"unloaded {named}: champion {key[0]} {key[1]} needs the room"))

    def _tenants(self, roster: Roster) -> list[Tenant]:
        champions = {
            release.key
            for served in roster.use_cases.values()
            for release in (served.champion, *served.older.values())
        }
        champions |= {key for key, (_, is_champion) in self._fresh.items() if is_champion}
        fresh = [loaded for loaded, _ in self._fresh.values()]
        unseen = 0, 0.0
        return [
            Tenant(
                loaded.key,
                self._sizes.get(loaded.key, 0),
                loaded.key in champions,
                self._used.get(loaded.key, unseen)[1],
            )
            for loaded in {each.key: each for each in [*_all(roster), *fresh]}.values()
        ]


def _all(roster: Roster) -> list[LoadedRelease]:
    return [each for served in roster.use_cases.values() for each in served.releases.values()]


def _without(roster: Roster, gone: list[Key]) -> Roster:
    """The roster with fewer challengers and shadows; champions answer for them."""
    use_cases = {
        name: served.without({each.key for each in served.releases.values()} & set(gone))
        for name, served in roster.use_cases.items()
    }
    return Roster(roster.channels, use_cases)
