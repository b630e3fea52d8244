"""Shadows that are whole, that hang and that crash: what they cost the answers beside them.

Rounds take turns: nobody beside the champion, a good shadow, one that never comes to an end, one
whose process is killed again and again. Each round has a service of its own, because a shadow
that failed rests, and would rest in the next round, too.
"""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import httpx
import onnx
from onnx import TensorProto, helper

from benchmarks import servers
from benchmarks.chaos.killer import Killer
from benchmarks.chaos.load import Answer, read_answers
from benchmarks.load import percentile
from benchmarks.networks import drawn_rows
from benchmarks.online_data import USE_CASE
from benchmarks.online_model import N_GOLDEN, shelve
from core.clock import SystemClock
from core.errors import DependencyError
from core.rollout.counters import Counters
from core.rollout.published import all_counts
from stores.keys.signing import ensure_signer
from stores.layout import Layout
from stores.shared_counts import open_shared_counts
from stores.shelf.bundle import MODEL, MODEL_INPUT, MODEL_OUTPUT, Manifest, read_manifest
from stores.shelf.channels import Channels, ChannelState
from stores.shelf.shelf import Shelf

LIMIT_MS = 1.0
RATE, ROUNDS, ROUND_S, WARM_S = 150.0, 5, 6.0, 2.0
FOLLOWS_WITHIN_S, IN_A_ROW = 30.0, 8
LOAD_WITHIN_S = 60.0
AMOUNT = "payment_v1:amount"
NONE, GOOD, HANGING, CRASHING = "none", "good", "hanging", "crashing"
PROOFS = {GOOD: ("scores compared", 100), HANGING: ("times it hung", 1),
          CRASHING: ("times it was killed", ROUNDS)}  # fmt: skip


@dataclass
class Beside:
    """What answers were like beside one shadow. Of each round its p99, in ms.

    ``proven`` is how often the shadow did what it is named for: else a round shows nothing.
    """

    name: str
    rounds_ms: list[float] = field(default_factory=list)
    sent: int = 0
    errors: int = 0
    proven: int = 0

    @property
    def proof(self) -> str:
        """What ``proven`` counts."""
        return PROOFS[self.name][0]

    @property
    def proven_at_least(self) -> int:
        """Fewer show nothing."""
        return PROOFS[self.name][1]

    @property
    def p99_ms(self) -> float:
        """That of the middle round."""
        return median(self.rounds_ms)

    def moved_ms(self, alone: Beside) -> float:
        """How much later the middle p99 is than without a shadow."""
        return self.p99_ms - alone.p99_ms

    def keep(self, found: list[Answer]) -> None:
        """Take a round."""
        times = sorted(answer.ms for answer in found)
        self.rounds_ms.append(percentile(times, 0.99))
        self.sent += len(found)
        self.errors += sum(not answer.is_answered for answer in found)

    def said(self, alone: Beside) -> str:
        """One line."""
        rounds = ", ".join(f"{each:.1f}" for each in sorted(self.rounds_ms))
        before = ", ".join(f"{each:.1f}" for each in sorted(alone.rounds_ms))
        return (
            f"shadow {self.name}: p99 {self.p99_ms:.1f} ms (rounds {rounds}), without "
            f"{alone.p99_ms:.1f} ms (rounds {before}): moved {self.moved_ms(alone):+.1f} ms; "
            f"{self.errors} errors of {self.sent:,}; {self.proof}: {self.proven:,}"
        )

    def rows(self, alone: Beside) -> list[str]:
        """Row of the page."""
        return [
            f"| a shadow beside the champion, {self.name} ({self.proof}: {self.proven:,}) | p99 "
            f"{alone.p99_ms:.1f} ms without, {self.p99_ms:.1f} ms with: "
            f"{self.moved_ms(alone):+.1f} ms; {self.errors} errors of {self.sent:,} "
            f"| {LIMIT_MS:g} ms, 0 |"
        ]


def beside_shadows(folder: Path, url: str, path: str, bodies: Path) -> list[Beside]:
    """Load the service of a world in rounds; the first found is that without a shadow."""
    world = _World(folder, url, path, bodies)
    found = {name: Beside(name) for name in (NONE, *PROOFS)}
    for _ in range(ROUNDS):
        for each in found.values():
            world.round(each)
    for name in (GOOD, HANGING):
        shadow = world.compared(name)
        found[name].proven = shadow.n_scores if name == GOOD else shadow.n_errors
    return list(found.values())


class _World:
    """The home of chaos with two more releases: the champion's twin, and one that hangs."""

    def __init__(self, folder: Path, url: str, path: str, bodies: Path) -> None:
        self._folder, self._url, self._path, self._bodies = folder, url, path, bodies
        self._layout = Layout(folder / "home")
        self._shelf = Shelf(self._layout.shelf)
        self._counts = open_shared_counts(url, self._layout.shared_counts)
        champion = self._shelf.bundle(USE_CASE, 1)
        manifest = read_manifest(champion)
        model = (champion / MODEL).read_bytes()
        good = self._shelved(manifest, model)
        hanging = self._shelved(manifest, hanging_model(model, manifest.plan.vector.index(AMOUNT)))
        self._shadows = {GOOD: good, HANGING: hanging, CRASHING: good}
        self._counter = 1

    def round(self, beside: Beside) -> None:
        """One service, warm before its shadow comes, then asked while the shadow is beside."""
        self._write(NONE)
        with (
            servers.ours(self._layout.root, self._url, self._folder) as server,
            ExitStack() as ends,
        ):
            self._load(server, WARM_S)
            self._write(beside.name)
            self._wait_until_followed(server)
            killer = ends.enter_context(Killer(server.pid)) if beside.name == CRASHING else None
            beside.keep(self._load(server, ROUND_S))
            beside.proven += killer.kills if killer is not None else 0

    def compared(self, name: str) -> Counters:
        """Counts of a shadow over all rounds."""
        return all_counts(self._counts.read(_experiment(name))).comparison.shadow

    def _shelved(self, manifest: Manifest, model: bytes) -> int:
        from use_cases.fraud.use_case import USE_CASE as DECLARED

        vectors = drawn_rows(N_GOLDEN, len(manifest.plan.vector), seed=3)
        vectors[:, manifest.plan.vector.index(AMOUNT)] = 0.0  # what hangs does not hang at these
        now_ms = SystemClock().now_ms()
        return shelve(self._layout, DECLARED, manifest.plan, model, now_ms, golden=vectors)

    def _write(self, name: str) -> None:
        """Channels as the controller would write them."""
        self._counter += 1
        shadow = self._shadows.get(name)
        state = ChannelState(
            champion=1, shadow=shadow, shadow_experiment=_experiment(name) if shadow else ""
        )
        channels = Channels(
            counter=self._counter,
            written_at_ms=SystemClock().now_ms(),
            use_cases={USE_CASE: state},
        )
        self._shelf.board.write(channels, ensure_signer(self._layout.keys, "channels"))

    def _wait_until_followed(self, server: servers.Server) -> None:
        """Until so many connections in a row, each to either worker, meet the new channels."""
        deadline, n = time.monotonic() + FOLLOWS_WITHIN_S, 0
        while n < IN_A_ROW:
            told = httpx.get(server.url("/readyz"), timeout=FOLLOWS_WITHIN_S).json()
            n = n + 1 if told["channels"] == self._counter else 0
            if time.monotonic() > deadline:
                raise DependencyError(
                    "the service does not follow its channels",
                    found=f"counter {told['channels']}, {self._counter} was written",
                    remedy=f"read {self._folder / 'ours.log'}",
                )

    def _load(self, server: servers.Server, seconds: float) -> list[Answer]:
        out = self._folder / "answers.ndjson"
        command = [sys.executable, "-m", "benchmarks.chaos.load", str(server.port), self._path]
        command += [str(self._bodies), str(RATE), str(seconds), str(out)]
        subprocess.run(command, cwd=servers.PROJECT, check=True, timeout=LOAD_WITHIN_S)
        return read_answers(out)


def _experiment(name: str) -> str:
    return f"chaos-{name}"


def hanging_model(model: bytes, column: int) -> bytes:
    """The model, but any row whose value in ``column`` is above zero keeps it for ever."""
    parsed = onnx.load_from_string(model)
    graph = parsed.graph
    for node in graph.node:
        node.output[:] = ["whole" if name == MODEL_OUTPUT else name for name in node.output]
    graph.initializer.extend(
        [
            helper.make_tensor("no_value", TensorProto.FLOAT, [1], [0.0]),
            helper.make_tensor("for_ever", TensorProto.FLOAT, [], [1e15]),
            helper.make_tensor("yes", TensorProto.BOOL, [], [True]),
            helper.make_tensor("from_column", TensorProto.INT64, [1], [column]),
            helper.make_tensor("to_column", TensorProto.INT64, [1], [column + 1]),
            helper.make_tensor("columns", TensorProto.INT64, [1], [1]),
        ]
    )
    graph.node.extend(
        [
            helper.make_node(
                "Slice", [MODEL_INPUT, "from_column", "to_column", "columns"], ["asked"]
            ),
            helper.make_node("Greater", ["asked", "no_value"], ["is_above"]),
            helper.make_node("Cast", ["is_above"], ["above"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMax", ["above"], ["any_above"], keepdims=0),
            helper.make_node("Mul", ["any_above", "for_ever"], ["rounds"]),
            helper.make_node("Cast", ["rounds"], ["trips"], to=TensorProto.INT64),
            helper.make_node("Loop", ["trips", "yes", "no_value"], ["turned"], body=_turn()),
            helper.make_node("Add", ["whole", "turned"], [MODEL_OUTPUT]),
        ]
    )
    onnx.checker.check_model(parsed)
    return bytes(parsed.SerializeToString())


def _turn() -> onnx.GraphProto:
    """One round of nothing."""
    return helper.make_graph(
        [
            helper.make_node("Identity", ["before"], ["after"]),
            helper.make_node("Identity", ["go_on"], ["goes_on"]),
        ],
        "turn",
        [
            helper.make_tensor_value_info("number", TensorProto.INT64, []),
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("before", TensorProto.FLOAT, [1]),
        ],
        [
            helper.make_tensor_value_info("goes_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("after", TensorProto.FLOAT, [1]),
        ],
    )
