"""Shadows that are whole, that hang and that crash: what they cost the answers beside them.

One service is asked turn by turn at a steady rate, and its shadow is changed in between. Rounds
hold a turn of each kind in an order that is drawn: nobody beside the champion, twice; a good
shadow; one that never comes to an end; one whose process is killed again and again. So a minute in
which the machine is slow is nobody's, and what one start of a service has better or worse than
another is in every turn. Each turn is an experiment of its own: it never waits for the rest that a
shadow which failed before must take.

The rate is that of all faults of `benchmarks.chaos`. At it the machine is mostly idle, so a shadow
runs whenever it likes and is met by most requests; beside more requests there is less left for it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx
import numpy as np

from benchmarks import open_loop, servers
from benchmarks.chaos.beside import ALONE, CRASHING, GOOD, HANGING, NONE, PROOFS, Beside
from benchmarks.chaos.hanging import hanging_model
from benchmarks.chaos.killer import Killer, scorers
from benchmarks.load import request_bytes
from benchmarks.networks import drawn_rows
from benchmarks.online_data import USE_CASE
from benchmarks.online_model import N_GOLDEN, shelve
from core.clock import SystemClock
from core.errors import DependencyError
from core.rollout.published import all_counts
from serving.own_time import seen
from stores.keys.signing import ensure_signer
from stores.layout import Layout
from stores.shared_counts import open_shared_counts
from stores.shelf.bundle import MODEL, Manifest, read_manifest
from stores.shelf.channels import Channels, ChannelState
from stores.shelf.shelf import Shelf

RATE, CONNECTIONS, TURN_S = 150.0, 64, 3.0
SETTLES_S = 0.6
"""From the first request to the first that counts: in it a shadow's process is started."""

ROUNDS_S, FIRST_ROUND_S = 285.0, 40.0
"""For all rounds, and for the first at most; each is expected to take as long as the longest."""

FOLLOWS_WITHIN_S, IN_A_ROW, LOOK_EVERY_S = 30.0, 8, 0.02
IDLE_LOOK_S, IDLE_SHARE = 0.2, 0.3
AMOUNT = "payment_v1:amount"


def beside_shadows(folder: Path, url: str, path: str, bodies: Path) -> dict[str, Beside]:
    """Load the service of a world while its shadow changes; what each kind of turn was like."""
    world = _World(folder, url)
    found = {name: Beside(name) for name in (*ALONE, *PROOFS)}
    with servers.ours(folder / "home", url, folder) as server:
        requests = [
            request_bytes("127.0.0.1", server.port, path, each)
            for each in bodies.read_bytes().splitlines()
        ]
        world.turn(Beside(NONE), server, requests)  # the first requests are slow
        order, longest_s, ends_s = np.random.default_rng(5), 0.0, time.monotonic() + ROUNDS_S
        while (began_s := time.monotonic()) + (longest_s or FIRST_ROUND_S) < ends_s:
            for name in order.permutation(list(found)).tolist():
                world.turn(found[name], server, requests)
            longest_s = max(longest_s, time.monotonic() - began_s)
    for name in (GOOD, HANGING):
        found[name].proven = world.proven(name)
    return found


class _World:
    """The home of chaos with two more releases: the champion's twin, and one that hangs."""

    def __init__(self, folder: Path, url: str) -> None:
        self._folder = folder
        self._layout = Layout(folder / "home")
        self._shelf = Shelf(self._layout.shelf)
        self._counts = open_shared_counts(url, self._layout.shared_counts)
        champion = self._shelf.bundle(USE_CASE, 1)
        manifest = read_manifest(champion)
        model = (champion / MODEL).read_bytes()
        good = self._shelved(manifest, model)
        hanging = self._shelved(manifest, hanging_model(model, manifest.plan.vector.index(AMOUNT)))
        self._shadows = {GOOD: good, HANGING: hanging, CRASHING: good}
        self._experiments: dict[str, list[str]] = {name: [] for name in (*ALONE, *PROOFS)}
        self._counter = 1

    def turn(self, beside: Beside, server: servers.Server, requests: Sequence[bytes]) -> None:
        """Change the shadow, then ask; each turn asks at other instants."""
        self._write(beside.name)
        self._wait_until_followed(server.url("/readyz"))
        _wait_until_idle(server.pid)
        with ExitStack() as ends:
            killer = ends.enter_context(Killer(server.pid)) if beside.name == CRASHING else None
            found = open_loop.asked(
                server.port, requests, rate=RATE, seconds=SETTLES_S + TURN_S,
                connections=CONNECTIONS, folder=self._folder, seed=self._counter, is_woken=True,
            )  # fmt: skip
        beside.keep(found, settles_s=SETTLES_S)
        beside.proven += killer.kills if killer is not None else 0

    def proven(self, name: str) -> int:
        """How often the shadows of a kind scored, or hung."""
        found = [all_counts(self._counts.read(each)).comparison
                 for each in self._experiments[name]]  # fmt: skip
        return sum(each.n_ended if name == HANGING else each.shadow.n_scores for each in found)

    def _write(self, name: str) -> None:
        """Channels as the controller would write them."""
        self._counter += 1
        shadow = self._shadows.get(name)
        experiment = f"chaos-{name}-{self._counter}" if shadow else ""
        self._experiments[name].append(experiment)
        state = ChannelState(champion=1, shadow=shadow, shadow_experiment=experiment)
        channels = Channels(
            counter=self._counter,
            written_at_ms=SystemClock().now_ms(),
            use_cases={USE_CASE: state},
        )
        self._shelf.board.write(channels, ensure_signer(self._layout.keys, "channels"))

    def _shelved(self, manifest: Manifest, model: bytes) -> int:
        from use_cases.fraud.use_case import USE_CASE as DECLARED

        vectors = drawn_rows(N_GOLDEN, len(manifest.plan.vector), seed=3)
        vectors[:, manifest.plan.vector.index(AMOUNT)] = 0.0  # what hangs does not hang at these
        now_ms = SystemClock().now_ms()
        return shelve(self._layout, DECLARED, manifest.plan, model, now_ms, golden=vectors)

    def _wait_until_followed(self, ready: str) -> None:
        """Until so many connections in a row, each to either worker, meet the new channels."""
        deadline, n = time.monotonic() + FOLLOWS_WITHIN_S, 0
        while n < IN_A_ROW:
            told = httpx.get(ready, timeout=FOLLOWS_WITHIN_S).json()
            n = n + 1 if told["channels"] == self._counter else 0
            if time.monotonic() > deadline:
                raise DependencyError(
                    "the service does not follow its channels",
                    found=f"counter {told['channels']}, {self._counter} was written",
                    remedy=f"read {self._folder / 'ours.log'}",
                )
            time.sleep(LOOK_EVERY_S)


def _wait_until_idle(root: int) -> None:
    """Until what scores is hardly at work: one that hangs does so for a second after its turn."""
    deadline, before_s = time.monotonic() + FOLLOWS_WITHIN_S, _worked_s(root)
    while time.monotonic() < deadline:
        time.sleep(IDLE_LOOK_S)
        now_s = _worked_s(root)
        before_s, worked_s = now_s, now_s - before_s
        if worked_s < IDLE_SHARE * IDLE_LOOK_S:
            return
    raise DependencyError(
        "a shadow that hangs is not ended",
        found=f"{worked_s:.2f} s of work in {IDLE_LOOK_S:g} s",
        remedy="look at its keeper",
    )


def _worked_s(root: int) -> float:
    """The processor's time of all that scores for shadows."""
    found = 0.0
    for each in scorers(root):
        with suppress(OSError):  # it has ended
            found += seen(each).worked_s
    return found
